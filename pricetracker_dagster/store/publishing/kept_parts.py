"""How partials lie in the published file: an Arrow stream an hour, which is copied as it is.

A table with a row a metric and hour takes twice as long to copy, and to write. Which hours are kept is kept.py's.
"""

from collections.abc import Callable
from typing import TypeVar

import duckdb
import pyarrow as pa

from pricetracker_dagster import sql

PREVIOUS = "previous"
"""What the file published before is called while the next one is built."""

_Read = TypeVar("_Read")


class Unusable(Exception):
    """What the previous file keeps cannot be used."""


def put(connection: duckdb.DuckDBPyConnection, hour: int | None, batch: pa.RecordBatch) -> None:
    """Keep a batch as the part of an hour, or of all whole hours."""
    connection.execute("INSERT INTO kept_3.parts VALUES ($hour, $content)", {"hour": hour, "content": stream_of(batch)})


def part_of(
    connection: duckdb.DuckDBPyConnection,
    database: str,
    hour: int | None,
    read: Callable[[pa.RecordBatch], _Read],
) -> _Read | None:
    """Return what an attached file keeps of an hour, or of all whole hours; None where it does not.

    Raises:
        Unusable: it keeps something else.
    """
    statement = sql.filled("store/publishing/sql/part.sql", {"database": sql.identifier(database)})
    found = connection.execute(statement, {"hour": hour}).fetchall()
    return understood(found[0][0], read) if found else None


def stream_of(batch: pa.RecordBatch) -> bytes:
    """Return a batch as an Arrow stream."""
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, batch.schema) as writer:
        writer.write_batch(batch)
    content: bytes = stream.getvalue().to_pybytes()
    return content


def understood(content: bytes | memoryview, read: Callable[[pa.RecordBatch], _Read]) -> _Read:
    """Return what an Arrow stream holds.

    Raises:
        Unusable: it holds something else.
    """
    try:
        return read(pa.ipc.open_stream(content).read_next_batch())
    except (pa.ArrowException, StopIteration, KeyError) as error:
        raise Unusable from error
