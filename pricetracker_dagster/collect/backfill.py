"""The minutes of a range, whole: recent ones from candles, older ones by their range or from trades. Ticks go first."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, floor_minute, minutes_in, overlaps
from pricetracker_dagster.candles.validate import Answer, Unvalidated
from pricetracker_dagster.collect.candles import CORRECTED_MINUTES, with_its_place
from pricetracker_dagster.collect.clocks import exchange_time
from pricetracker_dagster.collect.context import by_exchange
from pricetracker_dagster.collect.intake import STORED_EVERY
from pricetracker_dagster.collect.result import Collected
from pricetracker_dagster.collect.storing import store_answers
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

_MAY_CHANGE = CORRECTED_MINUTES * MINUTE
"""A minute that was stored so soon after its beginning may have been corrected since."""

_ROWS = 20_000
"""Most rows that wait to be stored: those of 14 metrics and a day."""


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
    work = _Work(settings, store.prices, collected, whole, wanted, on_progress)
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
        whole: MinuteRange,
        wanted: Mapping[str, Sequence[MinuteRange]],
        on_progress: Callable[[int, int, str], object],
    ) -> None:
        self._settings = settings
        self._prices = prices
        self._collected = collected
        self._wanted = wanted
        self._on_progress = on_progress
        self._to_do = {metric: minutes_in(wanted.get(metric, [])) for metric in collected.metrics}
        self._done = dict.fromkeys(self._to_do, 0)
        self._all_done, self._total = 0, sum(self._to_do.values())
        self._one_at_a_time = threading.RLock()
        self._whole = whole
        self._horizon = whole.first - _MAY_CHANGE
        self._provisional = prices.stored_soon([*wanted], self._horizon, whole.last, _MAY_CHANGE)

    def of_exchange(self, name: str, metrics: Sequence[Metric]) -> None:
        """Fetch and store what is wanted of the metrics of one exchange: of all what candles reach, then the rest."""
        with self._noting_errors(metrics):
            exchange = open_exchange(name, self._settings, low_priority=True)
            patience = Deadline.after(_PATIENCE_A_METRIC)
            now, _ = exchange_time(exchange, self._settings, self._collected, patience, lambda: datetime.now(UTC))
            pairs = exchange.pairs({metric.pair for metric in metrics}, patience)
            edge = floor_minute(now) - exchange.reach
            waiting = _Waiting(self._store)

            def each(of: Sequence[Metric], ask: Callable[[Metric, Deadline], None]) -> list[Metric]:
                """Ask for some metrics and store what came; return those of which nothing went wrong."""
                well = []
                for metric in of:
                    with self._noting_errors([metric]):
                        try:
                            ask(metric, Deadline.after(_PATIENCE_A_METRIC))
                        except PairUnknown as error:
                            raise with_its_place(error, metric, pairs, self._settings) from error
                        well.append(metric)
                waiting.store()
                return well

            well = each(metrics, lambda metric, ends: self._recent(exchange, metric, edge, ends, waiting))
            rest = self._rest(well, edge)
            each(well, lambda metric, ends: self._older(exchange, metric, rest[str(metric)], ends, waiting))
            for metric in metrics:
                self._tell(metric, self._to_do[str(metric)])

    def _recent(self, exchange: Exchange, metric: Metric, edge: datetime, ends: Deadline, waiting: "_Waiting") -> None:
        """Ask for the minutes that one answer for candles reaches, all from ``edge`` on."""
        recent = self._after(edge, metric)
        if recent:
            since = max(edge, self._first_to_ask(metric, recent[0].first))
            answer = exchange.candles(metric.pair, since, ends)
            waiting.add(metric, answer, recent[0])
            self._tell(metric, minutes_in(recent))

    def _rest(self, metrics: Sequence[Metric], edge: datetime) -> dict[str, list[MinuteRange]]:
        """Return what is wanted from before ``edge``, and what answers for candles left open after it."""
        before = MinuteRange(self._whole.first, edge - MINUTE)
        rest = {str(metric): overlaps(before, self._wanted.get(str(metric), [])) for metric in metrics}
        recent = {str(metric): found for metric in metrics if (found := self._after(edge, metric))}
        last = max((gaps[-1].last for gaps in recent.values()), default=edge)
        for metric, holes in self._prices.gaps([*recent], edge, last).items():
            rest[metric] += [part for hole in holes for part in overlaps(hole, recent[metric])]
        return rest

    def _older(
        self, exchange: Exchange, metric: Metric, gaps: Sequence[MinuteRange], ends: Deadline, waiting: "_Waiting"
    ) -> None:
        """Ask for minutes by history(), the newest gap first."""
        for gap in sorted(gaps, reverse=True):
            first = self._first_to_ask(metric, gap.first)
            for page in exchange.history(metric.pair, first, gap.last, ends):
                waiting.add(metric, page, gap)
                self._tell(metric, page.kept.num_rows)

    def _after(self, edge: datetime, metric: Metric) -> list[MinuteRange]:
        """Return what is wanted of a metric from ``edge`` on."""
        return overlaps(MinuteRange(edge, self._whole.last), self._wanted.get(str(metric), []))

    def _first_to_ask(self, metric: Metric, gap: datetime) -> datetime:
        """Return the oldest of the minutes right before a gap that were stored right after their close; else the gap's.

        They may have been corrected since, and once the gap is filled no tick asks for them any more.
        """
        before = gap - _MAY_CHANGE
        return next((each for each in self._provisional.get(str(metric), ()) if before < each < gap), gap)

    def _tell(self, metric: Metric, count: int) -> None:
        """Tell that so many minutes of a metric are done, beside those that were before."""
        name = str(metric)
        with self._one_at_a_time:
            more = min(count, self._to_do[name] - self._done[name])
            self._done[name] += more
            self._all_done += more
            self._on_progress(self._all_done, self._total, name)

    @contextmanager
    def _noting_errors(self, metrics: Sequence[Metric]) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            with self._one_at_a_time:
                self._collected.note_error(map(str, metrics), error)

    def _store(self, answers: Sequence[tuple[str, Answer]]) -> None:
        with self._one_at_a_time:
            store_answers(self._prices, self._collected, answers, self._horizon)


class _Waiting:
    """Answers of one exchange that wait to be stored together: to store takes half a second of CPU, however little."""

    def __init__(self, store: Callable[[Sequence[tuple[str, Answer]]], None]) -> None:
        self._keep = store
        self._answers: list[tuple[str, Answer]] = []
        self._gaps: dict[str, MinuteRange] = {}
        self._rows = 0
        self._stored_at = time.monotonic()

    def add(self, metric: Metric, answer: Answer, gap: MinuteRange) -> None:
        """Let an answer about a gap wait. Those about two gaps of a metric may have minutes in common."""
        name = str(metric)
        if self._gaps.get(name, gap) != gap:
            self.store()
        self._gaps[name] = gap
        self._answers.append((name, answer))
        self._rows += len(answer.rows) if isinstance(answer, Unvalidated) else answer.kept.num_rows
        if self._rows >= _ROWS or time.monotonic() - self._stored_at > STORED_EVERY:
            self.store()

    def store(self) -> None:
        """Store what waits."""
        answers, self._answers, self._gaps, self._rows = self._answers, [], {}, 0
        if answers:
            self._keep(answers)
        self._stored_at = time.monotonic()


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
