"""Which minutes are expected of a metric, which of these are missing, and why: the one owner of this decision.

A metric's minutes are expected from when it is tracked or asked for, or from its first stored row on, whichever is
earlier. That row is looked for in the range and over seven days before it, since cost must not grow with history. A
minute without trades has a row and is never missing. Whether a missing minute may still come, and who is alarmed, is
decided in alerts/.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, overlaps
from pricetracker_dagster.store.prices import PriceTable
from pricetracker_dagster.store.records import RecordTable

FIRST_ROW_WITHIN = timedelta(days=7)
"""How long before a range a metric's first row is looked for."""

Gaps = dict[str, list[MinuteRange]]
"""By metric its missing minutes, oldest first; a metric that lacks none has no entry."""


class Look(NamedTuple):
    """What a look into the store shows of a range: each metric's newest stored minute in it, and what is missing."""

    newest: dict[str, datetime]
    missing: Gaps


class Cause(NamedTuple):
    """Why a minute is missing: the kind, as in the table ``causes``, and the reason in plain words."""

    cause: str
    reason: str

    def __str__(self) -> str:
        """Return both as a line shows them."""
        return f"{self.cause}: {self.reason}" if self.reason else self.cause


def missing(prices: PriceTable, since: Mapping[str, datetime | None], first: datetime, last: datetime) -> Gaps:
    """Return the minutes from ``first`` to ``last``, UTC, that are expected and have no row.

    Args:
        prices: what is stored.
        since: the metrics to look at, each with the minute from which on it is tracked or was asked for, UTC;
            None where that is not known.
        first: the oldest minute.
        last: the newest minute, which is closed.
    """
    return look(prices, since, first, last).missing


def look(
    prices: PriceTable,
    since: Mapping[str, datetime | None],
    first: datetime,
    last: datetime,
    *,
    keep: bool = False,
) -> Look:
    """Return the same, and each metric's newest stored minute from ``first`` to ``last``; ``keep`` is for ticks."""
    newest, gaps = prices.newest_and_gaps(list(since), first, last, keep=keep)
    return Look(newest, expected(gaps, prices, since, first))


def expected(gaps: Gaps, prices: PriceTable, since: Mapping[str, datetime | None], first: datetime) -> Gaps:
    """Return those of some minutes without a row that are expected: missing() for whoever has the gaps already.

    The lists of ``gaps`` may be changed. They are of minutes from ``first`` on, oldest first.
    """
    # of a metric that begins in the range, the minutes before are none of its gaps
    late = {metric: begin for metric, begin in since.items() if metric in gaps and (begin is None or begin > first)}
    leading = [metric for metric in late if gaps[metric][0].first == first]
    begun = prices.newest(leading, first - FIRST_ROW_WITHIN, first - MINUTE) if leading else {}
    for metric in leading:
        if metric not in begun:
            begin, (_, end) = late[metric], gaps[metric].pop(0)
            if begin is not None and begin <= end:
                gaps[metric].insert(0, MinuteRange(begin, end))
    return {metric: of_metric for metric, of_metric in gaps.items() if of_metric}


def still_missing(prices: PriceTable, gaps: Mapping[str, Sequence[MinuteRange]]) -> Gaps:
    """Return those of some missing minutes that have no row yet: rows come, and none goes."""
    if not gaps:
        return {}
    first = min(of_metric[0].first for of_metric in gaps.values())
    now = prices.gaps([*gaps], first, max(of_metric[-1].last for of_metric in gaps.values()))
    left = {
        metric: [part for gap in gaps[metric] for part in overlaps(gap, of_metric)] for metric, of_metric in now.items()
    }
    return {metric: of_metric for metric, of_metric in left.items() if of_metric}


def missing_of_day(prices: PriceTable, since: Mapping[str, datetime | None], last: datetime) -> Gaps:
    """Return the same for the 24 hours up to ``last``: what the published file, the checks and the status tell."""
    return missing(prices, since, last - DAY + MINUTE, last)


def causes(
    table: RecordTable, first: datetime, noted_since: datetime | None = None
) -> dict[tuple[str, datetime], Cause]:
    """Return what the table ``causes`` notes of missing minutes from ``first`` on, UTC, by metric and minute.

    What was noted before ``noted_since``, UTC, does not count. What is absent no tick has asked for.
    """
    rows = [row for row in table.rows(first) if noted_since is None or row["noted_at"] >= noted_since]
    return {(row["metric"], row["minute"]): Cause(row["cause"], row["reason"]) for row in rows}


def said_of(metric: str, gaps: Sequence[MinuteRange], reason: str) -> str:
    """Return a line that a person reads: which metric lacks which minutes, and why."""
    return f"{metric}: {', '.join(map(str, gaps[:5]))}{' …' if len(gaps) > 5 else ''} missing: {reason}"
