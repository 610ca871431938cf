"""Who is sent messages about an alert or an incident, how often, and when not: by the routes of the settings. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from pricetracker_dagster.candles.metric import matches
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import AlertRoute, QuietHours, RouteMatch, Settings, channel_name, is_channel_name
from pricetracker_dagster.store.records import Row

Subject = Literal["alert", "incident"]


@dataclass(frozen=True)
class Recipient:
    """A channel that gets messages."""

    channel: str
    repeat_minutes: int
    """How often it is reminded while it lasts; 0: never."""
    quiet_until: datetime | None = None
    """Until when it is sent nothing, UTC; None: it is not quiet there now."""
    escalations: Mapping[str, int] = field(default_factory=dict)
    """Other channels that get it unless it is acknowledged, each after so many minutes."""


def urls(settings: Settings) -> dict[str, str]:
    """Return every channel's URL by its name: those for all messages, those of routes, and those they escalate to."""
    routes = settings.alerts.routes
    configured = [settings.alerts.channels, *(each.channels for each in routes), *(each.escalate_to for each in routes)]
    written = [channel.get_secret_value() for channels in configured for channel in channels]
    return {channel_name(url): url for url in written if not is_channel_name(url)}


def recipients(settings: Settings, row: Row, subject: Subject, now: datetime) -> list[Recipient]:
    """Return the channels for messages about an alert or an incident at ``now``, UTC.

    These are the channels of every route that matches, each once: with the least pause between reminders, quiet only
    where it is quiet in all of them. Each route is escalated to whom it names, at its own time. What no route matches
    goes to every channel of ``alerts.channels``; where that is empty, to those of all routes, so that nothing is lost.
    """
    repeat = settings.alerts.repeat_minutes
    matching = [route for route in settings.routes if _matches(route.match, row, subject)]
    if not matching:
        of_routes = (channel for route in settings.routes for channel in route.channels)
        return [Recipient(name, repeat) for name in _names(settings.alerts.channels) or _names(of_routes)]
    own: dict[str, list[AlertRoute]] = {}
    for route in matching:
        for name in _names(route.channels):
            own.setdefault(name, []).append(route)
    return [_recipient(name, routes, repeat, now) for name, routes in own.items()]


def is_quiet(settings: Settings, channel: str, now: datetime) -> bool:
    """Say whether it is quiet at a channel by all routes that name it, as for what no route is for."""
    own = [route for route in settings.routes if channel in _names(route.channels)]
    return bool(own) and _recipient(channel, own, 0, now).quiet_until is not None


def quiet_until(hours: QuietHours, now: datetime) -> datetime | None:
    """Return when quiet hours end in which a moment lies, UTC; None where it lies in none.

    They begin and end when the clock on the wall first shows these times. One that a change of the clock leaves out
    is reached with the change.
    """
    zone = ZoneInfo(hours.time_zone)
    today = now.astimezone(zone).date()
    for day in (today - timedelta(days=1), today):
        last = day + timedelta(days=hours.to <= hours.begin)
        begin, end = _moment(day, hours.begin, zone), _moment(last, hours.to, zone)
        if begin <= now < end:
            return end
    return None


def _moment(day: date, of_day: time, zone: ZoneInfo) -> datetime:
    """Return when a clock on the wall first shows a time, or one after it, UTC."""
    shown = datetime.combine(day, of_day)
    moments = [shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    moment = min(moments)
    while moment.astimezone(zone).replace(tzinfo=None) < shown:  # it is left out: an hour at most as a rule
        moment += MINUTE
    return moment


def _names(channels: Iterable[SecretStr]) -> list[str]:
    """Return what channels are called, each once."""
    written = [channel.get_secret_value() for channel in channels]
    return list(dict.fromkeys(each if is_channel_name(each) else channel_name(each) for each in written))


def _matches(match: RouteMatch, row: Row, subject: Subject) -> bool:
    if match.kind not in (None, subject):
        return False
    if subject == "incident":
        return not (match.rules or match.measures) and _is_of(match.metrics, row["out"] or row["metrics"] or ())
    return (
        _is_of(match.metrics, [row["metric"]])
        and (not match.rules or row["rule"] in match.rules)
        and (not match.measures or row["measure"] in match.measures)
    )


def _is_of(patterns: Sequence[str] | None, metrics: Iterable[str]) -> bool:
    return not patterns or any(matches(metric, pattern) for metric in metrics for pattern in patterns)


def _recipient(name: str, routes: Sequence[AlertRoute], repeat: int, now: datetime) -> Recipient:
    """Return what several routes together say of one channel."""
    pauses = [repeat if route.repeat_minutes is None else route.repeat_minutes for route in routes]
    ends = [quiet_until(route.quiet_hours, now) for route in routes if route.quiet_hours is not None]
    quiet = [end for end in ends if end is not None]
    escalations: dict[str, int] = {}
    for route in routes:
        if route.escalate_after_minutes is not None:
            for other in _names(route.escalate_to):
                after = escalations.get(other, route.escalate_after_minutes)
                escalations[other] = min(after, route.escalate_after_minutes)
    quiet_now = min(quiet) if len(quiet) == len(routes) else None
    return Recipient(name, min((pause for pause in pauses if pause), default=0), quiet_now, escalations)
