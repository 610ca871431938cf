"""What is known of each hour of the window: past ones are worked out of Parquet once, and kept in files.

Of a whole hour its partials are kept (partials.py). Of the one in which the window begins the measures of its minutes
are, ten minutes a file, and the partials of what comes after these ten: of an hour each minute takes the first away,
and nothing is ever subtracted. Which hours are kept as what is kept.py's.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, utc
from pricetracker_dagster.store.live_files import patterns
from pricetracker_dagster.store.publishing.kept_files import KeptFiles, prefix_of
from pricetracker_dagster.store.publishing.partials import Partials, Rows, array, merged, partials_of

HOUR = timedelta(hours=1)

PARTIALS, MEASURES, ROWS = "partials", "minutes", "rows"
"""As what an hour is kept."""

_BLOCK = 10
"""Minutes a file of measures."""


class KeptHour(NamedTuple):
    """An hour, counted since 1970 (UTC), from a minute on, with the Parquet files that may hold its minutes.

    ``kind`` says as what it is kept. Each file has a number, by which a row says where it is from.
    """

    hour: int
    since: datetime
    kind: str
    files: Mapping[str, int]

    @property
    def first(self) -> datetime:
        """Its first minute, UTC."""
        return utc(self.hour * 3600)

    @property
    def last(self) -> datetime:
        """Its last minute, UTC."""
        return self.first + HOUR - MINUTE

    @property
    def prefix(self) -> str:
        """How the names of the files begin in which it is kept."""
        return prefix_of(self.hour, self.files)


class PastHours(NamedTuple):
    """Hours that are kept as partials or as measures: read from their files, or worked out and kept."""

    connection: duckdb.DuckDBPyConnection
    files: KeptFiles

    def whole(self, hours: Sequence[KeptHour]) -> Iterator[tuple[int, Partials]]:
        """Yield the partials of whole hours, in their order: one by one, all of 10,000 metrics at once take 100 MB."""
        # of a UTC day at once: another day's Parquet files are others, and to hold the sums of both takes twice as much
        for (lacking, _), run in groupby(hours, key=lambda hour: (not self.files.has(hour.prefix), hour.hour // 24)):
            if lacking:
                yield from self._worked_out([*run])
                continue
            for hour in run:
                known = self.files.read(hour.prefix, Partials.read)
                if known is None:
                    yield from self._worked_out([hour])
                elif len(known.metrics):
                    yield hour.hour, known

    def beginning(self, hour: KeptHour) -> Partials | None:
        """Return the partials of an hour from the minute on in which the window begins; None where it has no rows."""
        begin = int(hour.since.timestamp()) // 60
        block = begin % 60 // _BLOCK
        rows = self.files.read(f"{hour.prefix}-{block}", Rows.read)
        after = self.files.read(f"{hour.prefix}-after-{block}", Partials.read)
        if rows is None or after is None:
            if not hour.files:
                return None
            minutes = MinuteRange(hour.first, hour.last)
            values = {"files": patterns(hour.files)}
            all_rows = measures(self.connection, "read_parquet($files, hive_partitioning = false)", minutes, **values)
            if all_rows is None:
                return None
            rows, after = self._keep_blocks(hour, all_rows, block)
        return merged([partials_of(rows.between(begin, begin + _BLOCK)), after])

    def _keep_blocks(self, hour: KeptHour, rows: Rows, wanted: int) -> tuple[Rows, Partials]:
        """Keep what is needed from the block ``wanted`` on, and return what is needed of it."""
        first = hour.hour * 60
        after = partials_of(rows.between(first + 60, first + 60))  # of no rows
        for block in range(60 // _BLOCK - 1, wanted - 1, -1):
            its = rows.between(first + block * _BLOCK, first + (block + 1) * _BLOCK - 1)
            self.files.write(f"{hour.prefix}-{block}", its.batch())
            self.files.write(f"{hour.prefix}-after-{block}", after.batch())
            if block > wanted:
                after = merged([partials_of(its), after])
        return its, after

    def _worked_out(self, run: Sequence[KeptHour]) -> Iterator[tuple[int, Partials]]:
        """Work out the partials of consecutive hours, keep them, and yield them."""
        files = sorted(frozenset().union(*(hour.files for hour in run)))
        if not files:
            return
        self.connection.execute(sql.load("store/publishing/sql/merging.sql"))
        values = {"files": patterns(files), "first": run[0].first, "last": run[-1].last}
        found = self.connection.sql(sql.load("store/publishing/sql/partials.sql"), params=values).to_arrow_table()
        none = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in found.schema], schema=found.schema)
        batch = next(iter(found.combine_chunks().to_batches()), none)
        of_row = np.from_dlpack(batch.column("hour"))
        for hour in run:
            begin, end = np.searchsorted(of_row, (hour.hour, hour.hour + 1)).tolist()
            part = batch.slice(begin, end - begin)
            self.files.write(hour.prefix, part)
            if part.num_rows:
                yield hour.hour, Partials.read(part)


def measures(connection: duckdb.DuckDBPyConnection, source: str, minutes: MinuteRange, **values: object) -> Rows | None:
    """Return the measures of rows of a table, or of Parquet files; None where there are no rows."""
    statement = sql.filled("store/publishing/sql/measures_of_rows.sql", {"rows": source})
    found = connection.sql(statement, params={**values, **minutes._asdict()}).to_arrow_table().combine_chunks()
    batches = found.to_batches()
    return Rows.read(batches[0]) if batches and found.num_rows else None


def presence(hours: Mapping[int, Partials], past: Iterator[tuple[int, Partials]]) -> pa.Table:
    """Return which minutes of some hours are present, by the bits of each metric and hour."""
    schema = pa.schema({"metric": pa.string(), "hour": pa.int32(), "present": pa.uint64()})
    batches = []
    for hour, part in (*hours.items(), *past):
        numbers = array(np.full(len(part.metrics), hour, np.int32))
        batches.append(pa.RecordBatch.from_arrays([part.metrics, numbers, array(part.present)], schema=schema))
    return pa.Table.from_batches(batches, schema)
