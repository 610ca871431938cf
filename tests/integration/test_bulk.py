"""What an import stores without a merge is what upserting the same rows stores, whoever writes meanwhile."""

import hashlib
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.collect.recorded import Imported, import_file
from pricetracker_dagster.exchanges.kraken import ohlcvt
from pricetracker_dagster.store import bulk
from pricetracker_dagster.store.data_files import DataFile, commit, mark_of, write_file
from pricetracker_dagster.store.live_files import files_of, live_files
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.prices import PriceTable
from pricetracker_dagster.store.store import Store, store_in

START = 1_672_531_200  # 2023-01-01 00:00 UTC
NOW = datetime(2023, 3, 10, 8, 30, tzinfo=UTC)
METRIC = "KRAKEN:BTCUSD"
DAYS = 4


def lines(seed: int = 1, days: int = DAYS, share: float = 0.7) -> dict[int, str]:
    """Lines by minute: of some minutes there is none."""
    random = np.random.default_rng(seed)
    there = np.flatnonzero(random.random(1440 * days) < share)
    return {int(n): line(int(n), float(random.integers(1, 99)) / 4) for n in there}


def line(minute: int, close: float, trades: int = 3) -> str:
    return f"{START + 60 * minute},{close},{close},{close},{close},1.5,{trades}\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[int, str]], Path]:
    def to_file(content: dict[int, str]) -> Path:
        path = tmp_path / "XBTUSD_1.csv"
        path.write_text("".join(content[minute] for minute in sorted(content)), encoding="utf-8")
        return path

    return to_file


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Store, Store]:
    """One to import into, and one into which the same is upserted."""
    return store_in(tmp_path / "one"), store_in(tmp_path / "other")


def rows(store: Store) -> list[tuple[Any, ...]]:
    files = store.prices.files()
    columns = ", ".join(name for name in SCHEMA.names if name != "fetched_at")
    return duckdb.execute(f"SELECT {columns} FROM read_parquet(?) ORDER BY ALL", [files]).fetchall()  # noqa: S608


def upserted(store: Store, path: Path) -> None:
    [recorded] = ohlcvt.read([path], fetched_at=NOW, now=NOW)
    store.prices.upsert(recorded.candles, derived=recorded.derived, now=NOW)


def stored(store: Store, *candles: tuple[int, float, int], metric: str = METRIC) -> None:
    """Store candles: minute, close, trades."""
    told = [
        (metric, datetime.fromtimestamp(START + 60 * n, UTC), *[close] * 4, 1.5 if trades else 0.0, trades, NOW)
        for n, close, trades in candles
    ]
    table = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in told], SCHEMA)
    store.prices.upsert(table, now=NOW)


def imported(store: Store, path: Path, block: int = 60_000) -> Imported:
    return import_file(store.prices, path, now=NOW, block=block)


@pytest.mark.parametrize("block", [5_000, 60_000, 8_000_000])
def test_an_import_into_an_empty_store_is_what_an_upsert_of_its_rows_is(
    stores: tuple[Store, Store], write: Callable[[dict[int, str]], Path], block: int
) -> None:
    path = write(lines())
    done = imported(stores[0], path, block)
    upserted(stores[1], path)
    assert rows(stores[0]) == rows(stores[1])
    assert done.upserted is not None
    assert (done.upserted.inserted, done.upserted.updated) == (done.minutes, 0)
    assert done.minutes == len(rows(stores[0])) == stores[0].prices.rows()
    assert stores[0].prices.examine() == []


def test_of_a_second_import_nothing_is_written(
    stores: tuple[Store, Store], write: Callable[[dict[int, str]], Path]
) -> None:
    store, path = stores[0], write(lines())
    imported(store, path)
    files = store.prices.files()
    for _ in range(2):
        again = imported(store, path).upserted
        assert again is not None
        assert (again.inserted, again.updated) == (0, 0)
        assert store.prices.files() == files
        maintain(store)


