"""How SQL runs in this project: it lives in ``.sql`` files and in connections that speak UTC.

A statement stands in a file beside the module that runs it and takes its values as named parameters;
a value never becomes SQL text. Nothing here knows what the statements are about.
"""

from functools import cache
from pathlib import Path

import duckdb


def connect(database: str = ":memory:", *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB connection whose TIMESTAMPTZ values read and print as UTC.

    Extensions are never downloaded: the wheel carries what the project uses (json, parquet, icu).
    """
    connection = duckdb.connect(
        database,
        read_only=read_only,
        config={"autoinstall_known_extensions": "false"},
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


@cache
def load(path: Path) -> str:
    """Return the text of one ``.sql`` file."""
    return path.read_text(encoding="utf-8")
