"""A path is a path: whatever a folder is called, its own files are read and written and no others, or it is refused."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from pricetracker_dagster import open_prices, sql
from pricetracker_dagster.cli import main
from pricetracker_dagster.exchanges.kraken.ohlcvt import OhlcvtError, read
from pricetracker_dagster.settings import SettingsError, load_settings
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.repairing import repair
from pricetracker_dagster.store.repairing.findings import look
from pricetracker_dagster.store.store import store_in
from tests.integration.test_torn_tables import FIRST, METRICS, MINUTE, NOW, candles

ODD = [
    "[ab]",
    "a*",
    "**",
    "[*]",
    "[!a]",
    "[",
    "a b",
    " a ",
    "a#b",
    "100%",
    "%2",
    "it's",
    'say "x"',
    "données",
    "日本",
    "a{1,2}",
    "$HOME",
    "~",
    "a:b",
    "file:",
    "a|b^c`d`",
    "volume=7",
    "minute=2026-01-01",
    "date=2026-03-02",
    "x.parquet",
]
TOGETHER = [
    "[ab] a*#100% %2",
    "[!a]**[*]",
    """ it's "données" """,
    "a{1,2}|b^c`d`$HOME~",
    "日本 a:b file:",
    "volume=7",
    "minute=2026-01-01",
    "x.parquet",
]
READ_AS_ANOTHER = ["a?", "a%20b", "%41", "%25", "a\\b", "a\\", "_delta_log"]


@pytest.mark.parametrize("name", TOGETHER)
def test_a_data_folder_of_any_name_works_in_all_it_does(tmp_path: Path, name: str) -> None:
    beside = store_in(tmp_path / "a" / "data")  # what a pattern would find instead
    beside.prices.upsert(candles(FIRST, 5, 9000.0), now=NOW)
    folder = tmp_path / name / "data"
    store = store_in(folder)
    causes = store.records.causes
    for i in range(6):
        store.prices.upsert(candles(FIRST + i * MINUTE, 5, 100.0 + i), now=NOW)
    causes.upsert([{"metric": "A:B", "minute": FIRST, "cause": "not run", "reason": "", "noted_at": NOW}])

    def count() -> int:
        publish(store, METRICS, now=NOW)
        rows = open_prices(store.folder.published).sql("SELECT count(*), max(open) FROM minute_prices").df().iloc[0]
        assert rows.iloc[1] < 9000
        assert (
            open_prices(store.folder.published).sql("SELECT count(*) FROM history_24h").df().iloc[0, 0]
            == 4 * rows.iloc[0]
        )
        return int(rows.iloc[0])

    assert folder.is_dir()
    assert (count(), causes.rows()[0]["metric"]) == (20, "A:B")
    assert store.prices.candles(METRICS, FIRST, NOW).num_rows == 20
    assert store.prices.gaps(METRICS, FIRST, FIRST + 9 * MINUTE) == {}
    assert not maintain(store).troubles
    assert count() == 20
    assert look(store_in(folder), NOW) == []
    store.prices.upsert(candles(FIRST + 12 * MINUTE, 1, 5.0), now=NOW)
    newest = max((store.prices.path / "_delta_log").glob("*.json"))
    newest.write_bytes(newest.read_bytes()[:50])
    assert not repair.repair(store_in(folder), NOW, METRICS, lambda: None).left
    assert count() == 22
    assert {path.name for path in tmp_path.iterdir()} == {"a", name}


@pytest.mark.parametrize("name", READ_AS_ANOTHER)
def test_a_data_folder_that_the_engines_take_for_another_is_refused_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings = tmp_path / "pricetracker.toml"
    settings.write_text(f"metrics = ['KRAKEN:BTCUSD']\ndata = '{name}/data'\n", encoding="utf-8")
    monkeypatch.setenv("PRICETRACKER_CONFIG", str(settings))
    with pytest.raises(SettingsError, match="data") as told:
        load_settings()
    assert str(tmp_path) in str(told.value)
    inside = tmp_path / name
    inside.mkdir()
    (inside / "pricetracker.toml").write_text("metrics = ['KRAKEN:BTCUSD']\n", encoding="utf-8")
    monkeypatch.setenv("PRICETRACKER_CONFIG", str(inside / "pricetracker.toml"))
    with pytest.raises(SettingsError, match="data"):
        load_settings()


@pytest.mark.parametrize("name", [*ODD, "a?", "a%20b", "%41", "a\\b", "a\nb", "a\tb"])
def test_the_named_file_is_imported_and_no_other(tmp_path: Path, name: str) -> None:
    start = int(FIRST.timestamp())
    for folder, price in (("a", 1.0), ("b", 2.0), (name, 7.0)):
        (tmp_path / folder).mkdir()
        line = f"{start},{price},{price},{price},{price},1.0,1\n"
        (tmp_path / folder / "XBTUSD_1.csv").write_text(line, encoding="ascii")
    [sheet] = read([tmp_path / name / "XBTUSD_1.csv"], fetched_at=NOW)
    assert sheet.candles.column("open").to_pylist() == [7.0]
    assert sheet.candles.column("minute").to_pylist() == [FIRST]


@pytest.mark.parametrize("name", ["a\\[x]", "a\\*", "?\\"])
def test_a_file_that_cannot_be_named_to_the_engine_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    file = tmp_path / name / "XBTUSD_1.csv"
    file.write_text("1772495400,1,1,1,1,1,1\n", encoding="ascii")
    with pytest.raises(OhlcvtError, match="move the file"):
        list(read([file], fetched_at=NOW))


def test_a_file_whose_path_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"d\xff") / "XBTUSD_1.csv"
    with pytest.raises(OhlcvtError, match="its path is not in UTF-8, which DuckDB cannot open: move the file"):
        list(read([file], fetched_at=NOW))


def test_a_relative_path_that_looks_like_an_address_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "s3:" / "bucket"
    folder.mkdir(parents=True)
    (folder / "XBTUSD_1.csv").write_text(f"{int(FIRST.timestamp())},7,7,7,7,1,1\n", encoding="ascii")
    monkeypatch.chdir(tmp_path)
    [sheet] = read([Path("s3://bucket/XBTUSD_1.csv")], fetched_at=NOW)
    assert sheet.candles.column("open").to_pylist() == [7.0]


@pytest.mark.parametrize("name", ["plain", "[x]", "a*b?", "[[]]", "[*][?][[]"])
def test_the_file_of_a_pattern_is_found_again(name: str) -> None:
    assert sql.named_by(sql.only(name)) == name


def test_import_takes_the_file_that_was_named_from_the_command_line_too(
    tmp_path: Path, write_settings: Callable[[str], Path]
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n')
    minute = (datetime.now(UTC) - timedelta(hours=1)).replace(second=0, microsecond=0)
    for folder, price in (("a", 1), ("[ab]", 7)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "XBTUSD_1.csv").write_text(f"{int(minute.timestamp())},{','.join([str(price)] * 4)},1,1\n")
    done = CliRunner().invoke(main, ["import", str(tmp_path / "[ab]" / "XBTUSD_1.csv")])
    assert done.exit_code == 0, done.output
    assert (
        open_prices(load_settings().folder / "pricetracker.duckdb")
        .sql("SELECT open FROM minute_prices")
        .df()
        .iloc[0, 0]
        == 7
    )
