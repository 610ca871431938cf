"""Kraken's OHLCVT files, recorded ones and damaged ones, from the CSV to the published file."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pricetracker_dagster import open_prices
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange
from pricetracker_dagster.errors import UnknownName
from pricetracker_dagster.exchanges.kraken import ohlcvt
from pricetracker_dagster.exchanges.kraken.ohlcvt import OhlcvtError, RecordedFile
from pricetracker_dagster.exchanges.kraken.ohlcvt_parts import BLOCK, InNoOrder, Part, read_parts
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import Store, store_in

FETCHED = datetime(2023, 3, 10, 8, 30, tzinfo=UTC)
COLUMNS = ["unix", "open", "high", "low", "close", "volume", "trades"]
NAMES = {
    "USDCUSD_1.csv": "KRAKEN:USDCUSD",
    "USDTUSD_1.csv": "KRAKEN:USDTUSD",
    "XBTEUR_1.csv": "KRAKEN:BTCEUR",
    "XBTUSDC_1.csv": "KRAKEN:BTCUSDC",
    "XBTUSDT_1.csv": "KRAKEN:BTCUSDT",
    "XBTUSD_1.csv": "KRAKEN:BTCUSD",
}
START = 1_700_000_040  # 2023-11-14 22:14:00 UTC, a whole minute


@pytest.fixture(scope="module")
def files(recorded: Path) -> list[Path]:
    folder = recorded / "ohlcvt"
    return [folder / name for name in NAMES]


@pytest.fixture(scope="module")
def imported(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = store_in(tmp_path_factory.mktemp("imported"))
    for sheet in ohlcvt.read(files, fetched_at=FETCHED):
        store.prices.upsert(sheet.candles)
    publish(store, None, now=FETCHED)
    return store


@pytest.fixture(scope="module")
def minutes(files: list[Path]) -> pd.DataFrame:
    """Every minute between each file's first and last, worked out by pandas from the raw CSVs."""
    filled = []
    for file in files:
        raw = pd.read_csv(file, names=COLUMNS)
        raw.index = pd.to_datetime(raw["unix"], unit="s", utc=True).astype("datetime64[us, UTC]")
        full = raw.reindex(pd.date_range(raw.index[0], raw.index[-1], freq="min", unit="us"))
        full["close"] = full["close"].ffill()
        for price in ("open", "high", "low"):
            full[price] = full[price].fillna(full["close"])
        full[["volume", "trades"]] = full[["volume", "trades"]].fillna(0)
        filled.append(full.assign(metric=NAMES[file.name], trades=full["trades"].astype("int64")).drop(columns="unix"))
    return pd.concat(filled).rename_axis("minute").reset_index()


def measures(minutes: pd.DataFrame) -> pd.DataFrame:
    """The four measures of the last 1,440 minutes, one row each."""
    recent = minutes[minutes["minute"] > minutes["minute"].max() - timedelta(hours=24)]
    change = recent["close"] - recent["open"]
    wide = recent.assign(price=recent["close"], change_absolute=change, change_percentage=change / recent["open"] * 100)
    names = ["price", "volume", "change_absolute", "change_percentage"]
    long: pd.DataFrame = wide.melt(["metric", "minute"], names, "measure", "value")
    return long[["metric", "measure", "minute", "value"]]


def write(folder: Path, *lines: str, name: str = "XBTUSD_1.csv") -> Path:
    path = folder / name
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def line(minute: int, close: float = 10.0) -> str:
    """A sane line, ``minute`` minutes after START."""
    return f"{START + 60 * minute},{close},{close},{close},{close},1.5,3"


def read_one(path: Path) -> RecordedFile:
    """A file as a whole. In parts, of whatever length, it is the same, or it is said that it cannot be read so."""
    for block in (80, 200, BLOCK):
        parts, why = in_parts(path, block)
        try:
            [sheet] = ohlcvt.read([path], fetched_at=FETCHED)
        except OhlcvtError:
            assert why
            raise
        if not why:
            assert pa.concat_tables([part.candles for part in parts]).equals(sheet.candles)
            assert sum(int(part.filled.sum()) for part in parts) == sheet.filled
            assert sorted(row for part in parts for row in part.rejected) == sorted(sheet.rejected)
            assert [gap for part in parts for gap in part.silences] == sheet.silences
    return sheet


