"""The Parquet files that belong to one version of a Delta table, by name, as the log has them."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from pricetracker_dagster import sql


def files_of(table: DeltaTable, bounds: Sequence[tuple[str, str, date | datetime]] = ()) -> list[str]:
    """Return the live Parquet files of one version of a table, as absolute paths.

    With bounds, e.g. ``("minute", ">=", moment)``, only those that may hold such rows, by the statistics in the log.
    """
    # delta-rs names them as URLs do, with %20 for a space
    return sorted(map(unquote, table.file_uris(file_pruning_predicate=list(bounds) or None)))


def sizes(table: DeltaTable) -> dict[str, int]:
    """Return how long each live file of a table was when it was written, by its path in the table's folder."""
    # pa.table() would import pandas
    actions = pa.RecordBatchReader.from_stream(table.get_add_actions()).read_all()
    names = map(unquote, actions["path"].to_pylist())
    return dict(zip(names, actions["size_bytes"].to_pylist(), strict=True))


def patterns(files: Iterable[str]) -> list[str]:
    """Return files as ``read_parquet`` takes them: each a pattern that matches it alone."""
    return [sql.only(file) for file in files]
