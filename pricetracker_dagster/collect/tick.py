"""Minutes from the exchanges into the store, without Dagster: a tick, a backfill, and what is missing after it.

Here belongs the order in which things are asked and stored. How an exchange is asked is in exchanges/, what a
sane candle is in candles.py, how rows are kept in store/.
"""

import queue
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import NamedTuple

import duckdb
import pyarrow as pa
from deltalake.exceptions import DeltaError

from pricetracker_dagster import sql
from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.minutes import (
    DAY,
    MINUTE,
    MinuteRange,
    floor_minute,
    minutes_in,
    newest_closed_minute,
)
from pricetracker_dagster.candles.table import by_day, newest_minute, oldest_minute, within
from pricetracker_dagster.candles.validate import RejectedRow, Validated
from pricetracker_dagster.collect.turns import Turns, in_turns
from pricetracker_dagster.errors import PricetrackerError, did_you_mean, plain
from pricetracker_dagster.exchanges.asking import retry_pause
from pricetracker_dagster.exchanges.base import Exchange, ExchangeError, NotAsked, PairUnknown
from pricetracker_dagster.exchanges.http import CONNECTIONS
from pricetracker_dagster.exchanges.rate_limit import at_work
from pricetracker_dagster.exchanges.registry import open_exchange
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store import coverage
from pricetracker_dagster.store.clock import note_clock
from pricetracker_dagster.store.doubts import Doubt, Key
from pricetracker_dagster.store.records import MISTAKE, NOT_RUN, NOT_STORED, REJECTED
from pricetracker_dagster.store.store import Store, open_store
from pricetracker_dagster.store.tracked import added_later, note_tracked

CORRECTED_MINUTES = 5
"""Exchanges correct a candle shortly after its close: so many of the last stored minutes are asked for again."""

_DOUBTED = timedelta(hours=1)
"""How far back minutes are asked for again of which an answer took trades away, until a second one decides."""

_AT_ONCE = CONNECTIONS
"""Metrics asked for at the same time: those that hang hold up others only where they are as many."""

_SHARE_OF_OLDER = 0.2
"""Of the budget, kept for older gaps where there are any: with more metrics than a tick can ask for they would never
have a turn."""

_THOROUGH = 2
"""Metrics of which older gaps are rebuilt in the same go as the newest one, in turns: they would never have one."""

_CLOSE_TOGETHER = timedelta(hours=1)
"""Gaps no farther apart are rebuilt by one question: the trades between them mostly fit on its page."""

_WHOLE_SECOND = 0.2
"""Seconds by which an exchange's time, which is told in whole seconds, may be ahead of what was computed from it."""

_PIECE_OF_PAST = timedelta(hours=1)
"""How much of the day before a metric that was added later is fetched at once, whole or not at all."""

_STORED_EVERY = 3.0
"""Seconds after which what has come is stored, although more is to come."""

_STRAGGLERS = 5.0
"""Seconds after which readers get what is stored, although somebody has not answered yet."""

_WAITS_AT_MOST = 0.8
"""Of the time that is left, the share in which a minute may still end by the exchange's clock; then it is asked for."""

_GRACE = 0.2
"""Seconds in which an answer of the last moment is still taken in."""