@pytest.mark.parametrize("block", [5_000, 60_000, 150_000])
def test_a_second_import_reads_no_stored_row_however_its_file_is_cut(
    stores: tuple[Store, Store],
    write: Callable[[dict[int, str]], Path],
    monkeypatch: pytest.MonkeyPatch,
    block: int,
) -> None:
    store, path = stores[0], write(lines())
    imported(store, path)
    asked = []
    monkeypatch.setattr(PriceTable, "ask", lambda _, file, *__, **___: asked.append(file))
    again = imported(store, path, block).upserted
    assert again is not None
    assert (again.inserted, again.updated, asked) == (0, 0, [])


def test_days_that_an_earlier_version_wrote_are_known_by_what_their_rows_say() -> None:
    moments = [datetime.fromtimestamp(START + 60 * n, UTC) for n in range(3)]
    values = [(1.5, 3.0, 1.0, 2.0, 0.25, 7), (2.0, 2.0, 2.0, 2.0, 0.0, 0), (2.0, 4.5, 2.0, 4.0, 9.0, 2**40)]
    told = [(METRIC, moment, *row, NOW) for moment, row in zip(moments, values, strict=True)]
    table = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in told], SCHEMA)
    cells = struct.pack("<3q", *((START + 60 * n) * 1_000_000 for n in range(3)))
    for n, kind in enumerate("dddddq"):
        cells += struct.pack(f"<3{kind}", *(row[n] for row in values))
    expected = hashlib.blake2b(METRIC.encode() + cells + bytes([0b0100_0000]), digest_size=16).hexdigest()
    filled = np.array([False, True, False])
    in_pieces = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert mark_of(table, filled) == mark_of(in_pieces, filled) == expected
    assert mark_of(pa.concat_tables([table, table]).combine_chunks().slice(3), filled) == expected


def test_the_log_says_of_imported_files_what_they_hold(
    stores: tuple[Store, Store], write: Callable[[dict[int, str]], Path]
) -> None:
    store = stores[0]
    done = imported(store, write(lines()))
    files = live_files(store.prices.load())
    for file in files:
        [[first, last, count, metrics]] = duckdb.execute(
            "SELECT epoch(min(minute)), epoch(max(minute)), count(*), list(DISTINCT metric) FROM read_parquet(?)",
            [file.path],
        ).fetchall()
        said = (file.first.timestamp(), file.last.timestamp(), file.rows, file.size, file.exact)
        assert said == (first, last, count, Path(file.path).stat().st_size, True)
        assert metrics == [METRIC]
    assert sum(file.rows for file in files) == done.minutes
    assert len(files) == DAYS
    others = [("metric", ">", METRIC)], [("metric", "<", METRIC)]
    assert [files_of(store.prices.load(), bounds) for bounds in others] == [[], []]


@pytest.mark.parametrize(
    "before",
    [
        [(5, 1.0, 2)],
        [(1440 + 7, 1.0, 2), (1440 + 8, 1.0, 0), (1440 + 9, 1.0, 0)],
        [(1439, 7.0, 2), (1440, 7.0, 0), (1441, 7.0, 0)],
        [(1440, 7.0, 0), (1441, 7.0, 0)],
        [(1440 * DAYS, 3.0, 0), (1440 * DAYS + 1, 3.0, 0)],
        [(-1, 3.0, 1), (0, 3.0, 0), (1, 3.0, 0)],
        [(n, 5.0, 0) for n in range(1440 * 2, 1440 * 3)],
        [(n, 5.0, 9) for n in range(100, 200)],
    ],
)
@pytest.mark.parametrize("share", [0.7, 0.02])
def test_an_import_over_stored_rows_replaces_and_carries_what_an_upsert_does(
    stores: tuple[Store, Store],
    write: Callable[[dict[int, str]], Path],
    before: list[tuple[int, float, int]],
    share: float,
) -> None:
    path = write(lines(share=share))
    for store in stores:
        stored(store, *before)
        stored(store, (0, 1.0, 1), (2000, 1.0, 1), metric="KRAKEN:ETHUSD")
    done = imported(stores[0], path).upserted
    upserted(stores[1], path)
    assert done is not None
    assert len(done.doubts) == len(stores[1].prices.doubts(NOW))
    kept = {row[:2]: row for row in rows(stores[0])}
    assert len(kept) == len(rows(stores[0]))
    differ = [(kept.get(row[:2]), row) for row in rows(stores[1]) if kept.get(row[:2]) != row]
    # where a quiet row that was stored follows rows that were not, an import carries the close over them, too
    first = datetime.fromtimestamp(START + 60 * min(n for n, _, _ in before), UTC)
    assert all(mine is not None and mine[6] == row[6] == 0 and mine[1] >= first for mine, row in differ)
    assert len(differ) <= (0 if share == 0.7 else len(before))


