"""The figures in tests/data: few, accounted for, and the same as in the files from which they were transcribed."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DATA


def test_they_are_small_and_each_file_is_accounted_for() -> None:
    files = [path for path in DATA.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 300_000
    provenance = (DATA / "PROVENANCE.md").read_text(encoding="utf-8")
    assert [path.name for path in files if path.name != "PROVENANCE.md" and f"`{path.name}`" not in provenance] == []


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="ascii", newline="") as lines:
        return list(csv.reader(lines))


@pytest.mark.parametrize("pair", ["USDCUSD", "USDTUSD", "XBTEUR", "XBTUSD", "XBTUSDC", "XBTUSDT"])
def test_minutes_are_the_last_thirty_hours_of_the_recorded_files(recorded: Path, large_sets: Path, pair: str) -> None:
    theirs = rows_of(large_sets / "kraken" / "ohlcvt_2023-03-07_09" / f"{pair}_1.csv")
    since = 1678298400  # 2023-03-08 18:00 UTC
    assert rows_of(recorded / "ohlcvt" / f"{pair}_1.csv") == [row for row in theirs if int(row[0]) >= since]


def told(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["OHLC_XXBTZUSD_1m_720.json", "Ticker_two_pairs.json", "Time.json"])
def test_answers_are_the_recorded_ones(recorded: Path, large_sets: Path, name: str) -> None:
    assert told(recorded / "rest", name) == told(large_sets / "kraken" / "rest", name)


def test_an_error_is_the_recorded_one(recorded: Path, large_sets: Path) -> None:
    name = "error_unknown_pair.json"
    assert told(recorded / "rest", name) == told(large_sets / "kraken" / "rest", name)


def test_pairs_have_the_recorded_names_and_digits(recorded: Path, large_sets: Path) -> None:
    ours = told(recorded / "rest", "AssetPairs_397.json")["result"]
    theirs = told(large_sets / "kraken" / "rest", "AssetPairs_397.json")["result"]
    names = "altname", "wsname", "base", "quote", "lot_decimals", "pair_decimals"
    assert list(ours) == list(theirs)
    for key, pair in theirs.items():
        assert {name: ours[key].get(name) for name in names} == {name: pair.get(name) for name in names}
        assert ours[key].keys() >= pair.keys()
        assert ("wsname" in ours[key]) == ("wsname" in pair)


def test_trades_are_the_first_of_the_recorded_ones_on_pages_of_forty(recorded: Path, large_sets: Path) -> None:
    pages = [told(recorded / "rest", f"Trades_GRTETH_page{i}.json")["result"] for i in range(6)]
    ours = [trade for page in pages for trade in page["GRTETH"]]
    theirs = told(large_sets / "kraken" / "rest", "Trades_GRTETH_page0.json")["result"]["GRTETH"]
    assert len(ours) == 240
    assert ours == theirs[:240]
    assert [int(page["last"]) for page in pages] == [round(page["GRTETH"][-1][2] * 10**4) * 10**5 for page in pages]