_SPLIT_WITHIN = 5.0
"""Seconds in which rows that cannot be stored together are stored one metric at a time."""

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
        rejected: rows that were not sane, with the reason.
        missing: for each metric that lacks minutes after all, which ones.
        reasons: for metrics with trouble, what it was, in plain words.
        causes: for the same metrics, its kind (ExchangeError.cause, REJECTED, NOT_STORED, MISTAKE or NOT_RUN).
        troubles: what went wrong beside, with no metric's minute at stake, in plain words.
        tracebacks: of our own mistakes, for the log.
        doubts: rows that take trades away from a stored one and wait for a second answer, by metric and minute.
        clocks: by exchange that was asked for its time, so many seconds this machine's clock is ahead of its.
    """

    minute: datetime
    metrics: tuple[str, ...]
    stored: dict[date, Stored] = field(default_factory=dict)
    rejected: list[RejectedRow] = field(default_factory=list)
    missing: dict[str, list[MinuteRange]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    doubts: dict[Key, Doubt] = field(default_factory=dict)
    clocks: dict[str, float] = field(default_factory=dict)

    @property
    def inserted(self) -> int:
        """How many rows were added."""
        return sum(stored.inserted for stored in self.stored.values())

    @property
    def updated(self) -> int:
        """How many rows were corrected."""
        return sum(stored.updated for stored in self.stored.values())

    @property
    def doubted(self) -> int:
        """How many rows were doubted."""
        return len(self.doubts)

    def why(self, metric: str) -> str:
        """Say why a metric lacks minutes."""
        rejected = [row for row in self.rejected if row.metric == metric]
        if metric in self.reasons:
            return self.reasons[metric]
        if rejected:
            return f"its row was rejected: {rejected[-1].problem} ({rejected[-1].row})"
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
    settings: Settings,
    minute: datetime,
    *,
    before_healing: Callable[[], object] = lambda: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Collected:
    """Store ``minute`` of every tracked metric, and every minute missed before it as far as time permits.

    First each metric's closed minutes since the last stored one, the last five again, and gaps within the candle
    endpoint's reach; then, with the time that is left, holes in these and older gaps since it is tracked, rebuilt from
    trades. What lies before that and a day that was fetched by hand is nobody's gap. Where there is more to ask than
    the budget allows, metrics take turns from tick to tick. Whatever goes wrong with one record, metric or exchange is
    noted and is not the others' trouble. It ends within ``collect.budget_seconds``, whatever hangs.

    Args:
        settings: what to follow and whom to ask.
        minute: the closed minute that the tick is for, UTC. No later minute is stored.
        before_healing: called once when candles are stored and more is to come, which may take a while.
        now: returns the time of this machine's clock, UTC.

    Returns:
        What was stored, and of ``minute`` alone what is missing.
    """
    collected = Collected(minute, tuple(str(metric) for metric in settings.tracked))
    tick = _Tick(settings, collected, Deadline.after(settings.collect.budget_seconds), before_healing, now)
    try:
        with at_work(settings.state, tick.deadline):
            tick.run()
    except DeadlineExceeded:
        for metric in collected.metrics:
            _note(collected, metric, "another tick was at work all the time", NOT_RUN)
        tick.find_missing()
    with _told_beside(collected, "why minutes are missing was not noted"):
        open_store(settings).records.causes.upsert(
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


class _Finding(NamedTuple):
    """What a thread that asks has to say of some metrics.

    Attributes:
        metrics: of which; none: it is done.
        what: the answer, or what went wrong.
        late: whether the answer lacks the tick's own minute.
    """

    metrics: tuple[str, ...]
    what: Validated | Exception | None
    late: bool = False


_Findings = queue.SimpleQueue[_Finding]


class _Tick:
    """One tick at work. What threads find out comes back through queues; all else is done by the thread that runs it.

    Attributes:
        deadline: after which nobody is asked any more.
    """

    def __init__(
        self,
        settings: Settings,
        collected: Collected,
        deadline: Deadline,
        before_healing: Callable[[], object],
        now: Callable[[], datetime],
    ) -> None:
        self.deadline = deadline
        self._now = now
        self._settings = settings
        self._collected = collected
        self._minute = collected.minute
        self._horizon = collected.minute - timedelta(days=settings.collect.heal_days)
        self._before_healing: Callable[[], object] | None = before_healing
        self._store = open_store(settings)
        self._turns = Turns(settings.state, collected.metrics, collected.minute)
        self._exchanges: dict[str, Exchange] = {}
        self._settled_at = 0.0
        self._has_minute: set[str] = set()
        self._past: dict[Metric, MinuteRange] = {}
        self._newest: Mapping[str, datetime] = {}
        self._answers: dict[str, pa.Table] = {}

    def run(self) -> None:
        """Ask for candles and store them, then rebuild what is missing still."""
        newest, gaps, since_when = self._look()
        self._newest = newest
        tracked = _by_exchange(self._settings.tracked)
        for name, metrics in tracked.items():
            with _trouble_noted(self._collected, metrics):
                self._exchanges[name] = open_exchange(name, self._settings)
        older = any(gap.last < self._minute for of_metric in gaps.values() for gap in of_metric)
        for_older = _SHARE_OF_OLDER * self._settings.collect.budget_seconds if older else 0.0
        findings = _Findings()
        doubted = self._doubted()
        for name, exchange in self._exchanges.items():
            stored = partial(_since, exchange, newest=newest, gaps=gaps, doubted=doubted)
            until = self.deadline.earlier(for_older)
            ask = partial(self._ask_for_candles, exchange, tracked[name], stored, until, findings)
            _in_a_thread(ask, tracked[name], findings)
        self._take_in(findings, len(self._exchanges), tells_late=True)
        with _told_beside(self._collected, "that its own minute came late was not noted"):
            late = [each for each in self._has_minute if each in newest]
            _note_what_came_late(self._settings, self._minute, late, gaps, self._now())
        self._heal(since_when)
        self.find_missing()
        self._turns.save()

    def find_missing(self) -> None:
        """Find out which metrics lack the tick's own minute after all."""
        metrics, minute = self._collected.metrics, self._minute
        missing = {each: [MinuteRange(minute, minute)] for each in metrics if each not in self._has_minute}
        with _told_beside(self._collected, "what is stored could not be read"):
            missing = self._store.prices.gaps(metrics, minute, minute)
        self._collected.missing = missing

    def _look(self) -> tuple[Mapping[str, datetime], Mapping[str, Sequence[MinuteRange]], Mapping[str, datetime]]:
        """Return what is stored: each metric's newest minute, its gaps, and since when it is tracked."""
        metrics, minute = self._collected.metrics, self._minute
        # where what is stored cannot be read, the newest minutes are fetched all the same
        newest: Mapping[str, datetime] = dict.fromkeys(metrics, minute)
        gaps: Mapping[str, Sequence[MinuteRange]] = {}
        since_when: Mapping[str, datetime] = dict.fromkeys(metrics, minute)
        with _told_beside(self._collected, "since when metrics are tracked could not be read"):
            since_when = note_tracked(self._settings.state, metrics, minute)
        with _told_beside(self._collected, "what is stored could not be read"):
            newest = self._store.prices.newest(metrics, self._horizon, minute)
            gaps = coverage.missing(self._store.prices, since_when, self._horizon, minute)
        with _told_beside(self._collected, "the minutes for which no tick was run were not noted"):
            _note_what_nobody_fetched(self._settings, self._collected, gaps, since_when)
        return newest, gaps, since_when

    def _doubted(self) -> dict[str, datetime]:
        """Return of each metric the oldest minute of late that waits for a second answer."""
        doubts = self._store.prices.doubts(self._now())
        recent = [doubt for doubt in doubts if self._minute - _DOUBTED <= doubt.minute <= self._minute]
        return {doubt.metric: doubt.minute for doubt in sorted(recent, key=lambda each: each.minute, reverse=True)}

    def _ask_for_candles(
        self,
        exchange: Exchange,
        metrics: Sequence[Metric],
        since: Callable[[str, datetime], datetime],
        deadline: Deadline,
        findings: _Findings,
    ) -> None:
        """Ask one exchange for candles, in a thread of its own.

        Where the minute is not over by its clock, the minutes that are over there are asked for all the same.
        """
        now, not_over = self._wait_until_closed(exchange, deadline)
        newest = self._minute
        if not_over is None:
            settles_in = self._minute + MINUTE + exchange.settles - now
            self._settled_at = max(self._settled_at, time.monotonic() + settles_in.total_seconds() + _WHOLE_SECOND)
        else:
            newest = newest_closed_minute(now)
        pairs = exchange.pairs({metric.pair for metric in metrics}, deadline)
        failed: Counter[Metric] = Counter()

        def ask(metric: Metric, times: int) -> float | None:
            try:
                validated = exchange.candles(metric.pair, since(str(metric), newest), deadline, patient=False)
            except Exception as error:
                if not (times and isinstance(error, NotAsked)):  # what it said when it was asked tells more
                    told = _with_its_place(error, metric, pairs, self._settings)
                    findings.put(_Finding((str(metric),), not_over or told))
                failed[metric] += 1
                return retry_pause(error, failed[metric])
            late = not _speaks_of(validated, newest)
            findings.put(_Finding((str(metric),), validated, late))
            if not_over is not None:
                findings.put(_Finding((str(metric),), not_over))
            again = times - failed[metric]
            if late and again < len(_LATE_MINUTE) and self._turns[str(metric)].may_be_late():
                return _LATE_MINUTE[again]
            return None

        in_turns(self._turns.to_ask(metrics), ask, deadline=deadline, at_once=_AT_ONCE, name=exchange.name)

    def _wait_until_closed(self, exchange: Exchange, deadline: Deadline) -> tuple[datetime, ExchangeError | None]:
        """Wait until the minute is over by the exchange's clock, and keep how far ours is from it.

        Returns:
            Its time, and None; where the minute would not be over there in time, what is to be said of that.
        """
        while True:
            before = self._now()
            theirs = exchange.time(deadline)
            ours = self._now()
            self._collected.clocks[exchange.name] = _note_clock(self._settings, exchange.name, before, theirs, ours)
            left = self._minute + MINUTE - theirs
            if left <= timedelta():
                return theirs, None
            try:
                if left.total_seconds() > _WAITS_AT_MOST * deadline.remaining:
                    raise DeadlineExceeded
                deadline.sleep(left.total_seconds())
            except DeadlineExceeded:
                return theirs, ExchangeError(_not_over(exchange.name, self._minute, theirs, ours))

    def _take_in(self, findings: _Findings, askers: int, *, tells_late: bool = False) -> None:
        """Note and store what so many threads find, until they are done or time is up."""
        waiting: list[tuple[str, Validated]] = []
        began = stored_at = time.monotonic()
        late: dict[str, bool] = {}
        heard: set[str] = set()
        while askers and (self.deadline.remaining > 0 or not findings.empty()):
            try:
                found = findings.get(timeout=min(_STORED_EVERY, self.deadline.remaining + _GRACE))
            except queue.Empty:
                found = _Finding((), None)
            else:
                askers -= not found.metrics
            heard.update(found.metrics)
            if isinstance(found.what, Validated):
                for metric in found.metrics:
                    if tells_late:  # a later answer says of the same minutes what they are now
                        waiting = [each for each in waiting if each[0] != metric]
                    waiting.append((metric, found.what))
                    late[metric] = found.late
                    if tells_late:
                        _forgive(self._collected, metric)
                        self._answers[metric] = found.what.kept
            elif found.what is not None:
                _note_error(self._collected, found.metrics, found.what)
            if tells_late and not isinstance(found.what, NotAsked):
                for metric in found.metrics:
                    self._turns[metric].asked = _unix(self._minute)
            if waiting and time.monotonic() - stored_at > _STORED_EVERY:
                self._keep(waiting)
                waiting, stored_at = [], time.monotonic()
            if askers and tells_late and self._has_minute and time.monotonic() - began > _STRAGGLERS:
                self._publish()
        self._keep(waiting)
        if tells_late:
            for metric, was_late in late.items():
                self._turns[metric].note_late(late=was_late)
            for metric in self._collected.metrics:  # in_turns() waits no longer for what still hangs
                if metric not in heard:
                    _note(self._collected, metric, "no answer came within the tick's budget", ExchangeError.cause)

    def _keep(self, answers: Sequence[tuple[str, Validated]]) -> None:
        stored = _store(self._store, self._collected, answers, self._horizon, self._now())
        self._has_minute.update(
            metric
            for metric, validated in answers
            if metric in stored and metric not in self._has_minute and newest_minute(validated.kept) == self._minute
        )

    def _publish(self) -> None:
        """Let readers have what is stored, once."""
        publish, self._before_healing = self._before_healing, None
        if publish is not None:
            with _told_beside(self._collected, "what is stored was not published yet"):
                publish()

    def _heal(self, since_when: Mapping[str, datetime]) -> None:
        """Rebuild from trades what candles did not bring, in turns, as time permits."""
        wanted: dict[Metric, list[MinuteRange]] = {}
        with _told_beside(self._collected, "what is stored could not be read"):
            wanted = self._wanted(since_when)
        if not (wanted or self._past) or self.deadline.remaining <= 0:
            return
        self._publish()
        if any(gap.last == self._minute for gaps in wanted.values() for gap in gaps):
            with suppress(DeadlineExceeded):
                self.deadline.sleep(max(0.0, self._settled_at - time.monotonic()))
        findings = _Findings()
        whole: set[Metric] = set()
        asked = self._with_what_is_before(wanted)
        spans = {metric: _joined(gaps) for metric, gaps in asked.items()}
        for metric, piece in self._past.items():
            spans.setdefault(metric, []).append(piece)
            for each in (wanted, asked):
                each[metric] = [piece, *each.get(metric, [])]
        ordered = self._turns.to_heal(wanted)
        thorough = set(ordered[:_THOROUGH])

        def heal(metric: Metric, times: int) -> float | None:
            # the newest gap of each comes before older ones, but for those whose turn it is
            at_once = times or metric in thorough
            try:
                for span in spans[metric][1 if times else 0 : None if at_once else 1]:
                    self._rebuild(metric, span, asked[metric], findings)
            except Exception as error:
                findings.put(_Finding((str(metric),), error))
                return None
            if not at_once and spans[metric][1:]:
                return 0.0
            whole.add(metric)
            return None

        for name, metrics in _by_exchange(ordered).items():
            work = partial(in_turns, metrics, heal, deadline=self.deadline, at_once=_AT_ONCE, name=name)
            _in_a_thread(work, metrics, findings)
        self._take_in(findings, len(_by_exchange(ordered)))
        with _told_beside(self._collected, "what is stored could not be read"):
            self._remember_vain({metric: wanted[metric] for metric in wanted if metric in whole})

    def _with_what_is_before(self, wanted: Mapping[Metric, list[MinuteRange]]) -> dict[Metric, list[MinuteRange]]:
        """Widen the newest gaps by the minutes before them where no candles came that say what has become of these.

        They were stored right after their close, and may have been corrected since; once the gap is filled, nobody asks
        for them any more.
        """
        before = (CORRECTED_MINUTES - 1) * MINUTE
        begins: dict[Metric, datetime] = {}
        for metric, gaps in wanted.items():
            newest, answer = self._newest.get(str(metric)), self._answers.get(str(metric))
            first = None if answer is None else oldest_minute(answer)
            if newest is not None and gaps[-1].first == newest + MINUTE and (first is None or first > newest):
                begins[metric] = gaps[-1].first - before
        missing: Mapping[str, Sequence[MinuteRange]] = {}
        if begins:
            names = [str(metric) for metric in begins]
            missing = self._store.prices.gaps(names, min(begins.values()) - MINUTE, self._minute)
        widened = dict(wanted)
        for metric, begin in begins.items():
            newest_gap = wanted[metric][-1]
            there = MinuteRange(begin - MINUTE, newest_gap.first - MINUTE)
            # where one of them is missing itself, the price before it would have to be looked for
            if not any(_overlaps(gap, [there]) for gap in missing.get(str(metric), [])):
                widened[metric] = [*wanted[metric][:-1], MinuteRange(begin, newest_gap.last)]
        return widened

    def _wanted(self, since_when: Mapping[str, datetime]) -> dict[Metric, list[MinuteRange]]:
        """Return the gaps to rebuild, oldest first, of each metric that is not at a pause and could be asked."""
        begin = {
            metric: min(since_when[str(metric)], self._minute - self._exchanges[metric.exchange].reach)
            for metric in self._settings.tracked
            if metric.exchange in self._exchanges and self._collected.causes.get(str(metric), REJECTED) == REJECTED
        }
        wanted = {}
        for metric, gaps in self._gaps_to_rebuild(since_when, begin).items():
            turn = self._turns[str(metric)]
            waits = turn.waits(_unix(self._minute))
            left = [gap for gap in gaps if not (waits and _unix(gap.last) <= turn.until)]
            if left:
                wanted[metric] = left
        for metric, piece in self._past_of_late_comers(since_when, begin).items():
            turn = self._turns[str(metric)]
            if not (turn.waits(_unix(self._minute)) and _unix(piece.last) <= turn.until):
                self._past[metric] = piece
        return wanted

    def _gaps_to_rebuild(
        self, since_when: Mapping[str, datetime], begin: Mapping[Metric, datetime]
    ) -> dict[Metric, list[MinuteRange]]:
        """Return what candles did not bring of each metric since ``begin``, oldest first."""
        since = {str(metric): min(since_when[str(metric)], self._minute) for metric in begin}
        missing = coverage.missing(self._store.prices, since, self._horizon, self._minute)
        spans = {metric: MinuteRange(first, self._minute) for metric, first in begin.items()}
        gaps = {
            metric: [part for gap in missing.get(str(metric), ()) for part in _overlaps(gap, [span])]
            for metric, span in spans.items()
        }
        return {metric: of_metric for metric, of_metric in gaps.items() if of_metric}

    def _past_of_late_comers(
        self, since_when: Mapping[str, datetime], asked: Collection[Metric]
    ) -> dict[Metric, MinuteRange]:
        """Return the next piece to fetch of the 24 hours before metrics that came to the list after the first ones.

        The first ones got theirs when the tracker was started. Newest pieces come first, so that what is stored of a
        metric has no hole while the rest is still to come.
        """
        metrics = {str(metric): metric for metric in asked}
        later = {metric: since - DAY for metric, since in added_later(since_when).items() if metric in metrics}
        later = {metric: begin for metric, begin in later.items() if begin >= self._horizon}
        if not later:
            return {}
        missed = self._store.prices.gaps([*later], min(later.values()), self._minute)
        pieces = {}
        for metric, begin in later.items():
            before = [gap for gap in missed.get(metric, []) if gap.first <= begin <= gap.last < self._minute]
            if before:
                first = max(begin, before[0].last - _PIECE_OF_PAST + MINUTE)
                pieces[metrics[metric]] = MinuteRange(first, before[0].last)
        return pieces

    def _rebuild(self, metric: Metric, span: MinuteRange, gaps: Sequence[MinuteRange], findings: _Findings) -> None:
        """Rebuild the gaps that lie in a span; what is stored between them stays as it is."""
        turn = self._turns[str(metric)]
        before = self._store.prices.candles([str(metric)], span.first - MINUTE, span.first - MINUTE)
        pages = self._exchanges[metric.exchange].history(metric.pair, *span, self.deadline, before=before)
        batches = _batches(Validated(within(page.kept, gaps), page.rejected, page.derived) for page in pages)
        if span == self._past.get(metric):
            batches = iter([*batches])  # in part it would leave a hole
        for batch in batches:
            turn.healed = _unix(self._minute)
            for validated in batch:
                findings.put(_Finding((str(metric),), validated))
        turn.healed = _unix(self._minute)

    def _remember_vain(self, asked: Mapping[Metric, Sequence[MinuteRange]]) -> None:
        """Let metrics pause whose gaps were asked for whole and are gaps still."""
        if not asked:
            return
        first = min(gap.first for gaps in asked.values() for gap in gaps)
        missed = self._store.prices.gaps([*map(str, asked)], first, self._minute)
        for metric, gaps in asked.items():
            turn = self._turns[str(metric)]
            left = [part for gap in missed.get(str(metric), []) for part in _overlaps(gap, gaps)]
            if left:
                progress = minutes_in(left) < minutes_in(gaps) and not turn.until
                turn.note_vain(_unix(max(gap.last for gap in left)), _unix(self._minute), progress=progress)
            elif not turn.waits(_unix(self._minute)):
                turn.vain = turn.until = turn.again = 0


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
    store = open_store(settings)
    collected = Collected(last, tuple(str(metric) for metric in settings.tracked))
    whole = MinuteRange(first, last)
    wanted = (
        {metric: [whole] for metric in collected.metrics}
        if refetch
        else store.prices.gaps(collected.metrics, first, last)
    )
    total = minutes_in(gap for gaps in wanted.values() for gap in gaps)
    done = 0

    def say(now_done: int, metric: Metric) -> None:
        if on_progress:
            on_progress(now_done, total, str(metric))

    for name, metrics in _by_exchange(settings.tracked).items():
        exchange = open_exchange(name, settings, low_priority=True)
        with _trouble_noted(collected, metrics):
            patience = Deadline.after(_PATIENCE_A_METRIC)
            before, now = datetime.now(UTC), exchange.time(patience)
            collected.clocks[name] = _note_clock(settings, name, before, now, datetime.now(UTC))
            pairs = exchange.pairs({metric.pair for metric in metrics}, patience)
            for metric in metrics:
                gaps = wanted.get(str(metric), [])
                with _trouble_noted(collected, [metric]):
                    try:
                        for count in _fetch(exchange, store, collected, metric, gaps, now):
                            say(min(done + count, total), metric)
                    except PairUnknown as error:
                        raise _with_its_place(error, metric, pairs, settings) from error
                done += minutes_in(gaps)
                say(done, metric)
    # where something went wrong, an absent beginning is not the time before the first trade
    asked = {metric: first if metric in collected.causes else None for metric in collected.metrics}
    collected.missing = coverage.missing(store.prices, asked, first, last)
    return collected


