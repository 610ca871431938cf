"""Answers that take trades away from a stored minute: doubted until a second answer says the same.

Nodes of an exchange disagree for a while, and one that lags must not undo what is stored. The doubts are a small
file of the data folder; where it is lost or damaged, each doubt begins anew and nothing else changes.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from pricetracker_dagster.candles.minutes import utc
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded, locked
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import json_in, moment_of

CONFIRMED_AFTER = timedelta(seconds=60)
"""How much later a second answer has to come: one node may answer twice in a row."""

KEPT = 10_000
"""So many doubts at most are kept one by one, whatever is imported: each tick reads them."""

SINGLY = 5_000
"""So many of one call at most. Where there are more, as an import of years may bring, the call's doubts are kept a
metric and day at a time, by a digest of what was answered, in a file of its own."""

KEPT_DAYS = 50_000
"""Metrics and days kept, the oldest: once they are confirmed there is room for the next, so that all are in the end."""

_FORGOTTEN_AFTER = timedelta(days=30)
"""A doubt that nothing has confirmed for so long begins anew, and leaves its room to others."""

_DAY = 86_400

_PATIENCE = 5.0

Key = tuple[str, int]
"""Metric and minute, Unix seconds."""


class Doubt(NamedTuple):
    """An answer that takes trades away from what is stored of a metric's minute.

    Attributes:
        unix: the minute, Unix seconds.
        stored_trades: how many are stored; -1: that is not told.
        answered: open, high, low, close, volume and trades of the answer, likewise.
        first_seen: when it was answered first, UTC.
    """

    metric: str
    unix: int
    stored_trades: int
    stored_volume: float
    answered: tuple[float, ...]
    first_seen: datetime

    @property
    def key(self) -> Key:
        """Its metric and minute."""
        return self.metric, self.unix

    @property
    def minute(self) -> datetime:
        """Its minute, UTC."""
        return utc(self.unix)

    def __str__(self) -> str:
        """Say what is stored and what was answered."""
        return (
            f"{self.metric} {self.minute:%Y-%m-%d %H:%M}: stored are {_counted(self.stored_trades)}volume "
            f"{self.stored_volume:.15g}; answered were {_counted(self.answered[5])}volume {self.answered[4]:.15g}"
        )


def _counted(trades: float) -> str:
    return "" if trades < 0 else f"{trades:.0f} trades, "


class Waiting(NamedTuple):
    """How many doubts wait for a second answer, and when the oldest was answered first, UTC; None: there is none."""

    total: int
    by_metric: Mapping[str, int]
    oldest: datetime | None


class _Day(NamedTuple):
    """The doubts of one metric and UTC day together: their ends in Unix seconds, and a digest of what was answered."""

    metric: str
    first: int
    last: int
    rows: int
    digest: str
    first_seen: datetime

    @property
    def ends(self) -> set[Key]:
        """The oldest and the newest of them: an answer that has both speaks of them all."""
        return {(self.metric, self.first), (self.metric, self.last)}


class Doubts:
    """The doubts of one data folder. Any number of processes may share them."""

    def __init__(self, state: Path) -> None:
        """Name the folder of small working files; nothing is made before the first doubt."""
        self._file = state / StateFile.DOUBTS
        self._days_file = state / StateFile.DOUBTS_BY_DAY

    def kept(self, now: datetime) -> dict[Key, Doubt]:
        """Return those that stand at ``now``. What cannot be read, or was seen later, is ignored."""
        doubts: dict[Key, Doubt] = {}
        for entry in _entries(self._file):
            with suppress(ValueError, TypeError, OverflowError, OSError):
                metric, unix, trades, volume, answered, first_seen = entry
                seen, values = moment_of(first_seen), tuple(map(float, answered))
                if isinstance(metric, str) and len(values) == 6 and _stands(seen, now):
                    doubt = Doubt(metric, int(unix), int(trades), float(volume), values, seen)
                    str(doubt)  # an error where its minute is out of range
                    doubts[doubt.key] = doubt
        return doubts

    def waiting(self, now: datetime) -> Waiting:
        """Return how many stand at ``now``, also those that are kept a day at a time."""
        by_metric: Counter[str] = Counter()
        seen = []
        for doubt in self.kept(now).values():
            by_metric[doubt.metric] += 1
            seen.append(doubt.first_seen)
        for day in self._days(now).values():
            by_metric[day.metric] += day.rows
            seen.append(day.first_seen)
        return Waiting(by_metric.total(), dict(sorted(by_metric.items())), min(seen, default=None))

    def keys(self, now: datetime) -> set[Key]:
        """Return the keys of which an answer may settle a doubt: of the days their ends."""
        return set(self.kept(now)).union(*(day.ends for day in self._days(now).values()))

    def judge(self, takes_away: Sequence[Doubt], now: datetime) -> list[Doubt]:
        """Note the rows that take away; return those that no answer has confirmed: they are not to be stored.

        Of what is kept a metric and day at a time all of a day is confirmed, or none of it. Where they cannot be noted,
        none is confirmed.
        """
        held = []
        try:
            with locked(self._file.with_suffix(".lock"), Deadline.after(_PATIENCE)):
                kept, days = self.kept(now), self._days(now)
                together = len(kept.keys() | {doubt.key for doubt in takes_away})
                too_many = len(takes_away) > SINGLY or together > KEPT
                for key, doubts in _by_day(takes_away).items():
                    day = _Day(key[0], doubts[0].unix, doubts[-1].unix, len(doubts), _digest(doubts), now)
                    before = days.get(key)
                    if before is not None and before.digest == day.digest:
                        day = before
                    elif not too_many:
                        if before is not None and before.ends <= {doubt.key for doubt in doubts}:
                            del days[key]
                        held += _judge_singly(kept, doubts, now)
                        continue
                    for doubt in doubts:
                        kept.pop(doubt.key, None)
                    if now - day.first_seen >= CONFIRMED_AFTER:
                        del days[key]  # its room is for others
                    else:
                        days[key] = day
                        held += [doubt._replace(first_seen=day.first_seen) for doubt in doubts]
                self._write(kept, days)
        except (OSError, DeadlineExceeded):
            return list(takes_away)
        return held

    def forget(self, keys: Collection[Key], now: datetime) -> None:
        """Forget those of keys() that are settled. Where that cannot be written, the next answer settles them."""
        if not keys:
            return
        with suppress(OSError, DeadlineExceeded), locked(self._file.with_suffix(".lock"), Deadline.after(_PATIENCE)):
            self._write(
                {key: doubt for key, doubt in self.kept(now).items() if key not in keys},
                {key: day for key, day in self._days(now).items() if not day.ends <= set(keys)},
            )

    def _days(self, now: datetime) -> dict[Key, _Day]:
        """Return what is kept a day at a time, by metric and day (counted from 1970)."""
        days = {}
        for entry in _entries(self._days_file):
            with suppress(ValueError, TypeError, OverflowError):
                metric, first, last, rows, digest, first_seen = entry
                if _stands(seen := moment_of(first_seen), now):
                    day = _Day(str(metric), int(first), int(last), int(rows), str(digest), seen)
                    days[day.metric, day.first // _DAY] = day
        return days

    def _write(self, kept: Mapping[Key, Doubt], days: Mapping[Key, _Day]) -> None:
        oldest = sorted(days.values(), key=lambda day: (day.first_seen, day.first))[:KEPT_DAYS]
        for file, doubts in ((self._file, kept.values()), (self._days_file, oldest)):
            entries = [[*doubt[:5], doubt.first_seen.isoformat()] for doubt in doubts]
            if entries or file.exists():
                write_text(file, json.dumps(entries))


def _by_day(takes_away: Iterable[Doubt]) -> dict[Key, list[Doubt]]:
    """Part doubts by metric and day (counted from 1970), oldest first."""
    by_day: dict[Key, list[Doubt]] = {}
    for doubt in sorted(takes_away, key=lambda doubt: doubt.unix):
        by_day.setdefault((doubt.metric, doubt.unix // _DAY), []).append(doubt)
    return by_day


def _digest(doubts: Iterable[Doubt]) -> str:
    return hashlib.sha256(repr([(doubt.unix, doubt.answered) for doubt in doubts]).encode()).hexdigest()


def _judge_singly(kept: dict[Key, Doubt], doubts: Iterable[Doubt], now: datetime) -> list[Doubt]:
    """Note doubts among those that are kept one by one; return those that are not confirmed."""
    held = []
    for doubt in doubts:
        before = kept.get(doubt.key)
        if before is None or before.answered != doubt.answered:
            kept[doubt.key] = doubt
            held.append(doubt)
        elif now - before.first_seen < CONFIRMED_AFTER:
            held.append(before)
    return held


def _entries(file: Path) -> list[list[Any]]:
    """Return the entries of a file, of any values; none where it is damaged."""
    kept = json_in(file)
    return [entry for entry in kept if isinstance(entry, list)] if isinstance(kept, list) else []


def _stands(seen: datetime | None, now: datetime) -> TypeGuard[datetime]:
    """Say whether what was answered first at a moment is a doubt at ``now``."""
    return seen is not None and timedelta() <= now - seen < _FORGOTTEN_AFTER
