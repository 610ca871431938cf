"""What is stored of each metric and UTC day: its first and last minute, and how many minutes there are.

Each tick looks at a week of that, and others at a day. Of days that are over ticks keep it in a small file of the data
folder, by the data files that hold them, which never change: only the newest day's are read each time. What is lost or
in doubt is read again.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Self

from pricetracker_dagster.candles.minutes import DAY, MINUTE, minutes_of_day
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.live_files import by_day

_KEPT = timedelta(days=92)
"""How long before the newest day of all they are kept: so far back a tick can be made to look."""

_WHOLE = (0, DAY // MINUTE - 1, DAY // MINUTE)


class StoredDay(NamedTuple):
    """What is stored of a metric's day, or of the part of it that was asked for: minutes in Unix seconds."""

    metric: str
    first: int
    last: int
    minutes: int

    @property
    def is_holed(self) -> bool:
        """Say whether a minute between the first and the last one is absent."""
        return self.minutes <= (self.last - self.first) // 60


_Day = Mapping[str, tuple[int, int, int]]
"""By metric its first and last minute, counted from midnight, and how many there are."""


def stored_days(
    prices: Delta, files: Iterable[str], metrics: Collection[str], first: datetime, last: datetime, *, keep: bool
) -> list[StoredDay]:
    """Return of each metric the UTC days of which minutes from ``first`` to ``last``, UTC, are stored, in no order.

    Args:
        prices: the table of prices.
        files: its live files that may hold such minutes.
        metrics: whose they are.
        first: the oldest minute.
        last: the newest minute.
        keep: days that are over are kept for whoever looks next.

    Raises:
        StoreError: a file cannot be read.
    """
    days = by_day(files)
    over = {day: of_day for day, of_day in days.items() if day is not None and day < last.astimezone(UTC).date()}
    known = {} if None in days else _days_over(prices, over, keep=keep)
    found: list[StoredDay] = []
    unknown: list[str] = []
    for day, of_day in days.items():
        part = None if day is None or day not in known else _from(first, day, known[day], metrics)
        if part is None:
            unknown += of_day
        else:
            found += part
    if unknown:
        rows = prices.ask("stored_days.sql", unknown, first=first, last=last, metrics=[*metrics])
        found += map(StoredDay._make, rows.fetchall())
    return found


def _from(first: datetime, day: date, known: _Day, metrics: Collection[str]) -> list[StoredDay] | None:
    """Return what is known of a day from ``first`` on; None where its rows have to be asked: in it, one is holed."""
    midnight = int(minutes_of_day(day)[0].timestamp())
    begin = (int(first.timestamp()) - midnight) // 60
    found = []
    for metric in known.keys() & metrics:
        oldest, newest, minutes = known[metric]
        if oldest < begin:
            if minutes <= newest - oldest:
                return None
            oldest, minutes = begin, newest - begin + 1
        if oldest <= newest:
            found.append(StoredDay(metric, midnight + 60 * oldest, midnight + 60 * newest, minutes))
    return found


def _days_over(prices: Delta, files: Mapping[date, Sequence[str]], *, keep: bool) -> dict[date, _Day]:
    """Return what is stored of whole days, by the files of each; nothing of those that are not kept."""
    digests = {day: digest for day, names in files.items() if (digest := _digest(names)) is not None}
    if not digests:
        return {}
    file = prices.location.folder.state / StateFile.STORED_DAYS
    kept = _Kept.read(file)
    known = {day: of_day.metrics for day in digests if (of_day := kept.of(day)) and of_day.files == digests[day]}
    oldest = max(digests) - _KEPT
    new = [day for day in digests if day not in known and day >= oldest]
    if new and keep:
        read: dict[date, dict[str, tuple[int, int, int]]] = {day: {} for day in new}
        rows = prices.ask("whole_days.sql", [name for day in new for name in files[day]]).fetchall()
        for metric, day, first, last, minutes in rows:
            if day in read:
                read[day][metric] = (first, last, minutes)
        known |= read
        kept.write(file, {day: _KeptDay(digests[day], metrics) for day, metrics in read.items()}, oldest)
    return known


def _digest(files: Iterable[str]) -> str | None:
    """Return what tells these files from any others, also of the same names; None where one is not there."""
    told = []
    for file in sorted(files):
        if "://" in file:
            told.append(file)
            continue
        try:
            status = os.stat(file)  # noqa: PTH116 - ten times quicker
        except OSError:
            return None
        told.append(f"{file.rpartition('/')[2]} {status.st_size} {status.st_mtime_ns}")
    return blake2b("\n".join(told).encode(), digest_size=16).hexdigest()


class _KeptDay(NamedTuple):
    """A day, and the digest of the files from which it was read."""

    files: str
    metrics: _Day


class _Kept(NamedTuple):
    """The days that are kept, as they are written: of most each minute is there, and of the same metrics."""

    days: dict[date, Any]
    wholes: list[Any]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read those that can be read."""
        told = kept_in(file)
        days, wholes = told.get("days"), told.get("wholes")
        kept = cls({}, wholes if isinstance(wholes, list) else [])
        for name, of_day in days.items() if isinstance(days, dict) else ():
            with suppress(ValueError):
                kept.days[date.fromisoformat(name)] = of_day
        return kept

    def of(self, day: date) -> _KeptDay | None:
        """Return what is kept of a day; None where it is nothing, or is damaged."""
        with suppress(ValueError, TypeError, KeyError, IndexError, AttributeError):
            told = self.days[day]
            partly = {metric: _minutes(numbers) for metric, numbers in told["partly"].items()}
            return _KeptDay(told["files"], dict.fromkeys(self.wholes[told["whole"]], _WHOLE) | partly)
        return None

    def write(self, file: Path, new: Mapping[date, _KeptDay], oldest: date) -> None:
        """Keep these, too, and of all those from ``oldest`` on."""
        days: dict[str, Any] = {}
        wholes: dict[tuple[str, ...], int] = {}
        for day in sorted({*self.days, *new}):
            of_day = new.get(day) or self.of(day)
            if of_day is not None and day >= oldest:
                partly = {metric: numbers for metric, numbers in of_day.metrics.items() if numbers != _WHOLE}
                whole = wholes.setdefault(tuple(sorted(of_day.metrics.keys() - partly.keys())), len(wholes))
                days[day.isoformat()] = {"files": of_day.files, "whole": whole, "partly": partly}
        with suppress(OSError):  # it is read again
            write_text(file, json.dumps({"days": days, "wholes": [*wholes]}))


def _minutes(told: Sequence[object]) -> tuple[int, int, int]:
    """Return the numbers of a day that is not whole; ValueError where they cannot be."""
    first, last, minutes = (number for number in told if isinstance(number, int))
    if not 0 <= first <= last <= _WHOLE[1] or not 0 < minutes <= last - first + 1:
        raise ValueError(told)
    return first, last, minutes
