"""The events that messages are about, and what they are about. Pure."""

from collections.abc import Iterable
from datetime import datetime

from pricetracker_dagster.alerts.incidents.model import OPEN
from pricetracker_dagster.alerts.lifecycle.alert import FIRING
from pricetracker_dagster.alerts.messages.routing import Subject
from pricetracker_dagster.store.records import Row

ALERT: Subject = "alert"
INCIDENT: Subject = "incident"
SUMMARY = "summary"
"""The subject of the message at the end of a silence."""


def base(event: str) -> str:
    """Return what happened, without how often: ``resolved`` of ``resolved 2``."""
    return event.partition(" ")[0]


def is_end(event: str) -> bool:
    """Say whether an event is the end of an alert or an incident."""
    return base(event) == "resolved"


def is_on(row: Row) -> bool:
    """Say whether an alert fires, or an incident is open."""
    return row["state"] in (FIRING, OPEN)


def message_row(
    fact: str, subject: str, event: str, number: int, at: datetime, channels: Iterable[str], worded: tuple[str, str]
) -> Row:
    """Return a row of the table messages that nothing keeps back; ``worded`` is its headline and its line."""
    return {
        "id": f"{fact}#{number}",
        "fact": fact,
        "subject": subject,
        "event": event,
        "number": number,
        "recorded_at": at,
        "channels": list(dict.fromkeys(channels)),
        "headline": worded[0],
        "text": worded[1],
        "held_by": None,
    }