def in_parts(path: Path, block: int) -> tuple[list[Part], str]:
    """The parts of a file, and why it cannot be read in parts."""
    try:
        return [*read_parts(path, fetched_at=FETCHED, block=block)], ""
    except (InNoOrder, OhlcvtError) as error:
        return [], str(error)


def minutes_of(sheet: RecordedFile) -> list[int]:
    """Which minutes after START a sheet has."""
    start = datetime.fromtimestamp(START, UTC)
    return sorted((minute - start) // MINUTE for minute in sheet.candles.column("minute").to_pylist())


def test_recorded_files_are_stored_whole_with_their_quiet_minutes(imported: Store, minutes: pd.DataFrame) -> None:
    answer = open_prices(imported.folder.published).sql("FROM minute_prices ORDER BY metric, minute").df()
    assert (answer.pop("fetched_at") == FETCHED).all()
    expected = minutes.sort_values(["metric", "minute"], ignore_index=True)
    pd.testing.assert_frame_equal(answer, expected[list(answer.columns)], check_exact=True)
    assert imported.prices.rows() == len(expected)


def test_quiet_minutes_of_recorded_files_are_counted(files: list[Path], minutes: pd.DataFrame) -> None:
    for sheet in ohlcvt.read(files, fetched_at=FETCHED):
        lines = len(sheet.path.read_text(encoding="utf-8").splitlines())
        assert sheet.rejected == []
        assert str(sheet.metric) == NAMES[sheet.path.name]
        assert sheet.candles.num_rows == (minutes["metric"] == str(sheet.metric)).sum()
        assert sheet.filled == sheet.candles.num_rows - lines


def test_history_of_recorded_files_equals_what_pandas_computes(imported: Store, minutes: pd.DataFrame) -> None:
    order = ["metric", "measure", "minute"]
    answer = open_prices(imported.folder.published).sql("FROM history_24h").df().sort_values(order, ignore_index=True)
    expected = measures(minutes).sort_values(order, ignore_index=True)
    assert len(expected) > 4 * 6 * 1400
    pd.testing.assert_frame_equal(answer, expected, rtol=1e-12, atol=0)


def test_rank_of_recorded_files_equals_what_pandas_computes(imported: Store, minutes: pd.DataFrame) -> None:
    answer = open_prices(imported.folder.published).sql("FROM metric_rank ORDER BY measure, rank").df()
    groups = measures(minutes).groupby(["measure", "metric"])["value"]
    expected = groups.agg(stddev="std", mean="mean", observations="count").reset_index()
    expected["relative_stddev"] = expected["stddev"] / expected["mean"].abs()
    expected["rank"] = expected.groupby("measure")["stddev"].rank(ascending=False).astype("int64")
    expected["of"] = 6
    expected["as_of"] = minutes["minute"].max()
    expected = expected.sort_values(["measure", "rank"], ignore_index=True)[list(answer.columns)]
    assert len(expected) == 4 * 6
    pd.testing.assert_frame_equal(answer, expected, rtol=1e-9, atol=1e-12)


def test_a_person_reads_one_measure_of_one_metric_as_pandas_has_it(imported: Store, minutes: pd.DataFrame) -> None:
    answer = open_prices(imported.folder.published).history("KRAKEN:BTCUSDC", "volume").df()
    all_of_them = measures(minutes)
    expected = all_of_them.query("metric == 'KRAKEN:BTCUSDC' and measure == 'volume'").reset_index(drop=True)
    pd.testing.assert_frame_equal(answer, expected)
    with pytest.raises(UnknownName, match="KRAKEN:USDCUSD"):
        open_prices(imported.folder.published).history("KRAKEN:USDCUS", "volume").df()
    with pytest.raises(UnknownName, match="volume"):
        open_prices(imported.folder.published).history("KRAKEN:BTCUSDC", "volumes").df()


def test_of_a_complete_file_only_minutes_after_its_last_line_are_missed(imported: Store, minutes: pd.DataFrame) -> None:
    answer = open_prices(imported.folder.published).sql("SELECT metric, minute FROM missed_minutes ORDER BY ALL").df()
    as_of = minutes["minute"].max()
    expected = [
        (metric, minute)
        for metric, last in minutes.groupby("metric")["minute"].max().items()
        for minute in pd.date_range(last + MINUTE, as_of, freq="min")
    ]
    assert list(answer.itertuples(index=False, name=None)) == expected


def test_importing_again_changes_nothing(files: list[Path], imported: Store) -> None:
    before = imported.prices.files()
    for sheet in ohlcvt.read(files, fetched_at=FETCHED + timedelta(days=1)):
        again = imported.prices.upsert(sheet.candles)
        assert (again.inserted, again.updated) == (0, 0)
    assert imported.prices.files() == before
    assert not publish(imported, None, now=FETCHED + timedelta(days=1)).built


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("XBTUSD_1.csv", "KRAKEN:BTCUSD"),
        ("ETHXBT_1.csv", "KRAKEN:ETHBTC"),
        ("XDGUSD_1.csv", "KRAKEN:DOGEUSD"),
        ("XDGXBT_1.csv", "KRAKEN:DOGEBTC"),
        ("ETH2.SETH_1.csv", "KRAKEN:ETH2.SETH"),
        ("USDCUSDT_1.csv", "KRAKEN:USDCUSDT"),
    ],
)
def test_a_file_is_named_by_its_pair(name: str, metric: str) -> None:
    assert str(ohlcvt.metric_of(Path("downloads", name))) == metric


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("XBTUSD_60.csv", "candles of 60 minutes; take the file XBTUSD_1.csv"),
        ("XBTUSD.csv", "e.g. XBTUSD_1.csv"),
        ("xbtusd_1.csv", "e.g. XBTUSD_1.csv"),
        ("XBTUSD_1.csv.zip", "e.g. XBTUSD_1.csv"),
    ],
)
def test_a_wrong_name_is_refused_before_any_file_is_read(tmp_path: Path, name: str, says: str) -> None:
    right = write(tmp_path, line(0))
    wrong = write(tmp_path, line(0), name=name)
    with pytest.raises(OhlcvtError, match=says):
        next(ohlcvt.read([right, wrong], fetched_at=FETCHED))


