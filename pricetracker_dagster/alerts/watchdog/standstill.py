"""What stands still: from signs of life to rows of the table incidents.

Pure: what was seen comes in, verdicts and rows go out. Missed minutes are incidents.py's business; these incidents are
of what should bring and tell them: the daemon, its schedule and sensors, the newest stored minute, publication, the
tables, free disk, the clock, the settings. Each kind has one incident at a time, whoever sees it and however many of
its parts stand still.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from pricetracker_dagster.candles.minutes import MINUTE, floor_minute
from pricetracker_dagster.settings import WatchSettings
from pricetracker_dagster.store.records import Row

STANDSTILL, CLOCK = "standstill", "clock"
UNPUBLISHED, UNREADABLE, SENSOR_FAILS = "not published", "settings", "sensor failure"
CAUSES = frozenset({STANDSTILL, CLOCK, UNPUBLISHED, UNREADABLE, SENSOR_FAILS})
"""The causes of incidents that are about no missed minute."""

EVALUATION, PRICES, PUBLICATION = "evaluation", "prices", "publication"
STORAGE, DISK, DIFFERENCE = "storage", "disk", "difference"
SETTINGS, SENSOR = "settings", "sensor"
_ID = {
    EVALUATION: "standstill",
    PRICES: "standstill of prices",
    PUBLICATION: "standstill of publication",
    STORAGE: "standstill: storage",
    DISK: "standstill: disk",
    DIFFERENCE: "clock",
    SETTINGS: "settings",
}
_CAUSE = {DIFFERENCE: CLOCK, PUBLICATION: UNPUBLISHED, SETTINGS: UNREADABLE}
_CALLED = {
    PUBLICATION: "stale publication",
    STORAGE: "damaged data",
    DISK: "low disk",
    DIFFERENCE: "wrong clock",
    SETTINGS: "unreadable settings",
}

STILL, ALIVE, UNKNOWN = "still", "alive", "unknown"

AHEAD = timedelta(seconds=10)
"""A time further in the future than this was stored by a clock that was ahead."""

_ROOM = 1.1
"""Free disk is enough again when it is so much more than the limit: it does not come and go each minute."""


_FLAPS_WITHIN = timedelta(minutes=10)
"""What comes again so soon after its end comes and goes: its next end is told only after a while without it."""

_QUIET = timedelta(minutes=5)
"""That while."""


class Sign(NamedTuple):
    """A part's newest sign of life.

    Attributes:
        name: what it is called in messages.
        at: when it was, UTC; None: there never was one.
        trouble: what is known of why there is none.
        is_off: a person has switched it off, which no restart changes.
    """

    name: str
    at: datetime | None
    trouble: str = ""
    is_off: bool = False


@dataclass(frozen=True)
class Seen:
    """What one look saw.

    Attributes:
        now: when it looked, UTC.
        signs: of daemon, schedule and sensors.
        ahead: the newest time in the future that Dagster has stored.
        newest: the newest stored minute, UTC.
        covered: whether an open incident says already why there is none newer.
        recovered: when daemon, schedule and sensors last came back, UTC: minutes take a while longer.
        published: the newest minute that the published file covers, UTC; None: nothing is published.
        unpublished: why it could not be published anew; empty: nobody has tried, or it worked.
        behind: whether an open incident says already that what is stored is not published.
        damaged: which tables are damaged and how, a line each; None: it could not be seen.
        mended: when damaged tables or the settings were last mended, UTC: what failed over them takes a while longer.
        free: free bytes where the data lie.
        clocks: by exchange, so many seconds this machine's clock is ahead of its.
        unreadable: why the settings cannot be read; empty: they can; None: nobody knows.
        failing: the names of sensors that have an open incident of their own, because they raise errors.
        since: from when on the watch has looked without a break, UTC; what is older may be so because nothing ran.
            None: it looks once, and takes what it sees as it is.
    """

    now: datetime
    signs: Sequence[Sign] = ()
    ahead: datetime | None = None
    newest: datetime | None = None
    covered: bool = False
    recovered: datetime | None = None
    published: datetime | None = None
    unpublished: str = ""
    behind: bool = False
    damaged: Sequence[str] | None = None
    mended: datetime | None = None
    free: int | None = None
    clocks: Mapping[str, float] = field(default_factory=dict)
    unreadable: str | None = None
    failing: Collection[str] = ()
    since: datetime | None = None


class Verdict(NamedTuple):
    """What is to be said of one kind: still, alive or unknown; in plain words; since when; may a restart mend it."""

    state: str
    reason: str = ""
    first: datetime | None = None
    restarts: bool = True


def judge(seen: Seen, limits: WatchSettings) -> dict[str, Verdict]:
    """Say of each kind whether it stands still."""
    limit = limits.standstill_minutes * MINUTE
    still = _still(seen, limit)
    evaluation, prices = _evaluation(seen, limit, still), _prices(seen, limit)
    # one stillness, one incident; but a sensor that stands still is not why no minute comes
    sensors_alone = seen.ahead is None and all(sign.name.startswith("the sensor") for sign in still)
    if evaluation.state == STILL and prices.state == STILL and not sensors_alone:
        prices = Verdict(UNKNOWN)
    return {
        EVALUATION: evaluation,
        PRICES: prices,
        PUBLICATION: _publication(seen, limit),
        STORAGE: _storage(seen),
        DISK: _disk(seen, limits),
        DIFFERENCE: _clock(seen, limits),
        SETTINGS: _settings(seen),
    }


def review(verdicts: Mapping[str, Verdict], recent: Iterable[Row], now: datetime) -> list[Row]:
    """Bring the incidents of standing still up to date.

    Args:
        verdicts: of each kind.
        recent: the rows of the table incidents that are open or were of late, of whichever cause.
        now: the current time, UTC.

    Returns:
        The rows that are new or changed.
    """
    ours = [row for row in recent if row["cause"] in CAUSES]
    ids = {row["id"] for row in ours}
    changed = []
    for kind, verdict in verdicts.items():
        opened = next((row for row in ours if row["state"] == "open" and kind_of(row) == kind), None)
        if verdict.state == STILL:
            row = _new(kind, verdict, ids, now) if opened is None else _grown(opened, verdict, now)
            if opened is None and _at_once(kind):
                row["flaps"] = ended(kind, ours, now, since=now - _FLAPS_WITHIN) is not None
            if row != opened:
                changed.append(row)
        elif verdict.state == ALIVE and opened is not None and not (opened["flaps"] and now - opened["last"] < _QUIET):
            changed.append({**opened, "state": "resolved", "resolved_at": now})
    return changed


def kind_of(row: Row) -> str:
    """Return the kind of an incident of standing still; of a sensor that fails, which one it is as well."""
    name = row["id"].split("|")[0]
    if name.startswith(f"{SENSOR} "):
        return str(name)
    return next((kind for kind, own in _ID.items() if own == name), EVALUATION)


def sensor_kind(sensor: str) -> str:
    """Return the kind of the incidents of a sensor that raises errors."""
    return f"{SENSOR} {sensor}"


def called(row: Row) -> str:
    """Return what an incident of standing still is called in messages."""
    kind = kind_of(row)
    return "failing sensor" if _is_sensor(kind) else _CALLED.get(kind, "standstill")


def _is_sensor(kind: str) -> bool:
    return kind.startswith(f"{SENSOR} ")


def _at_once(kind: str) -> bool:
    """Say whether a kind is told the first time that it is seen, and over the first time that it is not."""
    return kind in (PUBLICATION, SETTINGS) or _is_sensor(kind)


def _new(kind: str, verdict: Verdict, ids: set[str], now: datetime) -> Row:
    own = f"{_ID.get(kind, kind)}|{now:%Y-%m-%dT%H:%MZ}"
    while own in ids:  # the clock went back, and this minute is here again
        own += "+"
    first = floor_minute(min(verdict.first or now, now))
    last = floor_minute(now)
    return {
        "id": own,
        "state": "open",
        "cause": SENSOR_FAILS if _is_sensor(kind) else _CAUSE.get(kind, STANDSTILL),
        "reason": verdict.reason,
        "first": first,
        "last": last,
        "count": (last - first) // MINUTE + 1,
        "metrics": [],  # no minute is missed for it: those that are have incidents of their own
        "missing": 0,
        "opened_at": now,
        "resolved_at": None,
        "causes": None,
        "out": [],
        "told_out": None,
        "grown_at": first,
        "flaps": False,
        "exchange": None,
        "held_by": None,
        "transitions": 0,
    }


def _grown(row: Row, verdict: Verdict, now: datetime) -> Row:
    last = max(row["last"], floor_minute(now))
    return {**row, "reason": verdict.reason, "last": last, "count": (last - row["first"]) // MINUTE + 1}


def _evaluation(seen: Seen, limit: timedelta, still: Sequence[Sign]) -> Verdict:
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
    # no sign at all: Dagster's storage cannot be read, and nobody knows
    if seen.signs and all(sign.at is not None and seen.now - sign.at <= limit for sign in seen.signs):
        return Verdict(ALIVE)
    return Verdict(UNKNOWN)


def _still(seen: Seen, limit: timedelta) -> list[Sign]:
    """Return the parts that have given no sign of life for too long."""
    still = [sign for sign in seen.signs if (last := _last(sign.at, seen)) is None or seen.now - last > limit]
    # over damaged tables sensors fail, which is told already and no restart mends
    still = [sign for sign in still if not (seen.damaged and sign.trouble)]
    return [sign for sign in still if not _is_told(sign, seen)]


def _is_told(sign: Sign, seen: Seen) -> bool:
    """Say whether a sensor has told itself that it fails."""
    return bool(sign.trouble) and sign.name in {f"the sensor {name}" for name in seen.failing}


def failing_for_long(seen: Seen, limits: WatchSettings) -> Verdict | None:
    """Return what is to be said of sensors that have told themselves that they fail, and have failed for long."""
    untold = set(_still(seen, limits.standstill_minutes * MINUTE))
    told = [
        sign for sign in _still(replace(seen, failing=()), limits.standstill_minutes * MINUTE) if sign not in untold
    ]
    return Verdict(STILL, "; ".join(map(_described, told))) if told else None


def _prices(seen: Seen, limit: timedelta) -> Verdict:
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


def _publication(seen: Seen, limit: timedelta) -> Verdict:
    """Judge what people read: rows that are stored have to be published."""
    if seen.newest is None or seen.newest > seen.now:
        return Verdict(UNKNOWN)
    if seen.published is not None and seen.published >= seen.newest:
        return Verdict(ALIVE)
    if seen.behind:  # told already: it ends when everything is published
        return Verdict(STILL, said_of_publication(seen.published, seen.unpublished), seen.now)
    if seen.published is not None and seen.newest - seen.published <= limit:
        return Verdict(ALIVE)
    last = _last(None if seen.published is None else seen.published + 2 * MINUTE, seen)
    if seen.damaged or (last is not None and seen.now - last <= limit):
        return Verdict(UNKNOWN)
    return Verdict(STILL, said_of_publication(seen.published, seen.unpublished), last or seen.now)


def said_of_publication(published: datetime | None, why: str) -> str:
    """Say up to when people can read the prices, and why no further."""
    ends = "nothing is published" if published is None else f"what is published ends at {_utc(published)}"
    return f"{ends}, and what is stored since could not be published{f': {why}' if why else ''}"


def _settings(seen: Seen) -> Verdict:
    if seen.unreadable is None:
        return Verdict(UNKNOWN)
    return said_of_settings(seen.unreadable) if seen.unreadable else Verdict(ALIVE)


def over_by_now(rows: Iterable[Row], now: datetime) -> dict[str, Verdict]:
    """Return the sensors whose errors are over, of open incidents: Dagster evaluates some only when there is a run."""
    kinds = ((kind_of(row), row["last"]) for row in rows if row["state"] == "open")
    return {kind: Verdict(ALIVE) for kind, last in kinds if _is_sensor(kind) and now - last >= _QUIET}


def failing_sensors(rows: Iterable[Row]) -> frozenset[str]:
    """Return the names of the sensors that have an open incident of their own."""
    kinds = (kind_of(row) for row in rows if row["state"] == "open" and row["cause"] == SENSOR_FAILS)
    return frozenset(kind.removeprefix(f"{SENSOR} ") for kind in kinds)


def said_of_settings(trouble: str) -> Verdict:
    """Say that the settings cannot be read, and why."""
    return Verdict(
        STILL, f"{trouble}: ticks fail until it is put right; alarms go on by the last settings that could be read"
    )


def ended(kind: str, rows: Iterable[Row], now: datetime, since: datetime | None = None) -> datetime | None:
    """Return when an incident of a kind last ended: now, while one is open; None: it did not, or before ``since``."""
    ours = [row for row in rows if row["cause"] in CAUSES and kind_of(row) == kind]
    if any(row["state"] == "open" for row in ours):
        return now
    last = max((row["resolved_at"] for row in ours if row["resolved_at"] <= now), default=None)
    return None if since is not None and last is not None and last < since else last


def _storage(seen: Seen) -> Verdict:
    if seen.damaged is None:
        return Verdict(UNKNOWN)
    return said_of_storage(seen.damaged) if seen.damaged else Verdict(ALIVE)


def said_of_storage(damaged: Sequence[str]) -> Verdict:
    """Say which tables are damaged, a line each."""
    return Verdict(STILL, "; ".join(damaged))


def _disk(seen: Seen, limits: WatchSettings) -> Verdict:
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


def _clock(seen: Seen, limits: WatchSettings) -> Verdict:
    if not seen.clocks:
        return Verdict(UNKNOWN)
    wrong = {name: ahead for name, ahead in seen.clocks.items() if abs(ahead) > limits.clock_seconds}
    if not wrong:
        return Verdict(ALIVE)
    return Verdict(
        STILL,
        f"{'; '.join(said_of_clock(name, ahead) for name, ahead in sorted(wrong.items()))}: a wrong clock makes wrong "
        "minutes; set it (timedatectl set-ntp true)",
        seen.now,
    )


def said_of_clock(exchange: str, ahead: float) -> str:
    """Say how far this machine's clock is from an exchange's."""
    seconds = abs(ahead)
    far = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:,.0f} minutes"
    return f"this machine's clock is {far} {'ahead of' if ahead > 0 else 'behind'} {exchange}'s"


def _last(at: datetime | None, seen: Seen) -> datetime | None:
    """Return the newest time at which something was well, as far as this watch can tell."""
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
