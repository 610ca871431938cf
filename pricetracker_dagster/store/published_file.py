"""The published file on the disk: what the current one says of itself, and how a new one takes its place.

Nothing here knows what its tables and views hold: that is in published_content.py.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.files.replacing import sync
from pricetracker_dagster.store.published_content import SCHEMA_VERSION


@dataclass(frozen=True)
class Published:
    """A published file.

    Attributes:
        path: the file.
        as_of: the newest closed minute it covers, UTC; None while nothing is stored.
        rows: how many minutes are stored in all.
        metrics: how many metrics have a value in the 24 hours up to ``as_of``.
        values: how many values these have: the rows of history_24h.
        built: False where another process had just published the same.
        seconds: what building and swapping took.
        troubles: what is wrong with small tables, without whose rows it was published, in plain words.
    """

    path: Path
    as_of: datetime | None
    rows: int
    metrics: int
    values: int
    built: bool
    seconds: float
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True)
class CurrentFile:
    """The file that is published now, and from what it was built."""

    published: Published
    versions: list[int]
    tracked: list[str] | None
    folder: str

    def says_the_same(self, versions: list[int], tracked: list[str] | None, minute: datetime | None) -> bool:
        """Say whether a new file would differ in nothing but its time."""
        covers = minute is None or (self.published.as_of is not None and self.published.as_of >= minute)
        return covers and (self.versions, self.tracked) == (versions, tracked)


def current_file(published: Path) -> CurrentFile | None:
    """Read what the published file says of itself; None where there is none, or none that can be used."""
    if not published.exists():
        return None
    try:
        with sql.attached(published) as connection:
            row = connection.execute(sql.load("store/sql/current_file.sql")).fetchone()
    except duckdb.Error:  # damaged, or of another version of this project
        return None
    if row is None:
        return None
    as_of, rows, metrics, values, schema_version, versions, tracked, folder = row
    if schema_version != SCHEMA_VERSION:
        return None
    as_of = None if as_of is None else datetime.fromtimestamp(as_of, UTC)
    found = Published(published, as_of, rows, metrics, values, built=False, seconds=0.0)
    return CurrentFile(found, versions, tracked, folder)


def remove_orphans(published: Path) -> None:
    """Remove what a killed process left behind. Called by the only process that publishes."""
    for orphan in published.parent.glob(f".{published.name}.*"):
        orphan.unlink(missing_ok=True)
    # A user's read-write session leaves one; with it, the next file would be read as damaged.
    published.with_name(f"{published.name}.wal").unlink(missing_ok=True)


def mode_for(new: Path, named: Sequence[str]) -> int:
    """Return the mode of the published file: whoever may read it may read all that its views name, or none of it.

    The umask decides for both; where files were written under different ones, the strictest does.
    """
    mode = new.stat().st_mode
    for path in map(Path, named):
        with suppress(OSError):  # one that is gone is reported elsewhere
            mode &= path.stat().st_mode
    for folder in {path.parent for path in map(Path, named)}:
        with suppress(OSError):
            mode &= folder.stat().st_mode << 2  # whoever may enter it
    return mode & 0o444 | 0o400


def swap_in(new: Path, published: Path, mode: int) -> None:
    """Replace the published file by the new one, which nobody may write."""
    new.chmod(mode)
    sync(new)
    published.with_name(f"{published.name}.wal").unlink(missing_ok=True)
    new.replace(published)
    sync(published.parent)
