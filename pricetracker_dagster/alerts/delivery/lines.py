"""From the messages that a channel is owed to as few as fit it. Pure; how a text is split is in fitting.py."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pricetracker_dagster.alerts.delivery.channels import Message
from pricetracker_dagster.alerts.delivery.fitting import Limit, parted
from pricetracker_dagster.alerts.messages.events import SUMMARY, base, is_end
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.records import Row

MAX_LINES = 20
"""Most lines of one message."""

_HEADLINES = 3
"""Most facts named in a title."""


class Notice(NamedTuple):
    """One line of a message: a row of the table messages, and the earlier events of its fact that it covers as well."""

    fact: str
    subject: str
    event: str
    at: datetime
    headline: str
    text: str
    also: tuple[str, ...] = ()


_OF_MESSAGE = ("fact", "subject", "event", "recorded_at", "headline", "text")
"""The columns of a message that a notice has, in its order."""


def lines_of(due: Sequence[Row], settings: Settings, now: datetime) -> list[Notice]:
    """Make lines of the messages that a channel is owed, oldest first.

    A reminder after which more has happened is left out. Of what began long ago and is over by now, the end is enough.
    """
    late = settings.alerts.max_age_minutes * MINUTE
    lines: list[Notice] = []
    by_fact: dict[str, list[Row]] = {}
    for message in due:
        by_fact.setdefault(message["fact"], []).append(message)
    for of_fact in by_fact.values():
        left_out: list[str] = []
        for i, message in enumerate(of_fact, 1):
            is_over = any(is_end(each["event"]) for each in of_fact[i:])
            is_past_reminder = base(message["event"]) == "reminder" and i < len(of_fact)
            if is_past_reminder or (is_over and now - message["recorded_at"] > late):
                left_out.append(message["event"])
            else:
                lines.append(Notice._make([*(message[name] for name in _OF_MESSAGE), tuple(left_out)]))
                left_out = []
    return sorted(lines, key=lambda line: line.at)


def compose(notices: Sequence[Notice], settings: Settings, limit: Limit) -> list[tuple[Message, tuple[Notice, ...]]]:
    """Make as few messages as fit a channel; with each, the notices that are complete once it is taken."""
    last = {notice.fact: notice.event for notice in notices}
    # what is on now comes first, and is not cut
    notices = sorted(notices, key=lambda notice: is_end(last[notice.fact]))
    lines: list[tuple[str, Sequence[Notice]]] = [(notice.text, [notice]) for notice in notices[:MAX_LINES]]
    if len(notices) > MAX_LINES:
        lines.append((f"… and {len(notices) - MAX_LINES} more", notices[MAX_LINES:]))
    subjects = dict.fromkeys(notice.subject for notice in notices if notice.subject != SUMMARY)
    lines += [(f"{settings.ui.link}/assets/{subject}s", []) for subject in subjects]
    good = all(is_end(notice.event) or base(notice.event) == "back" for notice in notices)
    title = ", ".join(notice.headline for notice in notices[:_HEADLINES])
    if len(notices) > _HEADLINES:
        title += f" and {len(notices) - _HEADLINES} more"
    return [(Message(part.title, part.body, good), part.completes) for part in parted(title, lines, limit)]