def test_minutes_without_a_line_are_filled_between_first_and_last(tmp_path: Path) -> None:
    sheet = read_one(write(tmp_path, line(5, 10.5), line(8, 11.0)))
    rows = sheet.candles.to_pandas()
    assert minutes_of(sheet) == [5, 6, 7, 8]
    assert sheet.filled == 2
    assert rows["open"].tolist() == [10.5, 10.5, 10.5, 11.0]
    assert rows["close"].tolist() == [10.5, 10.5, 10.5, 11.0]
    assert rows["volume"].tolist() == [1.5, 0, 0, 1.5]
    assert rows["trades"].tolist() == [3, 0, 0, 3]


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ("10,9,10,10,1,1", "high is below low"),
        ("nan,10,10,10,1,1", "open is not a number"),
        ("10,10,10,ten,1,1", "close is not a number"),
        ("10,inf,10,10,1,1", "high is not a number"),
        ("10,10,10,10,-1,1", "volume is negative"),
        ("10,10,10,10,1,1.5", "trades is not a count"),
        ("10,10,10,10", "volume is not a number"),
        (",,,,,", "open is not a number"),
    ],
)
def test_of_a_bad_line_the_minute_that_it_names_stays_absent(tmp_path: Path, cells: str, problem: str) -> None:
    # minutes 1, 4 and 6 are quiet; 3 is bad: something was traded in it, and nobody knows at which price
    path = write(tmp_path, line(0), line(2), f"{START + 180},{cells}", line(5), line(7))
    sheet = read_one(path)
    assert minutes_of(sheet) == [0, 1, 2, 4, 5, 6, 7]
    [rejected] = sheet.rejected
    assert rejected.problem == problem
    assert rejected.metric == "KRAKEN:BTCUSD"
    assert rejected.minute == datetime.fromtimestamp(START + 180, UTC)
    assert rejected.row == f"{START + 180},{cells}".rstrip(",")  # an empty cell is no cell


def test_a_time_off_the_minute_is_refused_and_as_if_it_were_not_there(tmp_path: Path) -> None:
    sheet = read_one(write(tmp_path, line(0), f"{START + 61},10,10,10,10,1,1", line(3)))
    assert minutes_of(sheet) == [0, 1, 2, 3]
    assert [str(row) for row in sheet.rejected] == [
        f"KRAKEN:BTCUSD 2023-11-14 22:15: time is not a whole minute ({START + 61},10,10,10,10,1,1)"
    ]


