"""``pricetracker repair``: every row that can be read is there afterwards, nothing is doubled, and ticks go on."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from pricetracker_dagster import open_prices, sql
from pricetracker_dagster.candles.minutes import newest_closed_minute
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.cli import main
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.store.clock import note_clock
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.live_files import patterns
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.repairing import repair
from pricetracker_dagster.store.repairing.findings import look
from pricetracker_dagster.store.store import store_in
from tests.integration.conftest import Bench
from tests.integration.test_torn_tables import FIRST, METRICS, MINUTE, NOW, candles, grow, newest_commit, table_of

Rows = list[tuple[Any, ...]]
KEYS = {"minute_prices": ("metric", "minute"), "causes": ("metric", "minute")}


def rows_in(files: list[str]) -> Rows:
    return sql.connect().read_parquet(patterns(files), hive_partitioning=False).order("ALL").fetchall() if files else []


def rows_of(folder: Path, table: str) -> Rows:
    opened = table_of(folder, table).open()
    return [] if opened is None else rows_in([file.replace("%20", " ") for file in opened.file_uris()])


def mend(folder: Path, now: datetime = NOW) -> repair.Repair:
    return repair.repair(store_in(folder), now, METRICS, lambda: publish(store_in(folder), METRICS, now=now))


def keys_of(rows: Rows) -> list[tuple[Any, ...]]:
    return [row[:2] for row in rows]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a checkpoint amid the logs of its tables."""
    folder = tmp_path_factory.mktemp("grown") / "data"

    def checkpoint(i: int) -> None:
        for table in ("minute_prices", "causes") if i == 1 else ():
            opened = table_of(folder, table).open()
            assert opened is not None
            opened.create_checkpoint()

    grow(folder, checkpoint)
    return folder


