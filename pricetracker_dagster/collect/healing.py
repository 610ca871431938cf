"""A tick heals: gaps that candles did not close are rebuilt from trades, in turns, as time permits."""

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, minutes_in, overlaps
from pricetracker_dagster.candles.table import within
from pricetracker_dagster.candles.validate import Validated
from pricetracker_dagster.collect.asking import Findings, in_turns
from pricetracker_dagster.collect.candles import CORRECTED_MINUTES
from pricetracker_dagster.collect.context import Context, by_exchange, unix
from pricetracker_dagster.collect.intake import Intake
from pricetracker_dagster.collect.storing import batches
from pricetracker_dagster.exchanges.base import NotAsked
from pricetracker_dagster.files.locks import DeadlineExceeded
from pricetracker_dagster.store import coverage
from pricetracker_dagster.store.coverage import Gaps
from pricetracker_dagster.store.records import REJECTED
from pricetracker_dagster.store.tracked import added_later

_THOROUGH = 2
"""Metrics of which older gaps are rebuilt in the same go as the newest one, in turns: they would never have one."""

_CLOSE_TOGETHER = timedelta(hours=1)
"""Gaps no farther apart are rebuilt by one question: the trades between them mostly fit on its page."""

_PIECE_OF_PAST = timedelta(hours=1)
"""How much of the day before a metric that was added later is fetched at once, whole or not at all."""

Wanted = dict[Metric, list[MinuteRange]]
"""By metric what is to be rebuilt, oldest first."""