def test_a_bad_line_for_a_minute_that_also_has_a_sane_one_spoils_nothing(tmp_path: Path) -> None:
    sheet = read_one(write(tmp_path, line(0), f"{START + 60},10,10,10,10,-1,1", line(1, 12.0), line(3)))
    assert minutes_of(sheet) == [0, 1, 2, 3]
    assert sheet.candles.to_pandas()["close"].tolist() == [10.0, 12.0, 12.0, 10.0]


@pytest.mark.parametrize("content", ["", "\n", "nonsense\n", "time,open,high,low,close,volume,trades\n", "1,2\n" * 9])
def test_a_file_without_one_sane_line_says_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "XBTUSD_1.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(OhlcvtError, match=r"XBTUSD_1\.csv: "):
        read_one(path)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\x00\x00", b"PK\x03\x04\x14\x00" * 9])
def test_a_file_that_is_no_text_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "XBTUSD_1.csv"
    path.write_bytes(content)
    with pytest.raises(OhlcvtError, match=r"XBTUSD_1\.csv: "):
        read_one(path)


@pytest.mark.parametrize(
    ("odd", "names", "shown"),
    [
        (line(2) + ",1", 2, line(2) + ",1"),
        ("1,2,3,4,5,6,7,8,9,10,11", None, "1,2,3,4,5,6,7,8"),
        (f'"{line(2)}', None, f'"{line(2)}'),
        (f'{START + 120},"10,10,10,10,1,1', 2, f'{START + 120},"10,10,10,10,1,1'),
        ('note "hello, world" x', None, 'note "hello, world" x'),
        ('1700000160,\\"100,3', 2, '1700000160,\\"100,3'),
        (b"# prix \xe9t\xe9", None, "# prix ???"),
        (b"1700000160,10\xff.0,10,10,10,1,1", 2, "1700000160,10?.0,10,10,10,1,1"),
        (b"1700000160,10,10,10,10,1,1,\xff", 2, "1700000160,10,10,10,10,1,1,?"),
        ("#" + "x" * 3_000_000, None, "#" + "x" * 198 + "…"),
        ("1700000160," + "9" * 3_000_000, 2, "1700000160," + "9" * 188 + "…"),
        ("#a\r\r", None, "#a"),
        ("\r#a\r\n", None, "#a"),
    ],
)
def test_a_line_that_is_no_csv_is_named_and_hides_no_other(
    tmp_path: Path, odd: str | bytes, names: int | None, shown: str
) -> None:
    path = tmp_path / "XBTUSD_1.csv"
    odd = odd if isinstance(odd, bytes) else odd.encode()
    path.write_bytes(b"\n".join([line(0).encode(), odd, line(1).encode(), line(4).encode(), b""]))
    sheet = read_one(path)
    assert minutes_of(sheet) == [minute for minute in range(5) if minute != names]
    [rejected] = sheet.rejected
    assert rejected.row == shown
    assert rejected.minute == (None if names is None else datetime.fromtimestamp(START + 60 * names, UTC))


def test_cells_may_stand_in_quotes(tmp_path: Path) -> None:
    quoted = (",".join(f'"{cell}"' for cell in line(minute).split(",")) for minute in (0, 1, 3))
    sheet = read_one(write(tmp_path, *quoted))
    assert (minutes_of(sheet), sheet.filled, sheet.rejected) == ([0, 1, 2, 3], 1, [])


def test_lines_of_one_file_may_end_differently(tmp_path: Path) -> None:
    path = tmp_path / "XBTUSD_1.csv"
    path.write_bytes(f"{line(0)}\n{line(1)}\r\n{line(2)}\r{line(3)}\n\n{line(4)}\r\n\r\n{line(5)}".encode())
    sheet = read_one(path)
    assert (minutes_of(sheet), sheet.filled, sheet.rejected) == ([0, 1, 2, 3, 4, 5], 0, [])


