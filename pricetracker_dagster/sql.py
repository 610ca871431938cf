"""How SQL runs in this project: it lives in ``.sql`` files and in connections that speak UTC.

A statement takes its values as named parameters; a value never becomes SQL text.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from weakref import ref

import duckdb
import pyarrow as pa

_PACKAGE = Path(__file__).parent

_one_at_a_time = threading.Lock()
_one_file_at_a_time = threading.RLock()
_connections: set[ref[duckdb.DuckDBPyConnection]] = set()
_own: list[duckdb.DuckDBPyConnection] = []
_without_threads = threading.Event()


def connect(**tables: pa.Table) -> duckdb.DuckDBPyConnection:
    """Open a connection to work in, with temporary tables and views of its own; Arrow tables are views by their names.

    All share one in-memory database of this process: to start one takes 15 ms, and a tick works in some twenty. Who
    asks for long keeps the connection, or interrupt() does not find it.
    """
    with _one_at_a_time:
        connection = _noted(_memory().cursor())
    for name, table in tables.items():
        connection.register(name, table)
    return connection


@contextmanager
def attached(file: Path, options: str = "READ_ONLY") -> Iterator[duckdb.DuckDBPyConnection]:
    """Attach a database file to the process's own database, as what unqualified names mean.

    Ten times quicker than to open it; for the short questions of a tick, one at a time. The connection stays open for
    what was materialized.
    """
    with _one_file_at_a_time:
        connection = connect()
        connection.execute(f"ATTACH {literal(str(file))} AS attached ({options})")
        try:
            connection.execute("USE attached")
            yield connection
        finally:
            connection.execute("USE memory")
            connection.execute("DETACH attached")


@contextmanager
def beside(file: Path, name: str) -> Iterator[None]:
    """Attach a database file, read-only and under a name, beside the one of attached(), in which it is to be used."""
    with _one_file_at_a_time:
        connection = connect()
        connection.execute(f"ATTACH {literal(str(file))} AS {identifier(name)} (READ_ONLY)")
        try:
            yield
        finally:
            connection.execute(f"DETACH {identifier(name)}")


@contextmanager
def opened(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Attach a database file read-only, apart from everything else in this process: for statements of users.

    Not ``duckdb.connect(file)``, which gives the file that it had open before, also where that was replaced meanwhile.
    The connection stays open for what was materialized.
    """
    connection = _open({"temp_directory": f"{file}.tmp"})
    name = identifier(file.stem)
    connection.execute(f"ATTACH {literal(str(file))} AS {name} (READ_ONLY)")
    try:
        connection.execute(f"USE {name}")
        yield connection
    finally:
        with suppress(duckdb.Error):  # where a statement of the user is not over, the file stays open as long as it
            connection.execute("USE memory")
            connection.execute(f"DETACH {name}")


def cursor(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return another connection to the same databases, for another thread."""
    return _noted(connection.cursor())


def lock(connection: duckdb.DuckDBPyConnection, files: Iterable[str]) -> None:
    """Let a connection of opened() read these files besides the database, and nothing else, and stay so.

    No other file is read or written, nothing is loaded or attached, no setting of the engine is changed any more.
    """
    paths = ", ".join(literal(path) for file in sorted(files) for path in dict.fromkeys((file, only(file))))
    connection.execute(f"SET allowed_paths = [{paths}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def only(file: Path | str) -> str:
    """Return the pattern that matches this file alone: ``read_parquet`` and ``read_csv`` take a name for a pattern.

    Where a backslash stands in a pattern DuckDB finds nothing, so that no other file is ever read instead.
    """
    return re.sub(r"[*?\[]", r"[\g<0>]", str(file))


def named_by(pattern: str) -> str:
    """Return the file that a pattern of only() matches."""
    return re.sub(r"\[([*?\[])\]", r"\1", pattern)


def interrupt() -> None:
    """End what every connection is doing. For Ctrl-C: DuckDB may lose what a signal's handler raises."""
    for named in list(_connections):
        if (connection := named()) is not None:
            connection.interrupt()


def is_interrupted(error: Exception) -> bool:
    """Say whether an error is what DuckDB makes of a Ctrl-C that comes while it works."""
    return isinstance(error, duckdb.InterruptException) or (
        isinstance(error, RuntimeError) and str(error) == "Query interrupted"
    )


def _noted(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    _connections.add(ref(connection, _connections.discard))
    return connection


@cache
def load(file: str) -> str:
    """Return the text of a ``.sql`` file, named by its path in the package."""
    return (_PACKAGE / file).read_text(encoding="utf-8")


def filled(file: str, sources: Mapping[str, str]) -> str:
    """Return the text of a ``.sql`` file with SQL in place of each ``{{name}}``: for views, which take no parameters.

    Raises:
        KeyError: a name has no source.
    """
    return re.sub(r"\{\{(\w+)\}\}", lambda found: sources[found[1]], load(file))


def literal(text: str) -> str:
    """Return a text as an SQL literal, for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def open_without_threads() -> None:
    """Open this process's own database so that the process may be forked: its threads come with the first connection.

    Each fork has a copy of its own, and starts no engine, which takes as long as ten statements. Before anything else.
    """
    _own.append(_open({"threads": "1", "async_threads": "0"}))
    _own[0].execute("SELECT TIMESTAMPTZ '2026-01-01 00:00Z' + INTERVAL 1 MINUTE").fetchall()  # time zones are loaded
    _without_threads.set()


def _memory() -> duckdb.DuckDBPyConnection:
    if not _own:
        _own.append(_open())
    elif _without_threads.is_set():
        for setting in ("threads", "async_threads"):
            _own[0].execute(f"RESET GLOBAL {setting}")
        _without_threads.clear()
    return _own[0]


def _open(config: Mapping[str, str] = {}) -> duckdb.DuckDBPyConnection:
    # extensions are never downloaded: the wheel carries what the project uses (json, parquet, icu)
    connection = _noted(duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false", **config}))
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    # DuckDB takes a grid of minutes (unnest) for a few rows and would join it in a loop: hours for a year of minutes
    connection.execute("SET GLOBAL asof_loop_join_threshold = 0")
    return connection
