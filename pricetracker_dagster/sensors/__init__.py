"""Dagster's view of the alarms. Thin: a sensor calls one function and reports what it said."""

import dagster as dg

default_sensors: list[dg.SensorDefinition] = []
