"""What is due by time alone while an alert or an incident lasts: reminders and escalations.

Pure. Each function is given the recipients, the earlier messages about the fact, since when it lasts, and the time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from pricetracker_dagster.alerts.messages.events import base
from pricetracker_dagster.alerts.messages.routing import Recipient
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.store.records import Row


def channels_to_remind(
    recipients: Iterable[Recipient], earlier: Sequence[Row], began: datetime, now: datetime
) -> list[str]:
    """Return the channels whose last message about it is older than their ``repeat_minutes``."""

    def last(channel: str) -> datetime:
        own = [message["recorded_at"] for message in earlier if channel in message["channels"]]
        return max(own or [message["recorded_at"] for message in earlier], default=began)

    return [
        each.channel
        for each in recipients
        if each.repeat_minutes and now - last(each.channel) >= each.repeat_minutes * MINUTE
    ]


def channels_to_escalate_to(
    recipients: Iterable[Recipient], earlier: Sequence[Row], began: datetime, now: datetime
) -> tuple[timedelta, list[str]]:
    """Return for how long nobody has acknowledged it, and the channels that it has to be escalated to by now."""
    told = [(base(each["event"]), each["recorded_at"], each["channels"]) for each in earlier]
    # what was kept back nobody could acknowledge: it counts from when it was sent
    starts = [at for event, at, channels in told if channels and event in ("firing", "opened", "still")]
    lasted = now - max([began, *starts])
    before = [channels for event, at, channels in told if event == "escalated" and at >= began]
    reached = {channel for channels in before for channel in channels}
    escalations = [item for recipient in recipients for item in recipient.escalations.items()]
    due = [channel for channel, after in escalations if lasted >= after * MINUTE and channel not in reached]
    return lasted, list(dict.fromkeys(due))
