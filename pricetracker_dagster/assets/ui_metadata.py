"""How the data is shown in the Dagster UI: owner, groups, freshness, column schemas, commands to copy."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import dagster as dg

from pricetracker_dagster.candles import digits as figures
from pricetracker_dagster.errors import first_line
from pricetracker_dagster.settings import Settings, command
from pricetracker_dagster.store.schema import Table, comments, sql_types

OWNER = "team:pricetracker"

EVERY_MINUTE = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=10), warn_window=timedelta(minutes=3))
"""What a tick renews is late after three minutes and stale after ten."""

TROUBLES = "troubles"
"""Metadata of what else went wrong, in plain words; no metric's minute depends on it."""

SAMPLE = 20
"""Most rows of what is wrong that are shown at once."""


@contextmanager
def why_it_fails(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Log an error of the block in one line, which `up` passes on to the terminal; Dagster's own has many lines."""
    try:
        yield
    except Exception as error:
        context.log.error("%s", first_line(error))
        raise


def table_metadata(table: Table) -> dict[str, Any]:
    """Return a table's name and columns as metadata for the UI."""
    columns = dg.TableSchema(table_columns(table, table.names))
    return {"dagster/table_name": table.name, "dagster/column_schema": columns}


def table_columns(table: Table, names: Sequence[str]) -> list[dg.TableColumn]:
    """Return columns of a table as Dagster describes them."""
    types, texts = sql_types(table.columns), comments(table.columns)
    return [dg.TableColumn(name, types[name], texts[name]) for name in names]


def rounded(value: Any) -> Any:
    """Return a number with the digits that the data have; anything else as it is."""
    return figures.rounded(value) if isinstance(value, float) else value


def sql_command(statement: str, *, simulated: bool) -> dg.MetadataValue:
    """Return the command that answers an SQL statement, to be copied from the UI."""
    # as text: the UI hides Markdown behind a button
    return dg.MetadataValue.text(f'{command(simulated=simulated)} sql "{statement}"')


def page(settings: Settings, **shown: str) -> dg.MetadataValue:
    """Return the address of the page, where it shows something: its parameters are those of ``page/address.js``."""
    return dg.MetadataValue.url(f"{settings.http.link}/{'#' if shown else ''}{urlencode(shown, safe=':')}")


def page_of_a_metric(settings: Settings) -> dg.MetadataValue:
    """Return the address of the page where it shows the first metric; from there the others are a click away."""
    return page(settings, metric=str(settings.tracked[0]))


def duckdb_command(published: Path) -> dg.MetadataValue:
    """Return the command that opens the published file in DuckDB's own shell."""
    return dg.MetadataValue.text(f"duckdb -readonly {shlex.quote(str(published))}")


def sample(name: str, lines: Sequence[object]) -> dg.MetadataValue:
    """Return at most SAMPLE lines as a table, which the UI shows without a click."""
    if not lines:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: str(line)}) for line in lines[:SAMPLE]],
        schema=dg.TableSchema([dg.TableColumn(name, "string")]),
    )
