"""A damaged Delta table made whole again, from whatever of it can still be read.

Here belongs how one table is mended. The change appears at once or not at all: as one commit, or as a log that is put
in the place of the damaged one. Data files are never touched. Which rows can be read is in recovery.py.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from pricetracker_dagster.candles.minutes import MinuteRange
from pricetracker_dagster.files.replacing import sync
from pricetracker_dagster.store.damage import LOG, Action, Damage, Kind, bounds, is_no_folder, rows_in, unreadable
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.log import LAST_CHECKPOINT, Log, read_log
from pricetracker_dagster.store.repairing.recovery import Recovery, files_in_table, partition_of
from pricetracker_dagster.store.writing import CONFIGURATION, PROPERTIES

FOLDER = "_rebuild"
"""The folder of the scratch table, in the one of the damaged table."""


@dataclass
class Mended:
    """What was done to a table.

    Attributes:
        steps: what was done, a line each.
        returned: metric and minutes of the rows put back from files that had been replaced; empty of a table without
            minutes. What was corrected since may have been in the lost file alone.
        lost: minutes of which rows may be lost; empty of a table that has none.
        unknown: whether rows of other minutes may be lost, too, since nothing says which were there.
    """

    steps: list[str] = field(default_factory=list)
    returned: list[tuple[str, MinuteRange]] = field(default_factory=list)
    lost: list[MinuteRange] = field(default_factory=list)
    unknown: bool = False


def mend(delta: Delta, aside: Path, latest: datetime) -> Mended | None:
    """Make a table whole again; None where nothing is wrong with it. Nobody else may write into it meanwhile.

    What is taken out of use is moved ``aside``; rows after ``latest``, the newest closed minute, UTC, are not put back.
    """
    shutil.rmtree(delta.path / FOLDER, ignore_errors=True)  # of a repair that was killed
    damages = delta.examine()
    if not damages:
        return None
    log = delta.log()
    mended = Mended()
    for damage in damages:
        minutes = damage.action and bounds(damage.action)
        if minutes:
            mended.lost.append(MinuteRange(*minutes))
        elif damage.kind != Kind.CHECKPOINT:
            mended.unknown = True
    if any(damage.kind == Kind.LOG for damage in damages):
        if is_no_folder(delta.path):
            move(delta.path, aside / delta.name)
        bad = {name for name in files_in_table(delta.path) if unreadable(delta.path / name, log.live.get(name))}
        _rebuild(Recovery(delta, log, bad, latest), aside, mended)
    else:
        _renew_checkpoints(delta, log, damages, aside, mended)
        of_data = [damage for damage in damages if damage.kind == Kind.DATA]
        if of_data:
            bad = {damage.file for damage in of_data}
            _replace(Recovery(delta, log, bad, latest), of_data, aside, mended)
    shutil.rmtree(delta.path / FOLDER, ignore_errors=True)
    return mended


def _renew_checkpoints(delta: Delta, log: Log, damages: Iterable[Damage], aside: Path, mended: Mended) -> None:
    """Set damaged checkpoints aside and write a new one: the commits say the same."""
    files = [delta.path / damage.file for damage in damages if damage.kind == Kind.CHECKPOINT]
    if not files:
        return
    parts = [part for parts in log.checkpoints.values() for part in parts if set(parts) & set(files)]
    for file in dict.fromkeys([*files, *parts, delta.path / LOG / LAST_CHECKPOINT]):
        move(file, aside / LOG / file.name)
    delta.load().create_checkpoint()
    mended.steps.append("damaged checkpoints were set aside and a new one was written")


def _replace(recovery: Recovery, damages: Sequence[Damage], aside: Path, mended: Mended) -> None:
    """Take damaged data files out of the log and put in what replaced files say of their rows, in one commit."""
    delta, bad = recovery.delta, recovery.bad
    scratch = _Scratch(delta)
    for partition in sorted({partition_of(file) for file in bad}):
        rows = recovery.rows(partition, only_absent=True)
        mended.returned += recovery.minutes(rows, rows["_file"].unique().to_pylist())
        scratch.write(rows)
    added = scratch.take_over()
    now = int(datetime.now(UTC).timestamp() * 1000)
    actions: list[AddAction | RemoveAction] = [_add_action(action) for action in added]
    for damage in damages:
        action: Action = damage.action or {}
        # as the log has it, which names files as URLs do
        actions.append(RemoveAction(action["path"], True, now, action.get("size"), action.get("partitionValues")))
    table = delta.load()
    table.create_write_transaction(actions, "append", table.schema(), list(delta.partition_by))
    for file in bad:
        if (delta.path / file).exists():
            move(delta.path / file, aside / file)
    recovered = sum(rows_in(action) or 0 for action in added)
    mended.steps.append(
        f"{len(bad)} data {'file' if len(bad) == 1 else 'files'}, gone or damaged, taken out of the log; "
        f"{recovered:,} rows put back from files that had been replaced"
    )


def _rebuild(recovery: Recovery, aside: Path, mended: Mended) -> None:
    """Write a new log over what can be read, beside the damaged one, and put it in its place."""
    delta, log, bad = recovery.delta, recovery.log, recovery.bad
    files = files_in_table(delta.path)
    scratch = _Scratch(delta)
    stay: list[Action] = []
    readable = 0
    for partition in sorted({partition_of(name) for name in files}):
        live = [name for name in log.live if partition_of(name) == partition and name in files and name not in bad]
        rows = recovery.rows(partition, only_absent=False)
        readable += rows.num_rows
        counts = [rows_in(log.live[name]) for name in live]
        # nothing is to be changed where every row is in a file that belongs to the table already
        from_live = set(rows["_file"].unique().to_pylist()) <= set(live)
        if None not in counts and rows.num_rows == sum(filter(None, counts)) and from_live:
            stay += [log.live[name] for name in live]
        else:
            mended.returned += recovery.minutes(rows, log.removed | recovery.astray)
            scratch.write(rows)
    scratch.take_over()
    new = scratch.log_with(stay, max(log.newest, log.published) + 1)
    if (delta.path / LOG).exists():
        move(delta.path / LOG, aside / LOG)
    new.rename(delta.path / LOG)
    sync(delta.path)
    for name in bad:
        move(delta.path / name, aside / name)
    mended.steps.append(f"its log was set aside and a new one written over the {readable:,} rows that can be read")


def move(file: Path, to: Path) -> None:
    """Move a file or folder out of the way, if it exists."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        shutil.move(file, to)


class _Scratch:
    """A temporary table in the folder of a damaged one, in which its new files and its new log are prepared."""

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
            [_add_action(action) for action in stay], "append", table.schema(), list(self._delta.partition_by)
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


def _add_action(action: Action) -> AddAction:
    """Return the action of a log that adds a file, as delta-rs takes it."""
    return AddAction(
        action["path"],
        int(action["size"]),
        dict(action.get("partitionValues") or {}),
        int(action.get("modificationTime") or 0),
        True,
        action.get("stats") or "{}",
    )
