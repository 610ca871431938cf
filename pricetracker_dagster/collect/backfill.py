"""The minutes of a range, whole: recent ones from candles, older ones from trades. Gives way to ticks."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, floor_minute, minutes_in, overlaps
from pricetracker_dagster.collect.candles import CORRECTED_MINUTES, with_its_place
from pricetracker_dagster.collect.clocks import exchange_time
from pricetracker_dagster.collect.context import by_exchange
from pricetracker_dagster.collect.result import Collected
from pricetracker_dagster.collect.storing import batches, store_answers
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.exchanges.base import Exchange, PairUnknown
from pricetracker_dagster.exchanges.registry import open_exchange
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store import coverage
from pricetracker_dagster.store.prices import PriceTable
from pricetracker_dagster.store.store import open_store

_PATIENCE_A_METRIC = 3600.0
"""Seconds after which a backfill gives up a metric."""


def backfill(
    settings: Settings,
    first: datetime,
    last: datetime,
    *,
    refetch: bool = False,
    on_progress: Callable[[int, int, str], object] = lambda *_: None,
) -> Collected:
    """Store every minute from ``first`` to ``last`` of every tracked metric.

    Ticks go first. It stores as it goes, and asks only for what is missing, and again for the last minutes before that:
    stopped and called again, it goes on where it was.

    Args:
        settings: what to follow and whom to ask.
        first: the oldest minute, UTC.
        last: the newest minute, UTC; minutes that the exchange has not closed yet stay missing.
        refetch: ask also for the minutes that are stored, and correct what differs.
        on_progress: called with minutes done, minutes to do in all and the metric's name.

    Returns:
        What was stored and what is missing in the whole range. Minutes before a pair's first trade are not missing,
        nor are those that ``keep_days`` removes: nobody is asked for them.

    Raises:
        PricetrackerError: ``keep_days`` removes all of them.
    """
    kept_since = settings.kept_since(datetime.now(UTC))
    if kept_since is not None and last < kept_since:
        raise PricetrackerError(
            f"keep_days = {settings.keep_days} keeps no prices before {kept_since:%Y-%m-%d}: to fetch older ones, "
            "raise it or set it to 0"
        )
    first = max(first, kept_since or first)
    store = open_store(settings)
    collected = Collected.of(settings, last)
    whole = MinuteRange(first, last)
    wanted = (
        {metric: [whole] for metric in collected.metrics}
        if refetch
        else store.prices.gaps(collected.metrics, first, last)
    )
    total = minutes_in(gap for gaps in wanted.values() for gap in gaps)
    done = 0

    for name, metrics in by_exchange(settings.tracked).items():
        exchange = open_exchange(name, settings, low_priority=True)
        with collected.noting_errors(metrics):
            patience = Deadline.after(_PATIENCE_A_METRIC)
            now, _ = exchange_time(exchange, settings, collected, patience, lambda: datetime.now(UTC))
            pairs = exchange.pairs({metric.pair for metric in metrics}, patience)
            for metric in metrics:
                gaps = wanted.get(str(metric), [])
                with collected.noting_errors([metric]):
                    try:
                        for count in _fetch(exchange, store.prices, collected, metric, gaps, now):
                            on_progress(min(done + count, total), total, str(metric))
                    except PairUnknown as error:
                        raise with_its_place(error, metric, pairs, settings) from error
                done += minutes_in(gaps)
                on_progress(done, total, str(metric))
    # where something went wrong, an absent beginning is not the time before the first trade
    asked = {metric: first if metric in collected.causes else None for metric in collected.metrics}
    collected.missing = coverage.missing(store.prices, asked, first, last)
    with collected.noting_trouble("why minutes are missing was not noted"):
        store.records.causes.upsert(collected.causes_of_missing(collected.causes, datetime.now(UTC)))
    return collected


def _fetch(
    exchange: Exchange,
    prices: PriceTable,
    collected: Collected,
    metric: Metric,
    gaps: Sequence[MinuteRange],
    now: datetime,
) -> Iterator[int]:
    """Store the minutes of ``gaps``: recent ones from candles, the others from trades. Yield how many are done."""
    deadline = Deadline.after(_PATIENCE_A_METRIC)
    edge = floor_minute(now) - exchange.reach
    recent = [MinuteRange(max(gap.first, edge), gap.last) for gap in gaps if gap.last >= edge]
    rest = [MinuteRange(gap.first, min(gap.last, edge - MINUTE)) for gap in gaps if gap.first < edge]
    done = 0
    if recent:
        since = max(edge, _provisional_since(prices, metric, recent[0].first))
        validated = exchange.candles(metric.pair, since, deadline)
        store_answers(prices, collected, [(str(metric), validated)], since)
        holes = prices.gaps([str(metric)], recent[0].first, recent[-1].last)
        rest += [part for hole in holes.get(str(metric), []) for part in overlaps(hole, recent)]
        done = minutes_in(gaps) - minutes_in(rest)
        yield done
    for gap in sorted(rest, reverse=True):
        first = _provisional_since(prices, metric, gap.first)
        for batch in batches(exchange.history(metric.pair, first, gap.last, deadline)):
            store_answers(prices, collected, [(str(metric), validated) for validated in batch], first)
            done += sum(validated.kept.num_rows for validated in batch)
            yield done


def _provisional_since(prices: PriceTable, metric: Metric, gap: datetime) -> datetime:
    """Return the oldest of the minutes right before a gap that were stored right after their close; else the gap's.

    They may have been corrected since, and once the gap is filled no tick asks for them any more.
    """
    span = CORRECTED_MINUTES * MINUTE
    rows = prices.candles([str(metric)], gap - span + MINUTE, gap - MINUTE)
    minutes, fetched = (rows.column(name).to_pylist() for name in ("minute", "fetched_at"))
    return min([minute for minute, at in zip(minutes, fetched, strict=True) if at < minute + span], default=gap)
