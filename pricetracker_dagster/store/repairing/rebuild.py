"""A damaged Delta table made whole again, from whatever of it can still be read.

Here belongs how one table is mended. The change appears at once or not at all: as one commit, or as a log that is put
in the place of the damaged one. Data files are never touched. Which rows can be read is in recovery.py.
"""

import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from pricetracker_dagster.candles.minutes import MinuteRange
from pricetracker_dagster.files.replacing import sync
from pricetracker_dagster.store.damage import (
    LOG,
    Action,
    Damage,
    Kind,
    bounds,
    data_files,
    is_no_folder,
    rows_in,
    unreadable,
)
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.log import LAST_CHECKPOINT, Log
from pricetracker_dagster.store.repairing.recovery import (
    Kept,
    astray_among,
    changes,
    minutes_from,
    partition_of,
    rows_of,
)
from pricetracker_dagster.store.repairing.scratch import FOLDER as SCRATCH
from pricetracker_dagster.store.repairing.scratch import Scratch, add_action


@dataclass
class Mended:
    """What was done to a table.

    Attributes:
        steps: what was done, a line each.
        recovered: how many rows were put back that the table had no more.
        returned: metric and minutes of the rows put back from files that had been replaced; empty of a table without
            minutes. What was corrected since may have been in the lost file alone.
        lost: minutes of which rows may be lost; empty of a table that has none.
        unknown: whether rows of other minutes may be lost, too, since nothing says which were there.
    """

    steps: list[str] = field(default_factory=list)
    recovered: int = 0
    returned: list[tuple[str, MinuteRange]] = field(default_factory=list)
    lost: list[MinuteRange] = field(default_factory=list)
    unknown: bool = False


def mend(delta: Delta, kept: Kept, aside: Path, latest: datetime) -> Mended | None:
    """Make a table whole again; None where nothing is wrong with it. Nobody else may write into it meanwhile.

    Args:
        delta: the table.
        kept: what tells its rows apart.
        aside: where what is taken out of use is moved.
        latest: the newest closed minute, UTC; rows after it are not put back.
    """
    shutil.rmtree(delta.path / SCRATCH, ignore_errors=True)  # of a repair that was killed
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
        _rebuild(delta, kept, log, aside, latest, mended)
    else:
        _renew_checkpoints(delta, log, damages, aside, mended)
        of_data = [damage for damage in damages if damage.kind == Kind.DATA]
        if of_data:
            _replace(delta, kept, log, of_data, aside, latest, mended)
    shutil.rmtree(delta.path / SCRATCH, ignore_errors=True)
    return mended


def _renew_checkpoints(delta: Delta, log: Log, damages: Iterable[Damage], aside: Path, mended: Mended) -> None:
    """Set damaged checkpoints aside and write a new one: the commits say the same."""
    files = [delta.path / damage.file for damage in damages if damage.kind == Kind.CHECKPOINT]
    if not files:
        return
    parts = [part for parts in log.checkpoints.values() for part in parts if set(parts) & set(files)]
    for file in dict.fromkeys([*files, *parts, delta.path / LOG / LAST_CHECKPOINT]):
        move(file, aside / LOG / file.name)
    DeltaTable(delta.path).create_checkpoint()
    mended.steps.append("damaged checkpoints were set aside and a new one was written")


def _replace(
    delta: Delta,
    kept: Kept,
    log: Log,
    damages: Sequence[Damage],
    aside: Path,
    latest: datetime,
    mended: Mended,
) -> None:
    """Take damaged data files out of the log and put in what replaced files say of their rows, in one commit."""
    bad = {damage.file for damage in damages}
    astray = astray_among(delta, bad)
    scratch = Scratch(delta, kept.key)
    for partition in sorted({partition_of(file) for file in bad}):
        rows = rows_of(delta, kept, log, partition, bad, astray, latest, only_absent=True)
        mended.returned += minutes_from(delta, rows, set(rows["_file"].to_pylist()))
        scratch.write(rows)
    added = scratch.take_over()
    now = int(datetime.now(UTC).timestamp() * 1000)
    actions: list[AddAction | RemoveAction] = [add_action(action) for action in added]
    for damage in damages:
        action: Action = damage.action or {}
        # as the log has it, which names files as URLs do
        actions.append(RemoveAction(action["path"], True, now, action.get("size"), action.get("partitionValues")))
    table = DeltaTable(delta.path)
    table.create_write_transaction(actions, "append", table.schema(), list(delta.partition_by))
    for file in bad:
        if (delta.path / file).exists():
            move(delta.path / file, aside / file)
    mended.recovered = sum(rows_in(action) or 0 for action in added)
    mended.steps.append(
        f"{len(bad)} data {'file' if len(bad) == 1 else 'files'}, gone or damaged, taken out of the log; "
        f"{mended.recovered:,} rows put back from files that had been replaced"
    )


def _rebuild(delta: Delta, kept: Kept, log: Log, aside: Path, latest: datetime, mended: Mended) -> None:
    """Write a new log over what can be read, beside the damaged one, and put it in its place."""
    if is_no_folder(delta.path):
        move(delta.path, aside / delta.name)
    files = {file.relative_to(delta.path).as_posix(): file for file in data_files(delta.path)}
    bad = {name for name, file in files.items() if unreadable(file, log.live.get(name))}
    astray = astray_among(delta, bad)
    scratch = Scratch(delta, kept.key)
    stay: list[Action] = []
    before = after = 0
    for partition in sorted({partition_of(name) for name in files}):
        live = [name for name in log.live if partition_of(name) == partition and name in files and name not in bad]
        rows = rows_of(delta, kept, log, partition, bad, astray, latest, only_absent=False)
        counts = [rows_in(log.live[name]) for name in live]
        counted = sum(count or 0 for count in counts)
        before += counted
        after += rows.num_rows
        if None not in counts and rows.num_rows == counted and not changes(rows, live):
            stay += [log.live[name] for name in live]
        else:
            mended.returned += minutes_from(delta, rows, log.removed | astray)
            scratch.write(rows)
    scratch.take_over()
    new = scratch.log_with(stay, max(log.newest, log.published) + 1)
    if (delta.path / LOG).exists():
        move(delta.path / LOG, aside / LOG)
    new.rename(delta.path / LOG)
    sync(delta.path)
    for name in bad:
        move(delta.path / name, aside / name)
    mended.recovered = max(0, after - before)
    mended.steps.append(f"its log was set aside and a new one written over the {after:,} rows that can be read")


def move(file: Path, to: Path) -> None:
    """Move a file or folder out of the way, if it exists."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        shutil.move(file, to)
