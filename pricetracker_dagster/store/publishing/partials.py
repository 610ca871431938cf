"""What the rankings are made of: count, mean and sum of squared distances (M2) of each metric and measure.

Partials are worked out from rows, and merged by the formula of Chan, Golub and LeVeque (1979). Nothing is ever
subtracted from a sum: what a sum of large squares has lost in rounding would stay. Of equal values the mean is that
value and M2 is 0, exactly. Of which minutes they are, and where they are kept, is kept.py's.

In NumPy, which a tick has imported: to plan the same as SQL takes longer than to work it out. PyArrow's own conversions
from and to NumPy would import pandas.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Numbers = np.ndarray[Any, Any]

_NAMES = ("price", "volume", "absolute", "percentage")
"""The measures, in the order of MEASURES, as columns are named after them."""

OF = np.array([0, 0, 0, 1])
"""A percentage has counts and ends of its own (an open of 0 has none), the other measures have theirs in common."""

_COUNTS = (("observations", "percentages"), ("first_minute", "first_percentage"), ("last_minute", "last_percentage"))
_SUMS = tuple([f"{name}_{kind}" for name in _NAMES] for kind in ("mean", "m2", "last"))
_TYPES = {np.float64: pa.float64(), np.int32: pa.int32(), np.uint64: pa.uint64(), np.uint8: pa.uint8()}


class Rows(NamedTuple):
    """Minutes of metrics, oldest first: ``codes`` says which of ``metrics``; ``minutes`` are counted since 1970, UTC.

    ``values`` are measures x rows; ``counted`` is 1 where there is a percentage.
    """

    metrics: pa.StringArray
    codes: Numbers
    minutes: Numbers
    values: Numbers
    counted: Numbers

    @classmethod
    def read(cls, batch: pa.RecordBatch) -> Self:
        """Take them from a batch with the columns of measures_of_rows.sql.

        Raises:
            KeyError: it has no such columns.
        """
        named = batch.column("metric")
        if not isinstance(named, pa.DictionaryArray):
            named = named.dictionary_encode()
        order = pc.array_sort_indices(named.dictionary)
        codes = np.empty(len(order), np.int32)
        codes[np.from_dlpack(order)] = np.arange(len(order), dtype=np.int32)
        minutes, counted, *each = (np.from_dlpack(batch.column(name)) for name in ("minute", "counted", *_NAMES))
        metrics, codes, values = named.dictionary.take(order), codes[np.from_dlpack(named.indices)], np.stack(each)
        if (minutes[1:] < minutes[:-1]).any():
            oldest = np.argsort(minutes, kind="stable")
            codes, minutes, counted, values = (
                codes[oldest],
                minutes[oldest],
                counted[oldest],
                values.take(oldest, axis=1),
            )
        return cls(metrics, codes, minutes, values, counted)

    def batch(self) -> pa.RecordBatch:
        """Return them as such a batch."""
        columns = {"metric": pa.DictionaryArray.from_arrays(array(self.codes), self.metrics)}
        columns |= {"minute": array(self.minutes), "counted": array(self.counted)}
        columns |= {name: array(each) for name, each in zip(_NAMES, self.values, strict=True)}
        return pa.RecordBatch.from_arrays([*columns.values()], [*columns])

    def between(self, first: int, last: int) -> Self:
        """Return those from the minute ``first`` to ``last``, as a view."""
        of = slice(*np.searchsorted(self.minutes, (first, last + 1)).tolist())
        return self._replace(
            codes=self.codes[of], minutes=self.minutes[of], values=self.values[:, of], counted=self.counted[of]
        )


class Partials(NamedTuple):
    """Count, mean, M2 and newest value of each metric and measure over some minutes.

    ``mean``, ``m2`` and ``newest`` are measures x metrics. Counts, first and last minute (since 1970, UTC) are 2 x
    metrics: of the minutes, and of those that have a percentage. Where a count is 0, nothing else of it means anything.
    ``present`` has bit m set where the hour's minute m has a row; of several hours it means nothing.
    """

    metrics: pa.StringArray
    present: Numbers
    counts: Numbers
    first: Numbers
    last: Numbers
    mean: Numbers
    m2: Numbers
    newest: Numbers

    @classmethod
    def read(cls, batch: pa.RecordBatch) -> Self:
        """Take them from a batch with the columns of partials.sql.

        Raises:
            KeyError: it has no such columns.
        """
        present = np.from_dlpack(batch.column("present"))
        stacked = [np.stack([np.from_dlpack(batch.column(name)) for name in names]) for names in (*_COUNTS, *_SUMS)]
        return cls(batch.column("metric"), present, *stacked)

    def batch(self) -> pa.RecordBatch:
        """Return them as such a batch."""
        columns = {"metric": self.metrics, "present": array(self.present)}
        for names, numbers in zip((*_COUNTS, *_SUMS), self[2:], strict=True):
            columns |= {name: array(each) for name, each in zip(names, numbers, strict=True)}
        return pa.RecordBatch.from_arrays([*columns.values()], [*columns])


def array(numbers: Numbers) -> pa.Array:
    """Return numbers as an Arrow array."""
    numbers = np.ascontiguousarray(numbers)
    return pa.Array.from_buffers(_TYPES[numbers.dtype.type], len(numbers), [None, pa.py_buffer(numbers)])


def texts(values: Sequence[str]) -> pa.StringArray:
    """Return texts as an Arrow array."""
    written = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, written)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(written), pa.py_buffer(ends), pa.py_buffer(b"".join(written)))


def partials_of(rows: Rows) -> Partials:
    """Return the partials of rows, all of one hour."""
    size = len(rows.metrics)
    if rows.counted.all():  # mostly
        present, *numbers = _summed(rows.codes, rows.minutes, rows.values, size)
        counts, first, last = (np.stack([each, each]) for each in numbers[:3])
        return Partials(rows.metrics, present, counts, first, last, *numbers[3:])
    own = rows.counted == 1
    present, *numbers = _summed(rows.codes, rows.minutes, rows.values[:-1], size)
    _, *percentages = _summed(rows.codes[own], rows.minutes[own], rows.values[-1:, own], size)
    return Partials(rows.metrics, present, *(np.vstack(pair) for pair in zip(numbers, percentages, strict=True)))


def _summed(codes: Numbers, minutes: Numbers, values: Numbers, size: int) -> tuple[Numbers, ...]:
    """Return present, counts, first, last, mean, m2 and newest of some measures that all have a value in each row."""
    counts = np.bincount(codes, minlength=size)
    there = counts > 0
    n = counts[there]
    begins = np.cumsum(n) - n
    grid = np.full(size * 60, -1, np.int32)  # each place is of one row at most: this is quicker than to sort
    grid[codes.astype(np.int64) * 60 + minutes % 60] = np.arange(len(codes), dtype=np.int32)
    order = grid[grid >= 0]
    minutes, values = minutes[order], values.take(order, axis=1)
    first, last, present = np.zeros(size, np.int32), np.zeros(size, np.int32), np.zeros(size, np.uint64)
    mean, m2, newest = (np.zeros((len(values), size)) for _ in range(3))
    if len(n):
        first[there], last[there] = minutes[begins], minutes[begins + n - 1]
        present[there] = np.bitwise_or.reduceat(np.uint64(1) << (minutes % 60).astype(np.uint64), begins)
        some = values[:, begins + n - 1]
        with np.errstate(invalid="ignore", over="ignore"):  # a value may be no number
            of_all = some + np.add.reduceat(values - np.repeat(some, n, axis=1), begins, axis=1) / n
            if not np.isfinite(of_all).all():
                of_all = np.where(np.isfinite(of_all), of_all, np.add.reduceat(values, begins, axis=1) / n)
            m2[:, there] = np.add.reduceat((values - np.repeat(of_all, n, axis=1)) ** 2, begins, axis=1)
        mean[:, there], newest[:, there] = of_all, some
    return present, counts.astype(np.int32), first, last, mean, m2, newest


def merged(parts: Sequence[Partials]) -> Partials:
    """Merge partials of different minutes to one a metric."""
    metrics = parts[0].metrics
    if not all(part.metrics.equals(metrics) for part in parts):
        metrics = pc.unique(pa.concat_arrays([part.metrics for part in parts])).sort()
    parts = [_spread(part, metrics) for part in parts]
    counts, first, last = (np.stack(arrays) for arrays in list(zip(*parts, strict=True))[2:5])
    there = counts > 0
    ends = np.iinfo(np.int32)
    n = counts[:, OF]
    total = n.sum(axis=0)
    mean, m2, newest = (np.where(n > 0, np.stack(arrays), 0.0) for arrays in list(zip(*parts, strict=True))[5:])
    latest = np.where(there, last, ends.min)
    which = latest.argmax(axis=0)[OF][None]
    with np.errstate(invalid="ignore", over="ignore"):
        some = np.take_along_axis(mean, which, axis=0)
        divisor = np.maximum(total, 1)
        of_all = some[0] + (n * np.where(n > 0, mean - some, 0.0)).sum(axis=0) / divisor
        of_all = np.where(np.isfinite(of_all), of_all, (n * mean).sum(axis=0) / divisor)
        distances = np.where(n > 0, mean - of_all, 0.0)
        squares = (m2 + n * distances * distances).sum(axis=0)
    return Partials(
        metrics,
        np.bitwise_or.reduce([part.present for part in parts]),
        counts.sum(axis=0, dtype=np.int32),
        np.where(there, first, ends.max).min(axis=0),
        latest.max(axis=0),
        of_all,
        squares,
        np.take_along_axis(newest, which, axis=0)[0],
    )


def _spread(part: Partials, metrics: pa.StringArray) -> Partials:
    """Return a part with all these metrics: counts of those that it lacks are 0."""
    if part.metrics.equals(metrics):
        return part
    where = np.from_dlpack(pc.index_in(part.metrics, value_set=metrics))
    arrays = []
    for numbers in part[1:]:
        wide = np.zeros((*numbers.shape[:-1], len(metrics)), numbers.dtype)
        wide[..., where] = numbers
        arrays.append(wide)
    return Partials(metrics, *arrays)
