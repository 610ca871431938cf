"""What is in a published file: tables of the last 24 hours, and views over the explicit list of live Parquet files.

Which columns there are is said in schema.py. When a file is built, and how it replaces the old one, is the business of
publish.py and published_file.py.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import duckdb
from deltalake import DeltaTable

from pricetracker_dagster import sql
from pricetracker_dagster.candles.measures import define_measures
from pricetracker_dagster.candles.metric import MEASURES
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store import schema
from pricetracker_dagster.store.coverage import missing_of_day
from pricetracker_dagster.store.live_files import files_of, files_of_minutes, rows_by_name, rows_in
from pricetracker_dagster.store.records import NOT_RUN
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.tracked import tracked_since

SCHEMA_VERSION = 1
"""Version of the tables that users read. A change that could break a query raises it."""

_CANDLE = schema.sql_types(SCHEMA)


def build(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    table: DeltaTable | None,
    recorded: Mapping[str, DeltaTable | None],
    tracked: list[str] | None,
    *,
    as_of: datetime | None,
    now: datetime,
    rows: int,
) -> list[str]:
    """Fill the connection's current database, which is new. Return the Parquet files that its views name."""
    first = None if as_of is None else as_of - DAY + MINUTE
    files = [] if table is None else files_of(table)
    recent = [] if table is None or as_of is None else files_of_minutes(table, first, as_of)
    connection.execute(_create_tables())
    define_measures(connection, in_database=True)
    # A view's text cannot take parameters: the paths of live files are quoted into it here, and nowhere else.
    sources = {"all_files": rows_in(files, _CANDLE), "recent_files": rows_in(recent, _CANDLE)}
    records, named = store.records, [*files]
    for each in records:
        of_it = recorded[each.name]
        own = [] if of_it is None else files_of(of_it)
        sources[each.name] = rows_by_name(own, schema.sql_types(each.schema))
        named += own
    connection.execute(sql.filled("store/sql/published_views.sql", sources))
    connection.execute(
        "INSERT INTO snapshot VALUES ($as_of::TIMESTAMPTZ, $published_at::TIMESTAMPTZ, 0, $rows, $schema_version)",
        {"as_of": as_of, "published_at": now, "rows": rows, "schema_version": SCHEMA_VERSION},
    )
    if first is not None and as_of is not None:
        connection.execute(sql.filled("store/sql/measured.sql", sources))
        connection.execute(sql.filled("store/sql/ranked.sql", {"measures": ", ".join(map(sql.literal, MEASURES))}))
        # mostly no metric is incomplete, and the minutes need not be read a second time
        connection.execute(sql.load("store/sql/incomplete.sql"), {"tracked": tracked, "minutes": DAY // MINUTE})
        incomplete = [metric for (metric,) in connection.fetchall()]
        missing = missing_of_day(store.prices, tracked_since(store.folder.state, incomplete), as_of)
        missed = [
            {"metric": metric, "first": gap.first, "last": gap.last} for metric, gaps in missing.items() for gap in gaps
        ]
        connection.execute(
            sql.filled("store/sql/missed.sql", sources), {"missed": missed, "first": first, "not_run": NOT_RUN}
        )
    connection.execute(_comment_on_all())
    return named


def _create_tables() -> str:
    """Return the statements that make the published tables."""
    return "\n".join(f"CREATE TABLE {table.name} ({schema.columns_of(table.columns)});" for table in schema.TABLES)


def _comment_on_all() -> str:
    """Return the statements that comment the published tables, views and their columns."""
    return "\n".join((*_comments("TABLE", schema.TABLES), *_comments("VIEW", schema.VIEWS)))


def _comments(kind: str, tables: Iterable[schema.Table]) -> Iterable[str]:
    for table in tables:
        yield f"COMMENT ON {kind} {table.name} IS {sql.literal(table.comment)};"
        for name, comment in schema.comments(table.columns).items():
            yield f'COMMENT ON COLUMN {table.name}."{name}" IS {sql.literal(comment)};'