@pytest.mark.parametrize("changed", [0, 700, 1439, 1440 * 2, 1440 * 3 - 1])
def test_of_an_imported_file_with_one_line_changed_the_second_import_stores_that_line(
    stores: tuple[Store, Store], write: Callable[[dict[int, str]], Path], changed: int
) -> None:
    content = lines(share=0.3) | {n: line(n, 8.0) for n in (0, 1439, 1440 * 2, 1440 * 3 - 1)}
    for n in (1440 * 3, 1440, 701):
        content.pop(n, None)
    for store in stores:
        imported(store, write(content))
    content[changed] = line(changed, 71.0, 5)
    done = imported(stores[0], write(content)).upserted
    upserted(stores[1], write(content))
    assert done is not None
    assert (done.inserted, done.doubts) == (0, [])
    assert rows(stores[0]) == rows(stores[1])
    assert [row[5] for row in rows(stores[0])].count(71.0) == done.updated >= 1


def test_a_filled_minute_never_replaces_one_that_is_stored(
    stores: tuple[Store, Store], write: Callable[[dict[int, str]], Path]
) -> None:
    content = lines()
    quiet = [n for n in range(10, 1440 * DAYS - 10) if n not in content]
    stored(stores[0], *((n, 50.0 + n % 7, 4) for n in quiet))
    imported(stores[0], write(content))
    closes = {(row[1] - datetime.fromtimestamp(START, UTC)) // timedelta(minutes=1): row[5] for row in rows(stores[0])}
    assert {n: closes[n] for n in quiet} == {n: 50.0 + n % 7 for n in quiet}


@pytest.mark.parametrize("minute", [700, 1440 + 3, 1440 * 2 - 1])
def test_what_another_stores_while_an_import_reads_is_neither_doubled_nor_lost(
    stores: tuple[Store, Store],
    write: Callable[[dict[int, str]], Path],
    monkeypatch: pytest.MonkeyPatch,
    minute: int,
) -> None:
    store, content = stores[0], lines()
    content[minute] = line(minute, 9.0)
    others = [
        lambda: stored(store, (2, 1.0, 1), metric="KRAKEN:ETHUSD"),
        lambda: stored(store, (minute, 34.0, 9)),
    ]

    def overtaken(*args: Any, **values: Any) -> int | None:
        if others:
            others.pop()()
        return commit(*args, **values)

    monkeypatch.setattr(bulk, "commit", overtaken)
    stored(store, (2, 1.0, 1), metric="KRAKEN:ADAUSD")
    imported(store, write(content))
    of_it = [row for row in rows(store) if row[0] == METRIC]
    assert len(of_it) == len({row[1] for row in of_it})
    [there] = [row for row in of_it if row[1] == datetime.fromtimestamp(START + 60 * minute, UTC)]
    assert (there[5], there[7]) == (34.0, 9)  # an answer with fewer trades is doubted
    assert others == []
    assert store.prices.examine() == []


def test_what_an_import_has_written_is_gone_where_it_fails(
    stores: tuple[Store, Store], write: Callable[[dict[int, str]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores[0]

    def fail(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(bulk, "commit", fail)
        with pytest.raises(OSError, match="No space"):
            imported(store, write(lines()))
    assert list(store.prices.path.glob("*/*.parquet")) == []
    assert imported(store, write(lines())).minutes == len(rows(store))


def test_where_one_day_cannot_be_written_no_file_of_another_stays(
    stores: tuple[Store, Store], write: Callable[[dict[int, str]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, path = stores[0], write(lines(days=40))

    def fail_at_last(prices: Any, schema: Any, day: date, *rest: Any) -> DataFile:
        if day == date(2023, 2, 8):
            raise OSError(28, "No space left on device")
        return write_file(prices, schema, day, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(bulk, "write_file", fail_at_last)
        with pytest.raises(OSError, match="No space"):
            imported(store, path)
    assert list(store.prices.path.glob("*/*.parquet")) == []
    assert store.prices.rows() == 0


def test_lines_in_no_order_are_imported_as_a_whole(
    stores: tuple[Store, Store], write: Callable[[dict[int, str]], Path], tmp_path: Path
) -> None:
    path = write(lines())
    content = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*content[2000:], *content[:2000], line(1, 77.0)]), encoding="utf-8")
    imported(stores[0], path)
    upserted(stores[1], path)
    assert rows(stores[0]) == rows(stores[1])


KILLED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pricetracker_dagster.collect.recorded import import_file
from pricetracker_dagster.store.store import store_in
print("begins", flush=True)
import_file(store_in(Path(sys.argv[1])).prices, Path(sys.argv[2]), now=datetime(2023, 3, 10, tzinfo=UTC), block=20_000)
"""


def test_an_import_that_is_killed_anywhere_loses_and_doubles_nothing(
    stores: tuple[Store, Store], write: Callable[[dict[int, str]], Path], tmp_path: Path
) -> None:
    store, path = stores[0], write(lines(days=30))
    expected = None
    for seconds in (0.02, 0.1, 0.2, 0.4):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / "one"), str(path)], stdout=subprocess.PIPE, env={**os.environ}
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(seconds)  # where it is then is chance: each is to hold
        child.send_signal(signal.SIGKILL)
        child.communicate()
        found = rows(store) if store.prices.open() is not None and store.prices.files() else []
        assert len(found) in (0, expected or len(found))
    done = imported(store, path)
    assert len(rows(store)) == len({row[1] for row in rows(store)}) == done.minutes


@pytest.mark.parametrize("then", ["import", "maintain"])
def test_a_merge_that_began_before_an_import_or_a_compaction_doubles_nothing(
    stores: tuple[Store, Store], write: Callable[[dict[int, str]], Path], then: str
) -> None:
    store = stores[0]
    for n in (1, 3, 5, 7, 9):
        stored(store, (n, 1.0, 1), metric="KRAKEN:ETHUSD")
    if then == "maintain":
        imported(store, write({3: line(3, 9.0)}))
    opened = store.prices.load()
    if then == "maintain":
        assert maintain(store).days == ("2023-01-01",)
    else:
        imported(store, write({3: line(3, 9.0)}))
    moment = datetime.fromtimestamp(START + 180, UTC)
    row = (METRIC, moment, 10.0, 10.0, 10.0, 10.0, 1.5, 8, NOW, moment.date())
    names = [*SCHEMA.names, "date"]
    rows_of_merge = pa.Table.from_pylist([dict(zip(names, row, strict=True))], store.prices.schema)
    within = "t.date = DATE '2023-01-01'"
    done = store.prices.merge(rows_of_merge, within=within, compared=["close"], opened=opened)
    assert (done.inserted, done.updated) == (0, 1)
    assert [row[5] for row in rows(store) if row[0] == METRIC] == [10.0]
