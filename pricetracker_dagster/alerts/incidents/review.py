"""From missed minutes to incidents: one outage, as a person sees it, is one.

Pure: what is missed comes in, rows of the table incidents go out. Which minutes are missed, missed.py says; who is told
what of it is not said here either.

Minutes belong together by whose they are and when, not by what was said of them. A metric that is missed belongs to the
open incident in which it is out or which it left lately. Metrics that are missed anew join an incident only while that
one grows; so a pair that is broken for hours swallows nobody's outage. A metric is back after so many stored minutes in
a row, and an incident is over when nobody is out.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange
from pricetracker_dagster.store.records import MISTAKE, NOT_RUN, NOT_STORED, RUN_FAILED, Row

OPEN, RESOLVED = "open", "resolved"

OURS = frozenset({NOT_RUN, RUN_FAILED, NOT_STORED, MISTAKE})
"""The causes that lie in this machine: they are of no exchange."""

_MAINTENANCE = "exchange maintenance"

_NOBODY_SAID = "no tick was run for them"

_FLAPS_FROM = 3
"""An incident flaps when its minutes are missed for so many separate times."""

_ITS_TIME = (": Time: ", ": by its clock it is ", "'s clock says ")
"""What follows an exchange's name where its time could not be had, or is not ours: then none of its minutes can."""

_OF_A_MARKET = re.compile(r": \w+ of \w+: ")
"""What an exchange says of one market: that may be closed while all others go on."""


class Noted(NamedTuple):
    """What was noted of the minutes of one cause.

    Attributes:
        cause: the cause.
        minutes: how many minutes of each metric.
        first: the oldest of them, UTC.
        last: the newest, UTC.
        reason: the newest that was said of them, in plain words; None where nothing was.
    """

    cause: str
    minutes: int
    first: datetime
    last: datetime
    reason: str | None


@dataclass(frozen=True)
class Missed:
    """Consecutive minutes that are missed of some metrics. They lie in a recorded incident as a whole or not at all.

    Attributes:
        first: the oldest minute, UTC.
        last: the newest, UTC.
        metrics: whose minutes.
        causes: why, by cause, the one of the oldest minute first.
        absent: whether they are missing still; else they were healed.
    """

    first: datetime
    last: datetime
    metrics: Sequence[str]
    causes: Sequence[Noted]
    absent: bool


@dataclass(frozen=True)
class Known:
    """What else a review has to know.

    Attributes:
        now: the current time, UTC.
        newest: the newest closed minute, UTC.
        oldest: the oldest minute that was looked at, UTC.
        since: the tracked metrics, and from which minute on each is.
        waiting: by metric, minutes that are not there and may still come: not missed yet, but not stored either.
        resolve_after: after so long without a miss a metric is back.
        taken: the ids of all incidents that are recorded.
    """

    now: datetime
    newest: datetime
    oldest: datetime
    since: Mapping[str, datetime]
    waiting: Mapping[str, Sequence[MinuteRange]] = field(default_factory=dict)
    resolve_after: timedelta = 5 * MINUTE
    taken: Collection[str] = ()


def incident_id(cause: str, first: datetime) -> str:
    """Return the id of the incident that begins in a minute."""
    return f"{cause}|{first:%Y-%m-%dT%H:%MZ}"


def review(missed: Iterable[Missed], recorded: Sequence[Row], known: Known) -> list[Row]:
    """Bring incidents up to date with what is missed.

    Args:
        missed: all that was missed since ``known.oldest``, also what was healed or is recorded already.
        recorded: the rows of the table incidents that are open, or whose minutes are not older than that.
        known: what is tracked, what may still come, and the time.

    Returns:
        The rows that are new or changed. One that was over before anybody saw it is opened and resolved at once.
        ``missing`` of one that began before ``known.oldest`` tells of the minutes since then alone.
    """
    outages = [_Outage.recorded(row, known) for row in recorded]
    new = _assigned(_told_again(_uncovered(missed, outages, known), outages, known), outages, known)
    ids, rows = {*known.taken, *(row["id"] for row in recorded)}, []
    for outage in [*outages, *new]:
        row = outage.row_after(known, ids)
        if row is not None and row != outage.row:
            ids.add(row["id"])
            rows.append(row)
    return rows


