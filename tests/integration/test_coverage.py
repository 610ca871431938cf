"""Which minutes are missing: one definition for whoever asks for them, publishes them or tells of them."""

from datetime import timedelta
from pathlib import Path

import pytest

from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.store.coverage import missing
from pricetracker_dagster.store.store import store_in
from tests.integration.conftest import NOON

BTC = "KRAKEN:BTCUSD"
DAYS = 24 * 60

CASES = [
    # stored minutes, tracked or asked for since, missing among 0 to 9; minutes are counted from noon
    ("every minute is there", range(10), None, []),
    ("a hole", [0, 1, 4, 9], None, [(2, 3), (5, 8)]),
    ("the newest ones are absent", range(6), None, [(6, 9)]),
    ("what is before the first row is not missing", range(4, 10), None, []),
    ("nor is anything where nothing was ever stored", [], None, []),
    ("since it is tracked, it is missing before the first row", range(4, 10), 2, [(2, 3)]),
    ("also where nothing was ever stored", [], 7, [(7, 9)]),
    ("what was stored before it was tracked counts from its first row on", [1, 2, 5], 4, [(3, 4), (6, 9)]),
    ("a moment after the range expects nothing", [], 10, []),
    ("a moment before the range expects all of it", [8], -100, [(0, 7), (9, 9)]),
    ("a row before the range says that it has begun", [-1, 5], None, [(0, 4), (6, 9)]),
    ("also six days before", [-6 * DAYS, 5], None, [(0, 4), (6, 9)]),
    ("but not eight days before: cost must not grow with history", [-8 * DAYS, 5], None, [(6, 9)]),
    ("not even where it was tracked later", [-8 * DAYS], 8, [(8, 9)]),
]


@pytest.mark.parametrize(("case", "stored", "since", "expected"), CASES, ids=[case for case, *_ in CASES])
def test_a_minute_is_missing_where_it_is_expected_and_has_no_row(
    tmp_path: Path, case: str, stored: list[int], since: int | None, expected: list[tuple[int, int]]
) -> None:
    del case
    noon = NOON.replace(second=0)
    prices = store_in(tmp_path).prices
    unix = int(noon.timestamp())
    prices.upsert(validate_rows([(BTC, unix + 60 * i, 1, 1, 1, 1, 1, 1) for i in stored], noon).kept)
    begin = None if since is None else noon + since * MINUTE
    gaps = [MinuteRange(noon + first * MINUTE, noon + last * MINUTE) for first, last in expected]
    found = missing(prices, {BTC: begin}, noon, noon + timedelta(minutes=9))
    assert found == ({BTC: gaps} if gaps else {})
