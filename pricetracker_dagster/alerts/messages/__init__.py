"""Messages: what is told of alerts and incidents, to whom, in which words, recorded before anything is sent.

How a message reaches its channel is in ``delivery/``.
"""
