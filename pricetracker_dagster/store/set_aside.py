"""Candles that wait in a temporary file until they are upserted, so that memory does not grow with them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pricetracker_dagster import sql
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store.prices import CHUNK

Mask = np.ndarray[Any, np.dtype[np.bool_]]
"""Of each row whether it was filled in and no source has stated it."""


def flags(mask: Mask) -> pa.Array:
    """Return a mask as a column; pyarrow.array() would import pandas."""
    return pa.Array.from_buffers(pa.uint8(), len(mask), [None, pa.py_buffer(mask.view(np.uint8))]).cast(pa.bool_())


class SetAside:
    """Candles of one metric, in the order in which they came. A context: the file is gone when it ends."""

    _SCHEMA = pa.schema([*SCHEMA, pa.field("filled", pa.bool_(), nullable=False)])

    def __init__(self) -> None:
        """Make no file before the first candle."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._writer: Any = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the file."""
        if self._folder is not None:
            self._writer.close()
            self._folder.cleanup()

    def put(self, before: pa.Table | None, rows: pa.Table, filled: Mask) -> None:
        """Add rows, and a stated row before them that is to be looked at with them."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="pricetracker")
            self._writer = pq.ParquetWriter(Path(self._folder.name) / "rows.parquet", self._SCHEMA)
        if before is not None:
            rows = pa.concat_tables([before, rows])
            filled = np.concatenate([[False], filled])
        table = rows.append_column(self._SCHEMA.field("filled"), flags(filled))
        self._writer.write_table(table.cast(self._SCHEMA))

    def chunks(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Return the rows, no minute twice, with those that were filled, some 400,000 at a time."""
        if self._folder is None:
            return
        self._writer.close()
        with pq.ParquetFile(Path(self._folder.name) / "rows.parquet") as file:
            gathered: list[pa.Table] = []
            for group in range(file.num_row_groups):
                gathered.append(file.read_row_group(group))
                if sum(table.num_rows for table in gathered) >= CHUNK or group == file.num_row_groups - 1:
                    yield _distinct(pa.concat_tables(gathered))
                    gathered = []


def _distinct(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    connection = sql.connect(rows=rows)
    candles = connection.sql(
        "SELECT DISTINCT ON (minute) * EXCLUDE (filled) FROM rows ORDER BY minute, filled"
    ).to_arrow_table()
    return candles.cast(SCHEMA), connection.sql("SELECT metric, minute FROM rows WHERE filled").to_arrow_table()
