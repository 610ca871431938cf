"""Minutes from the exchanges into the store, without Dagster: a tick, a backfill, and what is missing after it.

Here belongs the order in which things are asked and stored. How an exchange is asked is in exchanges/, what a
sane candle is in candles.py, how rows are kept in store/.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from pricetracker_dagster.candles import (
    DAY,
    MINUTE,
    Metric,
    MinuteRange,
    Refused,
    Sifted,
    by_day,
    floor_minute,
    newest_minute,
)
from pricetracker_dagster.exchanges import Deadline, Exchange, ExchangeError, OutOfTime, PairUnknown, open_exchange
from pricetracker_dagster.exchanges.pace import at_work
from pricetracker_dagster.settings import Settings, did_you_mean
from pricetracker_dagster.store.prices import Store
from pricetracker_dagster.store.records import NOT_RUN, REFUSED, Records
from pricetracker_dagster.store.tracked import tracked_since

CORRECTED_MINUTES = 5
"""Exchanges correct a candle shortly after its close: so many of the last stored minutes are asked for again."""

_AT_ONCE = 4
"""Metrics asked for at the same time: one that hangs does not hold up the others."""

_LATE_MINUTE = (1.0, 2.0)
"""Seconds after which the newest minute is asked for again where the exchange does not have it yet."""

_BATCH = 6 * 60
"""Rebuilt minutes that are stored at once: a backfill that is stopped has lost no more than these."""

_PATIENCE_A_METRIC = 3600.0


@dataclass(frozen=True)
class Stored:
    """Rows of one UTC day that a collection changed."""

    inserted: int
    updated: int


@dataclass
class Collected:
    """What a collection did.

    Attributes:
        minute: the newest minute it was for, UTC.
        metrics: what it was to collect.
        stored: for each UTC day in which a row was added or corrected, how many.
        refused: rows that were not sane, with the reason.
        missing: for each metric that lacks minutes after all, which ones.
        reasons: for metrics with trouble, what it was, in plain words.
        causes: for the same metrics, its kind (ExchangeError.cause, REFUSED or NOT_RUN).
    """

    minute: datetime
    metrics: tuple[str, ...]
    stored: dict[date, Stored] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    missing: dict[str, list[MinuteRange]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)

    @property
    def inserted(self) -> int:
        """How many rows were added."""
        return sum(stored.inserted for stored in self.stored.values())

    @property
    def updated(self) -> int:
        """How many rows were corrected."""
        return sum(stored.updated for stored in self.stored.values())

    def why(self, metric: str) -> str:
        """Say why a metric lacks minutes."""
        refused = [row for row in self.refused if row.metric == metric]
        if metric in self.reasons:
            return self.reasons[metric]
        if refused:
            return f"its row was refused: {refused[-1].problem} ({refused[-1].row})"
        return "the exchange answered without it"

    def cause(self, metric: str) -> str:
        """Return the kind of that reason, as reports and incidents call it."""
        return self.causes.get(metric, ExchangeError.cause)

    def summary(self) -> str:
        """Say what is missing, a line a metric: which, which minutes, why. Empty where nothing is."""
        return "\n".join(
            f"{metric}: {', '.join(map(str, gaps[:5]))}{' …' if len(gaps) > 5 else ''} missing: {self.why(metric)}"
            for metric, gaps in sorted(self.missing.items())
        )


def collect_minute(
    settings: Settings, minute: datetime, *, before_healing: Callable[[], object] = lambda: None
) -> Collected:
    """Store ``minute`` of every tracked metric, and every minute missed before it as far as time permits.

    First each metric's closed minutes since the last stored one, the last five again, and gaps within the candle
    endpoint's reach; then, with the time that is left, holes in these and older gaps since it is tracked, rebuilt from
    trades. What lies before that and a day that was fetched by hand is nobody's gap. One metric's trouble is not the
    others'. It ends within ``collect.budget_seconds``.

    Args:
        settings: what to follow and whom to ask.
        minute: the closed minute that the tick is for, UTC. No later minute is stored.
        before_healing: called when the candles are stored and older gaps are left, which may take a while.

    Returns:
        What was stored, and of ``minute`` alone what is missing.
    """
    deadline = Deadline.after(settings.collect.budget_seconds)
    store = Store(settings.folder)
    collected = Collected(minute, tuple(str(metric) for metric in settings.tracked))
    horizon = minute - timedelta(days=settings.collect.heal_days)
    try:
        with at_work(settings.state, deadline):
            newest = store.newest(collected.metrics, horizon)
            gaps = store.missed(collected.metrics, horizon, minute, since_first_row=True)
            since_when = tracked_since(settings.state, collected.metrics, minute)
            _note_what_nobody_fetched(settings, collected, gaps, since_when)
            exchanges = {}
            for name, metrics in _by_exchange(settings.tracked).items():
                exchange = exchanges[name] = open_exchange(name, settings)
                with _trouble_noted(collected, metrics):
                    _wait_until_closed(exchange, minute, deadline)
                    known = _known(exchange, metrics, settings, collected, deadline)
                    since = {metric: _since(exchange, str(metric), minute, newest, gaps) for metric in known}
                    _store(store, collected, _ask_for_candles(exchange, since, minute, collected, deadline), horizon)
            reached = {name: minute - exchange.reach for name, exchange in exchanges.items()}
            begin = {metric: min(since_when[str(metric)], reached[metric.exchange]) for metric in settings.tracked}
            older = _gaps_to_rebuild(store, collected, begin, horizon)
            if older:
                before_healing()
                _heal(store, older, exchanges, collected, horizon, deadline)
    except OutOfTime:
        for metric in collected.metrics:
            _note(collected, metric, "another tick was at work all the time", NOT_RUN)
        collected.missing = store.missed(collected.metrics, minute, minute, since_first_row=False)
    Records(settings.folder).causes.put(
        [
            {
                "metric": metric,
                "minute": minute,
                "cause": collected.cause(metric),
                "reason": collected.why(metric),
                "noted_at": datetime.now(UTC),
            }
            for metric in collected.missing
        ]
    )
    return collected


def backfill(
    settings: Settings,
    first: datetime,
    last: datetime,
    *,
    refetch: bool = False,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Collected:
    """Store every minute from ``first`` to ``last`` of every tracked metric.

    It gives way to ticks, stores as it goes, and asks only for what is missing: stopped and called again, it goes on
    where it was.

    Args:
        settings: what to follow and whom to ask.
        first: the oldest minute, UTC.
        last: the newest minute, UTC; minutes that the exchange has not closed yet stay missing.
        refetch: ask also for the minutes that are stored, and correct what differs.
        on_progress: called with minutes done, minutes to do in all and what is being done.

    Returns:
        What was stored and what is missing in the whole range. Minutes before a pair's first trade are not missing.
    """
    store = Store(settings.folder)
    collected = Collected(last, tuple(str(metric) for metric in settings.tracked))
    whole = MinuteRange(first, last)
    wanted = (
        {metric: [whole] for metric in collected.metrics}
        if refetch
        else store.missed(collected.metrics, first, last, since_first_row=False)
    )
    total = sum(gap.length for gaps in wanted.values() for gap in gaps)
    done = 0

    def say(now_done: int, metric: Metric) -> None:
        if on_progress:
            on_progress(now_done, total, str(metric))

    for name, metrics in _by_exchange(settings.tracked).items():
        exchange = open_exchange(name, settings, gives_way=True)
        with _trouble_noted(collected, metrics):
            patience = Deadline.after(_PATIENCE_A_METRIC)
            now = exchange.time(patience)
            for metric in _known(exchange, metrics, settings, collected, patience):
                gaps = wanted.get(str(metric), [])
                with _trouble_noted(collected, [metric]):
                    for count in _fetch(exchange, store, collected, metric, gaps, now):
                        say(min(done + count, total), metric)
                done += sum(gap.length for gap in gaps)
                say(done, metric)
    collected.missing = store.missed(collected.metrics, first, last, since_first_row=True)
    if collected.causes:  # where something went wrong, an absent beginning is not the time before the first trade
        troubled = [metric for metric in collected.metrics if metric in collected.causes]
        collected.missing |= store.missed(troubled, first, last, since_first_row=False)
    return collected


def _fetch(
    exchange: Exchange, store: Store, collected: Collected, metric: Metric, gaps: Sequence[MinuteRange], now: datetime
) -> Iterator[int]:
    """Store the minutes of ``gaps``: recent ones from candles, the others from trades. Yield how many are done."""
    deadline = Deadline.after(_PATIENCE_A_METRIC)
    edge = floor_minute(now) - exchange.reach
    recent = [MinuteRange(max(gap.first, edge), gap.last) for gap in gaps if gap.last >= edge]
    rest = [MinuteRange(gap.first, min(gap.last, edge - MINUTE)) for gap in gaps if gap.first < edge]
    done = 0
    if recent:
        _store(store, collected, [exchange.candles(metric.pair, recent[0].first, deadline)], recent[0].first)
        holes = store.missed([str(metric)], recent[0].first, recent[-1].last, since_first_row=False)
        rest += [part for hole in holes.get(str(metric), []) for part in _overlaps(hole, recent)]
        done = sum(gap.length for gap in gaps) - sum(gap.length for gap in rest)
        yield done
    for gap in sorted(rest, reverse=True):
        for batch in _batches(exchange.rebuild(metric.pair, gap.first, gap.last, deadline)):
            _store(store, collected, batch, gap.first)
            done += sum(sifted.kept.num_rows for sifted in batch)
            yield done


def _gaps_to_rebuild(
    store: Store, collected: Collected, begin: Mapping[Metric, datetime], horizon: datetime
) -> list[tuple[MinuteRange, Metric]]:
    """Return what candles did not bring of each metric since ``begin``, newest first."""
    minute = collected.minute
    missed = store.missed(collected.metrics, horizon, minute, since_first_row=True)
    absent = store.missed(collected.metrics, minute, minute, since_first_row=False)
    gaps = [
        (gap, metric)
        for metric, first in begin.items()
        for missing in missed.get(str(metric), absent.get(str(metric), []))
        for gap in _overlaps(missing, [MinuteRange(first, minute)])
    ]
    return sorted(gaps, key=lambda gap_and_metric: gap_and_metric[0].last, reverse=True)


def _heal(
    store: Store,
    gaps: Iterable[tuple[MinuteRange, Metric]],
    exchanges: Mapping[str, Exchange],
    collected: Collected,
    horizon: datetime,
    deadline: Deadline,
) -> None:
    """Rebuild gaps from trades, in their order, as time permits; note what stays missing of the tick's own minute."""
    for gap, metric in gaps:
        if collected.causes.get(str(metric), REFUSED) != REFUSED:
            continue
        with _trouble_noted(collected, [metric]):
            for batch in _batches(exchanges[metric.exchange].rebuild(metric.pair, gap.first, gap.last, deadline)):
                _store(store, collected, batch, horizon)
    collected.missing = store.missed(collected.metrics, collected.minute, collected.minute, since_first_row=False)


