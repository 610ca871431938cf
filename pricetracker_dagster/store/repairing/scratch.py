"""A temporary table in the folder of a damaged one, in which its new files and its new log are prepared."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from pricetracker_dagster.files.replacing import sync
from pricetracker_dagster.store.damage import LOG, Action
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.log import LAST_CHECKPOINT, read_log
from pricetracker_dagster.store.writing import CONFIGURATION, PROPERTIES

FOLDER = "_rebuild"
"""Its name, in the folder of the damaged table."""


class Scratch:
    """The temporary table."""

    def __init__(self, delta: Delta) -> None:
        """Create it, empty, for a damaged one."""
        self._delta = delta
        self._folder = delta.path / FOLDER
        DeltaTable.create(
            self._folder,
            schema=delta.schema,
            partition_by=list(delta.partition_by),
            name=delta.name,
            description=delta.description,
            configuration=CONFIGURATION,
        )

    def write(self, rows: pa.Table) -> None:
        """Write rows as a file."""
        if rows.num_rows:
            rows = rows.select(self._delta.schema.names).cast(self._delta.schema)
            # not write_deltalake(), which panics over a "[" in the path; no two rows have the same key
            DeltaTable(self._folder).merge(
                rows,
                predicate=self._delta.same_key,
                source_alias="s",
                target_alias="t",
                writer_properties=PROPERTIES,
            ).when_not_matched_insert_all().execute()

    def take_over(self) -> list[Action]:
        """Move the files that were written into the table's folder, where no log names them yet; return the actions."""
        actions = read_log(self._folder).live
        for name in actions:
            to = self._delta.path / name
            to.parent.mkdir(parents=True, exist_ok=True)
            (self._folder / name).rename(to)
            sync(to)
            sync(to.parent)
        return list(actions.values())

    def log_with(self, stay: Sequence[Action], version: int) -> Path:
        """Return a folder with a log that names the files written and those that stay, and nothing before a version.

        Versions continue where the old log ended, so that a version never stands for two states.
        """
        table = DeltaTable(self._folder)
        table.create_write_transaction(
            [add_action(action) for action in stay], "append", table.schema(), list(self._delta.partition_by)
        )
        table = DeltaTable(self._folder)
        table.create_checkpoint()
        old, new = self._folder / LOG, self._folder / "new_log"
        new.mkdir()
        for end in (".json", ".checkpoint.parquet"):
            (old / f"{table.version():020}{end}").rename(new / f"{version:020}{end}")
        hint = json.loads((old / LAST_CHECKPOINT).read_text(encoding="utf-8"))
        (new / LAST_CHECKPOINT).write_text(json.dumps(hint | {"version": version}), encoding="utf-8")
        for file in (*new.iterdir(), new):
            sync(file)
        return new


def add_action(action: Action) -> AddAction:
    """Return the action of a log that adds a file, as delta-rs takes it."""
    return AddAction(
        action["path"],
        int(action["size"]),
        dict(action.get("partitionValues") or {}),
        int(action.get("modificationTime") or 0),
        True,
        action.get("stats") or "{}",
    )
