"""What an upsert of candles compares with stored rows before it merges: doubts, and what follows a changed close.

Here belong the two questions that it asks of the stored files. How rows are merged is in prices.py and delta.py, how
doubts are kept and judged in doubts.py.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MINUTE, utc
from pricetracker_dagster.candles.table import newest_minute
from pricetracker_dagster.store import live_files
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.doubts import Doubt, Doubts, Key

_QUIET = timedelta(days=31)
"""The minutes without trades that follow a changed row are looked at for so long after it."""

FilesOf = Callable[[datetime, datetime], list[str]]
"""Returns the live files that may hold minutes from one to another, UTC."""


def undoubted(
    delta: Delta, files_of: FilesOf, doubts: Doubts, chunk: pa.Table, first: int, last: int, now: datetime
) -> tuple[pa.Table, list[Doubt], set[Key]]:
    """Return the rows that are to be stored, those that are doubted, and the doubts that this settles.

    Args:
        delta: the table.
        files_of: its files.
        doubts: the doubts that are kept.
        chunk: the new rows.
        first: their first minute, Unix seconds.
        last: their last minute, Unix seconds.
        now: the current time, UTC.
    """
    files = files_of(utc(first), utc(last))
    if not files:
        return chunk, [], set()
    connection = sql.connect()
    connection.register("candles", chunk)
    values = {"files": live_files.patterns(files), "first": first, "last": last}
    with delta.read():
        found = connection.execute(sql.load("store/sql/takes_away.sql"), values).fetchall()
    takes_away = [
        Doubt(metric, unix, trades, volume, tuple(map(float, answered)), now)
        for metric, unix, trades, volume, *answered in found
    ]
    held = doubts.judge(takes_away, now) if takes_away else []
    kept = doubts.keys(now)
    if not (held or kept):
        return chunk, [], set()
    waiting = {doubt.key for doubt in held}
    settled = set(connection.execute(sql.load("store/sql/named.sql"), _keys(kept)).fetchall()) - waiting
    if held:
        chunk = connection.sql(sql.load("store/sql/not_named.sql"), params=_keys(waiting)).to_arrow_table()
    return chunk, held, settled


def with_carried(delta: Delta, files_of: FilesOf, chunk: pa.Table, first: int, last: int) -> tuple[pa.Table, int]:
    """Add the stored minutes without trades that follow rows of the chunk but have another close, with theirs.

    Returns:
        The rows, and the newest minute (Unix seconds) among them.
    """
    connection = sql.connect()
    connection.register("candles", chunk)

    def ask(statement: str, until: datetime) -> pa.Table | None:
        files = files_of(utc(first), until)
        if not files:
            return None
        values = {"files": live_files.patterns(files), "first": first, "last": until.timestamp()}
        with delta.read():
            return connection.sql(sql.load(f"store/sql/{statement}"), params=values).to_arrow_table()

    # as nearly always nothing is followed; and what is may be among the rows itself
    carried = ask("carried.sql", utc(last) + _QUIET) if ask("followed.sql", utc(last) + MINUTE) else None
    newest = None if carried is None else newest_minute(carried)
    if carried is None or newest is None:
        return chunk, last
    return pa.concat_tables([chunk, carried.cast(chunk.schema)]), max(last, int(newest.timestamp()))


def _keys(keys: Iterable[Key]) -> dict[str, list[Any]]:
    """Return keys as the parameters of a statement."""
    pairs = list(keys)
    return {"metrics": [metric for metric, _ in pairs], "minutes": [unix for _, unix in pairs]}
