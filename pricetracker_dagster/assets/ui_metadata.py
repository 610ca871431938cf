"""How the data is shown in the Dagster UI: owner, groups, freshness, column schemas, commands to copy."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from pricetracker_dagster.candles import digits as figures
from pricetracker_dagster.errors import first_line
from pricetracker_dagster.settings import command
from pricetracker_dagster.store.records import sql_types

OWNER = "team:pricetracker"

EVERY_MINUTE = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=10), warn_window=timedelta(minutes=3))
"""What a tick renews is late after three minutes and stale after ten."""

TROUBLES = "troubles"
"""Metadata of what went wrong beside, with no metric's minute at stake, in plain words."""

SAMPLE = 20
"""Most rows of what is wrong that are shown at once."""


@contextmanager
def why_it_fails(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Log what fails in the block in a line of its own, which `up` passes on to the terminal; Dagster's has many."""
    try:
        yield
    except Exception as error:
        context.log.error("%s", first_line(error))
        raise


def schema(columns: dict[str, tuple[str, str]]) -> dict[str, dg.TableSchema]:
    """Return a table's columns, name to (type, description), as metadata for the UI."""
    return {
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(name, kind, description) for name, (kind, description) in columns.items()]
        )
    }


def schema_of(table: pa.Schema) -> dict[str, dg.TableSchema]:
    """Return the same of a table whose columns carry a ``comment``."""
    comments = {name: table.field(name).metadata[b"comment"].decode() for name in table.names}
    return schema({name: (kind, comments[name]) for name, kind in sql_types(table).items()})


def rounded(value: Any) -> Any:
    """Return a number with the digits that the data have; anything else as it is."""
    return figures.rounded(value) if isinstance(value, float) else value


def sql_command(statement: str, *, simulated: bool) -> dg.MetadataValue:
    """Return the command that answers an SQL statement, to be copied from the UI."""
    # as text: the UI hides Markdown behind a button
    return dg.MetadataValue.text(f'{command(simulated=simulated)} sql "{statement}"')


def duckdb_command(published: Path) -> dg.MetadataValue:
    """Return the command that opens the published file in DuckDB's own shell."""
    return dg.MetadataValue.text(f"duckdb -readonly {shlex.quote(str(published))}")


def sample(name: str, lines: Sequence[object]) -> dg.MetadataValue:
    """Return lines that a person reads as a table, which stands in the open; at most SAMPLE of them."""
    if not lines:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: str(line)}) for line in lines[:SAMPLE]],
        schema=dg.TableSchema([dg.TableColumn(name, "string")]),
    )
