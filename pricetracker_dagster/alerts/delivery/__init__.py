"""Delivery: recorded messages are sent through the channels (apprise URLs), each channel on its own.

Here belong retries and their pauses, the limits of a channel, its markup, and what its server answered. What is to be
told, and to whom, is in ``messages/``.
"""
