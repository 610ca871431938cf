"""What is stored of days that are over is read once, and again where their files are others: no gap is overlooked."""

import json
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, ranges
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.store import Store, store_in

MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC)
LAST = MIDNIGHT + timedelta(hours=2, minutes=7)
BTC, ETH, XRP = METRICS = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"]

Minutes = dict[str, set[datetime]]
Look = tuple[dict[str, datetime], dict[str, list[MinuteRange]]]


def put(store: Store, minutes: Minutes) -> None:
    rows = [(metric, int(minute.timestamp()), 1, 1, 1, 1, 1, 1) for metric, some in minutes.items() for minute in some]
    store.prices.upsert(validate_rows(rows, LAST + 2 * MINUTE).kept, now=LAST + 2 * MINUTE)


def every(first: datetime, last: datetime) -> set[datetime]:
    return {first + number * MINUTE for number in range((last - first) // MINUTE + 1)}


def expected(
    minutes: Minutes, first: datetime, last: datetime
) -> tuple[dict[str, datetime], dict[str, list[MinuteRange]]]:
    """Return newest minutes and gaps of METRICS by sets of minutes."""
    wanted = every(first, last)
    newest = {metric: max(wanted & some) for metric, some in minutes.items() if wanted & some}
    gaps = {metric: ranges(wanted - minutes.get(metric, set())) for metric in METRICS}
    return newest, {metric: of_metric for metric, of_metric in gaps.items() if of_metric}


def looked(
    store: Store, first: datetime, last: datetime = LAST
) -> tuple[dict[str, datetime], dict[str, list[MinuteRange]]]:
    return store.prices.newest_and_gaps(METRICS, first, last, keep=True)


def days_of(store: Store) -> list[str]:
    return sorted(json.loads((store.folder.state / "stored_days.json").read_text())["days"])


def files_of(store: Store, day: datetime) -> list[Path]:
    return [Path(file) for file in store.prices.files() if f"/date={day:%Y-%m-%d}/" in file]


def spoil(file: Path, *, later: bool = False) -> None:
    """Make a file unreadable, with its size and, where not later, its time."""
    status = file.stat()
    file.write_bytes(b"\0" * status.st_size)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + (1_000_000 if later else 0)))


@pytest.fixture
def week(tmp_path: Path) -> tuple[Store, Minutes]:
    """Three whole days and two hours of BTC, a holed day of ETH, the newest day of XRP alone; joined as upkeep does."""
    store = store_in(tmp_path)
    minutes = {
        BTC: every(MIDNIGHT - 3 * DAY, LAST),
        ETH: every(MIDNIGHT - 2 * DAY, LAST) - every(MIDNIGHT - DAY + 5 * MINUTE, MIDNIGHT - DAY + 9 * MINUTE),
        XRP: every(MIDNIGHT + 3 * MINUTE, LAST - MINUTE),
    }
    put(store, minutes)
    maintain(store)
    return store, minutes


