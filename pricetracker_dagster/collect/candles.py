"""A tick asks the exchanges for candles: each metric's since those of the tick before, several at the same time."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, newest_closed_minute
from pricetracker_dagster.candles.table import newest_minute
from pricetracker_dagster.candles.validate import Answer, Unvalidated
from pricetracker_dagster.collect.asking import Findings, in_turns
from pricetracker_dagster.collect.clocks import wait_until_closed
from pricetracker_dagster.collect.context import Context, by_exchange
from pricetracker_dagster.errors import did_you_mean
from pricetracker_dagster.exchanges.asking import retry_pause
from pricetracker_dagster.exchanges.base import Exchange, NotAsked, PairAmbiguous, PairUnknown
from pricetracker_dagster.exchanges.registry import open_exchange
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.settings import Settings

CORRECTED_MINUTES = 5
"""Exchanges correct a candle shortly after its close: so many of the last stored minutes are asked for again."""

_DOUBTED = timedelta(hours=1)
"""How far back minutes are asked for again of which an answer took trades away, until a second one decides."""

_WHOLE_SECOND = 0.2
"""Seconds by which an exchange's time, which is told in whole seconds, may be ahead of what was computed from it."""

_MOST_HINTS = 50
"""Pairs that are unknown and are told with the nearest name that is known: to find it takes 20 ms of CPU each."""

LATE_MINUTE = (1.0, 2.0)
"""Seconds after which the newest minute is asked for again where the exchange does not have it yet."""


def ask_for_candles(
    context: Context,
    newest: Mapping[str, datetime],
    gaps: Mapping[str, Sequence[MinuteRange]],
    findings: Findings,
) -> None:
    """Open the exchanges of all that is tracked, and start a thread for each that asks for its candles.

    ``newest`` is each metric's newest stored minute, ``gaps`` what is missing of it.
    """
    tracked = by_exchange(context.settings.tracked)
    for name, metrics in tracked.items():
        with context.collected.noting_errors(metrics):
            context.exchanges[name] = open_exchange(name, context.settings)
    older = any(gap.last < context.minute for of_metric in gaps.values() for gap in of_metric)
    doubted = _doubted(context)
    newest = context.turns.brought(newest)
    for name, exchange in context.exchanges.items():

        def since(metric: str, minute: datetime, exchange: Exchange = exchange) -> datetime:
            return _since(exchange, metric, minute, newest, gaps, doubted)

        share = context.turns.share_of_older(tracked[name]) if older else 0.0
        again_until = until = context.deadline.earlier(share * context.settings.collect.budget_seconds)
        if context.turns.all_were_asked(tracked[name]):
            context.heals.add(name)
        else:  # the newest minutes have all of the budget: each metric has its turn before older gaps have theirs
            until = context.deadline
        ask = partial(_ask, context, exchange, tracked[name], since, until, again_until, findings)
        findings.start(ask, tracked[name])


def _ask(
    context: Context,
    exchange: Exchange,
    metrics: Sequence[Metric],
    since: Callable[[str, datetime], datetime],
    deadline: Deadline,
    again_until: Deadline,
    findings: Findings,
) -> None:
    """Ask one exchange, in a thread of its own.

    Where the minute is not over by its clock, the minutes that are over there are asked for all the same.
    """
    now, not_over = wait_until_closed(exchange, context.settings, context.collected, deadline, context.now)
    newest = context.minute
    if not_over is None:
        settles_in = context.minute + MINUTE + exchange.settles - now
        context.settled_at = max(context.settled_at, time.monotonic() + settles_in.total_seconds() + _WHOLE_SECOND)
    else:
        newest = newest_closed_minute(now)
    pairs = exchange.pairs({metric.pair for metric in metrics}, deadline)
    told = {str(metric): exchange.base_and_quote(metric.pair) for metric in metrics}
    context.markets.update({metric: market for metric, market in told.items() if market is not None})
    failed: Counter[Metric] = Counter()
    unknown: set[Metric] = set()

    def ask(metric: Metric, times: int) -> float | None:
        try:
            ends = again_until if times else deadline
            answer = exchange.candles(metric.pair, since(str(metric), newest), ends, patient=False)
        except Exception as error:
            if not (times and isinstance(error, NotAsked)):  # what it said when it was asked tells more
                hint = len(unknown) < _MOST_HINTS
                findings.put(metric, not_over or with_its_place(error, metric, pairs, context.settings, hint=hint))
            failed[metric] += 1
            unknown.update([metric] if isinstance(error, PairUnknown) else [])
            return retry_pause(error, failed[metric])
        late = not _speaks_of(answer, newest)
        findings.put(metric, answer, late=late)
        if not_over is not None:
            findings.put(metric, not_over)
        again = times - failed[metric]
        may_ask = late and again < len(LATE_MINUTE) and context.turns[str(metric)].may_be_late()
        return LATE_MINUTE[again] if may_ask else None

    ordered, name = context.turns.to_ask(metrics), exchange.name
    in_turns(ordered, ask, exchange.allowance, deadline=deadline, again_until=again_until, name=name)


def _doubted(context: Context) -> dict[str, datetime]:
    """Return of each metric the oldest minute of late that waits for a second answer."""
    doubts = context.store.prices.doubts(context.now())
    recent = [doubt for doubt in doubts if context.minute - _DOUBTED <= doubt.minute <= context.minute]
    return {doubt.metric: doubt.minute for doubt in sorted(recent, key=lambda each: each.minute, reverse=True)}


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


def _speaks_of(answer: Answer, minute: datetime) -> bool:
    if isinstance(answer, Unvalidated):
        return answer.speaks_of(minute)
    newest = newest_minute(answer.kept)  # a tick that is late itself finds minutes after its own
    return (newest is not None and newest >= minute) or any(row.minute == minute for row in answer.rejected)


def with_its_place(
    error: Exception, metric: Metric, pairs: Collection[str], settings: Settings, *, hint: bool = True
) -> Exception:
    """Return an error; of a pair that its exchange neither knows nor lists, where it stands and the way out.

    The list alone decides nothing: one that is incomplete for once would cost minutes that can be had.
    """
    if not isinstance(error, PairUnknown) or {metric.pair, metric.pair.replace("/", "")} & {*pairs}:
        return error
    if isinstance(error, PairAmbiguous):
        return PairUnknown(f"{settings.place_of(metric)}: {error}")
    instead = did_you_mean(str(metric), [str(Metric(metric.exchange, pair)) for pair in sorted(pairs)]) if hint else ""
    return PairUnknown(f"{settings.place_of(metric)}: no such pair on {metric.exchange}{instead}")
