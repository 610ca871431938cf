"""Writes Parquet files as what a statement selects from, where names of files or columns cannot be parameters."""

from collections.abc import Iterable, Mapping

from pricetracker_dagster import sql
from pricetracker_dagster.store import live_files


def rows_of(files: Iterable[str], columns: Mapping[str, str]) -> str:
    """Return what is selected from: the files, or no rows of the same columns (name to type)."""
    return _read(files, "") or _no_rows(columns)


def rows_by_name(files: Iterable[str], columns: Mapping[str, str], *, filename: bool = False) -> str:
    """Return the same where some files are of an earlier version, which did not know every column: NULL there.

    With ``filename`` the column of that name says of each row which file it is from.
    """
    if filename:
        columns = {**columns, "filename": "VARCHAR"}
    read = _read(files, f", union_by_name = true, filename = {filename}")
    return f"(FROM {_no_rows(columns)} UNION ALL BY NAME FROM {read})" if read else _no_rows(columns)


def _read(files: Iterable[str], options: str) -> str:
    named = ", ".join(map(sql.literal, live_files.patterns([*files])))
    return f"read_parquet([{named}], hive_partitioning = false{options})" if named else ""


def _no_rows(columns: Mapping[str, str]) -> str:
    nulls = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in columns.items())
    return f"(SELECT {nulls} WHERE false)"
