"""The minutes of a range, whole: recent ones from candles, older ones by their range or from trades. Ticks go first."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, floor_minute, minutes_in, overlaps
from pricetracker_dagster.candles.validate import Answer
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
    work = _Work(settings, store.prices, collected, wanted, on_progress)
    groups = by_exchange(settings.tracked)
    if len(groups) == 1:
        [(name, metrics)] = groups.items()
        work.of_exchange(name, metrics)
    else:  # one that is slow or in trouble delays no other
        _side_by_side([partial(work.of_exchange, name, metrics) for name, metrics in groups.items()])
    # where something went wrong, an absent beginning is not the time before the first trade
    asked = {metric: first if metric in collected.causes else None for metric in collected.metrics}
    collected.missing = coverage.missing(store.prices, asked, first, last)
    with collected.noting_trouble("why minutes are missing was not noted"):
        store.records.causes.upsert(collected.causes_of_missing(collected.causes, datetime.now(UTC)))
    return collected


class _Work:
    """What a backfill does for each exchange. Threads share it: one at a time stores and notes."""

    def __init__(
        self,
        settings: Settings,
        prices: PriceTable,
        collected: Collected,
        wanted: Mapping[str, Sequence[MinuteRange]],
        on_progress: Callable[[int, int, str], object],
    ) -> None:
        self._settings = settings
        self._prices = prices
        self._collected = collected
        self._wanted = wanted
        self._on_progress = on_progress
        self._total = minutes_in(gap for gaps in wanted.values() for gap in gaps)
        self._done = 0
        self._one_at_a_time = threading.RLock()

    def of_exchange(self, name: str, metrics: Sequence[Metric]) -> None:
        """Fetch and store what is wanted of the metrics of one exchange."""
        with self._noting_errors(metrics):
            exchange = open_exchange(name, self._settings, low_priority=True)
            patience = Deadline.after(_PATIENCE_A_METRIC)
            now, _ = exchange_time(exchange, self._settings, self._collected, patience, lambda: datetime.now(UTC))
            pairs = exchange.pairs({metric.pair for metric in metrics}, patience)
            for metric in metrics:
                gaps = self._wanted.get(str(metric), [])
                with self._noting_errors([metric]):
                    try:
                        for count in self._fetch(exchange, metric, gaps, now):
                            self._tell(metric, count)
                    except PairUnknown as error:
                        raise with_its_place(error, metric, pairs, self._settings) from error
                with self._one_at_a_time:
                    self._done += minutes_in(gaps)
                    self._tell(metric, 0)

    def _tell(self, metric: Metric, count: int) -> None:
        """Tell how much is done, with ``count`` minutes of a metric that is not done yet."""
        with self._one_at_a_time:
            self._on_progress(min(self._done + count, self._total), self._total, str(metric))

    @contextmanager
    def _noting_errors(self, metrics: Sequence[Metric]) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            with self._one_at_a_time:
                self._collected.note_error(map(str, metrics), error)

    def _fetch(self, exchange: Exchange, metric: Metric, gaps: Sequence[MinuteRange], now: datetime) -> Iterator[int]:
        """Store the minutes of ``gaps``: recent ones from candles, others by history(). Yield how many are done."""
        prices, deadline = self._prices, Deadline.after(_PATIENCE_A_METRIC)
        edge = floor_minute(now) - exchange.reach
        recent = [MinuteRange(max(gap.first, edge), gap.last) for gap in gaps if gap.last >= edge]
        rest = [MinuteRange(gap.first, min(gap.last, edge - MINUTE)) for gap in gaps if gap.first < edge]
        done = 0
        if recent:
            since = max(edge, _provisional_since(prices, metric, recent[0].first))
            self._store(metric, [exchange.candles(metric.pair, since, deadline)], since)
            holes = prices.gaps([str(metric)], recent[0].first, recent[-1].last)
            rest += [part for hole in holes.get(str(metric), []) for part in overlaps(hole, recent)]
            done = minutes_in(gaps) - minutes_in(rest)
            yield done
        for gap in sorted(rest, reverse=True):
            first = _provisional_since(prices, metric, gap.first)
            for batch in batches(exchange.history(metric.pair, first, gap.last, deadline)):
                self._store(metric, batch, first)
                done += sum(validated.kept.num_rows for validated in batch)
                yield done

    def _store(self, metric: Metric, answers: Sequence[Answer], first: datetime) -> None:
        with self._one_at_a_time:
            store_answers(self._prices, self._collected, [(str(metric), answer) for answer in answers], first)


def _side_by_side(parts: Sequence[Callable[[], None]]) -> None:
    """Do some things at once, each in a thread, and raise what one of them raises.

    The threads are daemons, and are waited for in small steps: Ctrl-C ends the waiting, and with it the process.
    """
    raised: list[BaseException] = []

    def run(part: Callable[[], None]) -> None:
        try:
            part()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(part,), daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    while not raised and any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.1)
    if raised:
        raise raised[0]


def _provisional_since(prices: PriceTable, metric: Metric, gap: datetime) -> datetime:
    """Return the oldest of the minutes right before a gap that were stored right after their close; else the gap's.

    They may have been corrected since, and once the gap is filled no tick asks for them any more.
    """
    span = CORRECTED_MINUTES * MINUTE
    rows = prices.candles([str(metric)], gap - span + MINUTE, gap - MINUTE)
    minutes, fetched = (rows.column(name).to_pylist() for name in ("minute", "fetched_at"))
    return min([minute for minute, at in zip(minutes, fetched, strict=True) if at < minute + span], default=gap)