class _Part(NamedTuple):
    """Missed minutes of those metrics whose minutes belong to one incident; whether they come to it now."""

    missed: Missed
    metrics: Sequence[str]
    is_new: bool

    @property
    def span(self) -> MinuteRange:
        return MinuteRange(self.missed.first, self.missed.last)


@dataclass(eq=False)
class _Outage:
    """An incident while it is reviewed.

    Attributes:
        row: as it is recorded; None: it is new.
        first: the oldest missed minute, UTC.
        last: the newest, UTC.
        grown_at: the newest minute in which a metric joined, UTC.
        extents: by metric, its oldest and newest missed minute that are known.
        parts: the minutes that belong to it.
    """

    row: Row | None
    first: datetime
    last: datetime
    grown_at: datetime
    extents: dict[str, MinuteRange] = field(default_factory=dict)
    parts: list[_Part] = field(default_factory=list)

    @classmethod
    def recorded(cls, row: Row, known: Known) -> "_Outage":
        """Begin with a row; one of an earlier version does not know when it grew."""
        outage = cls(row, row["first"], row["last"], row.get("grown_at") or row["last"])
        if outage.first < known.oldest:  # what was before is not looked at: each metric may have been out until then
            before = known.oldest - MINUTE
            outage.extents = dict.fromkeys(row["metrics"], MinuteRange(outage.first, min(before, outage.last)))
        return outage

    @property
    def is_open(self) -> bool:
        return self.row is None or self.row["state"] == OPEN

    @property
    def exchanges(self) -> set[str]:
        return {_exchange(metric) for metric in (*self.extents, *(self.row or {}).get("metrics", ()))}

    def covers(self, metric: str, found: Missed, resolve_after: timedelta) -> bool:
        """Say whether minutes of a metric that it names are recorded in it.

        They are within its time. But the metric may have come back and be missed anew; then its minutes are its only
        where it joined again.
        """
        if not self.first <= found.first <= found.last <= self.last:
            return False
        own = self.extents.get(metric)
        return found.first <= self.grown_at or (own is not None and found.first <= own.last + 2 * resolve_after)

    def is_near(self, metric: str, found: Missed, resolve_after: timedelta) -> bool:
        """Say whether a metric is out in it at that time, or has left it lately."""
        own = self.extents.get(metric)
        return (
            own is not None
            and self.lasts(found, resolve_after)
            and own.first - 2 * resolve_after <= found.last
            and found.first <= own.last + 2 * resolve_after
        )

    def lasts(self, found: Missed, resolve_after: timedelta) -> bool:
        """Say whether it is not over yet when those minutes are missed."""
        return self.first - resolve_after <= found.last and found.first <= self.last + resolve_after

    def grows(self, found: Missed, resolve_after: timedelta) -> bool:
        """Say whether it began or has grown lately when those minutes are missed."""
        return any(abs(found.first - moment) <= resolve_after for moment in (self.first, self.grown_at))

    def take(self, found: Missed, metrics: Sequence[str], *, is_new: bool, joins: bool = False) -> None:
        """Let minutes of some metrics belong to it."""
        self.first, self.last = min(self.first, found.first), max(self.last, found.last)
        if joins:
            self.grown_at = max(self.grown_at, found.first)
        for metric in metrics:
            own = self.extents.get(metric)
            self.extents[metric] = (
                MinuteRange(found.first, found.last)
                if own is None
                else MinuteRange(min(own.first, found.first), max(own.last, found.last))
            )
        self.parts.append(_Part(found, metrics, is_new))

    def row_after(self, known: Known, taken: Collection[str]) -> Row | None:
        """Return its row as it is after the review."""
        if self.row is not None and self.row["state"] == RESOLVED:
            healed = self.first >= known.oldest and self.missing < self.row["missing"]
            return {**self.row, "missing": self.missing} if healed else self.row
        return self._brought_up_to_date(known, taken)

    @property
    def missing(self) -> int:
        return sum(part.span.length * len(part.metrics) for part in self.parts if part.missed.absent)

    def _brought_up_to_date(self, known: Known, taken: Collection[str]) -> Row:
        row, out = self.row or {}, self._out(known)
        causes = self._causes(known)
        cause = next(iter(causes), row.get("cause", NOT_RUN))
        reason = self._reason(cause) or (row["reason"] if row.get("cause") == cause else _NOBODY_SAID)
        before: Row = {
            "id": row.get("id") or _free_id(cause, self.first, taken),
            "opened_at": known.now,
            "held_by": None,
            "transitions": 0,
            "told_out": None,
            **row,
        }
        return {
            "id": before["id"],
            "state": OPEN if out else RESOLVED,
            "cause": cause,
            "reason": reason,
            "first": self.first,
            "last": self.last,
            "count": self._count(known),
            "metrics": sorted({*row.get("metrics", ()), *(metric for part in self.parts for metric in part.metrics)}),
            "missing": self.missing,
            "opened_at": before["opened_at"],
            "resolved_at": None if out else known.now,
            "causes": json.dumps(causes) if causes else row.get("causes"),
            "out": out,
            "told_out": before["told_out"],
            "grown_at": self.grown_at,
            "flaps": bool(row.get("flaps")) or self._flaps(known),
            "exchange": self._exchange_after(cause, out, known),
            "held_by": before["held_by"],
            "transitions": before["transitions"],
        }

    def _out(self, known: Known) -> list[str]:
        """Return the metrics that are out now."""
        last = {metric: own.last for metric, own in self.extents.items() if own.last >= known.oldest}
        if not self.parts and self.last <= known.newest:
            # its minutes came after all and were noted nowhere: what is recorded is all there is
            last = dict.fromkeys((self.row or {}).get("out") or (), self.last)
        return sorted(
            metric
            for metric, minute in last.items()
            if metric in known.since and minute >= known.since[metric] and not self._is_back(metric, minute, known)
        )

    def _is_back(self, metric: str, last: datetime, known: Known) -> bool:
        """Say whether enough minutes are stored since the last one that was missed."""
        until = last + known.resolve_after
        return until <= known.newest and all(span.first > until for span in known.waiting.get(metric, ()))

    def _causes(self, known: Known) -> dict[str, int]:
        """Return how many minutes each cause was noted of, added over the metrics; most first, else as they came."""
        row = self.row or {}
        recorded: dict[str, int] = json.loads(row["causes"]) if row.get("causes") else {}
        is_whole = self.first >= known.oldest or not recorded
        counts: Counter[str] = Counter() if is_whole else Counter(recorded)
        began: dict[str, datetime] = {} if is_whole else dict.fromkeys(recorded, self.first)
        for part in self.parts:
            if is_whole or part.is_new:
                for noted in part.missed.causes:
                    counts[noted.cause] += noted.minutes * len(part.metrics)
                    began[noted.cause] = min(began.get(noted.cause, noted.first), noted.first)
        if counts.total() < sum(recorded.values()):  # what was noted could not be read, or is gone
            return recorded
        return {cause: counts[cause] for cause in sorted(counts, key=lambda each: (-counts[each], began[each], each))}

    def _reason(self, cause: str) -> str | None:
        said = [
            (noted.last, part.metrics[0], noted.reason)
            for part in self.parts
            for noted in part.missed.causes
            if noted.cause == cause and noted.reason
        ]
        return max(said)[-1] if said else None

    def _count(self, known: Known) -> int:
        """Return how many minutes of the clock were missed."""
        recorded = 0 if self.row is None else int(self.row["count"])
        found = _minutes(part.span for part in self.parts)
        if self.first >= known.oldest:
            return max(recorded, found)
        return recorded + found - _minutes(part.span for part in self.parts if not part.is_new)

    def _flaps(self, known: Known) -> bool:
        """Say whether it comes and goes. Minutes that may still come part nothing: nobody knows."""
        missed = _joined(part.span for part in self.parts)
        if len(missed) < _FLAPS_FROM:
            return False
        waiting = [span for metric in self.extents for span in known.waiting.get(metric, ())]
        whole = _joined([*missed, *waiting])
        return sum(any(span.first <= own.first <= span.last for own in missed) for span in whole) >= _FLAPS_FROM

    def _exchange_after(self, cause: str, out: Sequence[str], known: Known) -> str | None:
        """Return the exchange that is out as a whole: no longer where most are back; at the end what was said last."""
        recorded: str | None = (self.row or {}).get("exchange")
        if not out and self.row is not None:
            return recorded
        name = recorded or self._exchange(cause, known)
        tracked = sum(_exchange(metric) == name for metric in known.since)
        is_still = 2 * sum(_exchange(metric) == name for metric in out) >= tracked
        of_all = any(
            noted.last == self.last and _is_of_all(noted, part) for part in self.parts for noted in part.missed.causes
        )
        return name if not out or is_still or of_all else None

    def _exchange(self, cause: str, known: Known) -> str | None:
        """Return the exchange that is out as a whole."""
        if cause in OURS or not self.parts:
            return None
        for part in self.parts:
            for noted in part.missed.causes:
                if _is_of_all(noted, part):
                    return _exchange(part.metrics[0])
        return self._mostly_out(known)

    def _mostly_out(self, known: Known) -> str | None:
        """Return the exchange of which more than half of the tracked metrics were out at once."""
        tracked = Counter(_exchange(metric) for metric in known.since)
        involved = Counter(_exchange(metric) for metric in self.extents if metric in known.since)
        if not any(_most(count, tracked[name]) for name, count in involved.items()):
            return None
        last: dict[str, datetime] = {}
        for first, parts in groupby(sorted(self.parts, key=lambda part: part.span), lambda part: part.span.first):
            for part in parts:
                for metric in part.metrics:
                    if metric in known.since:
                        last[metric] = max(part.span.last, last.get(metric, part.span.last))
            out = Counter(_exchange(metric) for metric, minute in last.items() if minute + known.resolve_after >= first)
            for name, count in out.most_common():
                if _most(count, tracked[name]):
                    return name
        return None


