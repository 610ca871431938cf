"""The tables, views and comments of a new published file: taken over from the one before where they are the same.

130 comments take longer than all that changes within a minute. What stands in the tables is file.py's, which
columns they have store/schema.py's.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.store import schema
from pricetracker_dagster.store.publishing.kept_parts import PREVIOUS

_TABLES = "tables"
_COMPRESSION = {
    "VARCHAR": "USING COMPRESSION dictionary",
    "DOUBLE": "USING COMPRESSION uncompressed",
    "BIGINT": "USING COMPRESSION bitpacking",
    "TIMESTAMPTZ": "USING COMPRESSION bitpacking",
}
"""As kept_tables.sql has it: to look for the best way takes longer than to write them."""

_BEGAN = {"alerts": "fired_at", "incidents": "opened_at"}
"""Views that say who looks after a fact, with the column of when it began."""


def lay_out(connection: duckdb.DuckDBPyConnection, sources: Mapping[str, str], *, previous: bool) -> None:
    """Create all tables and views, with their comments, in the connection's current database, which is new.

    Args:
        connection: its current database is new.
        sources: what the views select from, by name.
        previous: whether the file that was published before is attached as ``previous``.
    """
    wanted = _statements(sources)
    digests = {name: sha256(text.encode()).hexdigest() for name, text in wanted.items()}
    before = _digests_before(connection) if previous else {}
    if before.get(_TABLES) != digests[_TABLES] or before.keys() != digests.keys():
        before = {}
    if before:
        [(current,)] = connection.execute("SELECT current_database()").fetchall()
        connection.execute(f"COPY FROM DATABASE {PREVIOUS} TO {sql.identifier(current)} (SCHEMA)")
    connection.execute("\n".join(text for name, text in wanted.items() if before.get(name) != digests[name]))
    values = {"names": [*digests], "digests": [*digests.values()]}
    connection.execute("INSERT INTO kept_3.layout SELECT unnest($names), unnest($digests)", values)


def _statements(sources: Mapping[str, str]) -> dict[str, str]:
    """Return what creates all tables, and by its name each view, with comments."""
    tables = [f"CREATE TABLE {table.name} ({_declared(table)});" for table in schema.TABLES]
    macro = sql.filled("candles/measures.sql", {"kind": "MACRO"})
    statements = {_TABLES: "\n".join((sql.load("store/publishing/sql/kept_tables.sql"), *tables, macro))}
    statements[_TABLES] += "\n".join(line for table in schema.TABLES for line in _comments("TABLE", table))
    for view in schema.VIEWS:
        parts = {**sources, "name": view.name, "rows": sources.get(view.name, ""), "began": _BEGAN.get(view.name, "")}
        file = (
            f"{view.name}_view" if view.name not in sources else "acknowledged_view" if view.name in _BEGAN else "view"
        )
        text = sql.filled(f"store/publishing/sql/{file}.sql", parts)
        statements[view.name] = "\n".join((text, *_comments("VIEW", view)))
    return statements


def _declared(table: schema.Table) -> str:
    columns = schema.sql_types(table.columns).items()
    return ", ".join(f'"{name}" {kind} {_COMPRESSION.get(kind, "")}' for name, kind in columns)


def _digests_before(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return how the previous file was laid out; nothing where it does not say so or holds anything else."""
    try:
        digests = dict(connection.execute("SELECT name, digest FROM previous.kept_3.layout").fetchall())
        found = connection.execute(sql.load("store/publishing/sql/entries.sql")).fetchall()
    except duckdb.CatalogException:
        return {}
    kept = {"hours", "layout", "parts", "rows"}
    return (
        digests if {name for (name,) in found} == kept | {each.name for each in (*schema.TABLES, *schema.VIEWS)} else {}
    )


def _comments(kind: str, table: schema.Table) -> Iterable[str]:
    yield f"COMMENT ON {kind} {table.name} IS {sql.literal(table.comment)};"
    for name, comment in schema.comments(table.columns).items():
        yield f'COMMENT ON COLUMN {table.name}."{name}" IS {sql.literal(comment)};'
