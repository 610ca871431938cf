"""The rows of an answer as lines of CSV or JSON, written by the engine: a million rows cost little time and memory."""

from collections.abc import Iterator, Sequence
from itertools import chain, count
from typing import TYPE_CHECKING

from pricetracker_dagster.reading import text

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ROWS_AT_ONCE = 2048
"""How many rows of lines make a batch."""

_ANSWER = "answer of the statement"


def csv_lines(relation: "duckdb.DuckDBPyRelation") -> "duckdb.DuckDBPyRelation":
    """Return the lines of an answer in one column: each with its end, the header not among them."""
    names = aliases(relation)
    return projected(relation, f"{text.csv_line(relation.types, names)} AS line")


def json_lines(relation: "duckdb.DuckDBPyRelation") -> "duckdb.DuckDBPyRelation":
    """Return the rows of an answer as objects of JSON in one column: each after a comma and a new line."""
    line = text.json_object(relation.types, aliases(relation), _told_apart(relation.columns))
    return projected(relation, f"concat(',', chr(10), {line}) AS line")


def batches(lines: "duckdb.DuckDBPyRelation") -> Iterator[memoryview]:
    """Ask for lines, and yield them as they come, some at once. Of JSON the first two bytes are to be left out."""
    for batch in lines.to_arrow_reader(ROWS_AT_ONCE):
        yield bytes_of(batch.column(0))


def aliases(relation: "duckdb.DuckDBPyRelation") -> list[str]:
    """Return names for an answer's columns, which may be called anything, even all the same."""
    return [f"c{i}" for i in range(len(relation.columns))]


def projected(relation: "duckdb.DuckDBPyRelation", expressions: str) -> "duckdb.DuckDBPyRelation":
    """Return expressions over an answer's columns by their aliases."""
    names = ", ".join(aliases(relation))
    over = relation.query(
        _ANSWER,
        f'WITH a({names}) AS (FROM "{_ANSWER}") SELECT {expressions} FROM a',  # noqa: S608 - no value is in it
    )
    assert over is not None  # noqa: S101 - only statements that select nothing are
    return over


def bytes_of(lines: "pa.StringArray") -> memoryview:
    """Return the characters of a column of text as they lie in memory, one after the other."""
    import pyarrow as pa

    _, offsets, characters = lines.buffers()
    if characters is None:
        return memoryview(b"")
    wide = pa.types.is_large_string(lines.type)
    ends = memoryview(offsets).cast("q" if wide else "i")
    return memoryview(characters)[ends[lines.offset] : ends[lines.offset + len(lines)]]


def _told_apart(names: Sequence[str]) -> list[str]:
    """Return names of which no two are alike: of two equal keys in an object, readers of JSON keep one."""
    keys: list[str] = []
    for name in names:
        numbered = (f"{name}_{i}" for i in count(1))
        keys.append(next(key for key in chain([name], numbered) if key not in keys))
    return keys
