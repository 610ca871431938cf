"""Dagster's view of the alarms, and of what is due by what is there. Thin: a sensor calls one function and reports.

Sensors go on by the last good settings while those of now cannot be read, and report it when they fail themselves.
"""

import functools
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import dagster as dg
import duckdb

from pricetracker_dagster.alerts.incidents.missed import note_failed_run
from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.alerts.watch import watch_minutes, watch_prices
from pricetracker_dagster.alerts.watchdog.heartbeat import beat
from pricetracker_dagster.alerts.watchdog.sensor_evaluations import report_evaluation, report_publication
from pricetracker_dagster.assets.alerts import alerts, incidents, what_changed
from pricetracker_dagster.assets.answers import charts_24h
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.files.locks import DeadlineExceeded
from pricetracker_dagster.instance.tags import MINUTE
from pricetracker_dagster.jobs import charts, failures, minute_tick
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store import reading

Context = TypeVar("Context", bound=dg.SensorEvaluationContext | dg.RunStatusSensorContext)
R = TypeVar("R")

_ON = dg.DefaultSensorStatus.RUNNING


def _reports_failures(evaluate: Callable[[Context, Tracker], R]) -> Callable[[Context, Tracker], R | dg.SkipReason]:
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
                _log_troubles(context, outcome)
                _show_incidents(context, settings, outcome)
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


def _log_troubles(context: Context, outcome: SensorOutcome) -> None:
    for trouble in outcome.troubles:
        context.log.warning("%s", trouble)


def _show_incidents(context: Context, settings: Settings, outcome: SensorOutcome) -> None:
    """Show incidents that have changed on their asset."""
    for event in what_changed(outcome, simulated=settings.simulated):
        context.instance.report_runless_asset_event(event)


@dg.sensor(
    minimum_interval_seconds=10,
    default_status=_ON,
    asset_selection=dg.AssetSelection.assets(alerts.key),
    description="Judges what was stored or corrected since its cursor (a version of the Delta table), records alerts, "
    "then sends what is due through every channel, also what failed before.",
)
@_reports_failures
def spike_alerts(
    context: dg.SensorEvaluationContext, tracker: dg.ResourceParam[Tracker]
) -> dg.SensorResult | dg.SkipReason:
    """Look at the prices. Evaluated at least once for each change: everything it does can be done twice."""
    settings = tracker.settings()
    try:
        watched = watch_prices(settings, tracker.now(), context.cursor)
    except DeadlineExceeded:
        return dg.SkipReason("another sensor kept the lock; the next evaluation looks again")
    _log_troubles(context, watched)
    not_judged = ", ".join(f"{count} {why}" for why, count in sorted(watched.not_judged.items()))
    said = f"{watched.judged} judged{f'; not judged of the newest minute: {not_judged}' if not_judged else ''}"
    return dg.SensorResult(
        skip_reason=None if watched.alerts else said,
        cursor=watched.cursor,
        asset_events=what_changed(watched, simulated=settings.simulated),
    )


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=_ON,
    asset_selection=dg.AssetSelection.assets(incidents.key),
    description="Compares the minutes that should be stored with those that are, records incidents, then sends what is "
    "due: when one opens, while it lasts, and when its minutes are there after all.",
)
@_reports_failures
def missed_minutes(
    context: dg.SensorEvaluationContext, tracker: dg.ResourceParam[Tracker]
) -> dg.SensorResult | dg.SkipReason:
    """Look at the minutes, also where no tick ever ran. It needs no cursor: what is missing and recorded is enough."""
    settings = tracker.settings()
    try:
        watched = watch_minutes(settings, tracker.now())
    except DeadlineExceeded:
        return dg.SkipReason("another sensor kept the lock; the next evaluation looks again")
    _log_troubles(context, watched)
    _show_incidents(context, settings, report_publication(settings, tracker.now(), missed_minutes.name))
    return dg.SensorResult(
        skip_reason=None if watched.incidents else "nothing new is missing",
        asset_events=what_changed(watched, simulated=settings.simulated),
    )


@dg.run_failure_sensor(
    monitored_jobs=[minute_tick],
    minimum_interval_seconds=10,
    default_status=_ON,
    description="Raises a missed-minute alert for a tick that failed: which minute, which metrics, why. Once a "
    "failure, not once a retry; further failures of one cause are the same incident.",
)
@_reports_failures
def run_failure(context: dg.RunFailureSensorContext, tracker: dg.ResourceParam[Tracker]) -> dg.SkipReason | None:
    """Record the failure as an incident, with its cause in plain words, and send what is due."""
    run = context.dagster_run
    if run.tags.get("dagster/will_retry") == "true" or MINUTE not in run.tags:
        return dg.SkipReason(f"run {run.run_id} is tried again or is no tick")
    settings = tracker.settings()
    minute = datetime.fromisoformat(run.tags[MINUTE])
    reasons = failures(context.get_step_failure_events()) or [context.failure_event.message or "its run failed"]
    metrics = note_failed_run(settings, minute, f"the tick ran and failed: {reasons[0]}")
    published = report_publication(settings, tracker.now(), run_failure.name, at_once=True)
    _show_incidents(context, settings, published)
    if not metrics:
        if published.incidents:
            return None
        return dg.SkipReason(f"{minute:%Y-%m-%d %H:%M} is stored all the same; the run failed: {reasons[0]}")
    try:
        watched = watch_minutes(settings, tracker.now())
    except DeadlineExceeded:
        return dg.SkipReason("another sensor kept the lock; missed_minutes sends it within a minute")
    _show_incidents(context, settings, watched)
    return None


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[minute_tick],
    minimum_interval_seconds=10,
    default_status=_ON,
    description="Requests alerts.heartbeat_url after each good tick. Silence there is how a dead daemon is noticed.",
)
@_reports_failures
def heartbeat(context: dg.RunStatusSensorContext, tracker: dg.ResourceParam[Tracker]) -> dg.SkipReason | None:
    """Request the URL, if there is one."""
    del context
    return None if beat(tracker.settings()) else dg.SkipReason("alerts.heartbeat_url is not set")


@dg.sensor(
    job=charts,
    minimum_interval_seconds=30,
    default_status=_ON,
    description="Requests charts_24h once, where it was never materialized and there is something to draw. From then "
    "on it is the business of hourly_charts.",
)
@_reports_failures
def first_charts(
    context: dg.SensorEvaluationContext, tracker: dg.ResourceParam[Tracker]
) -> dg.RunRequest | dg.SkipReason:
    """Request the pictures if there are none; not again within the hour, should that run fail."""
    if context.instance.get_latest_materialization_event(charts_24h.key):
        return dg.SkipReason("charts_24h is materialized hourly")
    published = tracker.store().folder.published
    try:
        something = published.exists() and reading.rank(published).fetchall()
    except (duckdb.Error, PricetrackerError) as error:
        return dg.SkipReason(f"the published file cannot be read: {error}")
    if not something:
        return dg.SkipReason("nothing is published yet")
    return dg.RunRequest(run_key=f"{tracker.now():%Y-%m-%dT%H}")


default_sensors = [spike_alerts, missed_minutes, run_failure, heartbeat, first_charts]
