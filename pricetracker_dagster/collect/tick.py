"""One tick, without Dagster: collect, publish, heal. What it healed is published by the asset that comes next."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, overlaps
from pricetracker_dagster.collect.asking import Findings
from pricetracker_dagster.collect.candles import ask_for_candles
from pricetracker_dagster.collect.context import Context
from pricetracker_dagster.collect.healing import Healing
from pricetracker_dagster.collect.intake import Intake
from pricetracker_dagster.collect.result import Collected
from pricetracker_dagster.collect.turns import Turns
from pricetracker_dagster.exchanges.rate_limit import at_work
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store import coverage
from pricetracker_dagster.store.market_names import note_markets
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.records import NOT_RUN
from pricetracker_dagster.store.store import open_store
from pricetracker_dagster.store.tracked import note_tracked

_AFTERWARDS = 8.0 / 10_000
"""Seconds of the budget, by metric, left for what comes after the last answer: to store it, to note what is missing and
to publish. For a few metrics it is nothing; with very many a tick would outlast the time that it is given."""


def collect_minute(
    settings: Settings, minute: datetime, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Collected:
    """Store ``minute`` of every tracked metric, and every minute missed before it as far as time permits.

    First each metric's closed minutes since the last stored one, the last five again, and gaps within the candle
    endpoint's reach; then, with the time that is left, holes in these and older gaps since it is tracked, rebuilt from
    trades. What lies before that and a day that was fetched by hand is nobody's gap. Where there is more to ask than
    the budget allows, metrics take turns from tick to tick. Whatever goes wrong with one record, metric or exchange is
    noted and is not the others' trouble. It ends within ``collect.budget_seconds``, whatever hangs. Where healing or a
    straggler would keep readers waiting, what is stored is published before.

    Args:
        settings: what to follow and whom to ask.
        minute: the closed minute that the tick is for, UTC. No later minute is stored.
        now: returns the time of this machine's clock, UTC.

    Returns:
        What was stored, and of ``minute`` alone what is missing.
    """
    tick = _Tick(settings, minute, now)
    try:
        with at_work(settings.state, tick.context.deadline):
            tick.collect()
            if tick.has_more_to_do:
                tick.publish()
            tick.heal()
    except DeadlineExceeded:
        for metric in tick.context.collected.metrics:
            tick.context.collected.note(metric, "another tick was at work all the time", NOT_RUN)
    except Exception:
        with suppress(Exception):  # readers should have what is stored all the same
            tick.publish()
        raise
    tick.note_what_is_missing()
    return tick.context.collected


class _Tick:
    """One tick at work. What threads find comes back through queues; all else is done by the thread that runs it."""

    def __init__(self, settings: Settings, minute: datetime, now: Callable[[], datetime]) -> None:
        collected = Collected.of(settings, minute)
        turns = Turns(settings.state, collected.metrics, minute)
        budget = settings.collect.budget_seconds
        deadline = Deadline.after(budget - min(_AFTERWARDS * len(collected.metrics), budget / 2))
        self.context = Context(settings, open_store(settings), collected, turns, deadline, now)
        self._candles = Findings()
        self._intake = Intake(self.context)
        self._healing: Healing | None = None
        self._newest: Mapping[str, datetime] = {}
        self._gaps: coverage.Gaps | None = None
        self._since_when: Mapping[str, datetime] = {}

    @property
    def has_more_to_do(self) -> bool:
        """Whether candles are still to come, or gaps to be healed."""
        return self._healing is None or self._healing.is_needed

    def collect(self) -> None:
        """Ask for candles and store those that come, but for stragglers."""
        self._look()
        ask_for_candles(self.context, self._newest, self._gaps or {}, self._candles)
        if self._intake.candles(self._candles):
            self._plan_healing()

    def publish(self) -> None:
        """Let readers have what is stored, while older minutes are still fetched."""
        context = self.context
        with context.collected.noting_trouble("what is stored was not published yet"):
            publish(context.store, context.collected.metrics, now=context.now(), minute=context.minute)

    def heal(self) -> None:
        """Store the candles of stragglers, then rebuild what is still missing."""
        if self._healing is None:
            self._intake.candles(self._candles, all_of_them=True)
            self._plan_healing()
        if self._healing is not None and self._healing.is_needed:
            self._healing.run(self._intake)
        if self._healing is not None:
            self._healing.note_turns()
        self.context.turns.save()
        note_markets(self.context.settings.state, {**self.context.markets})

    def note_what_is_missing(self) -> None:
        """Find out which metrics lack the tick's own minute after all, and note why."""
        collected, minute = self.context.collected, self.context.minute
        own = MinuteRange(minute, minute)
        missing = {metric: [own] for metric in collected.metrics if metric not in self._intake.has_minute}
        with collected.noting_trouble("what is stored could not be read"):
            missing = self.context.store.prices.gaps(collected.metrics, minute, minute)
        collected.missing = missing
        with collected.noting_trouble("why minutes are missing was not noted"):
            self.context.store.records.causes.upsert(collected.causes_of_missing(missing, datetime.now(UTC)))

    def _look(self) -> None:
        """Find out what is stored: each metric's newest minute, its gaps, and since when it is tracked."""
        collected, minute = self.context.collected, self.context.minute
        prices, horizon = self.context.store.prices, self.context.horizon
        # where what is stored cannot be read, the newest minutes are fetched all the same
        self._newest = self._since_when = dict.fromkeys(collected.metrics, minute)
        with collected.noting_trouble("since when metrics are tracked could not be read"):
            self._since_when = note_tracked(self.context.settings.state, collected.metrics, minute)
        with collected.noting_trouble("what is stored could not be read"):
            self._newest, self._gaps = coverage.look(prices, self._since_when, horizon, minute, keep=True)
        with collected.noting_trouble("the minutes for which no tick was run were not noted"):
            _note_stop(self.context, self._gaps or {}, self._since_when)

    def _plan_healing(self) -> None:
        with self.context.collected.noting_trouble("that its own minute came late was not noted"):
            stored = [metric for metric in self._intake.has_minute if metric in self._newest]
            _note_late_minute(self.context, stored, self._gaps or {})
        self._healing = Healing(self.context, self._since_when, self._newest, self._gaps, self._intake.oldest)


