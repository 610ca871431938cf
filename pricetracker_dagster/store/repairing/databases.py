"""Dagster's own SQLite files: what it remembers of runs, events, schedules. No price is in them."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from pricetracker_dagster.store.damage import is_no_folder


def damaged_databases(home: Path) -> Iterator[tuple[Path, str]]:
    """Return Dagster's SQLite files that are damaged, and what is wrong with each, as it goes on after its name."""
    for place in (home, *(home / name for name in ("history", "history/runs", "schedules"))):
        if is_no_folder(place):
            yield place, "is no folder, and with it what Dagster remembers there"
    for file in sorted(home.rglob("*.db")):
        if problem := _damage_of_database(file):
            yield file, problem


def _damage_of_database(file: Path) -> str | None:
    """Say what is wrong with an SQLite file; None where nothing is, or others are at it."""
    lost = "and with it what Dagster remembers there"
    if not file.is_file():
        return f"is no file, {lost}"
    if not file.stat().st_size:
        return f"is empty, {lost}"
    wal = file.with_name(f"{file.name}-wal").exists()
    address = f"{file.absolute().as_uri()}?mode=ro{'' if wal or os.access(file.parent, os.W_OK) else '&immutable=1'}"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as connection:
            [(said, *_), *_] = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.OperationalError:  # locked, a full or a read-only disk: that tells nothing of the file
        return None
    except sqlite3.DatabaseError as error:
        return f"is damaged ({error}), {lost}"
    return None if said == "ok" else f"is damaged ({said}), {lost}"
