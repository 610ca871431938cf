"""Recorded messages are sent through the channels (apprise URLs), each channel on its own."""
