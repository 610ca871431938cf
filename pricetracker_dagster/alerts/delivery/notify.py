"""What each channel is owed and has not taken is sent, and each attempt is noted.

Each channel is on its own: it has its own account of what it took, its own attempts with growing pauses, and nobody
waits for it. A message is sent before that is noted, so a crash between the two sends it again: at least once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pricetracker_dagster import sql
from pricetracker_dagster.alerts.delivery.channels import Message, Outcome, limit_of, send
from pricetracker_dagster.alerts.delivery.lines import Notice, compose, lines_of
from pricetracker_dagster.alerts.delivery.retry import failures, not_before, pause
from pricetracker_dagster.alerts.messages.events import ALERT, INCIDENT, SUMMARY
from pricetracker_dagster.alerts.messages.routing import is_quiet, recipients, urls
from pricetracker_dagster.candles.minutes import DAY
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.records import Records, Row

KEPT = DAY
"""A message that a channel does not take for so long is given up."""

Made = Counter[tuple[str, str, str]]
"""How many attempts were made, by the id of a fact, event and channel."""


def deliver(settings: Settings, records: Records, now: datetime) -> list[Row]:
    """Send each channel what it is owed and has not taken at ``now``, UTC, and note each attempt.

    Returns:
        The rows that were added to the table deliveries, one a notice and channel.

    Raises:
        StoreError: a table is damaged; what the others hold was sent.
    """
    by_name = urls(settings)
    if not by_name:
        return []
    missing_by_message, sent = _accounts(records, by_name, now)
    blocked_until = {name: not_before([row for row in sent if row["channel"] == name]) for name in by_name}
    ready = [name for name, until in blocked_until.items() if until is None or until <= now]
    ids = sorted(own for own, names in missing_by_message.items() if not names.isdisjoint(ready))
    if not ids:
        return []
    owed = records.messages.rows_of("id", ids, now - KEPT)
    owed.sort(key=lambda row: (row["recorded_at"], row["fact"], row["number"]))
    facts, not_read = _facts(records, owed)
    counting = [row for row in owed if _counts(row, facts)]
    parts = {}
    for name in ready:
        due = [row for row in counting if name in missing_by_message[row["id"]]]
        notices = lines_of([row for row in due if not _is_quiet(name, row, facts, settings, now)], settings, now)
        if notices:
            parts[name] = compose(notices, settings, limit_of(by_name[name]))
    attempts = _send(records, by_name, parts, sent, now)
    if not_read is not None:
        raise not_read
    return attempts


def _accounts(records: Records, names: Iterable[str], now: datetime) -> tuple[dict[str, set[str]], list[Row]]:
    """Return the channels that have yet to take a message, by its id, and the attempts that still matter.

    As a rule there are none, and nothing else is read.
    """
    connection = sql.connect()
    # registered and not create_view(), whose views all connections of this process would share
    with records.messages.read():
        messages = records.messages.relation(connection, now - KEPT, columns=("id", "fact", "event", "channels"))
        connection.register("messages", messages.to_arrow_table())
    with records.deliveries.read():
        names_of_columns = ("id", "event", "channel", "attempt", "attempted_at", "delivered", "retry_at")
        sent = records.deliveries.relation(connection, now - KEPT - DAY, columns=names_of_columns)
        connection.register("sent", sent.to_arrow_table())
    found = connection.execute(sql.load("alerts/delivery/sql/incomplete.sql"), {"channels": [*names]}).fetchall()
    if not found:
        return {}, []
    answer = connection.execute(sql.load("alerts/delivery/sql/accounts.sql"))
    columns = [column[0] for column in answer.description or ()]
    attempts = [dict(zip(columns, row, strict=True)) for row in answer.fetchall()]
    return {own: {*channels} for own, channels in found}, attempts


def _send(
    records: Records,
    by_name: Mapping[str, str],
    parts: Mapping[str, Sequence[tuple[Message, tuple[Notice, ...]]]],
    sent: Sequence[Row],
    now: datetime,
) -> list[Row]:
    attempts: list[Row] = []
    failed: Exception | None = None
    made = attempts_made(sent)
    for outcome in send({by_name[name]: [message for message, _ in of_channel] for name, of_channel in parts.items()}):
        of_channel = parts[outcome.channel]
        # what is not taken keeps what comes after it waiting: no message comes before the one that it follows from
        notices = of_channel[outcome.part : outcome.part + 1] if outcome.delivered else of_channel[outcome.part :]
        retry_at = None if outcome.delivered else now + pause(failures(sent, outcome.channel) + 1, outcome.retry_after)
        rows = [
            attempt_row(notice, event, outcome, made, now, retry_at)
            for _, completes in notices
            for notice in completes
            for event in (*notice.also, notice.event)
        ]
        try:
            records.deliveries.upsert(rows)  # at once: what comes after may be killed
        except Exception as error:  # the other channels are noted all the same; this one is sent again
            failed = failed or error
            continue
        attempts += rows
    if failed is not None:
        raise failed
    return attempts


def _facts(records: Records, messages: Sequence[Row]) -> tuple[dict[str, Row], StoreError | None]:
    """Return the facts that messages are about, by id; and why a table could not be read."""
    found: dict[str, Row] = {}
    not_read: StoreError | None = None
    for subject, table in ((ALERT, records.alerts), (INCIDENT, records.incidents)):
        ids = {row["fact"] for row in messages if row["subject"] == subject}
        if ids:
            try:
                found |= {row["id"]: row for row in table.rows_of("id", ids)}
            except StoreError as error:
                not_read = error
    return found, not_read


def _counts(message: Row, facts: Mapping[str, Row]) -> bool:
    """Say whether the fact of a message was recorded after it: else it is as if it had never been written."""
    if message["subject"] == SUMMARY:
        return True
    fact = facts.get(message["fact"])
    return fact is not None and message["number"] <= (fact.get("transitions") or 0)


def _is_quiet(name: str, message: Row, facts: Mapping[str, Row], settings: Settings, now: datetime) -> bool:
    """Say whether a message is to wait for the end of a channel's quiet hours."""
    fact = facts.get(message["fact"])
    if fact is None:  # the end of a silence, which no route is for
        return is_quiet(settings, name, now)
    own = recipients(settings, fact, message["subject"], now)
    return any(each.channel == name and each.quiet_until is not None for each in own)


def attempts_made(sent: Iterable[Row]) -> Made:
    """Count the attempts that were made."""
    made: Made = Counter()
    for row in sent:
        key = row["id"], row["event"], row["channel"]
        made[key] = max(made[key], row["attempt"])
    return made


def attempt_row(
    notice: Notice, event: str, outcome: Outcome, made: Made, now: datetime, retry_at: datetime | None
) -> Row:
    """Return the row of the table deliveries of one attempt."""
    return {
        "id": notice.fact,
        "subject": notice.subject,
        "event": event,
        "channel": outcome.channel,
        "attempt": made[notice.fact, event, outcome.channel] + 1,
        "attempted_at": now,
        "delivered": outcome.delivered,
        "error": outcome.error,
        "retry_at": retry_at,
    }
