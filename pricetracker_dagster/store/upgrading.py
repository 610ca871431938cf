"""A Delta table of an earlier version gets the columns of now in place: its log says so, no row is written.

That others do the same at that moment, and what becomes of a conflict with them, belongs to delta.py.
"""

import pyarrow as pa
from deltalake import DeltaTable, Field, Schema


def is_of_before(table: DeltaTable, schema: pa.Schema) -> bool:
    """Say whether an opened table lacks a column, or has one that may not be NULL although it may be now."""
    return any(_lacking(table, schema))


def upgrade(table: DeltaTable, schema: pa.Schema) -> None:
    """Add the columns that it lacks, NULL in each row, and let those be NULL that may be now.

    Raises:
        CommitFailedError: another process has changed its columns since it was opened; nothing or a part was done.
    """
    new, loose = _lacking(table, schema)
    if new:
        table.alter.add_columns(new)
    for name in loose:
        table.alter.drop_column_not_null(name)


def _lacking(table: DeltaTable, schema: pa.Schema) -> tuple[list[Field], list[str]]:
    """Return the columns that it does not have, and the names of those that may not be NULL there but may be now."""
    stored = {field.name: field.nullable for field in table.schema().fields}
    new = [field for field in Schema.from_arrow(schema).fields if field.name not in stored]
    return new, [field.name for field in schema if field.nullable and not stored.get(field.name, True)]