def _batches(pages: Iterator[Sifted]) -> Iterator[list[Sifted]]:
    """Gather pages until they are worth a commit. What was gathered is yielded even where the next page fails."""
    batch: list[Sifted] = []
    try:
        for page in pages:
            batch.append(page)
            if sum(sifted.kept.num_rows for sifted in batch) >= _BATCH:
                yield batch
                batch = []
    except ExchangeError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _ask_for_candles(
    exchange: Exchange, since: Mapping[Metric, datetime], minute: datetime, collected: Collected, deadline: Deadline
) -> list[Sifted]:
    answers: list[Sifted] = []

    def ask(metric: Metric) -> None:
        with _trouble_noted(collected, [metric]):
            answers.append(_candles_with(exchange, metric, since[metric], minute, deadline))

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=exchange.name) as pool:
        list(pool.map(ask, since))  # a mistake of ours in a thread is raised here
    return answers


def _candles_with(exchange: Exchange, metric: Metric, since: datetime, minute: datetime, deadline: Deadline) -> Sifted:
    """Ask for candles; where ``minute`` is not among them yet, once or twice more."""
    sifted = exchange.candles(metric.pair, since, deadline)
    for pause in _LATE_MINUTE:
        if newest_minute(sifted.kept) == minute or any(row.minute == minute for row in sifted.refused):
            break
        with suppress(OutOfTime):
            deadline.sleep(pause)
            sifted = exchange.candles(metric.pair, since, deadline)
    return sifted