def _uncovered(missed: Iterable[Missed], outages: Sequence[_Outage], known: Known) -> list[Missed]:
    """Give each recorded incident the minutes that are its; return those that are nobody's."""
    naming: dict[str, list[_Outage]] = {}
    for outage in outages:
        for metric in outage.row["metrics"] if outage.row else ():
            naming.setdefault(metric, []).append(outage)
    for named in naming.values():
        named.sort(key=_by_age, reverse=True)
    loose: list[Missed] = []
    for found in sorted(missed, key=lambda each: (each.first, each.last)):
        owners: dict[_Outage | None, list[str]] = {}
        for metric in found.metrics:
            owner = _owner(metric, found, naming.get(metric, ()), known.resolve_after)
            owners.setdefault(owner, []).append(metric)
        for owner, metrics in owners.items():
            if owner is not None:
                owner.take(found, metrics, is_new=False)
            else:
                loose += _expected(found, metrics, known)
    return loose


def _owner(metric: str, found: Missed, named: Sequence[_Outage], resolve_after: timedelta) -> _Outage | None:
    """Return in which recorded incident minutes of a metric are, of those that name it, the youngest first."""
    covering = [each for each in named if each.covers(metric, found, resolve_after)]
    if len(covering) > 1:  # a metric may have left one and joined another while both lasted: it stays where it was
        stays = [each for each in covering if each.is_near(metric, found, resolve_after)]
        if stays:
            return max(stays, key=lambda each: each.extents[metric].last)
    return covering[0] if covering else None


