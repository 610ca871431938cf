"""Commits, checkpoints and data files that are damaged or gone: readers go on, writers say which and what to do."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from pricetracker_dagster import open_prices
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.cli import main
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.store.coverage import missing
from pricetracker_dagster.store.damage import Kind, unreadable
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.log import examine, read_commit, read_log
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.publishing.access import PublishedDamaged
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.repairing.repair import repair
from pricetracker_dagster.store.store import store_in
from tests.integration.conftest import Bench

MINUTE = timedelta(minutes=1)
FIRST = datetime(2026, 3, 2, 23, 50, tzinfo=UTC)
METRICS = ("KRAKEN:BTCUSD", "KRAKEN:ETHUSD")
NOW = FIRST + 30 * MINUTE


def candles(first: datetime, count: int, price: float) -> pa.Table:
    columns = [
        [metric for _ in range(count) for metric in METRICS],
        [first + i * MINUTE for i in range(count) for _ in METRICS],
        *[[price + i for i in range(count) for _ in METRICS]] * 4,
        [1.5] * (2 * count),
        [3] * (2 * count),
        [first + count * MINUTE] * (2 * count),
    ]
    return pa.Table.from_arrays(
        [pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA
    )


def grow(folder: Path, after: Callable[[int], object] = lambda _: None) -> None:
    """Store minutes over midnight and correct them, with causes that change; four times, with something done after."""
    store = store_in(folder)
    causes = store.records.causes
    for i in range(4):
        at = FIRST + 5 * i * MINUTE
        store.prices.upsert(candles(at, 5, 100.0 + i), now=NOW)
        store.prices.upsert(candles(at, 6, 200.0 + i), now=NOW)
        row = {"metric": METRICS[0], "minute": at, "cause": "not run", "reason": "no tick", "noted_at": NOW}
        causes.upsert([row])
        causes.upsert([row | {"cause": "exchange error", "reason": f"it said {i}"}])
        after(i)
    publish(store, METRICS, now=NOW)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grown") / "data"
    grow(folder)
    return folder


@pytest.fixture
def folder(grown: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "data"
    shutil.copytree(grown, copy)
    return copy


def table_of(folder: Path, name: str) -> Delta:
    return store_in(folder).prices if name == "minute_prices" else getattr(store_in(folder).records, name)


def newest_commit(folder: Path, table: str) -> Path:
    return max((folder / table / "_delta_log").glob("*.json"))


@pytest.mark.parametrize("table", ["minute_prices", "causes"])
def test_a_commit_cut_at_any_byte_is_told_with_table_file_and_way_out(folder: Path, table: str) -> None:
    commit = newest_commit(folder, table)
    whole = commit.read_bytes()
    line_ends = [i + edge for i, byte in enumerate(whole) if byte == 10 for edge in (0, 1)]
    for length in sorted({*range(0, len(whole), 397), *line_ends, 1, len(whole) - 1}):
        commit.write_bytes(whole[:length])
        [found] = examine(folder / table)
        assert (found.kind, found.file) == (Kind.LOG, f"_delta_log/{commit.name}")
        with pytest.raises(StoreError) as told:
            table_of(folder, table).open()
        assert f"the table {table} is damaged: _delta_log/{commit.name} is " in str(told.value)
        assert "`pricetracker repair`" in str(told.value)
    commit.write_bytes(whole)
    assert not examine(folder / table)
    assert table_of(folder, table).open()


def test_no_whole_commit_of_any_operation_is_taken_for_a_cut_one(folder: Path) -> None:
    store = store_in(folder)
    records = store.records
    maintain(store)
    for _ in range(6):  # more files than are left alone
        store.prices.upsert(candles(FIRST + 21 * MINUTE, 2, float(_)), now=NOW)
    maintain(store)
    table = store.prices.open()
    assert table is not None
    table.delete("trades = 3 AND metric = 'KRAKEN:ETHUSD'")
    Path(store.prices.files()[0]).unlink()
    table.update_incremental()
    table.repair()
    assert store.prices.open() is not None
    commits = sorted(folder.glob("*/_delta_log/*.json"))
    assert len(commits) > 20
    assert [commit for commit in commits if read_commit(commit)[1]] == []
    assert [damage for each in records for damage in examine(each.path)] == []


def damaged(folder: Path, fault: str) -> str:
    """Do one kind of damage to the prices; return the file that is to be named."""
    log = folder / "minute_prices" / "_delta_log"
    live = Path(store_in(folder).prices.files()[0])
    if fault == "gone":
        live.unlink()
    elif fault == "empty":
        live.write_bytes(b"")
    elif fault == "truncated":
        live.write_bytes(live.read_bytes()[:-7])
    elif fault == "overwritten":
        content = bytearray(live.read_bytes())
        content[100:300] = bytes(200)
        live.write_bytes(content)
    elif fault == "a folder":
        live.unlink()
        live.mkdir()
    elif fault == "commit in the middle":
        (log / f"{3:020}.json").unlink()
        return f"{3:020}.json"
    elif fault == "log":
        shutil.rmtree(log)
        return "_delta_log"
    elif fault == "checkpoint":
        table = store_in(folder).prices.open()
        assert table is not None
        table.create_checkpoint()
        checkpoint = log / f"{table.version():020}.checkpoint.parquet"
        checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
        return checkpoint.name
    return live.name


FAULTS = ["gone", "empty", "truncated", "overwritten", "a folder", "commit in the middle", "log", "checkpoint"]


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_is_damaged_is_named_by_who_reads_and_who_writes(folder: Path, fault: str) -> None:
    file = damaged(folder, fault)
    store = store_in(folder)
    with pytest.raises(StoreError, match="minute_prices is damaged") as of_reader:
        missing(store.prices, dict.fromkeys(METRICS), FIRST, NOW) and store.prices.candles(METRICS, FIRST, NOW)
    with pytest.raises(StoreError, match="minute_prices is damaged") as of_writer:
        store.prices.upsert(candles(FIRST, 5, 7.0), now=NOW)
    for told in (of_reader, of_writer):
        assert file in str(told.value)
        assert "Run `pricetracker repair`" in str(told.value)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"version": "x"}', b"\xff"])
def test_a_damaged_hint_of_the_newest_checkpoint_keeps_nobody_from_reading(folder: Path, content: bytes) -> None:
    store = store_in(folder)
    (store.prices.path / "_delta_log" / "_last_checkpoint").write_bytes(content)
    assert store.prices.rows() == 42
    assert store.prices.upsert(candles(FIRST, 1, 7.0), now=NOW).updated == 2
    assert [found.kind for found in examine(store.prices.path)] == [Kind.CHECKPOINT]


def test_a_log_without_a_commit_is_never_taken_for_an_empty_table(folder: Path) -> None:
    shutil.rmtree(folder / "minute_prices" / "_delta_log")
    with pytest.raises(StoreError, match="_delta_log is gone or empty"):
        store_in(folder).prices.upsert(candles(FIRST, 1, 7.0), now=NOW)
    assert not (folder / "minute_prices" / "_delta_log").exists()


def test_a_file_of_the_same_length_that_holds_other_rows_is_named(folder: Path) -> None:
    """20 rows of 23:50 to 23:59 in the one, 22 of 00:00 to 00:10 in the other: whatever is said of the other's."""
    live = read_log(folder / "minute_prices").live
    (name, action), (_, other) = sorted(live.items())
    file = folder / "minute_prices" / name
    assert unreadable(file, action) is None
    as_long = other | {"size": action["size"]}
    assert unreadable(file, as_long) == "holds other rows than were written"
    as_many = {**as_long, "stats": other["stats"].replace('"numRecords":22', '"numRecords":20')}
    assert unreadable(file, as_many) == "holds other rows than were written"


