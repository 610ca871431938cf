"""What stands still is recorded and sent: by the watchdog and by the sensors, as the same incident.

Here belongs the one way from verdicts to messages, and what is done where nothing can be recorded. How a verdict is
reached is in judge.py and sensor_evaluations.py.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pricetracker_dagster.alerts.delivery import notify
from pricetracker_dagster.alerts.future_records import correct_future_records
from pricetracker_dagster.alerts.incidents.standstill import CAUSES, STILL, Verdict, kind_of, review
from pricetracker_dagster.alerts.messages.events import INCIDENT
from pricetracker_dagster.alerts.messages.recording import record
from pricetracker_dagster.alerts.operators.state import OperatorState
from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.alerts.watch import alerts_lock
from pricetracker_dagster.alerts.watchdog import unrecorded
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.errors import first_line
from pricetracker_dagster.files.locks import DeadlineExceeded
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.store import Store, open_store

_NEEDED = ("incidents", "messages", "deliveries")
"""The tables without which nothing can be sent as usual."""


def report(
    settings: Settings, now: datetime, verdicts: Mapping[str, Verdict], by: str, damaged: Sequence[str] | None
) -> SensorOutcome:
    """Record what verdicts change, and send what is due. Whatever fails of that is a trouble and is raised nowhere.

    ``verdicts`` are by kind: of kinds that are not named nothing changes. ``by`` is who has come to them; ``damaged``
    says which tables are damaged, None: that is not known.
    """
    outcome = SensorOutcome()
    still = [verdict.reason for verdict in verdicts.values() if verdict.state == STILL]
    try:
        with alerts_lock(settings):
            _record_and_send(settings, now, verdicts, outcome)

            def is_over(told_by: str) -> bool:
                if not told_by:  # tables were damaged
                    return damaged is not None and not damaged
                return bool(outcome.incidents) or (told_by == by and not still)

            outcome.troubles += unrecorded.notify_end(settings, now, is_over)
    except Exception as error:  # a damaged table of alarms, a full disk: nothing else would report it
        why = str(error) if isinstance(error, StoreError) else first_line(error)
        outcome.troubles.append(f"it could not be recorded or sent: {why}")
        if isinstance(error, DeadlineExceeded):  # another look is at work: the next one reports it
            return outcome
        if isinstance(error, StoreError) and error.damage is not None:
            if error.table in _NEEDED:
                outcome.troubles += unrecorded.notify(settings, now, why)
        elif still:
            reason = f"{'; '.join(still)}; it could not be recorded: {first_line(error)}"
            outcome.troubles += unrecorded.notify(settings, now, reason, by)
    return outcome


def _record_and_send(
    settings: Settings, now: datetime, verdicts: Mapping[str, Verdict], outcome: SensorOutcome
) -> None:
    """Record what the verdicts change and send what is due."""
    records = open_store(settings).records
    if records.incidents.open() is None and not any(verdict.state == STILL for verdict in verdicts.values()):
        return
    with suppress(Exception):  # a table that is damaged keeps nothing from being sent
        correct_future_records(records, now)
    rows = [row for row in records.incidents.rows() if row["cause"] in CAUSES]
    news = review(verdicts, rows, now)
    outcome.incidents = record(settings, records, INCIDENT, rows, news, now, OperatorState.read(records, now))
    told_lately = now - settings.alerts.max_age_minutes * MINUTE
    if news or any(row["state"] == "open" or row["resolved_at"] >= told_lately for row in rows):
        outcome.attempts = notify.deliver(settings, records, now)


def open_incidents(store: Store) -> dict[str, Row]:
    """Return the open incidents of what stands still, by kind. Read anew only when the table has changed.

    Raises:
        StoreError: the table is damaged.
    """
    folder, incidents = store.folder.path, store.records.incidents
    table = incidents.open()
    version = -1 if table is None else table.version()
    known = _known.get(folder)
    if known is None or known[0] != version:
        rows = [] if table is None else incidents.rows()
        known = version, {kind_of(row): row for row in rows if row["cause"] in CAUSES and row["state"] == "open"}
        _known[folder] = known
    return known[1]


_known: dict[Path, tuple[int, dict[str, Row]]] = {}
"""By data folder: the version of its table incidents that was read last, and what is open in it."""
