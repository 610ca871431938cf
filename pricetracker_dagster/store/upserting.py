"""What an upsert of candles compares with stored rows before it merges: doubts, and what follows a changed close.

How rows are merged is in prices.py and delta.py, how doubts are kept and judged in doubts.py.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MINUTE, utc
from pricetracker_dagster.candles.table import newest_minute
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.doubts import Doubt, Doubts, Key
from pricetracker_dagster.store.live_files import files_of_minutes

_QUIET = timedelta(days=31)
"""The minutes without trades that follow a changed row are looked at for so long after it."""


def undoubted(
    prices: Delta, table: DeltaTable, doubts: Doubts, chunk: pa.Table, first: int, last: int, now: datetime
) -> tuple[pa.Table, list[Doubt], set[Key]]:
    """Return the rows of a chunk that are to be stored, those that are doubted, and the doubts that this settles.

    The chunk has minutes from ``first`` to ``last``, Unix seconds; ``table`` is the opened table, ``now`` is UTC.
    """
    files = files_of_minutes(table, utc(first), utc(last))
    if not files:
        return chunk, [], set()
    connection = sql.connect(candles=chunk)
    found = prices.ask("takes_away.sql", files, connection, first=first, last=last).fetchall()
    takes_away = [
        Doubt(metric, unix, trades, volume, tuple(map(float, answered)), now)
        for metric, unix, trades, volume, *answered in found
    ]
    held = doubts.judge(takes_away, now) if takes_away else []
    kept = doubts.keys(now)
    if not (held or kept):
        return chunk, [], set()
    waiting = {doubt.key for doubt in held}
    named = connection.execute(sql.load("store/sql/named.sql"), _keys(kept)).fetchall()
    if held:
        chunk = connection.sql(sql.load("store/sql/not_named.sql"), params=_keys(waiting)).to_arrow_table()
    return chunk, held, set(named) - waiting


def with_carried(prices: Delta, table: DeltaTable, chunk: pa.Table, first: int, last: int) -> tuple[pa.Table, int]:
    """Add the stored minutes without trades that follow rows of the chunk but have another close, with theirs.

    Returns:
        The rows, and the newest minute (Unix seconds) among them.
    """
    connection = sql.connect(candles=chunk)
    # as nearly always nothing is followed; and what is may be among the rows itself
    for statement, until in (("followed.sql", utc(last) + MINUTE), ("carried.sql", utc(last) + _QUIET)):
        files = files_of_minutes(table, utc(first), until)
        if not files:
            return chunk, last
        answer = prices.ask(statement, files, connection, first=first, last=until.timestamp()).to_arrow_table()
        if not answer.num_rows:
            return chunk, last
    newest = newest_minute(answer) or utc(last)
    return pa.concat_tables([chunk, answer.cast(chunk.schema)]), max(last, int(newest.timestamp()))


def _keys(keys: Iterable[Key]) -> dict[str, list[Any]]:
    """Return keys as the parameters of a statement."""
    pairs = list(keys)
    return {"metrics": [metric for metric, _ in pairs], "minutes": [unix for _, unix in pairs]}
