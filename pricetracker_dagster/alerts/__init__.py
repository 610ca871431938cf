"""What deserves a message, and how it reaches people. Nothing here knows Dagster.

Time comes in as an argument: ``now`` is the current time, UTC. ``settings`` say what is tracked, by which rules, and
who is sent what.

- ``rules.py`` judges minutes; ``lifecycle/`` makes alerts of those that are above a rule.
- ``incidents/`` makes outages of minutes that are missed.
- ``watchdog/`` makes incidents of what stands still or fails in pricetracker itself.
- ``operators/`` holds what people have silenced and acknowledged.
- ``messages/`` decides which messages all of these make, for whom and in which words, and records them.
- ``delivery/`` sends what is recorded through the channels, and accounts for it.
- ``watch.py`` runs these steps in order for one evaluation of a sensor; ``status.py`` judges how everything is now.
- ``future_records.py`` corrects records that a clock which was ahead has written.
"""
