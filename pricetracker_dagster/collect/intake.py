"""What a tick's threads find, noted and stored as it comes."""

import time
from collections.abc import Iterable
from datetime import datetime

from pricetracker_dagster.candles.validate import Answer
from pricetracker_dagster.collect.asking import Findings
from pricetracker_dagster.collect.context import Context, unix
from pricetracker_dagster.collect.storing import store_answers
from pricetracker_dagster.exchanges.base import ExchangeError, NotAsked

STORED_EVERY = 15.0
"""Seconds after which what has come is stored, although more is to come: what a kill can lose, to be asked for again.
To store takes half a second of CPU each time, however little it is."""

_LOOKED_EVERY = 1.0
"""Seconds after which it is looked whether it is time for something, where nothing comes."""

_STRAGGLERS = 5.0
"""Seconds after which readers get what is stored, although somebody has not answered yet."""

_GRACE = 0.2
"""Seconds in which an answer of the last moment is still taken in."""


class Intake:
    """Notes and stores what threads find."""

    def __init__(self, context: Context) -> None:
        """Nothing has come yet."""
        self.has_minute: set[str] = set()
        """The metrics of which the tick's own minute is stored."""
        self.oldest: dict[str, datetime] = {}
        """The oldest minute among the candles that came of each metric last."""
        self._context = context
        self._began = time.monotonic()
        self._storing = 0.0
        self._late: dict[str, bool] = {}
        self._heard: set[str] = set()

    def candles(self, findings: Findings, *, all_of_them: bool = False) -> bool:
        """Note and store the candles that come; for ``all_of_them`` wait until the tick's deadline.

        Return whether all have come, or time is up. Else readers should have what is stored before stragglers come.
        """
        done = self._gather(findings, of_candles=True, all_of_them=all_of_them)
        if done:
            for metric, was_late in self._late.items():
                self._context.turns[metric].note_late(late=was_late)
            for metric in self._context.collected.metrics:  # in_turns() waits no longer for what still hangs
                if metric not in self._heard:
                    self._context.collected.note(metric, "no answer came within the tick's budget", ExchangeError.cause)
        return done

    def rebuilt(self, findings: Findings) -> None:
        """Note and store what is rebuilt, until all is done or time is up."""
        self._gather(findings, of_candles=False, all_of_them=True)

    def _gather(self, findings: Findings, *, of_candles: bool, all_of_them: bool) -> bool:
        collected, deadline = self._context.collected, self._context.deadline
        waiting: dict[object, tuple[str, Answer]] = {}
        stored_at = time.monotonic()
        while findings.askers and (deadline.remaining > 0 or not findings.empty()):
            found = findings.get(timeout=min(_LOOKED_EVERY, deadline.remaining + _GRACE))
            for metric in found.metrics:
                self._heard.add(metric)
                if isinstance(found.what, Answer):
                    if of_candles:
                        collected.forgive(metric)
                        self.oldest.pop(metric, None)
                    # a later answer for candles says of the same minutes what they are now
                    waiting[metric if of_candles else len(waiting)] = (metric, found.what)
                    self._late[metric] = found.late
                if of_candles and not isinstance(found.what, NotAsked):
                    self._context.turns[metric].asked = unix(self._context.minute)
            if isinstance(found.what, Exception):
                collected.note_error(found.metrics, found.what)
            # what is not stored before the deadline is stored at once with what comes last
            has_time = deadline.remaining > self._storing
            every = STORED_EVERY if all_of_them or self.has_minute else _STRAGGLERS
            if waiting and has_time and time.monotonic() - stored_at > every:
                self._store(waiting.values(), of_candles=of_candles)
                waiting, stored_at = {}, time.monotonic()
            overdue = self.has_minute and time.monotonic() - self._began > _STRAGGLERS
            if findings.askers and overdue and not all_of_them:
                self._store(waiting.values(), of_candles=of_candles)
                return False
        self._store(waiting.values(), of_candles=of_candles)
        return True

    def _store(self, answers: Iterable[tuple[str, Answer]], *, of_candles: bool) -> None:
        context, prices, began = self._context, self._context.store.prices, time.monotonic()
        stored, spans = store_answers(prices, context.collected, [*answers], context.horizon, context.now())
        for metric in stored & spans.keys() if of_candles else ():
            turn = context.turns[metric]
            turn.brought = max(turn.brought, unix(min(spans[metric].last, context.minute)))
        self.oldest |= {metric: span.first for metric, span in spans.items()}
        self.has_minute |= {metric for metric in stored if metric in spans and spans[metric].last == context.minute}
        self._storing = max(self._storing, time.monotonic() - began)