class Healing:
    """The gaps of one tick that are to be rebuilt. They are planned once the candles have come."""

    def __init__(
        self,
        context: Context,
        since_when: Mapping[str, datetime],
        newest: Mapping[str, datetime],
        gaps: Gaps | None,
        oldest: Mapping[str, datetime],
    ) -> None:
        """Find out what is to be rebuilt.

        Args:
            context: the tick.
            since_when: since when each metric is tracked.
            newest: each metric's newest minute that was stored before the tick.
            gaps: what was missing of each before the tick; None where that could not be read.
            oldest: the oldest minute among the candles that have come of each metric.
        """
        self._context = context
        self._newest = newest
        self._gaps = gaps
        self._oldest = oldest
        self._wanted: Wanted = {}
        self._past: dict[Metric, MinuteRange] = {}
        with context.collected.noting_trouble("what is stored could not be read"):
            self._wanted = self._find_wanted(since_when)

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to rebuild, and time for it."""
        return bool(self._wanted or self._past) and self._context.deadline.remaining > 0

    def run(self, intake: Intake) -> None:
        """Rebuild what there is time for."""
        context, wanted = self._context, self._wanted
        if any(gap.last == context.minute for gaps in wanted.values() for gap in gaps):
            with suppress(DeadlineExceeded):
                context.deadline.sleep(max(0.0, context.settled_at - time.monotonic()))
        findings = Findings()
        whole: set[Metric] = set()
        asked = self._with_what_is_before(wanted)
        spans = {metric: _joined(gaps) for metric, gaps in asked.items()}
        for metric, piece in self._past.items():
            spans.setdefault(metric, []).append(piece)
            for each in (wanted, asked):
                each[metric] = [piece, *each.get(metric, [])]
        ordered = context.turns.to_heal(wanted)
        thorough = set(ordered[:_THOROUGH])

        def heal(metric: Metric, times: int) -> float | None:
            # the newest gap of each comes before older ones, but for those whose turn it is
            at_once = times or metric in thorough
            try:
                for span in spans[metric][1 if times else 0 : None if at_once else 1]:
                    self._rebuild(metric, span, asked[metric], findings)
            except Exception as error:
                findings.put(metric, error)
                if not isinstance(error, NotAsked):  # what always fails had its turn all the same
                    context.turns[str(metric)].healed = unix(context.minute)
                return None
            if not at_once and spans[metric][1:]:
                return 0.0
            whole.add(metric)
            return None

        for name, metrics in by_exchange(ordered).items():
            allowance = context.exchanges[name].allowance
            findings.start(partial(in_turns, metrics, heal, allowance, deadline=context.deadline, name=name), metrics)
        intake.rebuilt(findings)
        with context.collected.noting_trouble("what is stored could not be read"):
            self._remember_vain({metric: wanted[metric] for metric in wanted if metric in whole})

    def note_turns(self) -> None:
        """Note whether the time that was kept for older gaps has lasted for one of them, where it was their turn."""
        tracked = by_exchange(self._context.settings.tracked)
        for name in self._context.heals & {metric.exchange for metric in (*self._wanted, *self._past)}:
            self._context.turns.note_older(tracked[name])

    def _with_what_is_before(self, wanted: Mapping[Metric, list[MinuteRange]]) -> dict[Metric, list[MinuteRange]]:
        """Widen the newest gaps by the minutes before them where no candles came that say what has become of these.

        They were stored right after their close, and may have been corrected since; once the gap is filled, nobody asks
        for them any more.
        """
        before = (CORRECTED_MINUTES - 1) * MINUTE
        begins: dict[Metric, datetime] = {}
        for metric, gaps in wanted.items():
            newest, first = self._newest.get(str(metric)), self._oldest.get(str(metric))
            if newest is not None and gaps[-1].first == newest + MINUTE and (first is None or first > newest):
                begins[metric] = gaps[-1].first - before
        missing: Mapping[str, Sequence[MinuteRange]] = {}
        if begins:
            names = [str(metric) for metric in begins]
            missing = self._context.store.prices.gaps(names, min(begins.values()) - MINUTE, self._context.minute)
        widened = dict(wanted)
        for metric, begin in begins.items():
            newest_gap = wanted[metric][-1]
            there = MinuteRange(begin - MINUTE, newest_gap.first - MINUTE)
            # where one of them is missing itself, the price before it would have to be looked for
            if not any(overlaps(gap, [there]) for gap in missing.get(str(metric), [])):
                widened[metric] = [*wanted[metric][:-1], MinuteRange(begin, newest_gap.last)]
        return widened

    def _find_wanted(self, since_when: Mapping[str, datetime]) -> Wanted:
        """Return the gaps to rebuild, oldest first, of each metric that is not at a pause and could be asked."""
        causes = self._context.collected.causes
        begin = {
            metric: min(since_when[str(metric)], self._context.minute - self._context.exchanges[metric.exchange].reach)
            for metric in self._context.settings.tracked
            if metric.exchange in self._context.exchanges and causes.get(str(metric), REJECTED) == REJECTED
        }
        found = self.gaps_to_rebuild(since_when, begin)
        left = {metric: [gap for gap in gaps if not self._pauses(metric, gap)] for metric, gaps in found.items()}
        past = self._past_of_late_comers(since_when, begin)
        self._past = {metric: piece for metric, piece in past.items() if not self._pauses(metric, piece)}
        return {metric: gaps for metric, gaps in left.items() if gaps}

    def _pauses(self, metric: Metric, gap: MinuteRange) -> bool:
        """Say whether a gap was asked for in vain of late, and is left alone for a while."""
        turn = self._context.turns[str(metric)]
        return turn.waits(unix(self._context.minute)) and unix(gap.last) <= turn.until

    def gaps_to_rebuild(
        self, since_when: Mapping[str, datetime], begin: Mapping[Metric, datetime]
    ) -> dict[Metric, list[MinuteRange]]:
        """Return what candles did not bring of each metric since ``begin``, oldest first."""
        context, prices = self._context, self._context.store.prices
        since = {str(metric): min(since_when[str(metric)], context.minute) for metric in begin}
        missing: Gaps = {}
        if self._gaps is not None:
            # of others rows came from before they were tracked, so that more of their minutes are expected now
            steady = [metric for metric in since if since_when[metric] <= self._oldest.get(metric, context.minute)]
            missing = coverage.still_missing(prices, {each: self._gaps[each] for each in steady if each in self._gaps})
            known = set(steady)
            since = {metric: moment for metric, moment in since.items() if metric not in known}
        missing |= coverage.missing(prices, since, context.horizon, context.minute)
        gaps = {}
        for metric, first in begin.items():
            span = MinuteRange(first, context.minute)
            gaps[metric] = [part for gap in missing.get(str(metric), ()) for part in overlaps(gap, [span])]
        return {metric: of_metric for metric, of_metric in gaps.items() if of_metric}

    def _past_of_late_comers(
        self, since_when: Mapping[str, datetime], asked: Collection[Metric]
    ) -> dict[Metric, MinuteRange]:
        """Return the next piece to fetch of the 24 hours before metrics that came to the list after the first ones.

        The first ones got theirs when the tracker was started. Newest pieces come first, so that what is stored of a
        metric has no hole while the rest is still to come.
        """
        metrics = {str(metric): metric for metric in asked}
        later = {
            metric: since - DAY
            for metric, since in added_later(since_when).items()
            if metric in metrics and since - DAY >= self._context.horizon
        }
        if not later:
            return {}
        missed = self._context.store.prices.gaps([*later], min(later.values()), self._context.minute)
        pieces = {}
        for metric, begin in later.items():
            before = [gap for gap in missed.get(metric, []) if gap.first <= begin <= gap.last < self._context.minute]
            if before:
                first = max(begin, before[0].last - _PIECE_OF_PAST + MINUTE)
                pieces[metrics[metric]] = MinuteRange(first, before[0].last)
        return pieces

    def _rebuild(self, metric: Metric, span: MinuteRange, gaps: Sequence[MinuteRange], findings: Findings) -> None:
        """Rebuild the gaps that lie in a span; what is stored between them stays as it is."""
        turn = self._context.turns[str(metric)]
        before = self._context.store.prices.candles([str(metric)], span.first - MINUTE, span.first - MINUTE)
        exchange = self._context.exchanges[metric.exchange]
        pages = exchange.history(metric.pair, *span, self._context.deadline, before=before)
        parts = batches(Validated(within(page.kept, gaps), page.rejected, page.derived) for page in pages)
        if span == self._past.get(metric):
            parts = iter([*parts])  # in part it would leave a hole
        for batch in parts:
            turn.healed = unix(self._context.minute)
            for validated in batch:
                findings.put(metric, validated)
        turn.healed = unix(self._context.minute)

    def _remember_vain(self, asked: Mapping[Metric, Sequence[MinuteRange]]) -> None:
        """Let metrics pause whose gaps were asked for whole and are gaps still."""
        if not asked:
            return
        first = min(gap.first for gaps in asked.values() for gap in gaps)
        missed = self._context.store.prices.gaps([*map(str, asked)], first, self._context.minute)
        for metric, gaps in asked.items():
            turn = self._context.turns[str(metric)]
            left = [part for gap in missed.get(str(metric), []) for part in overlaps(gap, gaps)]
            if left:
                progress = minutes_in(left) < minutes_in(gaps) and not turn.until
                turn.note_vain(unix(max(gap.last for gap in left)), unix(self._context.minute), progress=progress)
            elif not turn.waits(unix(self._context.minute)):
                turn.vain = turn.until = turn.again = 0


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
