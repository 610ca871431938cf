"""What has to be told although nothing can be recorded: the tables in which alarms are kept are damaged themselves.

What was told last is kept in a small file instead, so that it is told once, again after ``alerts.repeat_minutes``, and
once more when it is over.
"""

import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pricetracker_dagster.alerts.notify import Message, send
from pricetracker_dagster.candles import MINUTE
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.settings import Settings


def tell(settings: Settings, now: datetime, reason: str) -> list[str]:
    """Send what is wrong through every channel, unless that was told lately.

    Args:
        settings: the channels, and after how long a reminder is due.
        now: the current time, UTC.
        reason: what is wrong, in plain words.

    Returns:
        Which channels did not take it and why, a line each.
    """
    told_at = _told_at(settings)
    repeat = settings.alerts.repeat_minutes * MINUTE
    if told_at is not None and told_at <= now and (not repeat or now - told_at < repeat):
        return []
    body = f"✗ alarms can neither be recorded nor sent as usual: {reason}"
    return _send(settings, now, Message("✗ damaged data: no alarms", body, good=False))


def tell_end(settings: Settings, now: datetime) -> list[str]:
    """Send that what tell() has told is over, where it has told anything; return as tell() does."""
    if _told_at(settings) is None:
        return []
    troubles = _send(settings, now, Message("✓ alarms again", "✓ alarms are recorded and sent again", good=True))
    if not troubles:
        _file(settings).unlink(missing_ok=True)
    return troubles


def _send(settings: Settings, now: datetime, message: Message) -> list[str]:
    urls = [channel.get_secret_value() for channel in settings.alerts.channels]
    outcomes = list(send({url: [message] for url in urls}))
    if any(outcome.delivered for outcome in outcomes):
        with suppress(OSError):  # a full disk: then it is told again
            write_text(_file(settings), json.dumps({"told_at": now.isoformat()}))
    return [f"channel {each.channel} did not take the message: {each.error}" for each in outcomes if not each.delivered]


def _told_at(settings: Settings) -> datetime | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return datetime.fromisoformat(json.loads(_file(settings).read_text(encoding="utf-8"))["told_at"])
    return None


def _file(settings: Settings) -> Path:
    return settings.state / "told_unrecorded.json"
