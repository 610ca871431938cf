"""Answers that take trades away from a stored minute: doubted until a second answer says the same.

Nodes of an exchange disagree for a while, and one that lags must not undo what is stored. The doubts are a small
file of the data folder; where it is lost or damaged, each doubt begins anew and nothing else changes.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from pricetracker_dagster.files.locks import Deadline, OutOfTime, locked
from pricetracker_dagster.files.replacing import write_text

CONFIRMED_AFTER = timedelta(seconds=60)
"""How much later a second answer has to come: one node may answer twice in a row."""

_KEPT = 10_000
"""Doubts kept, the newest: the file stays small whatever is imported."""

_KEPT_DAYS = 50_000
_DAY = 86_400

_SINGLY = 5_000
"""So many doubts of one call are kept one by one; more of them, as an import of years may bring, a metric and day at
a time: by a digest of what was answered, in a file of its own that no tick reads."""

_PATIENCE = 5.0

Key = tuple[str, int]
"""Metric and minute, Unix seconds."""


class Doubt(NamedTuple):
    """An answer that takes trades away.

    Attributes:
        metric: of which metric.
        unix: its minute, Unix seconds.
        stored_trades: trades of the stored row.
        stored_volume: volume of the stored row.
        answered: open, high, low, close, volume and trades of the answer.
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
        return datetime.fromtimestamp(self.unix, UTC)

    def __str__(self) -> str:
        """Say what is stored and what was answered."""
        return (
            f"{self.metric} {self.minute:%Y-%m-%d %H:%M}: stored are {self.stored_trades} trades, volume "
            f"{self.stored_volume:.15g}; answered were {self.answered[5]:.0f} trades, volume {self.answered[4]:.15g}"
        )


class Waiting(NamedTuple):
    """The doubts that wait for a second answer.

    Attributes:
        total: how many there are.
        by_metric: how many of each metric.
        oldest: when the oldest was answered first, UTC; None: there is none.
    """

    total: int
    by_metric: Mapping[str, int]
    oldest: datetime | None


class _Day(NamedTuple):
    """The doubts of one metric and UTC day together.

    Attributes:
        metric: of which metric.
        day: the day, counted from 1970.
        rows: how many there are.
        digest: of what was answered.
        first_seen: when it was answered first, UTC.
    """

    metric: str
    day: int
    rows: int
    digest: str
    first_seen: datetime


class Doubts:
    """The doubts of one data folder. Any number of processes may share them."""

    def __init__(self, state: Path) -> None:
        """Name the folder of small working files; nothing is made before the first doubt."""
        self._file = state / "doubts.json"
        self._days_file = state / "doubts_by_day.json"

    def kept(self, now: datetime) -> dict[Key, Doubt]:
        """Return those that stand at ``now``. What cannot be read, or was seen after ``now``, is ignored."""
        doubts = {}
        for entry in _entries(self._file):
            with suppress(ValueError, TypeError, OverflowError, OSError):
                doubt = _read(entry)
                if doubt.first_seen <= now:
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

    def judge(self, takes_away: Sequence[Doubt], now: datetime) -> list[Doubt]:
        """Note the rows that take away; return those that no answer has confirmed: they are not to be stored.

        Where they cannot be noted, none is confirmed.
        """
        held = []
        try:
            with locked(self._file.with_suffix(".lock"), Deadline.after(_PATIENCE)):
                if len(takes_away) > _SINGLY:
                    return self._judge_days(takes_away, now)
                kept = self.kept(now)
                for doubt in takes_away:
                    before = kept.get(doubt.key)
                    if before is None or before.answered != doubt.answered:
                        kept[doubt.key] = doubt
                        held.append(doubt)
                    elif now - before.first_seen < CONFIRMED_AFTER:
                        held.append(before)
                self._write(kept)
        except (OSError, OutOfTime):
            return list(takes_away)
        return held

    def forget(self, keys: Collection[Key], now: datetime) -> None:
        """Forget doubts that are settled. Where that cannot be written, the next answer settles them."""
        if not keys:
            return
        with suppress(OSError, OutOfTime), locked(self._file.with_suffix(".lock"), Deadline.after(_PATIENCE)):
            kept = self.kept(now)
            self._write({key: doubt for key, doubt in kept.items() if key not in keys})

    def _judge_days(self, takes_away: Sequence[Doubt], now: datetime) -> list[Doubt]:
        """Do the same a metric and day at a time: all of a day is confirmed, or none of it."""
        kept = self._days(now)
        held: list[Doubt] = []
        by_day: dict[Key, list[Doubt]] = {}
        for doubt in takes_away:
            by_day.setdefault((doubt.metric, doubt.unix // _DAY), []).append(doubt)
        for key, doubts in by_day.items():
            answered = repr(sorted((doubt.unix, doubt.answered) for doubt in doubts))
            digest = hashlib.sha256(answered.encode()).hexdigest()
            before = kept.get(key)
            first_seen = now if before is None or before.digest != digest else before.first_seen
            if now - first_seen >= CONFIRMED_AFTER:
                del kept[key]
                continue
            kept[key] = _Day(*key, len(doubts), digest, first_seen)
            held += [doubt._replace(first_seen=first_seen) for doubt in doubts]
        self._write_days(kept.values())
        return held

    def _days(self, now: datetime) -> dict[Key, _Day]:
        """Return what is kept a day at a time."""
        days = {}
        for entry in _entries(self._days_file):
            with suppress(ValueError, TypeError, OverflowError):
                if isinstance(entry, list):
                    metric, day, rows, digest, first_seen = entry
                    seen = datetime.fromisoformat(first_seen)
                    if seen <= now:
                        days[str(metric), int(day)] = _Day(str(metric), int(day), int(rows), str(digest), seen)
        return days

    def _write_days(self, days: Iterable[_Day]) -> None:
        newest = sorted(days, key=lambda day: (day.first_seen, day.day))[-_KEPT_DAYS:]
        write_text(self._days_file, json.dumps([[*day[:4], day.first_seen.isoformat()] for day in newest]))

    def _write(self, kept: Mapping[Key, Doubt]) -> None:
        newest = sorted(kept.values(), key=lambda doubt: (doubt.first_seen, doubt.unix))[-_KEPT:]
        entries = [[*doubt[:5], doubt.first_seen.isoformat()] for doubt in newest]
        write_text(self._file, json.dumps(entries))


def _entries(file: Path) -> list[object]:
    """Return the entries of a file; none where it is damaged."""
    with suppress(OSError, ValueError, RecursionError):
        loaded = json.loads(file.read_text(encoding="utf-8"))
        return loaded if isinstance(loaded, list) else []
    return []


def _read(entry: object) -> Doubt:
    """Read one entry of the file.

    Raises:
        ValueError: it is of another shape; so do TypeError and OverflowError.
    """
    if not isinstance(entry, list):
        raise TypeError
    metric, unix, trades, volume, answered, first_seen = entry
    seen = datetime.fromisoformat(first_seen)
    values = tuple(float(value) for value in answered)
    if not isinstance(metric, str) or not seen.tzinfo or len(values) != 6:
        raise ValueError
    doubt = Doubt(metric, int(unix), int(trades), float(volume), values, seen)
    str(doubt)  # a minute out of range
    return doubt
