"""What the evaluation of a sensor shows of the alarms themselves, without Dagster: did it fail, can settings be read.

The sensors see what the watchdog sees as well, and report it as the same incident; the first to see that it is over
ends it. So nothing here relies on a watchdog that runs, and nothing is sent twice where one does.
"""

from collections.abc import Mapping
from datetime import datetime

from pricetracker_dagster.alerts.incidents.standstill import (
    ALIVE,
    PUBLICATION,
    SETTINGS,
    STILL,
    STORAGE,
    UNKNOWN,
    Verdict,
    over_by_now,
    sensor_kind,
)
from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.alerts.watch import publish_what_changed
from pricetracker_dagster.alerts.watchdog import unrecorded
from pricetracker_dagster.alerts.watchdog.judge import publication_reason, settings_verdict, storage_verdict
from pricetracker_dagster.alerts.watchdog.look import damaged_tables, newest_minute, publish_if_behind, published_until
from pricetracker_dagster.alerts.watchdog.reporting import open_incidents, report
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.errors import PricetrackerError, first_line, plain
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.store import Store, open_store

_MOST = 500
"""Most characters of an error in a reason."""


def report_evaluation(
    settings: Settings, now: datetime, sensor: str | None, unreadable: str | None, error: Exception | None
) -> SensorOutcome:
    """Report what an evaluation of a sensor has shown; where that is nothing new, do nothing.

    ``sensor`` is None where it has yet to be evaluated; ``unreadable`` says why the settings cannot be read, where
    these are the last that could be; ``error`` is what the sensor has raised.
    """
    opened: dict[str, Row] = {}
    try:
        opened = open_incidents(open_store(settings))
    except StoreError as damaged:
        error = error or damaged
    verdicts = _of_the_evaluation(open_store(settings), sensor, unreadable, error)
    others = _of_what_is_open(settings, now, opened, tried=verdicts)
    news = {
        kind: verdict
        for kind, verdict in {**others, **verdicts}.items()
        if verdict.state == STILL or (verdict.state == ALIVE and kind in opened)
    }
    if not news and not unrecorded.is_notified(settings):
        return SensorOutcome()
    damaged_now = damaged_tables(open_store(settings)) if unrecorded.is_notified(settings) else None
    return _report(settings, now, news, sensor or SETTINGS, damaged_now)


def report_publication(settings: Settings, now: datetime, sensor: str, *, at_once: bool = False) -> SensorOutcome:
    """Publish what is stored where that is behind, and report it where that fails.

    ``at_once``: a tick has failed, it is behind with the first minute, and not after ``watch.standstill_minutes``.
    """
    newest = newest_minute(settings, now)
    is_open = PUBLICATION in open_incidents(open_store(settings))
    as_of, why = publish_if_behind(settings, newest, now, at_once=at_once or is_open)
    if newest is not None and (as_of is None or as_of < newest) and why:
        behind = min(now, newest if as_of is None else as_of + 2 * MINUTE)
        verdict = Verdict(STILL, publication_reason(as_of, why), behind)
    elif is_open and as_of is not None and newest is not None and as_of >= newest:
        verdict = Verdict(ALIVE)
    else:
        return SensorOutcome()
    return _report(settings, now, {PUBLICATION: verdict}, sensor, None)


def _of_the_evaluation(
    store: Store, sensor: str | None, unreadable: str | None, error: Exception | None
) -> dict[str, Verdict]:
    """Judge what the evaluation itself has shown."""
    verdicts = {SETTINGS: settings_verdict(unreadable or "")}
    if isinstance(error, StoreError) and error.damage is not None:
        # no sensor's fault: what is damaged is one incident, whichever sensor meets it
        verdicts[STORAGE] = storage_verdict(damaged_tables(store) or None)
    elif sensor is not None and error is not None:
        kind = "" if isinstance(error, PricetrackerError) else f"{type(error).__name__}: "
        said = plain(f"{kind}{first_line(error)}", _MOST)
        verdicts[sensor_kind(sensor)] = Verdict(STILL, f"the sensor {sensor} cannot do its work: {said}")
    elif sensor is not None:
        verdicts[sensor_kind(sensor)] = Verdict(ALIVE)
    return verdicts


def _of_what_is_open(
    settings: Settings, now: datetime, opened: Mapping[str, Row], tried: Mapping[str, Verdict]
) -> dict[str, Verdict]:
    """Judge whether what is open is over."""
    verdicts = over_by_now(opened.values(), now)
    if STORAGE in opened and STORAGE not in tried:
        found = damaged_tables(open_store(settings))
        verdicts[STORAGE] = Verdict(UNKNOWN) if found else Verdict(ALIVE)
    if PUBLICATION in opened:
        try:
            newest, as_of = newest_minute(settings, now), published_until(open_store(settings))
        except StoreError:
            newest = as_of = None
        is_over = newest is not None and as_of is not None and as_of >= newest
        verdicts[PUBLICATION] = Verdict(ALIVE if is_over else UNKNOWN)
    return verdicts


def _report(
    settings: Settings, now: datetime, verdicts: Mapping[str, Verdict], sensor: str, damaged: list[str] | None
) -> SensorOutcome:
    outcome = report(settings, now, verdicts, sensor, damaged)
    try:
        publish_what_changed(settings, now, outcome)
    except Exception as error:  # the next tick publishes it
        outcome.troubles.append(f"what was recorded is not published yet: {first_line(error)}")
    return outcome
