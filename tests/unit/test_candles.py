"""The candle: its name, its minutes, what makes it sane, what stands in for a minute without trades."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from time import process_time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pricetracker_dagster.candles.metric import MEASURES, Metric, parse_metric
from pricetracker_dagster.candles.minutes import (
    MINUTE,
    MinuteRange,
    floor_minute,
    minutes_between,
    minutes_of_day,
    newest_closed_minute,
    ranges,
)
from pricetracker_dagster.candles.no_trade import fill_no_trade_minutes
from pricetracker_dagster.candles.schema import NOT_TOLD, SCHEMA
from pricetracker_dagster.candles.table import by_day, newest_minute, of_metric, oldest_minute, spans_of
from pricetracker_dagster.candles.validate import (
    RejectedRow,
    Unvalidated,
    Validated,
    all_valid,
    validate_rows,
    validate_together,
)

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
UNIX = 1_772_539_200  # NOON
BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"


def at(minute: int) -> datetime:
    return NOON + minute * MINUTE


def raw(*values: object, metric: str = BTC) -> list[object]:
    """A candle as an exchange writes it; what is not given is sane."""
    sane = [UNIX, "10.0", "12.0", "9.0", "11.0", "1.5", 3]
    return [metric, *values, *sane[len(values) :]]


def candles(*rows: tuple[str, int, float]) -> pa.Table:
    """Metric, minute after NOON, price."""
    full = [(metric, at(minute), price, price + 1, price - 1, price, 2.0, 5, NOON) for metric, minute, price in rows]
    return (
        pa.table([list(column) for column in zip(*full, strict=True)], schema=SCHEMA) if full else SCHEMA.empty_table()
    )


def test_the_four_measures_have_their_names() -> None:
    assert MEASURES == ("price", "volume", "change_absolute", "change_percentage")


@pytest.mark.parametrize("text", ["KRAKEN:BTCUSD", "SIMULATED:ETH2.SETH", "BINANCE_US:1INCHUSD"])
def test_a_metric_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_metric(text)) == text
    assert parse_metric(text) == Metric(*text.split(":"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kraken:btcusd", r"did you mean KRAKEN:BTCUSD\?"),
        (" KRAKEN:BTCUSD", r"did you mean KRAKEN:BTCUSD\?"),
        ("KRAKEN:BTCUSD\n", "EXCHANGE:BASEQUOTE"),
        ("BTCUSD", "EXCHANGE:BASEQUOTE"),
        ("KRAKEN:", "EXCHANGE:BASEQUOTE"),
        ("KRAKEN:BTC//USD", "EXCHANGE:BASEQUOTE"),
        ("KRAKEN:BTC:USD", "EXCHANGE:BASEQUOTE"),
        ("1KRAKEN:BTCUSD", "EXCHANGE:BASEQUOTE"),
        ("", "EXCHANGE:BASEQUOTE"),
    ],
)
def test_what_is_no_metric_is_refused_with_the_way_out(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_metric(text)


def test_a_moment_lies_in_the_utc_minute_that_began_last() -> None:
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    assert floor_minute(datetime(2026, 3, 3, 17, 45, 59, 999999, tzinfo=kathmandu)) == NOON
    assert floor_minute(datetime(2026, 3, 3, 17, 45, 59, 999999, tzinfo=kathmandu)).tzinfo is UTC
    assert floor_minute(NOON) == NOON


def test_a_moment_without_time_zone_has_no_minute() -> None:
    with pytest.raises(ValueError, match=r"write e\.g\. 2026-03-03T12:00:00\+00:00"):
        floor_minute(NOON.replace(tzinfo=None))


def test_the_newest_closed_minute_is_the_one_before_the_running_one() -> None:
    assert newest_closed_minute(datetime(2026, 3, 3, 12, 5, 3, tzinfo=UTC)) == at(4)
    assert newest_closed_minute(at(5)) == at(4)
    assert newest_closed_minute(at(5) - timedelta(microseconds=1)) == at(3)


def test_minutes_between_include_both_ends() -> None:
    assert minutes_between(at(-1), at(1)) == [at(-1), at(0), at(1)]
    assert minutes_between(at(1), at(1)) == [at(1)]
    assert minutes_between(at(1), at(0)) == []


def test_a_day_ends_with_2359() -> None:
    first, last = minutes_of_day(date(2024, 2, 29))
    assert first == datetime(2024, 2, 29, tzinfo=UTC)
    assert last == datetime(2024, 2, 29, 23, 59, tzinfo=UTC)
    assert len(minutes_between(first, last)) == 1440


@pytest.mark.parametrize(
    ("first", "last", "text", "length"),
    [
        (at(4), at(4), "2026-03-03 12:04", 1),
        (at(4), at(9), "2026-03-03 12:04 to 12:09 (6 minutes)", 6),
        (at(718), at(721), "2026-03-03 23:58 to 2026-03-04 00:01 (4 minutes)", 4),
    ],
)
def test_a_range_reads_as_a_person_says_it(first: datetime, last: datetime, text: str, length: int) -> None:
    assert str(MinuteRange(first, last)) == text
    assert MinuteRange(first, last).length == length


@given(st.lists(st.integers(-30, 30)))
def test_ranges_hold_exactly_the_minutes_and_are_as_few_as_can_be(numbers: list[int]) -> None:
    joined = ranges(at(number) for number in numbers)
    assert [minute for span in joined for minute in minutes_between(*span)] == [
        at(number) for number in sorted(set(numbers))
    ]
    assert all(later.first - earlier.last > MINUTE for earlier, later in pairwise(joined))


def test_a_sane_row_becomes_a_candle_of_the_exact_numbers() -> None:
    validated = validate_rows([raw(UNIX, "22414.90", "22500", "0.30000000000000004", 22415, "0.00000001", "7")], NOON)
    assert validated.rejected == []
    assert validated.kept.schema == SCHEMA
    assert validated.kept.to_pylist() == [
        {
            "metric": BTC,
            "minute": NOON,
            "open": 22414.9,
            "high": 22500.0,
            "low": 0.30000000000000004,
            "close": 22415.0,
            "volume": 1e-8,
            "trades": 7,
            "fetched_at": NOON,
        }
    ]


CELLS = st.sampled_from([-1.0, -0.0, 0.0, 5e-324, 1.0, 2.0, 1.7e308, float("inf"), float("-inf"), float("nan")])
TIMES = st.sampled_from([1_230_767_940, 1_230_768_000, UNIX, UNIX + 1, 4_102_444_740, 4_102_444_800, -60, 0])


@given(st.lists(st.tuples(TIMES, *[CELLS] * 5, st.sampled_from([-1, 0, 3, 2**63 - 1])), min_size=1, max_size=2))
@example([(UNIX, 1.0, 2.0, 1.0, 2.0, 1.0, 3)])
@example([(UNIX, 1.0, 2.0, 1.0, 2.0, 1.0, 3), (UNIX, 1.0, 1.0, 2.0, 1.0, 1.0, 3)])
@example([(UNIX, 1.0, 2.0, 1.0, 3.0, 1.0, 3)])
@example([(UNIX, 0.0, 2.0, 1.0, 2.0, 1.0, 3)])
@example([(UNIX, 1.0, 2.0, 1.0, float("nan"), 1.0, 3)])
@example([(UNIX, 1.0, 2.0, 1.0, 2.0, float("inf"), 3)])
@example([(UNIX, 1.0, 2.0, 1.0, 2.0, 1.0, -1)])
@example([(UNIX + 1, 1.0, 2.0, 1.0, 2.0, 1.0, 3)])
def test_columns_of_numbers_are_all_valid_where_no_row_of_them_is_rejected(rows: list[tuple[float, ...]]) -> None:
    names = ("unix", "open", "high", "low", "close", "volume", "trades")
    cells = zip(names, zip(*rows, strict=True), strict=True)
    columns = {name: np.array(of, np.int64 if name in ("unix", "trades") else np.float64) for name, of in cells}
    # a count above 2**53 is rounded where it is read as text, and 2**63 is none
    expected = all(not validate_rows([[BTC, *row[:6], min(row[6], 2**53)]], NOON).rejected for row in rows)
    assert all_valid(columns) is expected


@given(TIMES, st.tuples(*[CELLS] * 5))
@example(UNIX, (1.0, 2.0, 1.0, 2.0, 1.0))
def test_a_row_whose_count_is_not_told_is_judged_by_all_else_it_says(unix: int, cells: tuple[float, ...]) -> None:
    untold, none = (validate_rows([[BTC, unix, *cells, count]], NOON) for count in (NOT_TOLD, 0))
    assert [row.problem for row in untold.rejected] == [row.problem for row in none.rejected]
    assert untold.kept["trades"].to_pylist() == [None] * none.kept.num_rows


def test_the_edges_of_sanity_are_kept() -> None:
    rows = [
        raw(UNIX, 0, 0, 0, 0, 0, 0),  # all for nothing
        raw(1_230_768_000, 1, 1, 1, 1),  # 2009-01-01 00:00
        raw(4_102_444_740, 1, 1, 1, 1),  # 2099-12-31 23:59
        raw(UNIX + 60, "1e3", "1e3", "1e3", "1e3", "1e-9", "2e0"),
        raw(f"{UNIX + 120}.0"),
    ]
    validated = validate_rows(rows, NOON)
    assert validated.rejected == []
    assert validated.kept.num_rows == 5


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["soon"], "time is not a number"),
        ([None], "time is not a number"),
        (["nan"], "time is not a number"),
        ([0], "time is not between 2009 and 2100"),
        ([1_230_767_940], "time is not between 2009 and 2100"),
        ([UNIX // 60], "time is not between 2009 and 2100"),
        ([-60], "time is not between 2009 and 2100"),
        ([4_102_444_800], "time is not between 2009 and 2100"),
        ([UNIX * 1000], "time is not between 2009 and 2100"),
        ([UNIX + 1], "time is not a whole minute"),
        ([UNIX + 0.5], "time is not a whole minute"),
        ([UNIX, "ten"], "open is not a number"),
        ([UNIX, "1_0"], "open is not a number"),
        ([UNIX, 10, 12, 9, 11, "1_5"], "volume is not a number"),
        ([f"{UNIX // 1000}_{UNIX % 1000}"], "time is not a number"),
        ([UNIX, None], "open is not a number"),
        ([UNIX, "nan"], "open is not a number"),
        ([UNIX, 10, "inf"], "high is not a number"),
        ([UNIX, 10, 12, "-inf"], "low is not a number"),
        ([UNIX, 10, 12, ""], "low is not a number"),
        ([UNIX, 10, 12, 9, "1,1"], "close is not a number"),
        ([UNIX, 10, 12, 9, 11, "NaN"], "volume is not a number"),
        ([UNIX, 10, 12, 9, 11, 1, "many"], "trades is not a number"),
        ([UNIX, 10, 12, 9, 11, 1, "nan"], "trades is not a number"),
        ([UNIX, 10, 12, -9, 11], "a price is negative"),
        ([UNIX, -10, -9, -12, -11], "a price is negative"),
        ([UNIX, 10, 12, 9, 11, -0.1], "volume is negative"),
        ([UNIX, 10, 12, 9, 11, 1, -1], "trades is not a count"),
        ([UNIX, 10, 12, 9, 11, 1, 1.5], "trades is not a count"),
        ([UNIX, 10, 9, 12, 11], "high is below low"),
        ([UNIX, 13, 12, 9, 11], "open or close is outside low to high"),
        ([UNIX, 8, 12, 9, 11], "open or close is outside low to high"),
        ([UNIX, 10, 12, 9, 13], "open or close is outside low to high"),
        ([UNIX, 10, 12, 9, 8], "open or close is outside low to high"),
    ],
)
def test_a_row_that_is_no_candle_is_refused_with_its_reason_and_the_rest_kept(
    values: list[object], problem: str
) -> None:
    validated = validate_rows([raw(UNIX - 60), raw(*values), raw(UNIX + 60)], NOON)
    assert sorted(validated.kept["minute"].to_pylist()) == [at(-1), at(1)]
    [rejected] = validated.rejected
    assert (rejected.metric, rejected.problem) == (BTC, problem)


@pytest.mark.parametrize("time", [UNIX, UNIX + 1, UNIX + 59.9, f"{UNIX}.0"])
def test_the_minute_of_a_refused_row_is_known_where_its_time_can_be_read(time: object) -> None:
    [rejected] = validate_rows([raw(time, "bad")], NOON).rejected
    assert rejected.minute == NOON


@pytest.mark.parametrize("time", ["soon", None, -60, 0, UNIX // 60, UNIX * 1000, "inf", "nan"])
def test_the_minute_of_a_refused_row_is_unknown_where_its_time_says_nothing(time: object) -> None:
    [rejected] = validate_rows([raw(time)], NOON).rejected
    assert rejected.minute is None


def test_a_refusal_shows_what_was_there() -> None:
    [rejected] = validate_rows([raw(UNIX, 10, 9, 12, 11)], NOON).rejected
    assert str(rejected) == f"{BTC} 2026-03-03 12:00: high is below low ({UNIX},10,9,12,11,1.5,3)"
    assert (
        str(RejectedRow(BTC, None, "time is not a number", "x,1"))
        == f"{BTC} minute unknown: time is not a number (x,1)"
    )


def test_a_refusal_shows_the_beginning_of_what_is_long() -> None:
    [rejected] = validate_rows([raw(UNIX, "9" * 1_000_000)], NOON).rejected
    assert rejected.row == f"{UNIX},{'9' * 188}…"
    [rejected] = validate_rows([["KRAKEN:BTCUSD", "x" * 200, *[None] * 6]], NOON).rejected
    assert rejected.row == "x" * 200


def test_of_two_sane_rows_for_a_minute_the_later_stands_and_nobody_is_refused() -> None:
    rows = [raw(UNIX, 10, 12, 9, 10), raw(UNIX, 10, 12, 9, 11), raw(UNIX, 10, 12, 9, 9, metric=ETH)]
    validated = validate_rows(rows, NOON)
    assert validated.rejected == []
    assert {row["metric"]: row["close"] for row in validated.kept.to_pylist()} == {BTC: 11.0, ETH: 9.0}


def test_a_bad_row_after_a_sane_one_for_the_same_minute_is_refused_and_the_sane_one_stands() -> None:
    validated = validate_rows([raw(UNIX, 10, 12, 9, 10), raw(UNIX, 10, 12, 9, "bad"), raw(UNIX, "bad")], NOON)
    assert {rejected.problem for rejected in validated.rejected} == {"close is not a number", "open is not a number"}
    assert validated.kept["close"].to_pylist() == [10.0]


def test_no_rows_are_sifted_to_none() -> None:
    validated = validate_rows([], NOON)
    assert validated.kept == SCHEMA.empty_table()
    assert validated.rejected == []


def test_answers_of_many_metrics_validated_together_are_what_each_is_alone() -> None:
    answered = [NOON + timedelta(microseconds=metric) for metric in range(200)]
    rows = [
        [
            raw(UNIX - 60 * i, 10, 12, 9, 11, "bad" if (metric + i) % 7 == 0 else metric, metric=f"A:M{metric}")
            for i in range(5)
        ]
        for metric in range(200)
    ]
    answers = [Unvalidated(own, moment) for own, moment in zip(rows, answered, strict=True)]
    stated = Validated(candles((BTC, 0, 1.0)), [], candles((BTC, 0, 1.0)).select(["metric", "minute"]))
    together = validate_together([*answers[:100], stated, *answers[100:]])
    bad = [(f"A:M{metric}", at(-i)) for metric in range(200) for i in range(5) if (metric + i) % 7 == 0]
    assert [(row.metric, row.minute) for row in together.rejected] == bad
    assert {row.problem for row in together.rejected} == {"volume is not a number"}
    kept = {(row["metric"], row["minute"]): (row["volume"], row["fetched_at"]) for row in together.kept.to_pylist()}
    assert kept.pop((BTC, NOON)) == (2.0, NOON)
    whole = {(f"A:M{metric}", at(-i)): (metric, answered[metric]) for metric in range(200) for i in range(5)}
    assert kept == {key: value for key, value in whole.items() if key not in bad}
    assert together.derived == stated.derived
    assert answers[3].kept.num_rows == 4
    assert answers[3].rejected == [row for row in together.rejected if row.metric == "A:M3"]


@pytest.mark.parametrize(
    ("row", "speaks"),
    [
        (raw(UNIX), True),
        (raw(UNIX, "bad"), True),  # it is rejected, and the minute was answered for
        (raw(UNIX + 7), True),
        (raw(UNIX + 60), True),
        (raw(str(UNIX)), True),
        (raw(UNIX - 60), False),
        (raw(UNIX + 67), False),
        (raw("soon"), False),
        (raw(None), False),
        (raw("inf"), False),
        ([BTC], False),
    ],
)
def test_an_answer_speaks_of_a_minute_where_a_row_bears_it_or_a_later_one_is_whole(
    row: list[object], speaks: bool
) -> None:
    assert Unvalidated([raw(UNIX - 120), row], NOON).speaks_of(NOON) == speaks


def test_first_and_last_minute_of_each_metric() -> None:
    some = candles((BTC, 3, 1.0), (ETH, -2, 1.0), (BTC, 1, 1.0))
    assert spans_of(some) == {BTC: MinuteRange(at(1), at(3)), ETH: MinuteRange(at(-2), at(-2))}
    assert spans_of(candles()) == {}
    assert of_metric(some, ETH) == candles((ETH, -2, 1.0))


def test_oldest_and_newest_minute_of_candles() -> None:
    some = candles((BTC, 3, 1.0), (ETH, -2, 1.0), (BTC, 1, 1.0))
    assert (oldest_minute(some), newest_minute(some)) == (at(-2), at(3))
    assert (oldest_minute(candles()), newest_minute(candles())) == (None, None)


def test_candles_part_by_utc_day_within_bounds() -> None:
    some = candles((BTC, 719, 1.0), (BTC, 720, 2.0), (ETH, 721, 3.0), (BTC, -721, 4.0), (BTC, 9999, 5.0))
    days = by_day(some, at(-720), at(800))
    assert [(day, table["open"].to_pylist()) for day, table in days.items()] == [
        (date(2026, 3, 3), [1.0]),
        (date(2026, 3, 4), [2.0, 3.0]),
    ]
    assert all(table.schema == SCHEMA for table in days.values())
    assert by_day(candles(), at(0), at(1)) == {}


def prices(filled: pa.Table) -> list[tuple[str, int, float, float]]:
    """Metric, minute after NOON, close, volume; the other prices must follow from them."""
    found = []
    for row in filled.to_pylist():
        if row["trades"] == 0:
            assert row["open"] == row["high"] == row["low"] == row["close"]
        else:
            assert (row["open"], row["high"], row["low"]) == (row["close"], row["close"] + 1, row["close"] - 1)
        assert (row["trades"], row["volume"]) in {(0, 0.0), (5, 2.0)}
        found.append((row["metric"], (row["minute"] - NOON) // MINUTE, row["close"], row["volume"]))
    return found


def test_a_minute_without_trades_is_a_row_at_the_previous_close() -> None:
    filled = fill_no_trade_minutes(candles((BTC, 0, 10.0), (BTC, 3, 12.0)), {BTC: MinuteRange(at(0), at(4))})
    assert filled.schema == SCHEMA
    assert prices(filled) == [
        (BTC, 0, 10.0, 2.0),
        (BTC, 1, 10.0, 0.0),
        (BTC, 2, 10.0, 0.0),
        (BTC, 3, 12.0, 2.0),
        (BTC, 4, 12.0, 0.0),
    ]


def test_a_candle_before_the_span_opens_it_and_is_not_returned() -> None:
    filled = fill_no_trade_minutes(candles((BTC, -7, 10.0), (BTC, 9, 5.0)), {BTC: MinuteRange(at(0), at(1))})
    assert prices(filled) == [(BTC, 0, 10.0, 0.0), (BTC, 1, 10.0, 0.0)]


def test_minutes_before_the_first_candle_stay_absent() -> None:
    filled = fill_no_trade_minutes(
        candles((BTC, 2, 10.0)), {BTC: MinuteRange(at(0), at(3)), ETH: MinuteRange(at(0), at(3))}
    )
    assert prices(filled) == [(BTC, 2, 10.0, 2.0), (BTC, 3, 10.0, 0.0)]


def test_each_metric_is_filled_over_its_own_span_with_its_own_prices() -> None:
    some = candles((BTC, 0, 10.0), (ETH, 1, 20.0), ("KRAKEN:XRPUSD", 0, 30.0))
    filled = fill_no_trade_minutes(some, {BTC: MinuteRange(at(0), at(1)), ETH: MinuteRange(at(1), at(2))})
    assert prices(filled) == [(BTC, 0, 10.0, 2.0), (BTC, 1, 10.0, 0.0), (ETH, 1, 20.0, 2.0), (ETH, 2, 20.0, 0.0)]


def test_a_refused_minute_and_the_quiet_ones_after_it_stay_absent() -> None:
    some = candles((BTC, 0, 10.0), (BTC, 5, 12.0), (ETH, 0, 20.0))
    spans = {BTC: MinuteRange(at(0), at(6)), ETH: MinuteRange(at(0), at(3))}
    filled = fill_no_trade_minutes(some, spans, [(BTC, at(2)), (BTC, at(2)), (BTC, at(4))])
    assert [(metric, minute) for metric, minute, _, _ in prices(filled)] == [
        *((BTC, minute) for minute in (0, 1, 5, 6)),
        *((ETH, minute) for minute in (0, 1, 2, 3)),
    ]


def test_a_minute_can_stay_absent_alone() -> None:
    some = candles((BTC, 0, 10.0), (BTC, 5, 12.0), (ETH, 0, 20.0))
    spans = {BTC: MinuteRange(at(0), at(6)), ETH: MinuteRange(at(0), at(2))}
    filled = fill_no_trade_minutes(some, spans, absent=[(BTC, at(2)), (BTC, at(5)), (BTC, at(6)), (BTC, at(2))])
    assert [(metric, minute, price) for metric, minute, price, _ in prices(filled)] == [
        *((BTC, minute, 10.0) for minute in (0, 1, 3, 4)),
        (BTC, 5, 12.0),
        *((ETH, minute, 20.0) for minute in (0, 1, 2)),
    ]


def test_what_is_filled_costs_what_is_filled_however_far_apart_two_candles_are() -> None:
    some = candles((BTC, -6_000_000, 10.0), (BTC, 0, 10.0), (BTC, 2, 10.0))  # eleven years
    begun = process_time()
    filled = fill_no_trade_minutes(some, {BTC: MinuteRange(at(-6_000_000), at(2))}, longest=timedelta(hours=24))
    assert [minute for _, minute, _, _ in prices(filled)] == [-6_000_000, 0, 1, 2]
    assert process_time() - begun < 1.0  # 0.02 s; a grid of all these minutes takes 9


def test_a_refused_row_for_a_minute_that_has_a_candle_spoils_nothing() -> None:
    filled = fill_no_trade_minutes(candles((BTC, 0, 10.0)), {BTC: MinuteRange(at(0), at(2))}, [(BTC, at(0))])
    assert [minute for _, minute, _, _ in prices(filled)] == [0, 1, 2]


@given(
    st.dictionaries(st.tuples(st.sampled_from([BTC, ETH]), st.integers(-3, 12)), st.integers(1, 9), max_size=12),
    st.sets(st.tuples(st.sampled_from([BTC, ETH]), st.integers(-3, 12)), max_size=4),
    st.integers(0, 5),
    st.integers(0, 8),
)
def test_filling_does_what_a_loop_over_the_minutes_would(
    have: dict[tuple[str, int], int], refused: set[tuple[str, int]], first: int, length: int
) -> None:
    expected = []
    for metric in (BTC, ETH):
        close: float | None = None
        for minute in range(-3, first + length + 1):
            if (metric, minute) in have:
                close = float(have[metric, minute])
            elif (metric, minute) in refused:
                close = None
            if minute >= first and close is not None:
                expected.append((metric, minute, close, 2.0 if (metric, minute) in have else 0.0))
    span = MinuteRange(at(first), at(first + length))
    some = candles(*((metric, minute, float(price)) for (metric, minute), price in have.items()))
    left_out = [(metric, at(minute)) for metric, minute in refused]
    assert prices(fill_no_trade_minutes(some, {BTC: span, ETH: span}, left_out)) == expected