def _wait_until_closed(exchange: Exchange, minute: datetime, deadline: Deadline) -> None:
    """Wait until ``minute`` is over by the exchange's own clock.

    Raises:
        ExchangeError: that is after the deadline.
    """
    while (left := minute + MINUTE - (now := exchange.time(deadline))) > timedelta():
        try:
            deadline.sleep(left.total_seconds())
        except OutOfTime:
            raise ExchangeError(f"{exchange.name}: by its clock it is {now:%H:%M:%S}, the minute is not over") from None


def _known(
    exchange: Exchange, metrics: Sequence[Metric], settings: Settings, collected: Collected, deadline: Deadline
) -> list[Metric]:
    """Return the metrics whose pair the exchange knows, and note of the others where they stand and the way out."""
    pairs = exchange.pairs({metric.pair for metric in metrics}, deadline)
    for metric in metrics:
        if metric.pair not in pairs:
            hint = did_you_mean(str(metric), [str(Metric(metric.exchange, pair)) for pair in sorted(pairs)])
            _note(
                collected,
                str(metric),
                f"{settings.place_of(metric)}: no such pair on {metric.exchange}{hint}",
                PairUnknown.cause,
            )
    return [metric for metric in metrics if metric.pair in pairs]


def _since(
    exchange: Exchange,
    metric: str,
    minute: datetime,
    newest: Mapping[str, datetime],
    gaps: Mapping[str, Sequence[MinuteRange]],
) -> datetime:
    """Return from which minute on candles are asked for; all there are for a metric that is new."""
    reached = minute - exchange.reach
    if metric not in newest:
        return reached
    again = min(newest[metric], minute) - (CORRECTED_MINUTES - 1) * MINUTE
    missed = [max(gap.first, reached) for gap in gaps.get(metric, []) if gap.last >= reached]
    return max(reached, min([again, *missed]))


