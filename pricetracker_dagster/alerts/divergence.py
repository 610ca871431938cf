"""What a price is compared with by a rule of kind divergence: the others of its market, but for exchanges that are out.

Here belongs what is read and known for that. The comparison itself is sql/judge_divergence.sql, run by rules.py.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from pricetracker_dagster.candles.minutes import MinuteRange, newest_closed_minute
from pricetracker_dagster.settings import DIVERGENCE, AlertRule
from pricetracker_dagster.store.market_names import MarketNames
from pricetracker_dagster.store.store import Store

_UNTIL_NOW = datetime(9999, 12, 31, tzinfo=UTC)


class Outage(NamedTuple):
    """Minutes, UTC, in which an exchange was out as a whole: its prices neither diverge nor count among the others."""

    exchange: str
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Compared:
    """Which metrics are compared with each other, and what of them does not count."""

    markets: Mapping[str, str] = field(default_factory=dict)
    """The market of each metric; one that is not named is not judged."""
    outages: Sequence[Outage] = ()

    def parameters(self) -> dict[str, object]:
        """Return them as parameters of a statement."""
        return {
            "markets": [{"metric": metric, "market": market} for metric, market in self.markets.items()],
            "outages": [outage._asdict() for outage in self.outages],
        }


def has_divergence(rules: Iterable[AlertRule]) -> bool:
    """Say whether any rule compares exchanges."""
    return any(rule.kind == DIVERGENCE for rule in rules)


def compared_in(store: Store, metrics: Collection[str], first: datetime, last: datetime) -> Compared:
    """Return what metrics are compared with in the minutes ``first`` to ``last``, UTC: with each other."""
    return Compared(markets_of(store, metrics), _outages(store, first, last))


def markets_of(store: Store, metrics: Iterable[str]) -> dict[str, str]:
    """Return the market of each metric in which it is compared."""
    names = MarketNames.known_in(store)
    return {metric: names.compared(metric) for metric in metrics}


def with_others(changed: Mapping[str, MinuteRange], markets: Mapping[str, str]) -> dict[str, MinuteRange]:
    """Return what has changed with all others of the same markets: these are compared with it."""
    spans: dict[str, list[MinuteRange]] = {}
    for metric, span in changed.items():
        spans.setdefault(markets[metric], []).append(span)
    found = dict(changed)
    for metric, market in markets.items():
        if own := spans.get(market):
            found[metric] = MinuteRange(min(span.first for span in own), max(span.last for span in own))
    return found


def _outages(store: Store, first: datetime, last: datetime) -> list[Outage]:
    """Return when exchanges were out as a whole: from the first missed minute to the newest at the incident's end."""
    rows = store.records.incidents.rows(
        None,
        "exchange IS NOT NULL AND first <= $last AND (resolved_at IS NULL OR resolved_at >= $first)",
        first=first,
        last=last,
    )
    ends = [newest_closed_minute(row["resolved_at"]) if row["resolved_at"] else _UNTIL_NOW for row in rows]
    return [Outage(row["exchange"], row["first"], end) for row, end in zip(rows, ends, strict=True)]
