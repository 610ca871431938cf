"""What deserves a message, and how it reaches somebody.

rules.py judges minutes, episodes.py makes alerts of the minutes that are above, incidents.py makes incidents of the
minutes that are missing: pure. watch.py feeds them from the store and records what they say before anything is sent;
notify.py says it and keeps account of each attempt. Nothing here knows Dagster; time comes in as an argument.
"""
