"""What stands still is recorded and told: by the watch and by the sensors, in the same words and as the same incident.

Here belongs the one way from verdicts to messages, and what is done where nothing can be recorded. How a verdict is
reached is the business of standstill.py and of whoever sees something.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pricetracker_dagster.alerts.delivery import notify
from pricetracker_dagster.alerts.future_records import put_right
from pricetracker_dagster.alerts.incidents.standstill import CAUSES, STILL, Verdict, review
from pricetracker_dagster.alerts.messages.recording import record
from pricetracker_dagster.alerts.messages.transitions import INCIDENT
from pricetracker_dagster.alerts.operators.state import Desk
from pricetracker_dagster.alerts.watch import PUBLISH_PATIENCE, one_at_a_time
from pricetracker_dagster.alerts.watchdog import unrecorded
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.errors import first_line
from pricetracker_dagster.files.locks import DeadlineExceeded
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.publish import publish
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.store import Store, open_store

_TELLING = ("incidents", "messages", "deliveries")
"""The tables without which nothing can be told as usual."""


@dataclass
class Told:
    """What was told of what stands still.

    Attributes:
        changed: rows of the table incidents that are new or changed.
        attempts: rows of the table deliveries that were added.
        troubles: what could not be recorded, sent or published, in plain words.
    """

    changed: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def tell(
    settings: Settings, now: datetime, verdicts: Mapping[str, Verdict], by: str, damaged: Sequence[str] | None = None
) -> Told:
    """Record what verdicts change, and send what is due. Whatever fails of that is a trouble and is raised nowhere.

    Args:
        settings: whom to tell.
        now: the current time, UTC.
        verdicts: by kind; of kinds that are not named nothing changes.
        by: who has come to them.
        damaged: which tables are damaged; None: nobody has looked.
    """
    told = Told()
    try:
        with one_at_a_time(settings):
            record_and_send(settings, now, verdicts, told)
            still = any(verdict.state == STILL for verdict in verdicts.values())

            def is_over(told_by: str) -> bool:
                if not told_by:  # tables were damaged
                    return damaged is not None and not damaged
                return bool(told.changed) or (told_by == by and not still)

            told.troubles += unrecorded.tell_end(settings, now, is_over)
    except StoreError as error:  # the tables of alarms are damaged themselves: nobody else would tell it
        told.troubles.append(f"it could not be recorded or sent: {error}")
        if error.damage is not None and error.table in _TELLING:
            told.troubles += unrecorded.tell(settings, now, str(error))
        elif error.damage is None:
            _tell_unrecorded(settings, now, verdicts, by, error, told)
    except DeadlineExceeded as error:  # another look is at work: the next one tells it
        told.troubles.append(f"it could not be recorded or sent: {first_line(error)}")
    except Exception as error:  # a full disk, a folder that cannot be written: still to be said
        told.troubles.append(f"it could not be recorded or sent: {first_line(error)}")
        _tell_unrecorded(settings, now, verdicts, by, error, told)
    return told


def record_and_send(settings: Settings, now: datetime, verdicts: Mapping[str, Verdict], told: Told) -> None:
    """Record what the verdicts change and send what is due. The caller holds the lock; ``told`` is added to."""
    records = open_store(settings).records
    if records.incidents.open() is None and not any(verdict.state == STILL for verdict in verdicts.values()):
        return
    with suppress(Exception):  # a table that is damaged keeps nothing from being told
        put_right(records, now)
    rows = [row for row in records.incidents.rows() if row["cause"] in CAUSES]
    news = review(verdicts, rows, now)
    told.changed += record(settings, records, INCIDENT, rows, news, now, Desk.of(records, now))
    told_lately = now - settings.alerts.max_age_minutes * MINUTE
    if news or any(row["state"] == "open" or row["resolved_at"] >= told_lately for row in rows):
        told.attempts += notify.deliver(settings, records, now)


def publish_what_changed(settings: Settings, now: datetime, told: Told) -> None:
    """Let people read what was recorded.

    Raises:
        Exception: it cannot be published.
    """
    if told.changed or told.attempts:
        tracked = [str(metric) for metric in settings.tracked]
        publish(open_store(settings), tracked, now=now, patience=PUBLISH_PATIENCE)


def open_incidents(store: Store) -> list[Row]:
    """Return the open incidents of what stands still. Read anew only when the table has changed.

    Raises:
        StoreError: the table is damaged.
    """
    folder, incidents = store.folder.path, store.records.incidents
    table = incidents.open()
    version = -1 if table is None else table.version()
    known = _known.get(folder)
    if known is None or known[0] != version:
        rows = [] if table is None else incidents.rows()
        known = version, [row for row in rows if row["cause"] in CAUSES and row["state"] == "open"]
        _known[folder] = known
    return known[1]


_known: dict[Path, tuple[int, list[Row]]] = {}
"""By data folder: the version of its table incidents that was read last, and what is open in it."""


def _tell_unrecorded(
    settings: Settings, now: datetime, verdicts: Mapping[str, Verdict], by: str, error: Exception, told: Told
) -> None:
    """Tell what stands still although it cannot be recorded."""
    still = [verdict.reason for verdict in verdicts.values() if verdict.state == STILL]
    if still:
        reason = f"{'; '.join(still)}; it could not be recorded: {first_line(error)}"
        told.troubles += unrecorded.tell(settings, now, reason, by)