@pytest.mark.parametrize("fault", FAULTS)
def test_readers_go_on_with_the_published_file(folder: Path, fault: str) -> None:
    before = open_prices(folder / "pricetracker.duckdb").rank("price").df()
    damaged(folder, fault)
    with pytest.raises(StoreError):
        publish(store_in(folder), METRICS, now=NOW + MINUTE, minute=NOW)
    assert open_prices(folder / "pricetracker.duckdb").rank("price").df().equals(before)


@pytest.mark.parametrize("table", ["causes", "alerts", "deliveries", "incidents"])
@pytest.mark.parametrize("fault", ["torn", "cut between lines", "gone", "overwritten", "no log"])
def test_a_damaged_small_table_costs_no_minute_and_is_told(folder: Path, table: str, fault: str) -> None:
    records: Delta = getattr(store_in(folder).records, table)
    if not records.path.exists():
        shutil.copytree(folder / "causes", records.path)  # of which columns it is does not matter here
    opened = records.open()
    assert opened is not None
    live = Path(opened.file_uris()[0])
    if fault == "torn":
        newest_commit(folder, table).write_bytes(newest_commit(folder, table).read_bytes()[:200])
    elif fault == "cut between lines":
        lines = newest_commit(folder, table).read_bytes().splitlines()
        newest_commit(folder, table).write_bytes(lines[0])
    elif fault == "no log":
        shutil.rmtree(records.path / "_delta_log")
    elif fault == "gone":
        live.unlink()
    else:
        live.write_bytes(live.read_bytes()[:4] + bytes(live.stat().st_size - 8) + live.read_bytes()[-4:])
    store = store_in(folder)
    store.prices.upsert(candles(NOW - 2 * MINUTE, 1, 9.0), now=NOW)
    published = publish(store, METRICS, now=NOW, minute=NOW - MINUTE)
    assert published.built
    assert published.as_of == NOW - MINUTE
    if table == "causes" or fault != "overwritten":  # who reads no row of it does not notice yet
        [trouble] = published.troubles
        assert f"the table {table} is damaged" in trouble
        assert "pricetracker repair" in trouble
    assert (
        open_prices(store.folder.published).sql("SELECT max(minute) FROM minute_prices").df().iloc[0, 0]
        == NOW - 2 * MINUTE
    )


