"""Delivery: recorded messages are sent through the channels (apprise URLs), each channel on its own.

Here belong retries and their pauses, the limits of a channel, its markup, and what its server answered. Which
messages there are, and for whom, is in ``messages/``.
"""