@pytest.mark.parametrize("time", ["0", "60", str(START // 60), str(START // 3600), "1230767940"])
def test_a_line_from_before_anything_was_traded_is_refused_and_nothing_is_filled_from_there(
    tmp_path: Path, time: str
) -> None:
    sheet = read_one(write(tmp_path, f"{time},10,10,10,10,1,1", line(0), line(2)))
    assert minutes_of(sheet) == [0, 1, 2]
    [rejected] = sheet.rejected
    assert (rejected.minute, rejected.row) == (None, f"{time},10,10,10,10,1,1")


def test_a_file_in_another_unit_says_so(tmp_path: Path) -> None:
    with pytest.raises(OhlcvtError, match=r"one of 2 rejected: .*time is not between 2009 and 2100 \(2833333[45],"):
        read_one(write(tmp_path, *(f"{START // 60 + minute},10,10,10,10,1,1" for minute in range(2))))


def test_a_file_with_windows_line_ends_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "XBTUSD_1.csv"
    path.write_bytes("".join(f"{line(minute)}\r\n" for minute in (0, 1, 3)).encode())
    sheet = read_one(path)
    assert minutes_of(sheet) == [0, 1, 2, 3]
    assert sheet.candles.to_pandas()["trades"].tolist() == [3, 3, 0, 3]


def test_of_two_lines_for_one_minute_the_later_one_stands(tmp_path: Path) -> None:
    sheet = read_one(write(tmp_path, line(0, 9.0), line(1), line(0, 11.0)))
    assert sheet.candles.to_pandas()["close"].tolist() == [11.0, 10.0]


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(OhlcvtError, match=r"XBTUSD_1\.csv: "):
        read_one(tmp_path / "XBTUSD_1.csv")


@pytest.mark.parametrize(
    "odd",
    [
        "time,open,high,low,close,volume,trades",
        "# made by a merge tool",
        "end of file",
        ",,,,,,",
        "nan,10,11,9,10,1,3",
        "\0\0\0\0",
        "1700000040 10 11",
        "9" * 400 + ",10,11,9,10,1,3",
        f"{START + 60}.5,maintenance",
        f"{START + 61}",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_that_stands_for_no_minute_is_named_and_as_if_it_were_not_there(
    tmp_path: Path, odd: str, place: int
) -> None:
    lines = [line(0), line(3)]
    lines.insert(place, odd)
    sheet = read_one(write(tmp_path, *lines))
    assert minutes_of(sheet) == [0, 1, 2, 3]
    assert sheet.filled == 2
    assert len(sheet.rejected) == 1


@pytest.mark.parametrize(("apart", "filled"), [(1439, 1438), (1440, 1439), (1441, 0), (5000, 0)])
def test_a_silence_longer_than_a_day_is_unknown_and_not_quiet(tmp_path: Path, apart: int, filled: int) -> None:
    sheet = read_one(write(tmp_path, line(0), line(2), line(2 + apart), line(2 + apart + 2)))
    assert sheet.filled == filled + 2
    gaps = [(gap.first.timestamp(), gap.length) for gap in sheet.silences]
    assert gaps == ([] if filled else [(START + 180, apart - 1)])


def test_how_long_a_silence_may_be_can_be_set(tmp_path: Path) -> None:
    path = write(tmp_path, line(0), line(100), line(161))
    [sheet] = ohlcvt.read([path], fetched_at=datetime.now(UTC), longest=timedelta(hours=1))
    assert minutes_of(sheet) == [0, 100, 161]
    [sheet] = ohlcvt.read([path], fetched_at=datetime.now(UTC), longest=timedelta(hours=2))
    assert minutes_of(sheet) == list(range(162))


def test_a_bad_minute_is_listed_as_missed_and_the_right_file_repairs_it(tmp_path: Path) -> None:
    store = store_in(tmp_path / "data")
    bad = read_one(write(tmp_path, line(0), f"{START + 60},10,9,10,10,1,1", line(3)))
    store.prices.upsert(bad.candles)
    publish(store, ["KRAKEN:BTCUSD"], now=datetime.fromtimestamp(START + 300, UTC))
    missed = (
        open_prices(store.folder.published)
        .sql("SELECT epoch(minute)::BIGINT AS unix FROM missed_minutes ORDER BY minute")
        .df()
    )
    assert missed["unix"].tolist() == [START + 60]
    right = read_one(write(tmp_path, line(0), line(1, 10.0), line(3)))
    assert store.prices.upsert(right.candles).inserted == 1
    publish(store, ["KRAKEN:BTCUSD"], now=datetime.fromtimestamp(START + 300, UTC))
    assert open_prices(store.folder.published).sql("FROM missed_minutes").df().empty
    span = MinuteRange(datetime.fromtimestamp(START, UTC), datetime.fromtimestamp(START + 180, UTC))
    assert store.prices.gaps(["KRAKEN:BTCUSD"], *span) == {}
    assert np.isfinite(open_prices(store.folder.published).history("KRAKEN:BTCUSD", "price").df()["value"]).all()
