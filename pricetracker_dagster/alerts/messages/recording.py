"""Alerts and incidents are recorded: first the messages about them, then they themselves.

In this order a crash between any two steps loses nothing and sends nothing twice. Which messages there are is in
transitions.py. Called by whoever holds the lock of those who record and send.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pricetracker_dagster.alerts.incidents.model import OPEN
from pricetracker_dagster.alerts.lifecycle.alert import messages_since
from pricetracker_dagster.alerts.messages import earlier_version
from pricetracker_dagster.alerts.messages.events import ALERT, SUMMARY, is_on
from pricetracker_dagster.alerts.messages.routing import Subject, urls
from pricetracker_dagster.alerts.messages.silence_summaries import kept_back, summaries
from pricetracker_dagster.alerts.messages.transitions import Context, owed
from pricetracker_dagster.alerts.messages.wording import is_of_whole_exchange
from pricetracker_dagster.alerts.operators.state import OperatorState
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.records import Records, Row


def record(
    settings: Settings,
    records: Records,
    subject: Subject,
    recorded: Iterable[Row],
    changed: Iterable[Row],
    now: datetime,
    operators: OperatorState,
) -> list[Row]:
    """Record alerts or incidents that have ``changed``, and the messages about them and about those that last.

    ``recorded`` holds the rows as they were recorded, of all that changed and all that are open; ``now`` is UTC.

    Returns:
        The rows that were recorded, new or changed.

    Raises:
        StoreError: a table is damaged; nothing was recorded, or messages alone, which then do not count.
    """
    before = {row["id"]: row for row in recorded}
    after = {row["id"]: row for row in changed}
    facts = [(before.get(own), row) for own, row in after.items()]
    limit = now - settings.alerts.max_age_minutes * MINUTE
    same = [row for own, row in before.items() if own not in after]
    facts += [(row, dict(row)) for row in same if is_on(row) or _is_of_earlier_version(row, limit)]
    if not facts:
        return []
    table = records.alerts if subject == ALERT else records.incidents
    written = _written(records, [row for _, row in facts])
    earlier, new = _earlier_messages(settings, records, subject, facts, written, now)
    context = Context(settings, now, earlier, operators, _outages(records) if subject == ALERT else {})
    messages, rows = owed(subject, facts, context)
    if new or messages:
        stale = [message["recorded_at"] for own in written.values() for message in own]
        records.messages.upsert([*new, *messages], oldest=min(stale, default=None))
    # an alert may begin later than it did: its row is replaced all the same
    table.upsert(rows, oldest=min((before[row["id"]][table.time] for row in rows if row["id"] in before), default=None))
    return rows


def record_ends_of_silences(settings: Settings, records: Records, now: datetime, operators: OperatorState) -> None:
    """Record the message at the end of a silence: what of it lasts, and what was over meanwhile.

    Called after what has changed of alerts is recorded: what ends in the same look is over meanwhile.
    """
    ended = operators.ended_since(now - DAY, now)
    if not ended:
        return
    oldest = min(silence["made_at"] for silence in ended)
    messages = records.messages.rows(oldest, "held_by IS NOT NULL OR subject = $summary", summary=SUMMARY)
    kept_by = kept_back(ended, messages)
    if kept_by:
        ids = sorted({message["fact"] for _, kept in kept_by for message in kept})
        rows = [*records.alerts.rows_of("id", ids), *records.incidents.rows_of("id", ids)]
        facts = {row["id"]: row for row in rows}
        earlier = _written(records, rows) if rows else {}
        records.messages.upsert(summaries(kept_by, facts, Context(settings, now, earlier, operators)))


def _is_of_earlier_version(row: Row, limit: datetime) -> bool:
    """Say whether the version before may still owe the end of a fact to somebody."""
    ended = row["resolved_at"]
    return row.get("transitions") is None and ended is not None and ended >= limit


def _written(records: Records, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the recorded messages, by fact, in their order: also what a crash has left."""
    since = min(messages_since(row) if "minute" in row else min(row["opened_at"], row["first"]) for row in rows)
    found: dict[str, list[Row]] = {row["id"]: [] for row in rows}
    messages = records.messages.rows_of("fact", sorted(found), since)
    for message in sorted(messages, key=lambda message: message["number"]):
        found[message["fact"]].append(message)
    return found


def _earlier_messages(
    settings: Settings,
    records: Records,
    subject: Subject,
    facts: Sequence[tuple[Row | None, Row]],
    written: Mapping[str, Sequence[Row]],
    now: datetime,
) -> tuple[dict[str, list[Row]], list[Row]]:
    """Return the messages that count, by fact; and those that are new, of facts of the version before."""
    count = {row["id"]: row.get("transitions") or 0 for _, row in facts}
    earlier = {own: [message for message in written[own] if message["number"] <= count[own]] for own in count}
    new: list[Row] = []
    old = [(before, row) for before, row in facts if before is not None and before.get("transitions") is None]
    sent = records.deliveries.rows_of("id", [row["id"] for _, row in old]) if old else []
    max_age = settings.alerts.max_age_minutes * MINUTE
    for before, row in old:
        attempts = [attempt for attempt in sent if attempt["id"] == row["id"]]
        own = earlier_version.messages_of(before, subject, attempts, list(urls(settings)), now, max_age)
        earlier[row["id"]], row["transitions"] = own, len(own)
        new += own
    return earlier, new


def _outages(records: Records) -> dict[str, str]:
    """Return the open incident of each exchange that is out as a whole."""
    rows = records.incidents.rows(None, "state = $open AND exchange IS NOT NULL", open=OPEN)
    return {row["exchange"]: row["id"] for row in rows if is_of_whole_exchange(row)}
