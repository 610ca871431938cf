"""Messages about alerts and incidents: which, for whom, in which words; recorded before anything is sent.

How a message reaches its channel is in ``delivery/``.
"""
