"""Alerts and incidents of the version before this one, which kept no messages but only deliveries.

Pure. From a fact and the attempts to send it come the messages that this version would have: nothing that a channel
took is sent to it again, and what is owed to one still is.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from pricetracker_dagster.alerts.messages.events import base, message_row
from pricetracker_dagster.alerts.messages.routing import Subject
from pricetracker_dagster.alerts.messages.wording import Event, worded
from pricetracker_dagster.store.records import Row


def messages_of(
    row: Row, subject: Subject, sent: Sequence[Row], channels: Collection[str], now: datetime, max_age: timedelta
) -> list[Row]:
    """Return the messages of a fact of the version before, oldest first.

    ``sent`` holds the rows of the table deliveries about it, ``channels`` those that are set now: the version before
    sent each of them what was not older than ``max_age`` at ``now``, UTC.
    """
    began = row["fired_at"] if subject == "alert" else row["opened_at"]
    if began is None or (subject == "alert" and not row["sent"]):
        return []
    tried = sorted(sent, key=lambda attempt: attempt["attempted_at"])
    moments: dict[str, datetime] = {}
    for attempt in tried:
        moments.setdefault(attempt["event"], attempt["attempted_at"])
    moments["firing" if subject == "alert" else "opened"] = began
    if row["resolved_at"] is not None:
        moments[_end_of(row, tried)] = row["resolved_at"]
    found: list[Row] = []
    for event, at in sorted(moments.items(), key=lambda item: item[1]):
        taken = {attempt["channel"] for attempt in tried if attempt["event"] == event and attempt["delivered"]}
        owed = sorted({*taken, *channels} if now - at <= max_age else taken)
        words = worded(subject, row, Event(base(event)))
        found.append(message_row(row["id"], subject, event, len(found) + 1, at, owed, words))
    return found


def _end_of(row: Row, tried: Sequence[Row]) -> str:
    """Return what the version before called this end: the second one of what late data had reopened had a number."""
    ends = [attempt for attempt in tried if base(attempt["event"]) == "resolved"]
    if not ends:
        return "resolved"
    latest = max(ends, key=lambda attempt: (attempt["attempted_at"], attempt["event"]))
    if latest["attempted_at"] >= row["resolved_at"]:
        return str(latest["event"])
    return f"resolved {len({attempt['event'] for attempt in ends}) + 1}"