def _note_stop(context: Context, gaps: Mapping[str, Sequence[MinuteRange]], since: Mapping[str, datetime]) -> None:
    """Note the minutes that no tick has tried to store.

    Of a long stop the last day is noted, which is looked at, and the first: by a clock that is days ahead, a stop of
    minutes is days long, and what was missed indeed is its beginning.
    """
    late = context.minute - max(1, context.settings.alerts.missed_grace_minutes) * MINUTE
    missed = {}
    for metric, of_metric in gaps.items():
        last_day = MinuteRange(max(since[metric], context.minute - DAY + MINUTE), context.minute - MINUTE)
        parts = []
        for gap in of_metric:
            begin = max(gap.first, since[metric])
            first_day = MinuteRange(begin, min(begin + DAY, last_day.first) - MINUTE)
            parts += overlaps(gap, [first_day, last_day])
        # what reaches back beyond the grace was one stop: its last minutes had no tick of their own either
        missed[metric] = [part for part in parts if part.first <= late]
    context.store.records.note_not_run(missed, datetime.now(UTC))


def _note_late_minute(context: Context, stored: Iterable[str], gaps: Mapping[str, Sequence[MinuteRange]]) -> None:
    """Note the tick's own minute where it came after all, but too late: the tick was stopped in its middle."""
    now, minute = context.now(), context.minute
    if now <= minute + (1 + context.settings.alerts.missed_grace_minutes) * MINUTE:
        return
    own = MinuteRange(minute, minute)
    late = {metric: [own] for metric in stored if any(overlaps(own, [gap]) for gap in gaps.get(metric, ()))}
    context.store.records.note_not_run(late, now, f"its tick asked for it only at {now:%H:%M:%S}")
