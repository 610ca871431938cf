"""Dagster's database where it is none of the files in the data folder."""

import dagster as dg
import sqlalchemy as db
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage


def database_bytes(instance: dg.DagsterInstance) -> int:
    """Return how many bytes Dagster's database has on Postgres; 0 on SQLite, whose files are counted already."""
    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        return 0
    with storage.connect() as connection:
        if connection.dialect.name != "postgresql":
            return 0
        return int(connection.execute(db.text("SELECT pg_database_size(current_database())")).scalar_one())
