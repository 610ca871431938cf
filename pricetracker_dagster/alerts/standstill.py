"""What stands still: from signs of life to rows of the table incidents.

Pure: what was seen comes in, verdicts and rows go out. Missed minutes are incidents.py's business; these incidents are
of what should bring them: the daemon, its schedule and sensors, the newest stored minute, the tables, free disk, the
clock. Each kind has one incident at a time, however many of its parts stand still.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from pricetracker_dagster.candles import MINUTE, floor_minute
from pricetracker_dagster.settings import WatchSettings
from pricetracker_dagster.store.records import Row

STANDSTILL, CLOCK = "standstill", "clock"
CAUSES = frozenset({STANDSTILL, CLOCK})
"""The causes of incidents that are about no missed minute."""

EVALUATION, PRICES, PUBLICATION = "evaluation", "prices", "publication"
STORAGE, DISK, DIFFERENCE = "storage", "disk", "difference"
_ID = {
    EVALUATION: "standstill",
    PRICES: "standstill of prices",
    PUBLICATION: "standstill of publication",
    STORAGE: "standstill: storage",
    DISK: "standstill: disk",
    DIFFERENCE: "clock",
}

STILL, ALIVE, UNKNOWN = "still", "alive", "unknown"

AHEAD = timedelta(seconds=10)
"""A time further in the future than this was stored by a clock that was ahead."""

_ROOM = 1.1
"""Free disk is enough again when it is so much more than the limit: it does not come and go each minute."""


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
        damaged: which tables are damaged and how, a line each; None: it could not be seen.
        mended: when damaged tables were last mended, UTC: what failed over them takes a while longer.
        free: free bytes where the data lie.
        clocks: by exchange, so many seconds this machine's clock is ahead of its.
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
    damaged: Sequence[str] | None = None
    mended: datetime | None = None
    free: int | None = None
    clocks: Mapping[str, float] = field(default_factory=dict)
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
            if row != opened:
                changed.append(row)
        elif verdict.state == ALIVE and opened is not None:
            changed.append({**opened, "state": "resolved", "resolved_at": now})
    return changed


def kind_of(row: Row) -> str:
    """Return the kind of an incident of standing still."""
    name = row["id"].split("|")[0]
    return next((kind for kind, own in _ID.items() if own == name), EVALUATION)


def _new(kind: str, verdict: Verdict, ids: set[str], now: datetime) -> Row:
    own = f"{_ID[kind]}|{now:%Y-%m-%dT%H:%MZ}"
    while own in ids:  # the clock went back, and this minute is here again
        own += "+"
    first = floor_minute(min(verdict.first or now, now))
    last = floor_minute(now)
    return {
        "id": own,
        "state": "open",
        "cause": CLOCK if kind == DIFFERENCE else STANDSTILL,
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
    return [sign for sign in still if not (seen.damaged and sign.trouble)]


def _prices(seen: Seen, limit: timedelta) -> Verdict:
    ended = None if seen.newest is None else seen.newest + MINUTE
    if ended is not None and timedelta() <= seen.now - ended <= limit:
        return Verdict(ALIVE)
    last = max((moment for moment in (_last(ended, seen), seen.recovered) if moment is not None), default=None)
    # a minute more: where all is well the newest is a minute old just before the next, and what stands still for the
    # same cause as schedule and sensors is seen there first
    if seen.covered or seen.damaged or (last is not None and seen.now - last <= limit + MINUTE):
        return Verdict(UNKNOWN)
    newest = "no minute was ever stored" if seen.newest is None else f"the newest stored minute is {_utc(seen.newest)}"
    return Verdict(STILL, f"{newest}, and for more than {_minutes(limit)} none has come", last or seen.now)


def _publication(seen: Seen, limit: timedelta) -> Verdict:
    """Judge what people read: rows that are stored have to be published."""
    if seen.newest is None or seen.newest > seen.now:
        return Verdict(UNKNOWN)
    if seen.published is not None and seen.newest - seen.published <= limit:
        return Verdict(ALIVE)
    last = _last(None if seen.published is None else seen.published + 2 * MINUTE, seen)
    if seen.damaged or (last is not None and seen.now - last <= limit):
        return Verdict(UNKNOWN)
    ends = "nothing is published" if seen.published is None else f"what is published ends at {_utc(seen.published)}"
    why = f": {seen.unpublished}" if seen.unpublished else ""
    reason = f"{ends}, and what is stored since could not be published for more than {_minutes(limit)}{why}"
    return Verdict(STILL, reason, last or seen.now)


def ended(kind: str, rows: Iterable[Row], now: datetime) -> datetime | None:
    """Return when an incident of a kind last ended: now, while one is open."""
    ours = [row for row in rows if row["cause"] in CAUSES and kind_of(row) == kind]
    if any(row["state"] == "open" for row in ours):
        return now
    return max((row["resolved_at"] for row in ours if row["resolved_at"] <= now), default=None)


def _storage(seen: Seen) -> Verdict:
    if seen.damaged is None:
        return Verdict(UNKNOWN)
    return Verdict(STILL, "; ".join(seen.damaged), seen.now) if seen.damaged else Verdict(ALIVE)


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
    mended = None if seen.damaged else seen.mended
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
