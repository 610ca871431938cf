"""What all sensors have in common: they go on while settings cannot be read, and report when they fail themselves."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import dagster as dg

from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.alerts.watchdog.sensor_evaluations import report_evaluation
from pricetracker_dagster.assets.alerts import what_changed
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

Context = dg.SensorEvaluationContext | dg.RunStatusSensorContext


def reports_failures(evaluate: Callable[P, R]) -> Callable[P, R]:
    """Make the function of a sensor one that reports through the channels what keeps it from its work.

    It is given the settings in force, or the last that could be read; where none ever could be, it fails with what is
    wrong with those of now. What it raises is recorded as an incident and raised again, so that Dagster shows it.
    """

    @functools.wraps(evaluate)
    def evaluated(*args: P.args, **kwargs: P.kwargs) -> R:
        given = [*args, *kwargs.values()]
        tracker = next(each for each in given if isinstance(each, Tracker))
        context = next(each for each in given if isinstance(each, Context))
        settings, unreadable = tracker.settings_for_alarms()
        if unreadable:  # before anything else is reported: it is why
            context.log.warning("the settings cannot be read: %s", unreadable)
            _report(context, settings, tracker, None, unreadable, None)
        bound: Any = tracker.of(settings)
        of_now: Any = [bound if each is tracker else each for each in args]
        named: Any = {name: bound if each is tracker else each for name, each in kwargs.items()}
        error: Exception | None = None
        try:
            return cast(R, _with_reason(evaluate(*of_now, **named), unreadable))
        except Exception as raised:
            error = raised
            raise
        finally:
            _report(context, settings, tracker, evaluate.__name__, unreadable, error)

    return evaluated


def report_incidents(context: Context, settings: Settings, outcome: SensorOutcome) -> None:
    """Show incidents that have changed on their asset."""
    for event in what_changed(outcome, simulated=settings.simulated):
        context.instance.report_runless_asset_event(event)


def _report(
    context: Context,
    settings: Settings,
    tracker: Tracker,
    sensor: str | None,
    unreadable: str | None,
    error: Exception | None,
) -> None:
    """Tell what the evaluation has shown; a mistake in that changes nothing of what it has done."""
    try:
        outcome = report_evaluation(settings, tracker.now(), sensor, unreadable, error)
        for trouble in outcome.troubles:
            context.log.warning("%s", trouble)
        report_incidents(context, settings, outcome)
    except Exception:
        context.log.exception("what this evaluation has shown could not be reported")


def _with_reason(result: object, unreadable: str | None) -> object:
    """Return what a sensor returns; where it is nothing to see, with what is wrong with the settings."""
    if not unreadable:
        return result
    unread = f"by the last settings that could be read, since those of now cannot be: {unreadable}"
    if isinstance(result, dg.SkipReason):
        return dg.SkipReason(f"{result.skip_message} ({unread})")
    if isinstance(result, dg.SensorResult) and result.skip_reason is not None:
        reason = result.skip_reason
        text = reason.skip_message if isinstance(reason, dg.SkipReason) else reason
        return result._replace(skip_reason=dg.SkipReason(f"{text} ({unread})"))
    return result