def test_a_tick_beside_a_torn_small_table_stores_publishes_and_says_so(start: Callable[..., Bench]) -> None:
    bench: Bench = start("BTCUSD")
    collect_minute(bench.settings, bench.minute)
    bench.store.records.causes.upsert(
        [{"metric": "X:Y", "minute": bench.minute, "cause": "not run", "reason": "", "noted_at": bench.minute}]
    )
    newest_commit(bench.store.folder.path, "causes").write_bytes(b'{"comm')
    bench.now += MINUTE
    collected = collect_minute(bench.settings, bench.minute)
    assert not collected.missing
    assert collected.inserted == 1


def test_a_reading_command_opens_no_table(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "pricetracker.toml"
    settings.write_text('metrics = ["KRAKEN:BTCUSD"]\n', encoding="utf-8")
    monkeypatch.setenv("PRICETRACKER_CONFIG", str(settings))
    publish(store_in(folder), METRICS, now=NOW)  # the folder is a copy
    for table in ("minute_prices", "causes"):
        newest_commit(folder, table).write_bytes(b"torn")
    for command in (["metrics"], ["rank", "price"], ["history", METRICS[0], "price"], ["sql", "FROM metric_rank"]):
        answer = CliRunner().invoke(main, command)
        assert answer.exit_code == 0, answer.stderr
        assert METRICS[0] in answer.stdout


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 5000])
def test_a_damaged_published_file_is_told_and_published_anew(folder: Path, content: bytes) -> None:
    store = store_in(folder)
    store.folder.published.unlink()
    store.folder.published.write_bytes(content)
    with pytest.raises(PublishedDamaged, match=r"cannot be read: .*the next tick publishes it anew"):
        open_prices(store.folder.published).metrics().df()
    assert publish(store, METRICS, now=NOW).built
    assert len(open_prices(store.folder.published).metrics().df()) == 8


def test_a_gone_file_of_a_view_is_told_by_its_name(folder: Path) -> None:
    publish(store_in(folder), METRICS, now=NOW, minute=NOW - MINUTE)  # the views of the copied file read the original's
    live = damaged(folder, "gone")
    with pytest.raises(PublishedDamaged, match=live) as told:
        open_prices(folder / "pricetracker.duckdb").sql("FROM minute_prices").df()
    assert "pricetracker repair" in str(told.value)


@pytest.mark.parametrize("file", ["_delta_log/00000000000000000005.json", "_delta_log/_last_checkpoint"])
def test_a_file_that_the_disk_does_not_give_is_not_taken_for_a_damaged_one(folder: Path, file: str) -> None:
    of_the_log = folder / "minute_prices" / file
    of_the_log.unlink(missing_ok=True)
    of_the_log.symlink_to("/proc/self/mem")  # whose first byte nobody can read: an I/O error
    with pytest.raises(StoreError, match=f"{file} cannot be read: Input/output error. That tells nothing") as told:
        store_in(folder).prices.examine()
    assert told.value.damage is None
    with pytest.raises(StoreError, match="nothing is mended"):
        repair(store_in(folder), NOW, METRICS, lambda: None)
    assert not (folder / "set-aside").exists()
