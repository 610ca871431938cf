"""The watchdog: what stands still or fails in pricetracker itself, recorded and reported as incidents.

It looks at the daemon, schedule and sensors, the stored prices and the published file, the tables, the disk, the clock
and the settings. Missed minutes are in ``incidents/``; restarting what stands still is in ``local/``.
"""
