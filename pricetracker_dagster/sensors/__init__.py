"""Dagster's view of the alarms, and of what is due by what is there. Thin: a sensor calls one function and reports."""

from pricetracker_dagster.sensors.first_charts import first_charts
from pricetracker_dagster.sensors.heartbeat import heartbeat
from pricetracker_dagster.sensors.missed_minutes import missed_minutes
from pricetracker_dagster.sensors.run_failure import run_failure
from pricetracker_dagster.sensors.spike_alerts import spike_alerts

__all__ = ["default_sensors", "first_charts", "heartbeat", "missed_minutes", "run_failure", "spike_alerts"]

default_sensors = [spike_alerts, missed_minutes, run_failure, heartbeat, first_charts]
