"""Sensors go on by the last good settings while those of now cannot be read, and report when they fail themselves."""

import functools
from collections.abc import Callable
from typing import TypeVar

import dagster as dg

from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.alerts.watchdog.sensor_evaluations import report_evaluation
from pricetracker_dagster.assets.alerts import what_changed
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.settings import Settings

Context = TypeVar("Context", bound=dg.SensorEvaluationContext | dg.RunStatusSensorContext)
R = TypeVar("R")


def reports_failures(evaluate: Callable[[Context, Tracker], R]) -> Callable[[Context, Tracker], R | dg.SkipReason]:
    """Make the function of a sensor one that reports through the channels what keeps it from its work.

    It is given the settings in force, or the last that could be read; where none ever could be, it fails with what is
    wrong with those of now. What it raises is recorded as an incident and raised again, so that Dagster shows it.
    """

    @functools.wraps(evaluate)
    def evaluated(context: Context, tracker: Tracker) -> R | dg.SkipReason:
        settings, unreadable = tracker.settings_for_alarms()

        def report(sensor: str | None, error: Exception | None) -> None:
            try:
                outcome = report_evaluation(settings, tracker.now(), sensor, unreadable, error)
                log_troubles(context, outcome)
                show_incidents(context, settings, outcome)
            except Exception:  # it changes nothing of what the evaluation has done
                context.log.exception("what this evaluation has shown could not be reported")

        if unreadable:  # before anything else is reported: it is why
            context.log.warning("the settings cannot be read: %s", unreadable)
            report(None, None)
        failed: Exception | None = None
        try:
            result = evaluate(context, tracker.of(settings))
        except Exception as error:
            failed = error
            raise
        finally:
            report(evaluate.__name__, failed)
        return _with_reason(result, unreadable) if unreadable else result

    return evaluated


def _with_reason(result: R, unreadable: str) -> R | dg.SkipReason:
    """Return what a sensor returns; where it is nothing to see, with what is wrong with the settings."""
    skipped = result.skip_reason if isinstance(result, dg.SensorResult) else result
    if isinstance(skipped, dg.SkipReason):
        unread = f"by the last settings that could be read, since those of now cannot be: {unreadable}"
        reason = dg.SkipReason(f"{skipped.skip_message} ({unread})")
        return result._replace(skip_reason=reason) if isinstance(result, dg.SensorResult) else reason
    return result


def log_troubles(context: Context, outcome: SensorOutcome) -> None:
    """Say in the log what went wrong beside the rest."""
    for trouble in outcome.troubles:
        context.log.warning("%s", trouble)


def show_incidents(context: Context, settings: Settings, outcome: SensorOutcome) -> None:
    """Show incidents that have changed on their asset."""
    for event in what_changed(outcome, settings):
        context.instance.report_runless_asset_event(event)
