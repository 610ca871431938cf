"""Dagster's view of the alarms, and of what is due by what is there. Thin: a sensor calls one function and reports."""

from pricetracker_dagster.sensors.alarms import missed_minutes, run_failure, spike_alerts
from pricetracker_dagster.sensors.first_charts import first_charts
from pricetracker_dagster.sensors.heartbeat import heartbeat

default_sensors = [spike_alerts, missed_minutes, run_failure, heartbeat, first_charts]