def _fetch(
    exchange: Exchange,
    store: Store,
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
        validated = exchange.candles(metric.pair, recent[0].first, deadline)
        _store(store, collected, [(str(metric), validated)], recent[0].first)
        holes = store.prices.gaps([str(metric)], recent[0].first, recent[-1].last)
        rest += [part for hole in holes.get(str(metric), []) for part in _overlaps(hole, recent)]
        done = minutes_in(gaps) - minutes_in(rest)
        yield done
    for gap in sorted(rest, reverse=True):
        for batch in _batches(exchange.history(metric.pair, gap.first, gap.last, deadline)):
            _store(store, collected, [(str(metric), validated) for validated in batch], gap.first)
            done += sum(validated.kept.num_rows for validated in batch)
            yield done


def _joined(gaps: Sequence[MinuteRange]) -> list[MinuteRange]:
    """Join gaps that lie close together, so that one question answers them; newest first, the newest on its own."""
    *older, newest = sorted(gaps)
    joined: list[MinuteRange] = []
    for gap in older:
        if joined and gap.first - joined[-1].last <= _CLOSE_TOGETHER:
            joined[-1] = MinuteRange(joined[-1].first, gap.last)
        else:
            joined.append(gap)
    return [newest, *reversed(joined)]


def _batches(pages: Iterator[Validated]) -> Iterator[list[Validated]]:
    """Gather pages until they are worth a commit. What was gathered is yielded even where the next page fails."""
    batch: list[Validated] = []
    try:
        for page in pages:
            batch.append(page)
            if sum(validated.kept.num_rows for validated in batch) >= _BATCH:
                yield batch
                batch = []
    except ExchangeError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _in_a_thread(ask: Callable[[], None], metrics: Sequence[Metric], findings: _Findings) -> None:
    """Let a thread ask, and say when it is done. It is a daemon: what hangs keeps nothing from ending."""

    def run() -> None:
        try:
            ask()
        except Exception as error:
            findings.put(_Finding(tuple(map(str, metrics)), error))
        finally:
            findings.put(_Finding((), None))

    threading.Thread(target=run, daemon=True).start()


def _speaks_of(validated: Validated, minute: datetime) -> bool:
    newest = newest_minute(validated.kept)  # a tick that is late itself finds minutes after its own
    return (newest is not None and newest >= minute) or any(row.minute == minute for row in validated.rejected)


def _with_its_place(error: Exception, metric: Metric, pairs: Collection[str], settings: Settings) -> Exception:
    """Return an error; of a pair that its exchange neither knows nor lists, where it stands and the way out.

    The list alone decides nothing: one that is incomplete for once would cost minutes that can be had.
    """
    if not isinstance(error, PairUnknown) or metric.pair in pairs:
        return error
    hint = did_you_mean(str(metric), [str(Metric(metric.exchange, pair)) for pair in sorted(pairs)])
    return PairUnknown(f"{settings.place_of(metric)}: no such pair on {metric.exchange}{hint}")


def _not_over(name: str, minute: datetime, theirs: datetime, ours: datetime) -> str:
    """Say that a minute is not over by an exchange's clock; where it is by this machine's, that the clock is wrong."""
    if ours < minute + MINUTE:
        return f"{name}: by its clock it is {theirs:%H:%M:%S}, the minute is not over"
    shown = "%H:%M:%S" if theirs.date() == ours.date() else "%Y-%m-%d %H:%M:%S"
    return (
        f"{name}'s clock says {theirs:{shown}}, this machine's {ours:{shown}}: the minute is not over there; "
        "check this machine's clock"
    )


def _note_clock(settings: Settings, exchange: str, before: datetime, theirs: datetime, ours: datetime) -> float:
    """Keep how many seconds this machine's clock is ahead of an exchange's, and return it.

    Its answer, a whole second, may have taken a while: it is ahead for certain by what it was when it was asked.
    """
    ahead = (ours - theirs).total_seconds()
    with suppress(OSError):  # it is measured again in a minute
        note_clock(settings.state, exchange, ahead, ours, at_least=(before - theirs).total_seconds() - 1)
    return ahead


def _since(
    exchange: Exchange,
    metric: str,
    minute: datetime,
    newest: Mapping[str, datetime],
    gaps: Mapping[str, Sequence[MinuteRange]],
    doubted: Mapping[str, datetime],
) -> datetime:
    """Return from which minute on candles are asked for; all there are for a metric that is new."""
    reached = minute - exchange.reach
    if metric not in newest:
        return reached
    again = min(newest[metric], minute) - (CORRECTED_MINUTES - 1) * MINUTE
    missed = [max(gap.first, reached) for gap in gaps.get(metric, []) if gap.last >= reached]
    return max(reached, min([again, doubted.get(metric, again), *missed]))


def _note_what_nobody_fetched(
    settings: Settings,
    collected: Collected,
    gaps: Mapping[str, Sequence[MinuteRange]],
    since: Mapping[str, datetime],
) -> None:
    """Note the minutes that no tick has tried to store: once they are healed, nothing else tells of them.

    Of a long stop the last day is noted, which is looked at, and the first: by a clock that is days ahead, a stop of
    minutes is days long, and what was missed indeed is its beginning.
    """
    late = collected.minute - max(1, settings.alerts.missed_grace_minutes) * MINUTE
    missed = {}
    for metric, of_metric in gaps.items():
        last_day = MinuteRange(max(since[metric], collected.minute - DAY + MINUTE), collected.minute - MINUTE)
        parts = []
        for gap in of_metric:
            begin = max(gap.first, since[metric])
            first_day = MinuteRange(begin, min(begin + DAY, last_day.first) - MINUTE)
            parts += _overlaps(gap, [first_day, last_day])
        # what reaches back beyond the grace was one stop: its last minutes had no tick of their own either
        missed[metric] = [part for part in parts if part.first <= late]
    open_store(settings).records.note_not_run(missed, datetime.now(UTC))


def _note_what_came_late(
    settings: Settings,
    minute: datetime,
    stored: Iterable[str],
    gaps: Mapping[str, Sequence[MinuteRange]],
    now: datetime,
) -> None:
    """Note the tick's own minute where it came after all, but too late: the tick was stopped in its middle."""
    if now <= minute + (1 + settings.alerts.missed_grace_minutes) * MINUTE:
        return
    own = MinuteRange(minute, minute)
    late = {metric: [own] for metric in stored if any(_overlaps(own, [gap]) for gap in gaps.get(metric, ()))}
    open_store(settings).records.note_not_run(late, now, f"its tick asked for it only at {now:%H:%M:%S}")


def _store(
    store: Store,
    collected: Collected,
    answers: Sequence[tuple[str, Validated]],
    first: datetime,
    now: datetime | None = None,
) -> set[str]:
    """Upsert what was kept of each metric, a day at a time, and add it to the account.

    Rows that cannot be stored are noted for their metric, and the others go in. Returned are the metrics of which all
    is stored.
    """
    for metric, validated in answers:
        collected.rejected += validated.rejected
        if validated.rejected:
            collected.causes.setdefault(metric, REJECTED)
    together = _upsert(store, collected, [validated for _, validated in answers], first, now)
    failed = set()
    if together is not None:
        until = time.monotonic() + _SPLIT_WITHIN
        about_rows = not isinstance(together, OSError | PricetrackerError)
        for metric, validated in answers:
            problem: Exception | None = together
            if about_rows and len(answers) > 1 and time.monotonic() < until:
                problem = _upsert(store, collected, [validated], first, now)
            if problem is not None:
                failed.add(metric)
                _note_error(collected, [metric], problem, stored=False)
    return {metric for metric, _ in answers} - failed


def _upsert(
    store: Store, collected: Collected, answers: Sequence[Validated], first: datetime, now: datetime | None
) -> Exception | None:
    """Upsert some answers together, a day at a time; return what went wrong with one of the days, or None."""
    problem: Exception | None = None
    try:
        days = (
            by_day(pa.concat_tables([validated.kept for validated in answers]), first, collected.minute)
            if answers
            else {}
        )
    except Exception as error:
        return error
    derived = [validated.derived for validated in answers if validated.derived is not None]
    for day, rows in days.items():
        try:
            upserted = store.prices.upsert(rows, derived=pa.concat_tables(derived) if derived else None, now=now)
        except Exception as error:
            problem = error
            continue
        collected.rejected += upserted.rejected
        collected.doubts |= {doubt.key: doubt for doubt in upserted.doubts}
        if upserted.inserted or upserted.updated:
            before = collected.stored.get(day, Stored(0, 0))
            collected.stored[day] = Stored(before.inserted + upserted.inserted, before.updated + upserted.updated)
    return problem


def _note(collected: Collected, metric: str, reason: str, cause: str) -> None:
    collected.reasons[metric] = reason
    collected.causes[metric] = cause


def _forgive(collected: Collected, metric: str) -> None:
    """Forget what was noted of a metric that has answered after all."""
    collected.reasons.pop(metric, None)
    collected.causes.pop(metric, None)


def _note_error(collected: Collected, metrics: Iterable[str], error: Exception, *, stored: bool = True) -> None:
    """Note of some metrics what went wrong with them, of whatever kind it is."""
    reason, cause = _told(collected, error)
    if not stored and cause != MISTAKE:
        reason, cause = f"its rows were not stored: {reason}", NOT_STORED
    for metric in metrics:
        _note(collected, metric, reason, cause)


def _told(collected: Collected, error: Exception) -> tuple[str, str]:
    """Return an error in plain words and its kind. Of a mistake of ours the traceback is kept for the log."""
    reason, cause = in_plain_words(error)
    if cause == MISTAKE:
        collected.tracebacks.append("".join(traceback.format_exception(error)))
        reason += "; the traceback is in the run's log"
    return reason, cause


def in_plain_words(error: Exception) -> tuple[str, str]:
    """Return an error in one line and its kind: the cause of a missed minute, MISTAKE where it is one of ours.

    What libraries say is shown without secrets; our own errors know none.

    Raises:
        MemoryError: the error is one: there is nothing to go on with.
        KeyboardInterrupt: the error comes of one.
    """
    if isinstance(error, MemoryError):
        raise error
    if sql.is_interrupted(error):
        raise KeyboardInterrupt from error
    if isinstance(error, ExchangeError):
        return str(error), error.cause
    if isinstance(error, DeadlineExceeded):
        return "not asked in time, others were before it", ExchangeError.cause
    if isinstance(error, PricetrackerError):
        return str(error), NOT_STORED
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror, NOT_STORED
    if isinstance(error, DeltaError | duckdb.IOException):
        return plain(error, 300), NOT_STORED
    return f"a mistake of pricetracker: {plain(f'{type(error).__name__}: {error}', 300)}", MISTAKE


@contextmanager
def _trouble_noted(collected: Collected, metrics: Iterable[Metric]) -> Iterator[None]:
    """Note whatever goes wrong for the metrics it concerns, and let it go no further."""
    try:
        yield
    except Exception as error:
        _note_error(collected, map(str, metrics), error)


@contextmanager
def _told_beside(collected: Collected, what: str) -> Iterator[None]:
    """Tell whatever goes wrong with something that is no metric's, and let it go no further."""
    try:
        yield
    except Exception as error:
        collected.troubles.append(f"{what}: {_told(collected, error)[0]}")


def _by_exchange(metrics: Iterable[Metric]) -> dict[str, list[Metric]]:
    groups: dict[str, list[Metric]] = {}
    for metric in metrics:
        groups.setdefault(metric.exchange, []).append(metric)
    return groups


def _overlaps(gap: MinuteRange, others: Iterable[MinuteRange]) -> list[MinuteRange]:
    """Return the parts of ``gap`` that lie in one of the others."""
    parts = (MinuteRange(max(gap.first, other.first), min(gap.last, other.last)) for other in others)
    return [part for part in parts if part.first <= part.last]


def _unix(moment: datetime) -> int:
    return int(moment.timestamp())