def _told_again(loose: Sequence[Missed], outages: Iterable[_Outage], known: Known) -> list[Missed]:
    """Add the minutes that were there when an incident was over, and are gone again: that is news."""
    again = list(loose)
    for outage in outages:
        if outage.row is not None and not outage.is_open and outage.missing > outage.row["missing"]:
            for part in outage.parts:
                if part.missed.absent:
                    again += _expected(part.missed, part.metrics, known)
    return again


def _expected(found: Missed, metrics: Iterable[str], known: Known) -> list[Missed]:
    """Return the minutes of those metrics that were listed: what was before is nobody's, also where it was once."""
    listed = [each for each in metrics if each in known.since and found.first >= known.since[each]]
    return [Missed(found.first, found.last, listed, found.causes, found.absent)] if listed else []


def _by_age(outage: _Outage) -> tuple[datetime, datetime, str]:
    row = outage.row or {}
    return outage.first, row["opened_at"], row["id"]


def _assigned(loose: Iterable[Missed], outages: Iterable[_Outage], known: Known) -> list[_Outage]:
    """Give what is nobody's to the incident that it belongs to; return the new ones that this makes."""
    after = known.resolve_after
    living = [outage for outage in outages if outage.is_open]
    naming: dict[str, list[_Outage]] = {}
    for outage in living:
        for metric in outage.extents:
            naming.setdefault(metric, []).append(outage)
    new = []
    ordered = sorted(loose, key=lambda each: (each.first, each.last))
    for _, at_once in groupby(ordered, lambda each: each.first):
        rest: list[tuple[Missed, str, bool, list[str]]] = []
        for found in at_once:
            staying: dict[_Outage, list[str]] = {}
            joining: dict[str, list[str]] = {}
            for metric in found.metrics:
                near = [each for each in naming.get(metric, ()) if each.is_near(metric, found, after)]
                if near:
                    staying.setdefault(max(near, key=lambda each: each.extents[metric].last), []).append(metric)
                else:
                    joining.setdefault(_exchange(metric), []).append(metric)
            for outage, metrics in staying.items():
                outage.take(found, metrics, is_new=True)
            ours = found.causes[0].cause in OURS
            rest += [(found, exchange, ours, metrics) for exchange, metrics in joining.items()]
        for found, exchange, ours, metrics in rest:
            growing = [
                each
                for each in living
                if each.lasts(found, after) and each.grows(found, after) and (ours or exchange in each.exchanges)
            ]
            if growing:
                outage = max(growing, key=lambda each: (each.grown_at, each.first))
            else:
                outage = _Outage(None, found.first, found.last, found.first)
                living.append(outage)
                new.append(outage)
            outage.take(found, metrics, is_new=True, joins=True)
            for metric in metrics:
                naming.setdefault(metric, []).append(outage)
    return new