def _note_what_nobody_fetched(
    settings: Settings,
    collected: Collected,
    gaps: Mapping[str, Sequence[MinuteRange]],
    since: Mapping[str, datetime],
) -> None:
    """Note the minutes that no tick has tried to store: once they are healed, nothing else tells of them."""
    last = collected.minute - max(1, settings.alerts.missed_grace_minutes) * MINUTE
    missed = {}
    for metric, of_metric in gaps.items():
        expected = MinuteRange(max(since[metric], collected.minute - DAY + MINUTE), last)
        missed[metric] = [part for gap in of_metric for part in _overlaps(gap, [expected])]
    Records(settings.folder).note_not_run(missed, datetime.now(UTC))


def _store(store: Store, collected: Collected, answers: Sequence[Sifted], first: datetime) -> None:
    """Upsert what was kept, a day at a time, and add it to the account."""
    if not answers:
        return
    collected.refused += [row for sifted in answers for row in sifted.refused]
    for metric in {row.metric for sifted in answers for row in sifted.refused}:
        collected.causes.setdefault(metric, REFUSED)
    candles = pa.concat_tables([sifted.kept for sifted in answers])
    for day, rows in by_day(candles, first, collected.minute).items():
        upserted = store.upsert(rows)
        if upserted.inserted or upserted.updated:
            before = collected.stored.get(day, Stored(0, 0))
            collected.stored[day] = Stored(before.inserted + upserted.inserted, before.updated + upserted.updated)


def _note(collected: Collected, metric: str, reason: str, cause: str) -> None:
    collected.reasons[metric] = reason
    collected.causes[metric] = cause


@contextmanager
def _trouble_noted(collected: Collected, metrics: Iterable[Metric]) -> Iterator[None]:
    """Note an exchange's error for the metrics it concerns, and let it go no further."""
    try:
        yield
    except ExchangeError as error:
        for metric in metrics:
            _note(collected, str(metric), str(error), error.cause)


def _by_exchange(metrics: Iterable[Metric]) -> dict[str, list[Metric]]:
    groups: dict[str, list[Metric]] = {}
    for metric in metrics:
        groups.setdefault(metric.exchange, []).append(metric)
    return groups


def _overlaps(gap: MinuteRange, others: Iterable[MinuteRange]) -> list[MinuteRange]:
    """Return the parts of ``gap`` that lie in one of the others."""
    parts = (MinuteRange(max(gap.first, other.first), min(gap.last, other.last)) for other in others)
    return [part for part in parts if part.first <= part.last]
