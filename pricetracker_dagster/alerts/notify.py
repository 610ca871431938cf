"""From facts to messages: what is due for whom, said so that it reads on a phone, sent, and accounted for.

Each channel is on its own: it has its own account of what it took, its own attempts with growing pauses, and nobody
waits for it. A message is sent before that is noted, so a crash between the two sends it again: at least once, and
never for another fact.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import duckdb

from pricetracker_dagster.alerts import episodes, incidents, standstill
from pricetracker_dagster.alerts.channels import Message, Outcome, channel_name, limit_or_most, send
from pricetracker_dagster.alerts.fitting import Limit, parted
from pricetracker_dagster.alerts.heartbeat import beat
from pricetracker_dagster.candles import DAY, MINUTE, MinuteRange
from pricetracker_dagster.figures import shown
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.delta import StoreError
from pricetracker_dagster.store.records import Records, Row

__all__ = ["beat", "channel_name", "deliver"]

_log = logging.getLogger(__name__)

_PAUSE_FIRST, _PAUSE_MOST = timedelta(seconds=10), timedelta(minutes=5)
_LINES = 20
"""Most lines of one message."""

_HEADLINES = 3
"""Most facts named in a title."""

_METRICS = 5
"""Most metrics named in one line."""


class Notice(NamedTuple):
    """One thing to be said of one alert or incident.

    Attributes:
        id: of the alert or incident.
        subject: ``alert`` or ``incident``.
        event: ``firing``, ``opened``, ``reminder N`` or ``resolved``; ``resolved N`` where it ended an Nth time.
        due: since when, UTC.
        headline: what it is in a few words.
        text: the line that a person reads.
    """

    id: str
    subject: str
    event: str
    due: datetime
    headline: str
    text: str


def deliver(settings: Settings, records: Records, now: datetime) -> list[Row]:
    """Send each channel what is due for it, and note each attempt.

    Args:
        settings: the channels, and how long and how often to try.
        records: what there is to say, and what was sent.
        now: the current time, UTC.

    Returns:
        The rows that were added to the table deliveries, one a notice and channel.

    Raises:
        StoreError: a table is damaged; what the others hold was sent.
    """
    urls = {channel_name(url): url for url in _urls(settings)}
    if not urls:
        return []
    give_up = settings.alerts.max_age_minutes * MINUTE
    notices, not_read = _notices(settings, records, now)
    if not notices:
        if not_read is not None:
            raise not_read
        return []
    sent = records.deliveries.rows(now - give_up - DAY)
    due = {name: _due(notices, [row for row in sent if row["channel"] == name], now) for name in urls}
    parts = {name: fitted(own, settings, limit_or_most(urls[name])) for name, own in due.items() if own}
    attempts: list[Row] = []
    failed: Exception | None = not_read
    for outcome in send({urls[name]: [message for message, _ in of_channel] for name, of_channel in parts.items()}):
        of_channel = parts[outcome.channel]
        # what is not taken keeps what comes after it waiting: nothing is told before what it follows from
        told = of_channel[outcome.part : outcome.part + 1] if outcome.delivered else of_channel[outcome.part :]
        rows = [_attempt(notice, outcome, sent, now) for _, completes in told for notice in completes]
        try:
            records.deliveries.put(rows)  # at once: what comes after may be killed
        except Exception as error:  # the other channels are noted all the same; this one is sent again
            failed = failed or error
            continue
        attempts += rows
    if failed is not None:
        raise failed
    return attempts


def fitted(notices: Sequence[Notice], settings: Settings, limit: Limit) -> list[tuple[Message, tuple[Notice, ...]]]:
    """Make as few messages of what is due as fit a channel; with each, what has been said whole when it is taken."""
    lines: list[tuple[str, Sequence[Notice]]] = [(notice.text, [notice]) for notice in notices[:_LINES]]
    if len(notices) > _LINES:
        lines.append((f"… and {len(notices) - _LINES} more", notices[_LINES:]))
    subjects = dict.fromkeys(notice.subject for notice in notices)
    lines += [(f"{settings.ui.link}/assets/{subject}s", []) for subject in subjects]
    good = all(_is_end(notice.event) for notice in notices)
    title = ", ".join(notice.headline for notice in notices[:_HEADLINES])
    if len(notices) > _HEADLINES:
        title += f" and {len(notices) - _HEADLINES} more"
    return [(Message(part.title, part.body, good), part.completes) for part in parted(title, lines, limit)]


def _urls(settings: Settings) -> list[str]:
    return [channel.get_secret_value() for channel in settings.alerts.channels]


def _notices(settings: Settings, records: Records, now: datetime) -> tuple[list[Notice], Exception | None]:
    """Return everything that is to be said now, oldest first, without what is too old to be of use.

    And why a table could not be read: what the other holds is said all the same.
    """
    since = now - settings.alerts.max_age_minutes * MINUTE
    notices: list[Notice] = []
    not_read: Exception | None = None
    try:
        for row in records.alerts.rows(now - episodes.LONGEST, _current(episodes.FIRING, "fired_at", since)):
            if row["sent"]:
                notices += _said_or_named(row, _ALERT, row["fired_at"], settings, now)
    except StoreError as error:
        not_read = error
    try:
        for row in records.incidents.rows(None, _current(incidents.OPEN, "opened_at", since)):
            notices += _said_or_named(row, _INCIDENT, row["opened_at"], settings, now)
    except StoreError as error:
        not_read = not_read or error
    return sorted((each for each in notices if each.due >= since), key=lambda each: each.due), not_read


def _current(state: str, began: str, since: datetime) -> duckdb.Expression:
    """Return the condition of rows about which there may be something to say."""
    moment = duckdb.ConstantExpression(since)
    is_on = duckdb.ColumnExpression("state") == duckdb.ConstantExpression(state)
    return is_on | (duckdb.ColumnExpression(began) >= moment) | (duckdb.ColumnExpression("resolved_at") >= moment)


class _Kind(NamedTuple):
    subject: str
    begins: str
    line: Callable[[Row, str], tuple[str, str]]


def _said_or_named(row: Row, kind: "_Kind", began: datetime, settings: Settings, now: datetime) -> list[Notice]:
    """Return what is to be said of one row; where that cannot be put into words, that there is something to look at."""
    try:
        return list(_said_of(row, kind, began, settings, now))
    except Exception as error:
        began = began or now
        _log.exception("%s %s cannot be told", kind.subject, row["id"])
        line = (
            f"✗ {kind.subject} {row['id']}: a mistake of pricetracker while telling it: {type(error).__name__}: {error}"
        )
        return [Notice(row["id"], kind.subject, kind.begins, began, f"✗ {kind.subject}", " ".join(line.split()))]


def _said_of(row: Row, kind: _Kind, began: datetime, settings: Settings, now: datetime) -> Iterator[Notice]:
    """Yield what is to be said of an alert or incident: that it began, the newest reminder, that it is over."""
    if row.get("count") != 0:  # of an incident that was none nothing but its end is said
        yield Notice(row["id"], kind.subject, kind.begins, began, *kind.line(row, kind.begins))
    repeat = settings.alerts.repeat_minutes * MINUTE
    if row["resolved_at"] is not None:
        yield Notice(row["id"], kind.subject, "resolved", row["resolved_at"], *kind.line(row, "resolved"))
    elif repeat and (number := (now - began) // repeat) > 0:
        event = f"reminder {number}"
        yield Notice(row["id"], kind.subject, event, began + number * repeat, *kind.line(row, event))


def _alert_line(row: Row, event: str) -> tuple[str, str]:
    """Return headline and line of an alert."""
    what = f"{row['metric']} {row['measure']}"
    peak = f"peak {shown(row['peak'])} = {row['peak_ratio']:.2f}× at {row['peak_minute']:%H:%M}"
    if event == "firing":
        compared = f"{shown(row['value'])} = {row['ratio']:.2f}× its average {shown(row['average'])}"
        when = f"at {_utc(row['minute'])} ({row['rule']}: above {row['factor']:g}×)"
        return f"▲ {what} {row['ratio']:.2f}×", f"▲ {what} {compared} {when}"
    if event == "resolved":
        lasted = _minutes((row["last_minute"] - row["minute"]) // MINUTE + 1)
        over = f"{row['ended_because']}: it lasted {lasted} from {_utc(row['minute'])}"
        return f"✓ {what} resolved", f"✓ {what} {over}, {peak} ({row['rule']})"
    return (
        f"▲ {what} still above",
        f"▲ {what} still above since {_utc(row['minute'])}, last at {row['last_minute']:%H:%M}, {peak} ({row['rule']})",
    )


def _incident_line(row: Row, event: str) -> tuple[str, str]:
    """Return headline and line of an incident."""
    if row["cause"] in standstill.CAUSES:
        return _standstill_line(row, event)
    named = ", ".join(row["metrics"][:_METRICS])
    more = f" and {len(row['metrics']) - _METRICS} more" if len(row["metrics"]) > _METRICS else ""
    what = f"{MinuteRange(row['first'], row['last'])} UTC of {named}{more}"
    if event != "resolved":
        still = "" if event == "opened" else "still "
        return f"✗ minutes {still}missed: {row['cause']}", f"✗ {still}missed: {what}: {row['cause']}: {row['reason']}"
    took = _minutes(max(1, round((row["resolved_at"] - row["opened_at"]) / MINUTE)))
    if not row["count"]:
        line = f"{MinuteRange(row['first'], row['last'])} UTC is yet to come: it was recorded by a clock that was ahead"
        return "✓ no minutes missed", f"✓ no minutes missed: {line}"
    if row["missing"]:
        return (
            f"✗ {row['missing']} minutes missed for good",
            f"✗ over, but {row['missing']} minutes stay missing: {what}: {row['cause']}; it lasted {took}",
        )
    return "✓ missed minutes healed", f"✓ healed {took} after it was noticed: {what}: {row['cause']}"


def _standstill_line(row: Row, event: str) -> tuple[str, str]:
    """Return headline and line of an incident that is about no missed minute: what stands still, or a wrong clock."""
    named = {
        standstill.PUBLICATION: "stale publication",
        standstill.STORAGE: "damaged data",
        standstill.DISK: "low disk",
        standstill.DIFFERENCE: "wrong clock",
    }
    what = named.get(standstill.kind_of(row), "standstill")
    if event == "resolved":
        took = _minutes(max(1, round((row["resolved_at"] - row["first"]) / MINUTE)))
        return f"✓ {what} over", f"✓ {what} over: it lasted {took} from {_utc(row['first'])}: {row['reason']}"
    still = "" if event == "opened" else "still "
    return f"✗ {still}{what}", f"✗ {still}{what} since {_utc(row['first'])}: {row['reason']}"


_ALERT = _Kind("alert", "firing", _alert_line)
_INCIDENT = _Kind("incident", "opened", _incident_line)


def _minutes(count: int) -> str:
    return f"{count} minute{'s' if count != 1 else ''}"


def _utc(minute: datetime) -> str:
    return f"{minute:%Y-%m-%d %H:%M} UTC"


def _due(notices: Sequence[Notice], sent: Sequence[Row], now: datetime) -> list[Notice]:
    """Return what one channel has not taken yet and is not to be spared just now."""
    due = []
    for each in notices:
        notice = each
        if _is_end(each.event):
            notice = each._replace(event=_end(each, sent, now))
        elif _is_reminder(each.event):
            notice = each._replace(event=_reminder(each, sent))
        attempts = [row for row in sent if (row["id"], row["event"]) == (notice.id, notice.event)]
        if any(row["delivered"] for row in attempts):
            continue
        if attempts:
            pause = min(_PAUSE_FIRST * 2 ** min(len(attempts) - 1, 10), _PAUSE_MOST)
            if now < max(row["attempted_at"] for row in attempts) + pause:
                continue
        due.append(notice)
    return due


def _is_reminder(event: str) -> bool:
    return event.partition(" ")[0] == "reminder"


def _reminder(notice: Notice, sent: Sequence[Row]) -> str:
    """Return the event of a reminder for one channel: its number, unless that was told before this one was due.

    A clock that was ahead, or another ``alerts.repeat_minutes``, has used up numbers of reminders that are due later.
    """
    earlier = [row for row in sent if row["id"] == notice.id and _is_reminder(row["event"])]
    since = [row for row in earlier if row["attempted_at"] >= notice.due]
    if since:
        return str(max(since, key=lambda row: (row["delivered"], row["attempted_at"]))["event"])
    if not any(row["event"] == notice.event and row["delivered"] for row in earlier):
        return notice.event
    return f"reminder {1 + max(int(row['event'].partition(' ')[2]) for row in earlier)}"


def _is_end(event: str) -> bool:
    return event.partition(" ")[0] == "resolved"


def _end(notice: Notice, sent: Sequence[Row], now: datetime) -> str:
    """Return the event of an end for one channel: the second one of what late data reopened is another event.

    An end is a new one where every attempt to tell of one was made before it was recorded. Of an end that was recorded
    by a clock that was ahead that cannot be said: it counts as the one that was told.
    """
    ends = [row for row in sent if row["id"] == notice.id and _is_end(row["event"])]
    if not ends:
        return notice.event
    latest = max(ends, key=lambda row: (row["attempted_at"], row["event"]))
    if latest["attempted_at"] >= notice.due or notice.due > now:
        return str(latest["event"])
    return f"{notice.event} {len({row['event'] for row in ends}) + 1}"


def _attempt(notice: Notice, outcome: Outcome, sent: Sequence[Row], now: datetime) -> Row:
    of_same = [
        row["attempt"]
        for row in sent
        if (row["id"], row["event"], row["channel"]) == (notice.id, notice.event, outcome.channel)
    ]
    return {
        "id": notice.id,
        "subject": notice.subject,
        "event": notice.event,
        "channel": outcome.channel,
        "attempt": max(of_same, default=0) + 1,
        "attempted_at": now,
        "delivered": outcome.delivered,
        "error": outcome.error,
    }
