"""The files of a day become one, in order, whoever writes meanwhile."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store import compaction, data_files
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.store import Store, store_in

DAY = datetime(2026, 3, 2, tzinfo=UTC)
NOW = datetime(2026, 3, 9, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Six files of one day, of minutes and metrics in no order."""
    store = store_in(tmp_path)
    for minute in (3, 0, 5, 1, 4, 2):
        store.prices.upsert(candles(minute, *(["B", "A", "C"] if minute % 2 else ["C", "A"])), now=NOW)
    return store


def candles(minute: int, *names: str, close: float = 10.0) -> pa.Table:
    prices = [close] * 4
    rows = [(f"KRAKEN:{name}USD", DAY + minute * MINUTE, *prices, 1.5 + minute, 3, NOW) for name in names]
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


def rows(store: Store) -> list[tuple[Any, ...]]:
    files = store.prices.files()
    return duckdb.execute("SELECT * EXCLUDE date FROM read_parquet(?) ORDER BY metric, minute", [files]).fetchall()


def test_a_joined_day_is_one_file_in_the_order_of_metric_and_minute(store: Store) -> None:
    before = rows(store)
    assert len(before) == 15
    assert maintain(store).days == ("2026-03-02",)
    [file] = store.prices.files()
    assert rows(store) == before
    in_file = pq.ParquetFile(file).read().select(SCHEMA.names)
    assert [tuple(row.values()) for row in in_file.to_pylist()] == before
    assert store.prices.rows() == 15
    assert store.prices.examine() == []


def test_a_joined_day_goes_on_being_corrected_and_added_to(store: Store) -> None:
    maintain(store)
    done = store.prices.upsert(pa.concat_tables([candles(3, "A", close=12.0), candles(9, "A")]), now=NOW)
    assert (done.inserted, done.updated) == (1, 1)
    assert len(rows(store)) == 16
    earlier = store.prices.files(last=DAY - timedelta(days=1))
    assert earlier == []


@pytest.mark.parametrize(("minute", "names", "expected"), [(3, ["A"], 15), (7, ["A"], 16)])
def test_what_is_corrected_or_added_while_a_day_is_joined_is_neither_lost_nor_doubled(
    store: Store, monkeypatch: pytest.MonkeyPatch, minute: int, names: list[str], expected: int
) -> None:
    write = data_files.write_file
    others = [candles(minute, *names, close=12.0)]

    def overtaken(*args: Any, **named: Any) -> data_files.DataFile:
        written = write(*args, **named)
        if others:
            store.prices.upsert(others.pop(), now=NOW)
        return written

    monkeypatch.setattr(compaction, "write_file", overtaken)
    assert compaction.join(store.prices, "2026-03-02")
    assert len(rows(store)) == expected
    keys = {(row[0], row[1]) for row in rows(store)}
    assert len(keys) == expected
    assert [row[5] for row in rows(store) if row[:2] == ("KRAKEN:AUSD", DAY + minute * MINUTE)] == [12.0]


def test_a_day_joined_beside_writers_again_and_again_keeps_one_row_a_key(store: Store) -> None:
    over = threading.Event()

    def write() -> Iterator[int]:
        for n in range(12):
            store.prices.upsert(candles(n % 6, "A", "C", close=20.0 + n), now=NOW)
            yield n
        over.set()

    writer = threading.Thread(target=lambda: list(write()))
    writer.start()
    while not over.is_set():
        compaction.join(store.prices, "2026-03-02")
    writer.join()
    stored = rows(store)
    assert len(stored) == len({row[:2] for row in stored}) == 15
    newest = {minute: 20.0 + n for n in range(12) for minute in [n % 6]}
    assert [row[5] for row in stored if row[0] == "KRAKEN:AUSD"] == [newest[minute] for minute in range(6)]


def test_where_rows_would_be_lost_a_day_stays_as_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before, files = rows(store), store.prices.files()
    whole = compaction._sorted
    monkeypatch.setattr(compaction, "_sorted", lambda *args: (part.slice(1) for part in whole(*args)))
    assert maintain(store).troubles != ()
    assert (rows(store), store.prices.files()) == (before, files)
    assert len(list(store.prices.path.glob("*/*.parquet"))) == len(files)


def test_metrics_are_sorted_some_at_a_time_where_there_are_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_AT_ONCE", 4)
    before = rows(store)
    assert compaction.join(store.prices, "2026-03-02")
    [file] = store.prices.files()
    written = pq.read_metadata(file)
    assert written.num_row_groups > 1
    assert all(written.row_group(1).column(place).has_offset_index for place in range(written.num_columns))
    assert [tuple(row.values()) for row in pq.ParquetFile(file).read().to_pylist()] == before
