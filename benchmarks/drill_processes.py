"""The processes of the drill: what a tick, a look, upkeep or a backfill does, each forked and killed as runs are.

They are forked from a warm process that has imported and done nothing else. Time is told to them: by the real
clock they only wait.
"""

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, tzinfo
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from benchmarks.drill_published import faults_of
from pricetracker_dagster.alerts.watch import watch_minutes, watch_prices
from pricetracker_dagster.candles.minutes import newest_closed_minute
from pricetracker_dagster.collect import backfill as backfilling
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.settings import Settings, load_settings
from pricetracker_dagster.store.publishing.full_pass import compare_in_full
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.repairing.repair import repair
from pricetracker_dagster.store.store import open_store
from pricetracker_dagster.store.upkeep import keep_store

Told = dict[str, Any]
"""What a process did; ``said``: errors in plain words, which a person may see; ``mistake``: a traceback of ours."""

PATIENCE = 150.0
"""Seconds after which a process hangs: more than any lock is waited for."""


def _tick(settings: Settings, now: datetime, _: Told) -> Told:
    minute = newest_closed_minute(now)
    said: list[str] = []
    told: Told = {"minute": minute, "said": said, "missing": None}
    with _errors_said(said):
        collected = collect_minute(settings, minute, now=lambda: now)
        said += sorted({*collected.reasons.values(), *collected.troubles})
        told |= {
            "missing": bool(collected.missing),
            "mistake": "\n".join(collected.tracebacks),
            "not_noted": any("not noted" in trouble for trouble in collected.troubles),
        }
    with _errors_said(said):
        publish(open_store(settings), [str(metric) for metric in settings.tracked], now=now, minute=minute)
    return told


def _watch(settings: Settings, now: datetime, asked: Told) -> Told:
    said: list[str] = []
    told: Told = {"said": said, "cursor": asked["cursor"]}
    with _errors_said(said):
        prices = watch_prices(settings, now, asked["cursor"])
        said += prices.troubles
        told["cursor"] = prices.cursor
    with _errors_said(said):
        said += watch_minutes(settings, now).troubles
    return told


def _upkeep(settings: Settings, now: datetime, _: Told) -> Told:
    said: list[str] = []
    with _errors_said(said):
        store = open_store(settings)
        differed = compare_in_full(store, now)
        return {"said": [*said, *keep_store(store, settings, now).troubles], "mistake": "\n".join(differed)}
    return {"said": said}


def _publish(settings: Settings, now: datetime, _: Told) -> Told:
    said: list[str] = []
    with _errors_said(said):
        publish(open_store(settings), [str(metric) for metric in settings.tracked], now=now)
    return {"said": said}


def _backfill(settings: Settings, now: datetime, asked: Told) -> Told:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(now.timestamp(), tz)

    said: list[str] = []
    last = newest_closed_minute(now)
    # while no answer ever comes, a backfill would ask for an hour a metric: whoever started it gives up before
    with _errors_said(said), patch.multiple(backfilling, datetime=Clock, _PATIENCE_A_METRIC=PATIENCE / 8):
        done = backfilling.backfill(
            settings, last - timedelta(minutes=asked["minutes"]), last, refetch=asked["refetch"]
        )
        said += sorted({*done.reasons.values(), *done.troubles})
        return {"said": said, "mistake": "\n".join(done.tracebacks)}
    return {"said": said}


def _repair(settings: Settings, now: datetime, _: Told) -> Told:
    metrics, store = [str(metric) for metric in settings.tracked], open_store(settings)
    said: list[str] = []
    with _errors_said(said):
        done = repair(store, now, metrics, lambda: publish(store, metrics, now=now))
        return {"said": [*said, *done.done, *done.left], "left": list(done.left)}
    return {"said": said, "left": said}


ACTIONS: Mapping[str, Callable[[Settings, datetime, Told], Told]] = {
    "tick": _tick,
    "watch": _watch,
    "upkeep": _upkeep,
    "publish": _publish,
    "backfill": _backfill,
    "repair": _repair,
}


class _errors_said:  # noqa: N801 - it reads as a statement
    """What a user may be told ends the block and is said; anything else is a mistake of ours."""

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if isinstance(error, PricetrackerError):
            self._said.append(str(error).splitlines()[0])
            return True
        return False


def _act(action: str, environment: Mapping[str, str], now: datetime, asked: Told, answer: Connection) -> None:
    """Do one thing in a process of its own and tell what came of it."""
    os.environ.update(environment)
    settings = load_settings()
    if "budget" in asked:
        collect = settings.collect.model_copy(update={"budget_seconds": asked["budget"]})
        settings = settings.model_copy(update={"collect": collect})
    try:
        told = ACTIONS[action](settings, now, asked)
    except BaseException:
        told = {"mistake": traceback.format_exc()}
    answer.send(told)


def _read_for_ever(published: str, answer: Connection) -> None:
    """Open the published file again and again and ask it; tell of whatever is wrong."""
    parent = os.getppid()
    number = 0
    while os.getppid() == parent:
        number += 1
        began = time.process_time()
        if Path(published).exists():
            for fault in faults_of(Path(published), twice=number % 5 == 0):
                answer.send(fault)
            answer.send(None)
        time.sleep(max(1.0, 19 * (time.process_time() - began)))  # a twentieth of a core at most


class Running:
    """One process that does one thing; how many ``seconds`` it took, once it has ended."""

    def __init__(self, action: str, environment: Mapping[str, str], now: datetime, **asked: Any) -> None:
        """Begin."""
        context = warm()
        self.action = action
        self.seconds = 0.0
        self._began = time.monotonic()
        self._answer, answer = context.Pipe(duplex=False)
        self._process = context.Process(target=_act, args=(action, dict(environment), now, asked, answer), daemon=True)
        self._process.start()
        answer.close()

    def kill(self, after: float) -> bool:
        """Kill it after so many seconds, unless it has ended. Say whether it was killed."""
        if self._answer.poll(after):
            return False
        self._process.kill()
        return True

    def ended(self) -> Told | None:
        """Wait for it; return what it tells, None where it was killed.

        Raises:
            TimeoutError: it hangs.
        """
        try:
            if not self._answer.poll(PATIENCE):
                self._process.kill()
                raise TimeoutError(f"{self.action} hangs")
            told: Told = self._answer.recv()
        except EOFError:
            told = {}
        self.seconds = time.monotonic() - self._began
        self._process.join(10)
        self._answer.close()
        return told or None


class Reader:
    """A process that reads the published file as long as the drill lasts."""

    def __init__(self, published: Path) -> None:
        """Begin to read."""
        context = warm()
        self._answers, answer = context.Pipe(duplex=False)
        self._process = context.Process(target=_read_for_ever, args=(str(published), answer), daemon=True)
        self._process.start()
        self.rounds = 0

    def faults(self) -> list[str]:
        """Return what was wrong since the last call."""
        found = []
        while self._answers.poll():
            fault = self._answers.recv()
            self.rounds += fault is None
            found += [fault] if fault else []
        if not self._process.is_alive():
            found.append("a reader has ended")
        return found

    def end(self) -> None:
        """Read no more."""
        self._process.kill()
        self._process.join(10)


def warm() -> multiprocessing.context.ForkServerContext:
    """Return where processes are forked from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.drill_processes"])
    return context