def _exchange(metric: str) -> str:
    return metric.partition(":")[0]


def _is_of_all(noted: Noted, part: _Part) -> bool:
    """Say whether what was noted is true of all metrics of an exchange: it is in maintenance, or has no time."""
    said = noted.reason or ""
    if noted.cause == _MAINTENANCE:
        return _OF_A_MARKET.search(said) is None
    name = _exchange(part.metrics[0])
    return noted.cause not in OURS and said.startswith(tuple(f"{name}{time}" for time in _ITS_TIME))


def _most(count: int, tracked: int) -> bool:
    return count > 1 and 2 * count > tracked


def _joined(spans: Iterable[MinuteRange]) -> list[MinuteRange]:
    """Return the fewest ranges that hold the same minutes."""
    joined: list[MinuteRange] = []
    for span in sorted(spans):
        if joined and span.first <= joined[-1].last + MINUTE:
            joined[-1] = MinuteRange(joined[-1].first, max(joined[-1].last, span.last))
        else:
            joined.append(span)
    return joined


def _minutes(spans: Iterable[MinuteRange]) -> int:
    return sum(span.length for span in _joined(spans))


def _free_id(cause: str, first: datetime, taken: Collection[str]) -> str:
    own = incident_id(cause, first)
    while own in taken:  # the clock went back, or what was healed is gone: this minute is missed once more
        own += "+"
    return own