def test_looks_from_any_minute_on_find_the_same_as_sets_of_minutes_first_and_again(week: tuple[Store, Minutes]) -> None:
    store, minutes = week
    lots = random.Random(11)  # noqa: S311 - a draw
    begins = [MIDNIGHT - 4 * DAY, MIDNIGHT - DAY, MIDNIGHT - DAY + 7 * MINUTE, MIDNIGHT - 3 * DAY - MINUTE, LAST]
    begins += [LAST - lots.randrange(4 * 1440) * MINUTE for _ in range(12)]
    for first in begins:
        for last in (LAST, first + (LAST - first) // MINUTE // 2 * MINUTE):
            assert looked(store, first, last) == expected(minutes, first, last), (first, last)
    assert days_of(store) == ["2026-02-28", "2026-03-01", "2026-03-02"]


def test_the_files_of_a_day_that_is_over_are_not_read_again(week: tuple[Store, Minutes]) -> None:
    store, minutes = week
    first = MIDNIGHT - 3 * DAY
    looked(store, first)
    for file in files_of(store, MIDNIGHT - 2 * DAY):
        spoil(file)
    assert looked(store, first) == expected(minutes, first, LAST)


def test_a_file_that_was_written_over_is_read_and_what_is_wrong_with_it_said(week: tuple[Store, Minutes]) -> None:
    store, _ = week
    looked(store, MIDNIGHT - 3 * DAY)
    [file] = files_of(store, MIDNIGHT - 2 * DAY)
    spoil(file, later=True)
    with pytest.raises(StoreError, match=file.name):
        looked(store, MIDNIGHT - 3 * DAY)


def test_minutes_that_come_late_are_seen_and_so_is_a_day_that_was_joined_since(week: tuple[Store, Minutes]) -> None:
    store, minutes = week
    first = MIDNIGHT - 3 * DAY
    looked(store, first)
    late = every(MIDNIGHT - DAY + 6 * MINUTE, MIDNIGHT - DAY + 7 * MINUTE)
    put(store, {ETH: late, XRP: late})
    minutes[ETH] |= late
    minutes[XRP] |= late
    assert looked(store, first) == expected(minutes, first, LAST)
    maintain(store)
    assert looked(store, first) == expected(minutes, first, LAST)


def test_a_look_at_a_few_metrics_keeps_what_others_need(week: tuple[Store, Minutes]) -> None:
    store, minutes = week
    store.prices.newest_and_gaps([XRP], MIDNIGHT - 3 * DAY, LAST, keep=True)
    assert looked(store, MIDNIGHT - 3 * DAY) == expected(minutes, MIDNIGHT - 3 * DAY, LAST)


DAMAGED = [
    "",
    "{",
    "[]",
    '{"days": 5, "wholes": {}}',
    '{"days": {"yesterday": {}}, "wholes": [[]]}',
    '{"days": {"2026-03-01": 3, "2026-03-02": null}, "wholes": [["KRAKEN:BTCUSD"]]}',
]


@pytest.mark.parametrize("text", DAMAGED)
def test_what_is_lost_or_damaged_is_read_again(week: tuple[Store, Minutes], text: str) -> None:
    store, minutes = week
    first = MIDNIGHT - 3 * DAY
    looked(store, first)
    (store.folder.state / "stored_days.json").write_text(text)
    for _ in range(2):
        assert looked(store, first) == expected(minutes, first, LAST)
    assert days_of(store) == ["2026-02-28", "2026-03-01", "2026-03-02"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("whole", 7),
        ("whole", None),
        ("partly", []),
        ("partly", {ETH: [5, 3, 1]}),
        ("partly", {ETH: [0, 9]}),
        ("files", 1),
    ],
)
def test_an_entry_that_cannot_be_is_read_again(week: tuple[Store, Minutes], key: str, value: object) -> None:
    store, minutes = week
    first = MIDNIGHT - 3 * DAY
    looked(store, first)
    file = store.folder.state / "stored_days.json"
    kept = json.loads(file.read_text())
    kept["days"]["2026-03-02"][key] = value
    file.write_text(json.dumps(kept))
    assert looked(store, first) == expected(minutes, first, LAST)


def test_days_of_long_ago_are_kept_no_more_once_newer_ones_come(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    old = MIDNIGHT - 100 * DAY
    put(store, {BTC: every(old, old + timedelta(hours=30))})
    store.prices.newest_and_gaps([BTC], old, old + DAY + MINUTE, keep=True)
    assert days_of(store) == [f"{old:%Y-%m-%d}"]
    put(store, {BTC: every(MIDNIGHT - DAY, LAST)})
    store.prices.newest_and_gaps([BTC], MIDNIGHT - DAY, LAST, keep=True)
    assert days_of(store) == ["2026-03-02"]


def test_where_it_cannot_be_written_nothing_is_kept_and_nothing_is_wrong(week: tuple[Store, Minutes]) -> None:
    store, minutes = week
    (store.folder.state / "stored_days.json").mkdir(parents=True)
    assert looked(store, MIDNIGHT - 3 * DAY) == expected(minutes, MIDNIGHT - 3 * DAY, LAST)


def test_who_only_looks_writes_nothing_and_finds_the_same(week: tuple[Store, Minutes]) -> None:
    store, minutes = week
    first = MIDNIGHT - 3 * DAY
    for _ in range(2):
        assert store.prices.newest_and_gaps(METRICS, first, LAST) == expected(minutes, first, LAST)
    assert not (store.folder.state / "stored_days.json").exists()
