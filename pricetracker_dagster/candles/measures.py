"""Defines the four measures, which measures.sql states, in a connection that computes them."""

import duckdb

from pricetracker_dagster import sql


def define_measures(connection: duckdb.DuckDBPyConnection, *, in_database: bool = False) -> None:
    """Define the SQL macro ``measure_of(measure, open, close, volume)``, temporarily or for the views of a database."""
    connection.execute(sql.filled("candles/measures.sql", {"kind": "MACRO" if in_database else "TEMP MACRO"}))
