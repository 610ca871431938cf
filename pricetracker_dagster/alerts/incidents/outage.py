"""One incident while it is reviewed: which minutes belong to it, and its row of the table incidents after that.

Which incident a missed minute comes to is decided in review.py.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pricetracker_dagster.alerts.incidents.model import OPEN, RESOLVED, Missed, ReviewContext, exchange_of, incident_id
from pricetracker_dagster.alerts.incidents.whole_exchange import exchange_after
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, minutes_in
from pricetracker_dagster.store.records import NOT_RUN, Row

_NO_REASON = "no tick was run for them"

_FLAPS_FROM = 3
"""An incident flaps when its minutes are missed for so many separate times."""


@dataclass(eq=False)
class Outage:
    """An incident while it is reviewed."""

    row: Row
    """As it is recorded; empty: it is new."""
    context: ReviewContext
    first: datetime
    """The oldest missed minute, UTC."""
    last: datetime
    """The newest, UTC."""
    grown_at: datetime
    """The newest minute in which a metric joined, UTC."""
    extents: dict[str, MinuteRange] = field(default_factory=dict)
    """By metric, its oldest and newest missed minute that are known."""
    parts: list[Missed] = field(default_factory=list)

    @classmethod
    def recorded(cls, row: Row, context: ReviewContext) -> "Outage":
        """Begin with a row; one of an earlier version does not know when it grew."""
        outage = cls(row, context, row["first"], row["last"], row.get("grown_at") or row["last"])
        if outage.first < context.oldest:  # what was before is not looked at: each metric may have been out until then
            before = context.oldest - MINUTE
            outage.extents = dict.fromkeys(row["metrics"], MinuteRange(outage.first, min(before, outage.last)))
        return outage

    @property
    def is_open(self) -> bool:
        """Whether it is new or recorded as open."""
        return bool(self.row.get("state", OPEN) == OPEN)

    @property
    def exchanges(self) -> set[str]:
        """Those of its metrics."""
        return {exchange_of(metric) for metric in (*self.extents, *self.row.get("metrics", ()))}

    def covers(self, metric: str, found: Missed) -> bool:
        """Say whether minutes of a metric that it names are recorded in it.

        They are within its time. But the metric may have come back and be missed anew; then its minutes are its only
        where it joined again.
        """
        if not self.first <= found.first <= found.last <= self.last:
            return False
        own, lately = self.extents.get(metric), 2 * self.context.resolve_after
        return found.first <= self.grown_at or (own is not None and found.first <= own.last + lately)

    def is_near(self, metric: str, found: Missed) -> bool:
        """Say whether a metric is out in it at that time, or has left it lately."""
        own, lately = self.extents.get(metric), 2 * self.context.resolve_after
        if own is None or not self.lasts(found):
            return False
        return own.first - lately <= found.last and found.first <= own.last + lately

    def lasts(self, found: Missed) -> bool:
        """Say whether it is not over yet when those minutes are missed."""
        after = self.context.resolve_after
        return self.first - after <= found.last and found.first <= self.last + after

    def grows(self, found: Missed) -> bool:
        """Say whether it began or has grown lately when those minutes are missed."""
        return any(abs(found.first - moment) <= self.context.resolve_after for moment in (self.first, self.grown_at))

    def take(self, found: Missed, metrics: Sequence[str], *, is_new: bool, joins: bool = False) -> None:
        """Let minutes of some metrics belong to it."""
        self.first, self.last = min(self.first, found.first), max(self.last, found.last)
        if joins:
            self.grown_at = max(self.grown_at, found.first)
        for metric in metrics:
            own = self.extents.get(metric, found.span)
            self.extents[metric] = MinuteRange(min(own.first, found.first), max(own.last, found.last))
        self.parts.append(replace(found, metrics=metrics, is_new=is_new))

    @property
    def missing(self) -> int:
        """How many minutes of metrics are missing still."""
        return sum(part.span.length * len(part.metrics) for part in self.parts if part.absent)

    def row_after(self, taken: Collection[str]) -> Row:
        """Return its row as it is after the review; ``taken`` are the ids of others."""
        row = self.row
        if row.get("state") == RESOLVED:
            healed = self.first >= self.context.oldest and self.missing < row["missing"]
            return {**row, "missing": self.missing} if healed else row
        out, causes = self._out(), self._causes()
        cause = next(iter(causes), row.get("cause", NOT_RUN))
        return {
            "id": row.get("id") or incident_id(cause, self.first, taken),
            "state": OPEN if out else RESOLVED,
            "cause": cause,
            "reason": self._reason(cause) or (row["reason"] if row.get("cause") == cause else _NO_REASON),
            "first": self.first,
            "last": self.last,
            "count": self._count(),
            "metrics": sorted({*row.get("metrics", ()), *(metric for part in self.parts for metric in part.metrics)}),
            "missing": self.missing,
            "opened_at": row.get("opened_at", self.context.now),
            "resolved_at": None if out else self.context.now,
            "causes": json.dumps(causes) if causes else row.get("causes"),
            "out": out,
            "told_out": row.get("told_out"),
            "grown_at": self.grown_at,
            "flaps": bool(row.get("flaps")) or self._flaps(),
            "exchange": exchange_after(row, cause, out, self.last, self.parts, self.context),
            "held_by": row.get("held_by"),
            "transitions": row.get("transitions", 0),
        }

    def _out(self) -> list[str]:
        """Return the metrics that are out now."""
        last = {metric: own.last for metric, own in self.extents.items() if own.last >= self.context.oldest}
        if not self.parts and self.last <= self.context.newest:
            # its minutes came after all and were noted nowhere: what is recorded is all there is
            last = dict.fromkeys(self.row.get("out") or (), self.last)
        return sorted(
            metric
            for metric, minute in last.items()
            if minute >= self.context.since.get(metric, minute + MINUTE) and not self._is_back(metric, minute)
        )

    def _is_back(self, metric: str, last: datetime) -> bool:
        """Say whether enough minutes are stored since the last one that was missed."""
        until = last + self.context.resolve_after
        return until <= self.context.newest and all(span.first > until for span in self.context.waiting.get(metric, ()))

    def _causes(self) -> dict[str, int]:
        """Return how many minutes each cause was noted of, added over the metrics; most first, else as they came."""
        recorded: dict[str, int] = json.loads(self.row.get("causes") or "{}")
        is_whole = self.first >= self.context.oldest or not recorded
        counts: Counter[str] = Counter() if is_whole else Counter(recorded)
        began: dict[str, datetime] = {} if is_whole else dict.fromkeys(recorded, self.first)
        for part in self.parts:
            if is_whole or part.is_new:
                for noted in part.causes:
                    counts[noted.cause] += noted.minutes * len(part.metrics)
                    began[noted.cause] = min(began.get(noted.cause, noted.first), noted.first)
        if counts.total() < sum(recorded.values()):  # what was noted could not be read, or is gone
            return recorded
        return {cause: counts[cause] for cause in sorted(counts, key=lambda each: (-counts[each], began[each], each))}

    def _reason(self, cause: str) -> str | None:
        reasons = [
            (noted.last, part.metrics[0], noted.reason)
            for part in self.parts
            for noted in part.causes
            if noted.cause == cause and noted.reason
        ]
        return max(reasons)[-1] if reasons else None

    def _count(self) -> int:
        """Return how many minutes of the clock were missed."""
        recorded: int = self.row.get("count", 0)
        found = minutes_in(_merged(part.span for part in self.parts))
        if self.first >= self.context.oldest:
            return max(recorded, found)
        return recorded + found - minutes_in(_merged(part.span for part in self.parts if not part.is_new))

    def _flaps(self) -> bool:
        """Say whether it comes and goes. Minutes that may still come separate nothing, since they are unknown."""
        missed = _merged(part.span for part in self.parts)
        if len(missed) < _FLAPS_FROM:
            return False
        waiting = [span for metric in self.extents for span in self.context.waiting.get(metric, ())]
        whole = _merged([*missed, *waiting])
        return sum(any(span.first <= own.first <= span.last for own in missed) for span in whole) >= _FLAPS_FROM


def _merged(spans: Iterable[MinuteRange]) -> list[MinuteRange]:
    """Return the fewest ranges that hold the same minutes."""
    joined: list[MinuteRange] = []
    for span in sorted(spans):
        if joined and span.first <= joined[-1].last + MINUTE:
            joined[-1] = MinuteRange(joined[-1].first, max(joined[-1].last, span.last))
        else:
            joined.append(span)
    return joined
