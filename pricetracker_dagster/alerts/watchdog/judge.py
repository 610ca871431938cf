"""What stands still: from what one look has seen to a verdict of each kind.

Pure. It judges the daemon, its schedule and sensors, the newest stored minute, publication, the tables, free disk, the
clock and the settings. What is seen is in look.py, the incidents that this makes in ``incidents/standstill.py``.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pricetracker_dagster.alerts.future_records import AHEAD
from pricetracker_dagster.alerts.incidents.standstill import (
    ALIVE,
    DIFFERENCE,
    DISK,
    EVALUATION,
    PRICES,
    PUBLICATION,
    SETTINGS,
    STILL,
    STORAGE,
    UNKNOWN,
    Verdict,
)
from pricetracker_dagster.alerts.watchdog.observation import Observation, Sign
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import WatchSettings

_ROOM = 1.1
"""Free disk is enough again when it is so much more than the limit: it does not come and go each minute."""


def judge(seen: Observation, limits: WatchSettings) -> dict[str, Verdict]:
    """Say of each kind whether it stands still."""
    limit = limits.standstill_minutes * MINUTE
    still = [sign for sign in _silent(seen, limit) if not _has_incident(sign, seen)]
    evaluation, prices = _evaluation(seen, limit, still), _prices(seen, limit)
    # one standstill, one incident; but a sensor that stands still is not why no minute comes
    sensors_alone = seen.ahead is None and all(sign.name.startswith("the sensor") for sign in still)
    if evaluation.state == STILL and prices.state == STILL and not sensors_alone:
        prices = Verdict(UNKNOWN)
    return {
        EVALUATION: evaluation,
        PRICES: prices,
        PUBLICATION: _publication(seen, limit),
        STORAGE: storage_verdict(seen.damaged),
        DISK: _disk(seen, limits),
        DIFFERENCE: _clock(seen, limits),
        SETTINGS: settings_verdict(seen.unreadable),
    }


def failing_for_long(seen: Observation, limits: WatchSettings) -> Verdict | None:
    """Return a verdict on sensors that have an open incident since they fail, and have failed for long."""
    silent = _silent(seen, limits.standstill_minutes * MINUTE)
    failing = [_described(sign) for sign in silent if _has_incident(sign, seen)]
    return Verdict(STILL, "; ".join(failing)) if failing else None


def publication_reason(published: datetime | None, why: str) -> str:
    """Say up to when people can read the prices, and why no further."""
    ends = "nothing is published" if published is None else f"what is published ends at {_utc(published)}"
    return f"{ends}, and what is stored since could not be published{f': {why}' if why else ''}"


def settings_verdict(unreadable: str | None) -> Verdict:
    """Judge the settings by why they cannot be read; empty: they can; None: not known."""
    said = f"{unreadable}: ticks fail until it is put right; alarms go on by the last settings that could be read"
    return _of_trouble(unreadable, said)


def storage_verdict(damaged: Sequence[str] | None) -> Verdict:
    """Judge the tables by which are damaged, a line each; None: not known."""
    return _of_trouble(damaged, "; ".join(damaged or ()))


def clock_reason(exchange: str, ahead: float) -> str:
    """Say how far this machine's clock is from an exchange's."""
    seconds = abs(ahead)
    far = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:,.0f} minutes"
    return f"this machine's clock is {far} {'ahead of' if ahead > 0 else 'behind'} {exchange}'s"


def _evaluation(seen: Observation, limit: timedelta, still: Sequence[Sign]) -> Verdict:
    if seen.ahead is not None:
        return Verdict(
            STILL,
            f"Dagster's schedule and sensors were last evaluated at {_utc(seen.ahead)}, which this machine's clock has "
            "yet to reach: it went back. That is put right; where the daemon was not started by `pricetracker up`, "
            "start it anew",
            seen.now,
        )
    if still:
        dated = [moment for sign in still if (moment := _last(sign.at, seen)) is not None]
        return Verdict(
            STILL,
            f"no sign of life for more than {_minutes(limit)}: {'; '.join(map(_described, still))}",
            min(dated, default=seen.now),
            restarts=not all(sign.is_off for sign in still),
        )
    # no sign at all: Dagster's storage cannot be read, and nothing is known
    if seen.signs and all(sign.at is not None and seen.now - sign.at <= limit for sign in seen.signs):
        return Verdict(ALIVE)
    return Verdict(UNKNOWN)


def _silent(seen: Observation, limit: timedelta) -> list[Sign]:
    """Return the parts that have given no sign of life for too long."""
    still = [sign for sign in seen.signs if (last := _last(sign.at, seen)) is None or seen.now - last > limit]
    # over damaged tables sensors fail, which is reported already and which no restart mends
    return [sign for sign in still if not (seen.damaged and sign.trouble)]


def _has_incident(sign: Sign, seen: Observation) -> bool:
    """Say whether a sensor that fails has an incident of its own."""
    return bool(sign.trouble) and sign.name in {f"the sensor {name}" for name in seen.failing}


def _prices(seen: Observation, limit: timedelta) -> Verdict:
    ended = None if seen.newest is None else seen.newest + MINUTE
    if ended is not None and timedelta() <= seen.now - ended <= limit:
        return Verdict(ALIVE)
    last = max((moment for moment in (_last(ended, seen), seen.recovered) if moment is not None), default=None)
    # a minute more: where all is well the newest is a minute old just before the next, and what stands still for the
    # same cause as schedule and sensors is seen there first
    if seen.covered or seen.damaged or seen.unreadable or (last is not None and seen.now - last <= limit + MINUTE):
        return Verdict(UNKNOWN)
    newest = "no minute was ever stored" if seen.newest is None else f"the newest stored minute is {_utc(seen.newest)}"
    return Verdict(STILL, f"{newest}, and for more than {_minutes(limit)} none has come", last or seen.now)


def _publication(seen: Observation, limit: timedelta) -> Verdict:
    """Judge what people read: rows that are stored have to be published."""
    if seen.newest is None or seen.newest > seen.now:
        return Verdict(UNKNOWN)
    if seen.published is not None and seen.published >= seen.newest:
        return Verdict(ALIVE)
    if seen.behind:  # it is open: it ends when everything is published
        return Verdict(STILL, publication_reason(seen.published, seen.unpublished), seen.now)
    if seen.published is not None and seen.newest - seen.published <= limit:
        return Verdict(ALIVE)
    last = _last(None if seen.published is None else seen.published + 2 * MINUTE, seen)
    if seen.damaged or (last is not None and seen.now - last <= limit):
        return Verdict(UNKNOWN)
    return Verdict(STILL, publication_reason(seen.published, seen.unpublished), last or seen.now)


def _of_trouble(trouble: Sequence[str] | None, reason: str) -> Verdict:
    if trouble is None:
        return Verdict(UNKNOWN)
    return Verdict(STILL, reason) if trouble else Verdict(ALIVE)


def _disk(seen: Observation, limits: WatchSettings) -> Verdict:
    if seen.free is None:
        return Verdict(UNKNOWN)
    megabytes = seen.free // 1_000_000
    if megabytes < limits.free_disk_mb:
        return Verdict(
            STILL,
            # without how much it is: that changes all the time, and status shows it
            f"less than watch.free_disk_mb = {limits.free_disk_mb} MB of disk are free where the data lie: make room "
            "before nothing can be stored",
            seen.now,
        )
    return Verdict(ALIVE if megabytes >= _ROOM * limits.free_disk_mb else UNKNOWN)


def _clock(seen: Observation, limits: WatchSettings) -> Verdict:
    if not seen.clocks:
        return Verdict(UNKNOWN)
    wrong = {name: ahead for name, ahead in seen.clocks.items() if abs(ahead) > limits.clock_seconds}
    if not wrong:
        return Verdict(ALIVE)
    return Verdict(
        STILL,
        f"{'; '.join(clock_reason(name, ahead) for name, ahead in sorted(wrong.items()))}: a wrong clock makes wrong "
        "minutes; set it (timedatectl set-ntp true)",
        seen.now,
    )


def _last(at: datetime | None, seen: Observation) -> datetime | None:
    """Return the newest time at which something was well, as far as this watchdog knows."""
    mended = None if seen.damaged or seen.unreadable else seen.mended
    known = [moment for moment in (at, seen.since, mended) if moment is not None and moment <= seen.now + AHEAD]
    return max(known, default=None)


def _described(sign: Sign) -> str:
    when = "never yet" if sign.at is None else f"last at {_utc(sign.at)}"
    if sign.at is None and sign.trouble:
        return f"{sign.name}: {sign.trouble}"
    return f"{sign.name} ({when}{f': {sign.trouble}' if sign.trouble else ''})"


def _minutes(limit: timedelta) -> str:
    count = limit // MINUTE
    return f"{count} minute{'s' if count != 1 else ''}"


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