@pytest.fixture
def folder(grown: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "data"
    shutil.copytree(grown, copy)
    publish(store_in(copy), METRICS, now=NOW, minute=NOW - MINUTE)
    return copy


def test_nothing_is_wrong_with_a_sound_folder_and_nothing_is_touched(folder: Path) -> None:
    maintain(store_in(folder))
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    assert look(store_in(folder), NOW) == []
    assert mend(folder) == repair.Repair()
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


@pytest.mark.parametrize("table", ["minute_prices", "causes"])
@pytest.mark.long
def test_a_commit_cut_at_any_byte_loses_no_row(folder: Path, tmp_path: Path, table: str) -> None:
    expected = rows_of(folder, table)
    commit = newest_commit(folder, table)
    whole = commit.read_bytes()
    line_ends = [i + edge for i, byte in enumerate(whole) if byte == 10 for edge in (0, 1)]
    for length in sorted({*range(0, len(whole), 1621), *line_ends, len(whole) - 1}):
        copy = tmp_path / f"cut at {length}"
        shutil.copytree(folder, copy)
        newest_commit(copy, table).write_bytes(whole[:length])
        done = mend(copy)
        assert done.found
        assert not done.left
        assert not [again for again in done.again if again.first <= FIRST + 20 * MINUTE]  # later ones were never there
        assert rows_of(copy, table) == expected
        assert done.set_aside is not None
        assert (done.set_aside / table / "_delta_log" / commit.name).read_bytes() == whole[:length]


@pytest.mark.parametrize("table", ["minute_prices", "causes"])
@pytest.mark.parametrize("back", [1, 2])
def test_commits_that_are_gone_in_the_middle_lose_no_row(folder: Path, table: str, back: int) -> None:
    expected = rows_of(folder, table)
    newest = int(newest_commit(folder, table).stem)
    (folder / table / "_delta_log" / f"{newest - back:020}.json").unlink()
    done = mend(folder)
    assert not done.left
    assert rows_of(folder, table) == expected


@pytest.mark.parametrize("table", ["minute_prices", "causes"])
@pytest.mark.parametrize("count", [1, 2])
def test_newest_commits_that_are_gone_are_known_by_what_was_published(folder: Path, table: str, count: int) -> None:
    expected = rows_of(folder, table)
    newest = int(newest_commit(folder, table).stem)
    for _ in range(count):
        newest_commit(folder, table).unlink()
    named = f"_delta_log/{newest + 1 - count:020}.json is gone, and with it what was stored then: version {newest} was"
    with pytest.raises(StoreError, match=named):  # before that number is given to another commit
        table_of(folder, table).open_or_create()
    assert [found.file for found in look(store_in(folder), NOW)] == [
        f"{table}/_delta_log/{newest + 1 - count:020}.json"
    ]
    assert not mend(folder).left
    assert rows_of(folder, table) == expected
    assert int(newest_commit(folder, table).stem) == newest + 1


def test_minutes_of_a_newest_commit_that_is_gone_with_its_file_are_listed(folder: Path) -> None:
    before = rows_of(folder, "minute_prices")
    store = store_in(folder)
    store.prices.upsert(candles(FIRST + 22 * MINUTE, 1, 900.0), now=NOW)
    store.prices.upsert(candles(FIRST + 23 * MINUTE, 4, 900.0), now=NOW)
    publish(store, METRICS, now=NOW)
    [only] = store.prices.files(FIRST + 25 * MINUTE, FIRST + 26 * MINUTE)
    Path(only).unlink()
    newest_commit(folder, "minute_prices").unlink()
    done = mend(folder)
    assert not done.left
    assert [row for row in rows_of(folder, "minute_prices") if row[1] < FIRST + 22 * MINUTE] == before
    expected = [(metric, FIRST + 23 * MINUTE, NOW - MINUTE) for metric in METRICS]
    assert [(a.metric, a.first, a.last) for a in done.again if a.first > FIRST + 21 * MINUTE] == expected


@pytest.mark.parametrize("kept", ["", "[]", "null", "{", '{"minute_prices": "x"}', '{"minute_prices": 1e300}'])
def test_where_nothing_tells_which_version_was_published_nothing_is_wrong(folder: Path, kept: str) -> None:
    (folder / "state" / "published_versions.json").write_text(kept, encoding="utf-8")
    assert look(store_in(folder), NOW) == []


@pytest.mark.parametrize("table", ["minute_prices", "causes"])
@pytest.mark.parametrize("what", ["log", "first commit and checkpoint", "newest commits"])
def test_a_log_that_tells_little_or_nothing_is_written_anew_over_what_can_be_read(
    folder: Path, table: str, what: str
) -> None:
    expected = rows_of(folder, table)
    log = folder / table / "_delta_log"
    if what == "log":
        shutil.rmtree(log)
    elif what == "newest commits":
        for commit in sorted(log.glob("*.json"))[-3:]:
            commit.write_bytes(b"")
    else:
        (log / f"{0:020}.json").unlink()
        for checkpoint in log.glob("*.checkpoint.parquet"):
            checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    done = mend(folder)
    assert not done.left
    assert keys_of(rows_of(folder, table)) == keys_of(expected)
    assert len(set(keys_of(expected))) == len(expected)
    if table == "minute_prices":
        assert rows_of(folder, table) == expected


@pytest.mark.parametrize("table", ["minute_prices", "causes"])
def test_checkpoints_and_hints_that_are_damaged_are_written_anew(folder: Path, table: str) -> None:
    expected = rows_of(folder, table)
    log = folder / table / "_delta_log"
    [checkpoint] = log.glob("*.checkpoint.parquet")
    whole = checkpoint.read_bytes()
    for content in (b"", whole[:10], whole[: len(whole) // 2], whole[:-1]):
        for hint in (b"", b'{"version": 99, "size": 1}', b"{"):
            [*_, newest] = sorted(log.glob("*.checkpoint.parquet"))
            newest.write_bytes(content)
            (log / "_last_checkpoint").write_bytes(hint)
            done = mend(folder)
            assert {found.remedy for found in done.found} == {"it is set aside and written anew from the commits"}
            assert not done.left
            assert not done.again
            assert rows_of(folder, table) == expected


def fault_in_data(file: Path, fault: str) -> None:
    if fault == "gone":
        file.unlink()
    elif fault == "truncated":
        file.write_bytes(file.read_bytes()[:-9])
    elif fault == "empty":
        file.write_bytes(b"")
    else:
        file.write_bytes(file.read_bytes()[:4] + bytes(file.stat().st_size - 8) + file.read_bytes()[-4:])


@pytest.mark.parametrize("fault", ["gone", "truncated", "empty", "overwritten"])
def test_rows_of_a_data_file_that_is_lost_are_found_in_those_it_replaced(folder: Path, fault: str) -> None:
    store = store_in(folder)
    expected = keys_of(rows_of(folder, "minute_prices"))
    maintain(store)
    before = rows_of(folder, "minute_prices")
    for _ in range(5):
        store.prices.upsert(candles(FIRST + 21 * MINUTE + _ * MINUTE, 1, 500.0 + _), now=NOW)
    maintain(store)  # joins the day's files: those that it replaced are kept for a week
    expected = rows_of(folder, "minute_prices")
    assert len(expected) == len(before) + 10
    [joined] = store.prices.files(FIRST + 21 * MINUTE, FIRST + 21 * MINUTE)
    fault_in_data(Path(joined), fault)
    done = mend(folder)
    assert not done.left
    midnight = FIRST + 10 * MINUTE
    assert done.again == [repair.Again(metric, midnight, FIRST + 25 * MINUTE, repair.RETURNED) for metric in METRICS]
    assert rows_of(folder, "minute_prices") == expected
    commits = [json.loads(line) for line in newest_commit(folder, "minute_prices").read_text().splitlines()]
    assert sum("remove" in action for action in commits) == 1  # one proper commit, nothing else


def two_of(folder: Path, table: str) -> tuple[Path, Path]:
    """Return two live files of a table of which the first is the longer."""
    opened = table_of(folder, table).open()
    assert opened is not None
    shorter, *_, longer = sorted(map(Path, opened.file_uris()), key=lambda file: file.stat().st_size)
    return longer, shorter


@pytest.mark.parametrize("log_too", [False, True])
def test_files_whose_names_were_changed_round_lose_and_double_no_row(folder: Path, log_too: bool) -> None:
    longer, shorter = two_of(folder, "minute_prices")
    assert longer.stat().st_size > shorter.stat().st_size
    if log_too:
        store_in(folder).prices.upsert(candles(FIRST + 24 * MINUTE, 1, 7.0), now=NOW)
    expected = rows_of(folder, "minute_prices")
    longer.rename(folder / "other")
    shorter.rename(longer)
    (folder / "other").rename(shorter)
    if log_too:
        newest_commit(folder, "minute_prices").write_bytes(b"")
    with pytest.raises(StoreError, match="minute_prices is damaged"):  # what the watch looks at
        table_of(folder, "minute_prices").open_whole()
    assert len(look(store_in(folder), NOW)) == 2 + log_too
    assert not mend(folder).left
    assert rows_of(folder, "minute_prices") == expected


@pytest.mark.parametrize("other", ["of this table", "of another"])
def test_a_file_that_was_copied_over_another_doubles_no_row(folder: Path, other: str) -> None:
    store = store_in(folder)
    expected = rows_of(folder, "minute_prices")
    store.prices.upsert(candles(FIRST + 24 * MINUTE, 2, 900.0), now=NOW)
    [only] = store.prices.files(FIRST + 24 * MINUTE, FIRST + 25 * MINUTE)
    longer, _ = two_of(folder, "minute_prices" if other == "of this table" else "causes")
    assert longer != Path(only)
    shutil.copy(longer, only)
    found = [found.what for found in look(store_in(folder), NOW)]
    assert len(found) == 1
    assert "is another file than was written" in found[0] or "is cut short" in found[0]
    done = mend(folder)
    assert not done.left
    assert rows_of(folder, "minute_prices") == expected
    missing = [(metric, FIRST + 24 * MINUTE, FIRST + 25 * MINUTE) for metric in METRICS]
    assert [(a.metric, a.first, a.last) for a in done.again if a.why == repair.MISSING] == missing


@pytest.mark.parametrize("log_too", [False, True])
def test_minutes_whose_correction_is_lost_are_listed_to_be_asked_for_again(
    folder: Path, write_settings: Callable[[str], Path], log_too: bool
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]\n')
    store = store_in(folder)
    before = rows_of(folder, "minute_prices")
    store.prices.upsert(candles(FIRST + 7 * MINUTE, 2, 999.0), now=NOW)  # 23:57 and 23:58, stored as 203 and 204 before
    [corrected] = [file for file in store.prices.files() if max(row[5] for row in rows_in([file])) >= 999.0]
    Path(corrected).unlink()
    if log_too:
        store.prices.upsert(candles(FIRST + 24 * MINUTE, 1, 7.0), now=NOW)
        newest_commit(folder, "minute_prices").write_bytes(b"")
    done = CliRunner().invoke(main, ["repair", "--yes"])
    assert done.exit_code == 0, done.output
    stale = [row for row in rows_of(folder, "minute_prices") if row[1] < FIRST + 24 * MINUTE]
    assert stale == before
    told = done.stdout.partition(f"to fetch again, {repair.RETURNED}:\n")[2].splitlines()
    assert told[0] == "  KRAKEN:BTCUSD 2026-03-02 23:50 to 2026-03-02 23:59"
    assert told[2].endswith(" backfill --from 2026-03-02T23:50Z --to 2026-03-02T23:59Z --refetch")


def test_minutes_that_stood_in_a_lost_file_alone_are_listed_and_the_others_are_kept(folder: Path) -> None:
    store = store_in(folder)
    store.prices.upsert(candles(FIRST + 24 * MINUTE, 3, 900.0), now=NOW)
    before = rows_of(folder, "minute_prices")
    [only] = store.prices.files(FIRST + 24 * MINUTE, FIRST + 26 * MINUTE)
    Path(only).unlink()
    done = mend(folder)
    assert not done.left
    expected = [(metric, FIRST + 24 * MINUTE, FIRST + 26 * MINUTE, repair.MISSING) for metric in METRICS]
    assert [(a.metric, a.first, a.last, a.why) for a in done.again] == expected
    assert rows_of(folder, "minute_prices") == [row for row in before if row[1] < FIRST + 24 * MINUTE]


def test_rows_of_a_lost_file_of_a_small_table_are_found_too(folder: Path) -> None:
    expected = rows_of(folder, "causes")
    table = store_in(folder).records.causes.open()
    assert table is not None
    table.optimize.compact()
    [joined] = store_in(folder).records.causes.open().file_uris()  # type: ignore[union-attr]
    Path(joined).unlink()
    assert not mend(folder).left
    assert rows_of(folder, "causes") == expected


def test_the_next_tick_stores_and_publishes_after_each_repair(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD", "ETHUSD")
    folder, names = bench.store.folder.path, [str(metric) for metric in bench.settings.tracked]

    def tick() -> None:
        bench.now += MINUTE
        collected = collect_minute(bench.settings, bench.minute)
        assert not collected.missing
        assert not collected.troubles
        publish(bench.store, names, now=bench.now, minute=bench.minute)

    def torn() -> None:
        newest_commit(folder, "minute_prices").write_bytes(b'{"commitInfo"')

    def gone() -> None:
        Path(bench.store.prices.files()[0]).unlink()

    def no_log() -> None:
        shutil.rmtree(folder / "minute_prices" / "_delta_log")

    tick()
    for fault in (torn, gone, no_log, torn, torn):
        fault()
        assert not repair.repair(store_in(folder), bench.now, names, lambda: None).left
        tick()
        [(count, kinds)] = (
            open_prices(bench.store.folder.published)
            .sql("SELECT count(*), count(DISTINCT (metric, minute)) FROM minute_prices")
            .df()
            .itertuples(index=False)
        )
        assert count == kinds
        first = bench.now - timedelta(hours=11)
        assert bench.store.prices.gaps(names, first.replace(second=0), bench.minute) == {}


def test_versions_go_on_so_that_nobody_takes_another_state_for_the_one_they_know(folder: Path) -> None:
    store = store_in(folder)
    table = store.prices.open()
    assert table is not None
    before = table.version()
    shutil.copy(newest_commit(folder, "minute_prices"), folder / "copy")
    newest_commit(folder, "minute_prices").write_bytes(b"")
    mend(folder)
    assert DeltaTable(store.prices.path).version() == before + 1
    store.prices.upsert(candles(FIRST + 25 * MINUTE, 1, 1.0), now=NOW)
    assert DeltaTable(store.prices.path).version() == before + 2
    maintain(store)
    assert not look(store_in(folder), NOW)


def test_rows_of_the_future_are_kept_aside_and_removed(folder: Path) -> None:
    store = store_in(folder)
    expected = rows_of(folder, "minute_prices")
    ahead = NOW + timedelta(days=300)
    store.prices.upsert(candles(ahead, 4, 1.0), now=ahead + timedelta(days=1))
    store.prices.upsert(candles(NOW, 4, 1.0), now=ahead)  # of today, not closed yet
    [found] = look(store_in(folder), NOW)
    assert "16 rows are of minutes that are not closed, from 2026-03-03 00:20 on" in found.what
    done = mend(folder)
    assert not done.left
    assert rows_of(folder, "minute_prices") == expected
    assert done.set_aside is not None
    assert len(rows_in([str(done.set_aside / "minute_prices" / "rows_of_the_future.parquet")])) == 16


def test_minutes_that_are_over_by_the_exchanges_clock_are_none_of_the_future(folder: Path) -> None:
    before = rows_of(folder, "minute_prices")
    behind = FIRST + 5 * MINUTE
    note_clock(folder / "state", "KRAKEN", (behind - NOW).total_seconds(), behind)
    note_clock(folder / "state", "SIMULATED", 0.2, behind)
    assert look(store_in(folder), behind) == []
    (folder / "state" / "clock.json").unlink()
    assert look(store_in(folder), behind)  # nobody says otherwise
    note_clock(folder / "state", "KRAKEN", (behind - NOW).total_seconds(), behind)
    newest_commit(folder, "minute_prices").write_bytes(b"")
    assert not mend(folder, behind).left
    assert rows_of(folder, "minute_prices") == before


def test_what_killed_processes_left_is_set_aside_and_what_others_write_is_not(folder: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])  # whose number nobody else has just now
    dead.wait()
    alive = os.getpid()
    left = [
        folder / f".pricetracker.duckdb.{dead.pid}.new",
        folder / "state" / f".tracked.json.{dead.pid}.140231337514688",
        folder / "dagster" / f".dagster.yaml.{dead.pid}",
        folder / "minute_prices" / "_delta_log" / f"{8:020}.json.cut",
        folder / "minute_prices" / "date=2026-03-02" / "part-1.parquet#1",
        folder / "causes" / "_delta_log" / "_commit_1.json.tmp",
    ]
    theirs = [folder / f".pricetracker.duckdb.{alive}.new", folder / "state" / f".tracked.json.{alive}.140231337514688"]
    fresh = folder / "causes" / "_delta_log" / "_commit_2.json.tmp"
    (folder / "dagster").mkdir(exist_ok=True)
    for file in (*left, *theirs, fresh):
        file.write_bytes(b"half")
    for file in left:
        os.utime(file, (0, 0))
    assert {found.file for found in look(store_in(folder), NOW)} == {str(file.relative_to(folder)) for file in left}
    done = mend(folder)
    assert not done.left
    assert done.set_aside is not None
    assert all((done.set_aside / file.relative_to(folder)).read_bytes() == b"half" for file in left)
    assert fresh.exists()
    assert theirs[1].exists()


@pytest.mark.parametrize("content", [b"", b"no database", None])
def test_a_damaged_database_of_dagster_is_set_aside_and_prices_stay(folder: Path, content: bytes | None) -> None:
    expected = rows_of(folder, "minute_prices")
    database = folder / "dagster" / "history" / "runs.db"
    database.parent.mkdir(parents=True)
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE runs (id INTEGER, body TEXT)")
        connection.executemany("INSERT INTO runs VALUES (?, ?)", [(i, "x" * 100) for i in range(500)])
    connection.close()
    assert not look(store_in(folder), NOW)
    if content is None:
        whole = bytearray(database.read_bytes())
        whole[5000:9000] = bytes(4000)
        database.write_bytes(whole)
    else:
        database.write_bytes(content)
    [found] = look(store_in(folder), NOW)
    assert (found.part, found.file) == ("Dagster", "dagster/history/runs.db")
    done = mend(folder)
    assert not done.left
    assert not database.exists()
    assert rows_of(folder, "minute_prices") == expected


@pytest.mark.parametrize("table", ["minute_prices", "causes"])
@pytest.mark.parametrize("what", ["file", "link"])
def test_what_stands_where_the_folder_of_a_table_belongs_is_set_aside(folder: Path, table: str, what: str) -> None:
    shutil.rmtree(folder / table)
    shutil.rmtree(folder / "state")  # nothing tells that it was ever published
    place = folder / table
    if what == "file":
        place.write_bytes(b"x")
    else:
        place.symlink_to("nowhere")
    with pytest.raises(StoreError, match=f"the table {table} is damaged: _delta_log is gone: where the table's folder"):
        table_of(folder, table).open_or_create()
    assert [found.file for found in look(store_in(folder), NOW)] == [f"{table}/_delta_log"]
    done = mend(folder)
    assert not done.left
    assert done.set_aside is not None
    assert os.path.lexists(done.set_aside / table / table)
    assert rows_of(folder, table) == []
    since = NOW - MINUTE - timedelta(days=7)
    expected = [(metric, since, NOW - MINUTE) for metric in METRICS] if table == "minute_prices" else []
    assert [(a.metric, a.first, a.last) for a in done.again] == expected
    store_in(folder).prices.upsert(candles(FIRST, 1, 7.0), now=NOW)
    store_in(folder).records.causes.upsert(
        [{"metric": "X:Y", "minute": FIRST, "cause": "not run", "reason": "", "noted_at": NOW}]
    )


@pytest.mark.parametrize(
    ("name", "is_file"),
    [("history/runs.db", False), ("schedules/schedules.db", False), ("history", True), ("history/runs", True)],
)
def test_what_stands_where_dagster_keeps_something_is_set_aside(folder: Path, name: str, is_file: bool) -> None:
    place = folder / "dagster" / name
    place.parent.mkdir(parents=True)
    if is_file:
        place.write_bytes(b"x")
    else:
        place.mkdir()
    [found] = look(store_in(folder), NOW)
    assert (found.part, found.file) == ("Dagster", f"dagster/{name}")
    assert found.what == f"is no {'folder' if is_file else 'file'}, and with it what Dagster remembers there"
    done = mend(folder)
    assert not done.left
    assert not place.exists()
    assert done.set_aside is not None
    assert (done.set_aside / "dagster" / name).exists()


_KILLED = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from pricetracker_dagster.store.repairing import rebuild, repair
from pricetracker_dagster.store.store import store_in

left = int(sys.argv[2])

def at(event, arguments):
    global left
    if event in ("os.rename", "open", "os.mkdir", "shutil.move", "shutil.rmtree", "os.remove") and started:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

started = False
sys.addaudithook(at)
mend = rebuild.mend
def and_begin(*arguments):
    global started
    started = True
    return mend(*arguments)
rebuild.mend = and_begin
repair.repair(store_in(Path(sys.argv[1])), datetime.fromisoformat(sys.argv[3]), [], lambda: None)
print("survived")
"""


@pytest.mark.parametrize("fault", ["torn", "gone"])
@pytest.mark.long
def test_a_repair_that_is_killed_at_any_step_has_lost_nothing_and_can_be_done_again(
    folder: Path, tmp_path: Path, fault: str
) -> None:
    store = store_in(folder)
    maintain(store)
    for i in range(5):
        store.prices.upsert(candles(FIRST + (21 + i) * MINUTE, 1, 500.0 + i), now=NOW)
    maintain(store)
    expected = rows_of(folder, "minute_prices")
    if fault == "torn":
        store.prices.upsert(candles(FIRST + 28 * MINUTE, 1, 600.0), now=NOW)
        expected = rows_of(folder, "minute_prices")
        newest_commit(folder, "minute_prices").write_bytes(b"")
    else:
        [joined] = store.prices.files(FIRST + 21 * MINUTE, FIRST + 21 * MINUTE)
        Path(joined).unlink()
    survived, step = False, 0
    while not survived:
        copy = tmp_path / f"killed {step}"
        shutil.copytree(folder, copy)
        ended = subprocess.run(
            [sys.executable, "-c", _KILLED, str(copy), str(step), NOW.isoformat()],
            capture_output=True,
            text=True,
            check=False,
        )
        survived = ended.stdout == "survived\n"
        assert survived or ended.returncode == -signal.SIGKILL, ended.stderr
        assert not mend(copy).left
        assert rows_of(copy, "minute_prices") == expected
        shutil.rmtree(copy)
        step += 29  # each dies some steps later
    assert step > 58


def test_the_command_shows_mends_and_lists(folder: Path, tmp_path: Path, write_settings: Callable[[str], Path]) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]\n')
    store = store_in(folder)
    store.prices.upsert(candles(FIRST + 24 * MINUTE, 3, 900.0), now=NOW)
    [only] = store.prices.files(FIRST + 24 * MINUTE, FIRST + 26 * MINUTE)
    Path(only).unlink()

    shown = CliRunner().invoke(main, ["repair"])
    assert shown.exit_code == 1, shown.output
    assert Path(only).name in shown.stdout
    assert "nothing was changed; to mend it:" in shown.stderr
    as_json = CliRunner().invoke(main, ["repair", "--format", "json"])
    assert as_json.exit_code == 1
    told = json.loads(as_json.stdout)
    assert (told["well"], told["done"], len(told["found"])) == (False, [], 1)
    assert not (folder / "set-aside").exists()

    done = CliRunner().invoke(main, ["repair", "--yes"])
    assert done.exit_code == 0, done.output
    assert "KRAKEN:BTCUSD 2026-03-03 00:14 to 2026-03-03 00:16" in done.stdout
    assert "backfill --from 2026-03-03T00:14Z --to 2026-03-03T00:16Z" in done.stdout
    again = CliRunner().invoke(main, ["repair"])
    assert (again.exit_code, "nothing is damaged" in again.stdout) == (0, True)


def test_stored_minutes_without_trades_are_listed_while_the_exchange_can_be_asked(folder: Path) -> None:
    rows = candles(FIRST + 24 * MINUTE, 5, 900.0).to_pylist()
    for row in rows:
        if row["metric"] == METRICS[1] and row["minute"] != FIRST + 26 * MINUTE:
            price = row["open"]
            row.update(high=price, low=price, close=price, volume=0.0, trades=0)
    store_in(folder).prices.upsert(pa.Table.from_pylist(rows, SCHEMA), now=NOW)
    since = dict.fromkeys(METRICS, FIRST + 25 * MINUTE)  # further back it cannot be asked
    expected = [
        repair.Again(METRICS[1], FIRST + at * MINUTE, FIRST + (at + length - 1) * MINUTE, repair.FILLED)
        for at, length in ((25, 1), (27, 2))
    ]
    assert repair.filled(store_in(folder), since, NOW) == expected


def test_a_sound_folder_is_said_to_be_sound_first(folder: Path, write_settings: Callable[[str], Path]) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n')
    minute = newest_closed_minute(datetime.now(UTC)) - MINUTE
    flat = candles(minute, 1, 900.0).to_pylist()[:1]
    flat[0].update(high=flat[0]["open"], low=flat[0]["open"], close=flat[0]["open"], volume=0.0, trades=0)
    store_in(folder).prices.upsert(pa.Table.from_pylist(flat, SCHEMA), now=datetime.now(UTC))
    ended = CliRunner().invoke(main, ["repair"])
    assert ended.exit_code == 0, ended.output
    first, second, third = ended.stdout.splitlines()
    assert first == f"nothing is damaged in {folder}"
    assert second == "1 stored minute has no trades, and the exchange can still be asked about it:"
    assert third.endswith(f" backfill --from {minute:%Y-%m-%dT%H:%MZ} --to {minute:%Y-%m-%dT%H:%MZ} --refetch")


_HOLDS = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_SH)
print("held", flush=True)
sys.stdin.read()
"""

_MENDS = """
import sys
from datetime import datetime
from pathlib import Path
from pricetracker_dagster.store.repairing import repair
from pricetracker_dagster.store.store import store_in
print("begun", flush=True)
repair.repair(store_in(Path(sys.argv[1])), datetime.fromisoformat(sys.argv[2]), [], lambda: None)
"""


@pytest.mark.parametrize("name", ["repair.lock", "tick.lock", "alerts.lock", "publish.lock"])
def test_a_repair_waits_for_who_is_at_work(folder: Path, name: str) -> None:
    newest_commit(folder, "minute_prices").write_bytes(b"")

    def start(code: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with start(_HOLDS, str(folder / "state" / name)) as writer, start(_MENDS, str(folder), NOW.isoformat()) as mender:
        assert writer.stdout is not None
        assert mender.stdout is not None
        assert writer.stdout.readline() == "held\n"
        assert mender.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            mender.wait(1.0)
        assert newest_commit(folder, "minute_prices").read_bytes() == b""
        writer.communicate("")
        assert mender.wait(60) == 0
    assert not look(store_in(folder), NOW)
