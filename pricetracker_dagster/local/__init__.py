"""``pricetracker up`` and ``pricetracker watch``: what is started on one machine, and what keeps it running.

up.py says what is started in which order, parts.py how each part is started, supervisor.py keeps processes running,
watchdog.py runs the watch beside them, watching.py is the watch itself, addresses.py finds ports. What the parts do is
elsewhere.
"""
