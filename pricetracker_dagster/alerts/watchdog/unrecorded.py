"""What has to be sent although nothing can be recorded: the tables of alarms are damaged, or the disk is full.

What each channel was sent is kept in a small file instead, so that it is sent once, again after
``alerts.repeat_minutes``, and once more when it is over. A channel that takes nothing is tried again after a pause and
costs the others nothing.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from pricetracker_dagster.alerts.delivery.channels import Message, send
from pricetracker_dagster.alerts.messages.events import INCIDENT
from pricetracker_dagster.alerts.messages.quoting import quoted
from pricetracker_dagster.alerts.messages.routing import Recipient, recipients, urls
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in, moment_of
from pricetracker_dagster.settings import Settings

_PAUSE = MINUTE
"""After so long a channel that took nothing is tried again."""


@dataclass
class _Account:
    """What the channels were sent."""

    told_at: dict[str, datetime] = field(default_factory=dict)
    """By channel, when it was last sent that it lasts, UTC."""
    tried_at: dict[str, datetime] = field(default_factory=dict)
    """By channel, when it last took nothing, UTC."""
    ended_at: datetime | None = None
    """Since when it is over, UTC; None: it lasts."""
    by: str = ""
    """The part that reported it, and that reports its end; empty: any that sees that no table is damaged."""


unwritten: dict[Path, _Account] = {}
"""What this process could not keep, by file: so that on a full disk, too, nothing is sent each time."""


def notify(settings: Settings, now: datetime, reason: str, by: str = "") -> list[str]:
    """Send what is wrong, in plain words, to every channel that gets standstills, unless that was sent it lately.

    ``by`` is the part that reports it, and will report its end; empty: tables are damaged, which any part sees. Returns
    which channels did not take it and why, a line each.
    """
    account = _account(settings)
    if account.ended_at is not None:  # that was another time
        account = _Account()
    if not account.told_at:
        account.by = by

    def is_due(recipient: Recipient) -> bool:
        told_at, repeat = account.told_at.get(recipient.channel), recipient.repeat_minutes * MINUTE
        return told_at is None or told_at > now or bool(repeat and now - told_at >= repeat)

    own = _recipients(settings, now)
    due = [name for name, recipient in own.items() if is_due(recipient)]
    body = f"✗ alarms can neither be recorded nor sent as usual: {quoted(reason)}"
    title = "✗ no alarms" if account.by else "✗ damaged data: no alarms"
    delivered, troubles = _send(settings, now, account, due, Message(title, body, good=False))
    account.told_at |= dict.fromkeys(delivered, now)
    _keep(settings, account)
    return troubles


def is_notified(settings: Settings) -> bool:
    """Say whether anything was sent this way without its end."""
    file = _file(settings)
    return file in unwritten or file.exists()


def notify_end(settings: Settings, now: datetime, is_over: Callable[[str], bool]) -> list[str]:
    """Send that what notify() has sent is over, to the channels that took it; return the same as it does.

    ``is_over`` is given the part that reported it, and says whether it is over.
    """
    if not is_notified(settings):
        return []
    account = _account(settings)
    if account.told_at and account.ended_at is None and not is_over(account.by):
        return []
    account.ended_at = account.ended_at or now
    end = Message("✓ alarms again", "✓ alarms are recorded and sent again", good=True)
    delivered, troubles = _send(settings, now, account, list(account.told_at), end)
    given_up = now - account.ended_at > settings.alerts.max_age_minutes * MINUTE
    quiet = _quiet(settings, now)
    account.told_at = {
        channel: told_at
        for channel, told_at in account.told_at.items()
        if channel not in delivered and (not given_up or channel in quiet)
    }
    _keep(settings, account)
    return troubles


def _send(
    settings: Settings, now: datetime, account: _Account, channels: Collection[str], message: Message
) -> tuple[list[str], list[str]]:
    """Send a message to the channels that can be asked now; return which took it, and of the others why not."""
    by_name, quiet = urls(settings), _quiet(settings, now)
    account.told_at = {name: told_at for name, told_at in account.told_at.items() if name in by_name}
    account.tried_at = {
        name: at for name, at in account.tried_at.items() if name in by_name and now - _PAUSE < at <= now
    }
    asked = [name for name in by_name if name in channels and name not in account.tried_at and name not in quiet]
    outcomes = list(send({by_name[name]: [message] for name in asked}))
    account.tried_at |= {outcome.channel: now for outcome in outcomes if not outcome.delivered}
    return (
        [outcome.channel for outcome in outcomes if outcome.delivered],
        [f"channel {each.channel} did not take the message: {each.error}" for each in outcomes if not each.delivered],
    )


def _recipients(settings: Settings, now: datetime) -> dict[str, Recipient]:
    """Return the recipients of what has no metric, by channel, as where it can be recorded."""
    return {each.channel: each for each in recipients(settings, {"out": None, "metrics": []}, INCIDENT, now)}


def _quiet(settings: Settings, now: datetime) -> set[str]:
    """Return the channels that are sent nothing now, and all of it after."""
    return {name for name, each in _recipients(settings, now).items() if each.quiet_until is not None}


def _account(settings: Settings) -> _Account:
    """Return what is kept; what cannot be read is nothing, each entry on its own."""
    if _file(settings) in unwritten:
        return unwritten[_file(settings)]
    kept = kept_in(_file(settings))
    told_at = kept.get("told_at")
    if isinstance(told_at, str):  # an earlier version knew no channels apart
        told_at = dict.fromkeys(urls(settings), told_at)
    by = kept["by"] if isinstance(kept.get("by"), str) else ""
    return _Account(_moments(told_at), _moments(kept.get("tried_at")), _moments(kept).get("ended_at"), by)


def _moments(kept: object) -> dict[str, datetime]:
    """Return those of the entries that are moments, UTC."""
    entries = kept.items() if isinstance(kept, dict) else ()
    return {name: moment for name, text in entries if (moment := moment_of(text)) is not None}


def _keep(settings: Settings, account: _Account) -> None:
    file = _file(settings)
    unwritten.pop(file, None)
    if not account.told_at and account.ended_at is not None:
        file.unlink(missing_ok=True)
        return
    try:
        write_text(file, json.dumps(asdict(account), default=datetime.isoformat))
    except OSError:
        unwritten[file] = account


def _file(settings: Settings) -> Path:
    return settings.state / StateFile.TOLD_UNRECORDED
