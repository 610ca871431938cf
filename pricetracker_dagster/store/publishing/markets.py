"""The table ``markets``: what exchanges say of the same market, from the merged partials and the closes of 24 hours.

What is compared with what: in each minute the close of each metric with the mean of the closes of all metrics of its
market that have this minute, weighted by their volumes over the whole 24 hours (a minute's own is often 0). So whoever
stands still is compared as of its own newest minute, not with prices that came later; who is alone in a minute, with
nobody. Which market a metric is of is market_names.py's.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.markets import Market
from pricetracker_dagster.candles.minutes import MinuteRange
from pricetracker_dagster.store.market_names import MarketNames
from pricetracker_dagster.store.publishing.closes import closes_of
from pricetracker_dagster.store.publishing.kept_hours import KeptHour, PastHours
from pricetracker_dagster.store.publishing.partials import Numbers, Partials, array, texts

_BASIS_POINTS = 10_000
_PRICE, _VOLUME = 0, 1
"""Their places among the measures."""


class _Named(NamedTuple):
    """A metric in its market: ``place`` is its own among the merged partials."""

    market: str
    metric: str
    place: int
    own: Market


class _Deviations(NamedTuple):
    """Of each metric its deviation in its newest minute that can be compared, and the largest; NaN and 0: none."""

    weighted_price: Numbers
    deviation: Numbers
    deviation_minute: Numbers
    largest: Numbers
    largest_minute: Numbers

    @classmethod
    def none(cls, size: int) -> Self:
        """Return that of metrics none of which is compared."""
        nan, zero = np.full(size, np.nan), np.zeros(size, np.int32)
        return cls(nan, nan.copy(), zero, nan.copy(), zero.copy())


def fill_markets(
    merged: Partials,
    names: MarketNames,
    tracked: Sequence[str] | None,
    hours: Sequence[KeptHour],
    window: MinuteRange,
    past: PastHours,
) -> None:
    """Fill ``markets`` of the database that is being built.

    Args:
        merged: the partials of the whole window.
        names: how markets are told apart.
        tracked: of which metrics; None: of all that have a minute in the window.
        hours: those of the window, as they are kept.
        window: the 24 hours.
        past: the file that is being filled, and the files of past hours.
    """
    rows = _named(merged, names, tracked)
    if not rows:
        return
    _, sizes = np.unique([row.market for row in rows], return_counts=True)
    places = np.array([row.place for row in rows], np.int32)
    metrics = merged.metrics.take(array(places))
    volumes = merged.counts[0, places] * merged.mean[_VOLUME, places]
    found = _Deviations.none(len(rows))
    several = np.flatnonzero(np.repeat(sizes, sizes) > 1).astype(np.int32)
    if len(several):
        closes = closes_of(metrics.take(array(several)), hours, window, past)
        for column, compared in zip(found, _deviations(closes, volumes[several], sizes[sizes > 1]), strict=True):
            column[several] = compared
    with np.errstate(invalid="ignore", divide="ignore"):
        share = volumes / np.repeat(np.add.reduceat(volumes, np.cumsum(sizes) - sizes), sizes)
    numbers = {"last_price": merged.newest[_PRICE, places], "last_minute": merged.last[0, places]}
    columns = {
        "market": texts([row.market for row in rows]),
        "exchange": texts([row.metric.partition(":")[0] for row in rows]),
        "metric": metrics,
        "base": texts([row.own.base for row in rows]),
        "quote": texts([row.own.quote or "" for row in rows]),
        **{name: array(each) for name, each in {**numbers, "volume": volumes, "share": share}.items()},
        **{name: array(each) for name, each in found._asdict().items()},
    }
    largest_first = np.lexsort((-volumes, np.repeat(np.arange(len(sizes)), sizes))).astype(np.int32)
    batch = pa.RecordBatch.from_arrays([*columns.values()], [*columns]).take(array(largest_first))
    past.connection.register("of_markets", batch)
    past.connection.execute(sql.load("store/publishing/sql/markets.sql"))
    past.connection.unregister("of_markets")


def _named(merged: Partials, names: MarketNames, tracked: Sequence[str] | None) -> list[_Named]:
    """Return the metrics by market and name: in the same order each minute, in which their closes are kept."""
    wanted = None if tracked is None else frozenset(tracked)
    rows = []
    for place, (metric, observations) in enumerate(
        zip(merged.metrics.to_pylist(), merged.counts[0].tolist(), strict=True)
    ):
        if observations and (wanted is None or metric in wanted):
            own = names.own(metric)
            rows.append(_Named(names.group(own), metric, place, own))
    return sorted(rows, key=lambda row: (row.market, row.metric))


def _deviations(closes: Iterable[tuple[int, Numbers]], weights: Numbers, sizes: Numbers) -> _Deviations:
    """Compare the metrics of markets that have several.

    Args:
        closes: of each hour its first minute, and metrics x minutes, oldest first.
        weights: of each metric.
        sizes: how many metrics each market has.
    """
    begins = np.cumsum(sizes) - sizes
    market = np.repeat(np.arange(len(sizes)), sizes)
    found = _Deviations.none(len(weights))
    every = np.arange(len(weights))
    for begin, prices in closes:
        weighted = _weighted(prices, weights, begins, market)[market]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            deviations = prices - weighted
            deviations /= weighted
            sizes_of = np.abs(deviations)
        there = sizes_of < np.inf
        newest = there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
        some = there[every, newest]
        found.weighted_price[some] = weighted[every, newest][some]
        found.deviation[some] = deviations[every, newest][some]
        found.deviation_minute[some] = (begin + newest)[some]
        if not there.all():
            sizes_of[~there] = -1.0
        first = sizes_of.argmax(axis=1)
        larger = some & ~(sizes_of[every, first] <= np.abs(found.largest))
        found.largest[larger] = deviations[every, first][larger]
        found.largest_minute[larger] = (begin + first)[larger]
    return found._replace(deviation=found.deviation * _BASIS_POINTS, largest=found.largest * _BASIS_POINTS)


def _weighted(prices: Numbers, weights: Numbers, begins: Numbers, market: Numbers) -> Numbers:
    """Return the weighted mean of each market in each minute; NaN where fewer than two metrics have it.

    Where nothing was traded in 24 hours it is the plain mean; of equal prices it is that price, exactly.
    """
    there = prices == prices  # NaN is not itself; quicker than ~np.isnan()
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if there.all():  # mostly
            some = prices[begins]
            parts = (prices - some[market]) * _parts(weights, begins, market)[:, None]
            return some + np.add.reduceat(parts, begins, axis=0)
        some = np.fmin.reduceat(prices, begins, axis=0)
        above = np.where(there, prices - some[market], 0.0)
        heavy = np.where(there, weights[:, None], 0.0)
        total = np.add.reduceat(heavy, begins, axis=0)
        count = np.add.reduceat(there, begins, axis=0, dtype=np.int32)
        mean = np.add.reduceat(heavy * above, begins, axis=0) / total
        if (weightless := (total == 0) & (count > 1)).any():
            mean = np.where(weightless, np.add.reduceat(above, begins, axis=0) / count, mean)
        return np.where(count > 1, some + mean, np.nan)


def _parts(weights: Numbers, begins: Numbers, market: Numbers) -> Numbers:
    """Return each metric's part of its market, where all have a price; equal parts where nothing was traded."""
    total = np.add.reduceat(weights, begins)[market]
    return np.where(total > 0, weights / total, 1 / np.bincount(market)[market])
