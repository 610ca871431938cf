"""Dagster's own keeping: its home and its settings, the tags of runs and how long they stay, the watchdog of a tick.

Here belongs what is about Dagster itself and neither about prices nor about our definitions, which import this.
"""
