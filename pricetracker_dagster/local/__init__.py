"""``pricetracker up``: what is started on one machine, and the supervisor that keeps it running.

up.py says what belongs together and in which order, supervisor.py keeps processes running, addresses.py finds ports
and keeps loopback off proxies. What is run is elsewhere.
"""
