"""What people write down: a silence is made or ended, an alert or an incident acknowledged. Nothing is ever removed.

What it means afterwards is in state.py.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from pricetracker_dagster.alerts.incidents.model import OPEN
from pricetracker_dagster.alerts.lifecycle.alert import FIRING, PENDING
from pricetracker_dagster.alerts.operators.state import OperatorState, end_of
from pricetracker_dagster.candles.metric import matches
from pricetracker_dagster.errors import PricetrackerError, UnknownName, did_you_mean
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded, locked
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.records import Records, Row
from pricetracker_dagster.store.store import open_store

PATIENCE = 10.0
"""Seconds to wait for another process that writes something down, which takes a moment."""

_NAMED = 10
"""Most ids that an error names."""


class OperatorError(PricetrackerError):
    """A silence or an acknowledgement that was asked for cannot be written down."""


def silence(
    settings: Settings, metrics: str, until: datetime, now: datetime, *, rule: str | None, reason: str | None, who: str
) -> Row:
    """Write down that messages are kept back ``until`` a moment, UTC, and return the row of the table silences.

    They are those about a metric or a pattern (``metrics``); with a ``rule`` its alerts alone, else every alert, and
    incidents.

    Raises:
        UnknownName: there is no such rule.
        OperatorError: another process holds the lock.
    """
    rules = [each.name for each in settings.rules]
    if rule is not None and rule not in rules:
        raise UnknownName(f'no rule "{rule}"{did_you_mean(rule, rules)}')
    with _records(settings) as records:
        numbers = [int(row["id"][1:]) for row in records.silences.rows() if row["id"][1:].isdecimal()]
        row: Row = {
            "id": f"s{max(numbers, default=0) + 1}",
            "metrics": metrics,
            "rule": rule,
            "reason": reason,
            "who": who,
            "made_at": now,
            "until": until,
            "ended_at": None,
            "ended_by": None,
        }
        records.silences.upsert([row])
    return row


def end_silence(settings: Settings, own: str, now: datetime, *, who: str) -> Row:
    """Write down that a silence is over, and return its row as it is now.

    Raises:
        UnknownName: there is no such silence.
        OperatorError: it has ended already, or another process holds the lock.
    """
    with _records(settings) as records:
        rows = records.silences.rows()
        found = next((row for row in rows if row["id"] == own), None)
        if found is None:
            in_force = sorted((row for row in rows if end_of(row) > now), key=lambda row: (len(row["id"]), row["id"]))
            named = [f"{row['id']} ({row['metrics']})" for row in in_force]
            raise UnknownName(f'no silence "{own}"{_there_is(named, "no silence is in force")}')
        if end_of(found) <= now:
            by = "" if found["ended_by"] is None else f", by {found['ended_by']}"
            raise OperatorError(f"silence {own} ended at {end_of(found):%Y-%m-%d %H:%M:%S} UTC{by}")
        row = {**found, "ended_at": now, "ended_by": who}
        records.silences.upsert([row])
    return row


def acknowledge(settings: Settings, own: str, now: datetime, *, who: str, note: str | None) -> tuple[Row, Row]:
    """Write down that somebody looks after an alert that fires or an incident that is open.

    It is named by its id, or a beginning of it that no other open one has (``own``).

    Returns:
        The row of the table acknowledgements, and that of the alert or incident.

    Raises:
        UnknownName: nothing open is called so, or several begin so.
        OperatorError: it is over, has not fired, or is acknowledged already; another process holds the lock.
    """
    with _records(settings) as records:
        subject, fact = _open_one(records, own)
        if already := OperatorState.read(records, now).acknowledgement_of(fact):
            by = f"by {already['who']} at {already['made_at']:%Y-%m-%d %H:%M} UTC"
            raise OperatorError(f"{fact['id']} is acknowledged already: {by}")
        row: Row = {"fact": fact["id"], "subject": subject, "who": who, "made_at": now, "note": note}
        records.acknowledgements.upsert([row])
    return row, fact


def _open_one(records: Records, own: str) -> tuple[str, Row]:
    """Return what an id or its beginning stands for: ``alert`` or ``incident``, and the row."""
    every = [("alert", row) for row in records.alerts.rows()] + [("incident", row) for row in records.incidents.rows()]
    is_open = {row["id"]: (subject, row) for subject, row in every if row["state"] in (FIRING, OPEN)}
    there_is = _there_is([*is_open], "nothing is open")
    exact = next((row for _, row in every if row["id"] == own), None)
    if exact is not None and own not in is_open:
        if exact["state"] == PENDING:
            raise OperatorError(f"{own} is pending: it has not fired, and no message was sent{there_is}")
        raise OperatorError(f"{own} is over since {exact['resolved_at']:%Y-%m-%d %H:%M:%S} UTC{there_is}")
    found = [own] if own in is_open else [each for each in is_open if own and each.startswith(own)]
    if not found:
        raise UnknownName(f'no alert that fires and no open incident is called "{own}"{there_is}')
    if len(found) > 1:
        raise UnknownName(f'several begin with "{own}": write more of it{_there_is(found, "")}')
    return is_open[found[0]]


def _there_is(ids: Sequence[str], otherwise: str) -> str:
    """Return how a message goes on with what is open."""
    if not ids:
        return f"; {otherwise}"
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f"; open: {', '.join(ids[:_NAMED])}{more}"


def not_tracked(pattern: str, metrics: Collection[str]) -> str | None:
    """Say that a pattern matches no metric that is tracked, and which was meant; None where it does match."""
    if any(matches(metric, pattern) for metric in metrics):
        return None
    exchanges = sorted({metric.partition(":")[0] for metric in metrics})
    elsewhere = [f"{exchange}:{pattern.partition(':')[2] or pattern}" for exchange in exchanges]
    meant = [each for each in elsewhere if any(matches(metric, each) for metric in metrics)]
    hint = f"; did you mean {meant[0]}?" if meant else did_you_mean(pattern, sorted(metrics))
    return f"{pattern} matches no metric that is tracked{hint}"


@contextmanager
def _records(settings: Settings) -> Iterator[Records]:
    """Hold the lock of those who write here. The sensors have another: a channel that hangs keeps no person waiting."""
    records = open_store(settings).records
    lock = settings.state / StateFile.DESK_LOCK
    try:
        with locked(lock, Deadline.after(PATIENCE)):
            yield records
    except DeadlineExceeded:
        held = f"{lock} was held by another process for {PATIENCE:g} s"
        raise OperatorError(f"{held}: nothing was written; try again") from None
