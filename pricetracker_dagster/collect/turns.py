"""Whose turn it is: with more to ask than a minute allows, everybody is asked within bounded time."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from pricetracker_dagster.candles.minutes import utc
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in

T = TypeVar("T")

_LATE_IS_A_HABIT = 3
"""So many ticks in a row without its newest minute, and a pair is taken to leave quiet minutes out."""

_LONGEST_PAUSE = 6
"""Minutes that cannot be had are asked for again after 2, 4, 8 … 2**6 minutes."""

_MOST_LATE = 64

_FORGOTTEN = timedelta(hours=1)
"""Where it is not known which minutes candles brought, so many before the newest stored one are asked for again."""

_SHARE_OF_OLDER, _MOST_OF_OLDER = 0.2, 0.8
"""Of the budget, kept for older gaps where there are any: so much at first, and so much more each time that it did not
last for one of them, since what is stored is published first and a question for trades may take several requests."""

_MOST_PASSED = 3


@dataclass
class Turn:
    """What is remembered of one metric. Minutes in Unix seconds; 0: never.

    Attributes:
        asked: the newest minute for which its candles were asked for.
        brought: the newest minute that candles brought to a tick.
        late: how many ticks in a row have ended their asking without its newest minute.
        healed: the newest minute in which its older gaps were asked for.
        vain: how often its gaps up to ``until`` were asked for in vain.
        until: the newest minute that was asked for in vain.
        again: before this minute those are not asked for again.
        passed: how often more time was needed for older gaps of its exchange than was kept, less how often it lasted.
    """

    asked: int = 0
    brought: int = 0
    late: int = 0
    healed: int = 0
    vain: int = 0
    until: int = 0
    again: int = 0
    passed: int = 0

    def may_be_late(self) -> bool:
        """Say whether its newest minute may be asked for again at once: where that never helped, only now and then."""
        return self.late < _LATE_IS_A_HABIT or self.late & (self.late - 1) == 0

    def note_late(self, *, late: bool) -> None:
        """Note whether the asking ended without the newest minute."""
        self.late = min(self.late + 1, _MOST_LATE + 1) if late else 0

    def waits(self, minute: int) -> bool:
        """Say whether its gaps up to ``until`` are left alone in this minute."""
        return self.vain > 0 and minute < self.again

    def note_vain(self, until: int, minute: int, *, progress: bool) -> None:
        """Note that what was asked for is still missing: it pauses, longer each time that nothing came of it."""
        if not self.waits(minute):
            self.vain = 1 if progress else min(self.vain + 1, _LONGEST_PAUSE)
            self.again = minute + 60 * 2**self.vain
        self.until = max(self.until, until)


class Turns:
    """What is remembered of all metrics, in a small file that may be lost: then turns begin anew.

    Args:
        state: the data folder's folder of small working files.
        metrics: what is tracked now; others are forgotten.
        minute: the tick's minute, UTC. What was noted of later ones, under a clock that was ahead, is forgotten.
    """

    def __init__(self, state: Path, metrics: Sequence[str], minute: datetime) -> None:
        """Read what was kept."""
        self._file = state / StateFile.TURNS
        self._unix = int(minute.timestamp())
        kept = kept_in(self._file)
        self._of = {metric: _turn(kept.get(metric), self._unix) for metric in metrics}
        self._place = {metric: place for place, metric in enumerate(kept)}
        self._asking: list[str] = []

    def __getitem__(self, metric: str) -> Turn:
        """Return what is remembered of a metric."""
        return self._of.setdefault(metric, Turn())

    def brought(self, newest: Mapping[str, datetime]) -> dict[str, datetime]:
        """Return of each metric the newest minute that candles brought to a tick, given the newest that is stored.

        Others, as backfills and imports, may have stored later ones since: those before were not asked for again.
        """
        return {
            metric: min(minute, utc(self[metric].brought)) if self[metric].brought else minute - _FORGOTTEN
            for metric, minute in newest.items()
        }

    def to_ask(self, metrics: Iterable[T]) -> list[T]:
        """Return metrics in the order in which they are asked: who has waited longest comes first.

        Of those that were asked in the same tick, who was asked first: the order is kept.
        """
        ordered = self._ordered(metrics, lambda metric: (self[metric].asked, self._place.get(metric, -1)))
        self._asking += map(str, ordered)
        return ordered

    def to_heal(self, metrics: Iterable[T]) -> list[T]:
        """Return the same for older gaps."""
        return self._ordered(metrics, lambda metric: self[metric].healed)

    def all_were_asked(self, metrics: Iterable[object]) -> bool:
        """Say whether each metric was asked for since older gaps of one of them were rebuilt last."""
        of_metrics = [self[str(metric)] for metric in metrics]
        return min(turn.asked for turn in of_metrics) > max(turn.healed for turn in of_metrics)

    def share_of_older(self, metrics: Iterable[object]) -> float:
        """Return which share of the budget is left for older gaps of the metrics of an exchange."""
        passed = max(self[str(metric)].passed for metric in metrics)
        return min(_SHARE_OF_OLDER * (1 + passed), _MOST_OF_OLDER)

    def note_older(self, metrics: Iterable[object]) -> None:
        """Note of an exchange's metrics, some of which have older gaps, whether the time kept for these has lasted."""
        of_metrics = [self[str(metric)] for metric in metrics]
        passed = max(turn.passed for turn in of_metrics)
        lasted = any(turn.healed == self._unix for turn in of_metrics)
        for turn in of_metrics:
            turn.passed = max(passed - 1, 0) if lasted else min(passed + 1, _MOST_PASSED)

    def save(self) -> None:
        """Keep it for the next tick. Where that fails, turns begin anew."""
        told = {metric: vars(self[metric]) for metric in dict.fromkeys([*self._asking, *self._of])}
        with suppress(OSError):
            write_text(self._file, json.dumps(told))

    def _ordered(self, metrics: Iterable[T], last: Callable[[str], Any]) -> list[T]:
        listed = list(metrics)
        # among equals it begins elsewhere each minute: turns go round even where nothing can be remembered
        shift = self._unix // 60 % max(1, len(listed))
        rotated = listed[shift:] + listed[:shift]
        return sorted(rotated, key=lambda metric: last(str(metric)))


def _turn(kept: object, unix: int) -> Turn:
    """Return what was kept of one metric, as far as it can be true."""
    if not isinstance(kept, dict):
        return Turn()
    turn = Turn(**{each.name: _count(kept.get(each.name)) for each in fields(Turn)})
    if max(turn.asked, turn.healed, turn.until) > unix or turn.again > unix + 60 * 2**_LONGEST_PAUSE:
        return Turn(brought=turn.brought)  # no minute is stored before it is over: this clock is behind
    turn.vain, turn.late = min(turn.vain, _LONGEST_PAUSE), min(turn.late, _MOST_LATE + 1)
    turn.passed = min(turn.passed, _MOST_PASSED)
    return turn


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
