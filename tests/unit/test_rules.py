"""The rule: what is above so many times its average, by worked examples and against a loop in plain Python."""

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricetracker_dagster import sql
from pricetracker_dagster.alerts.backtest import BROKEN, Episode, joined
from pricetracker_dagster.alerts.rules import ABOVE, NOT_ABOVE, Verdict, judge
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import AlertRule
from tests.quick import examples

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
BTC, ETH, OTHER = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "SIMULATED:BTCUSD"
NAN, INF = float("nan"), float("inf")

TOO_FEW, TOO_SMALL, NO_VALUE = "too few points", "average too small", "no value"

Candle = tuple[str, int, float, float, float]
"""Metric, minute after NOON, open, close, volume."""

Key = tuple[str, str, str, int]
"""Rule, metric, measure, minute after NOON."""


def at(minute: int) -> datetime:
    return NOON + minute * MINUTE


def volume(minute: int, value: float, metric: str = BTC) -> Candle:
    return metric, minute, 10.0, 10.0, value


def change(minute: int, opened: float, closed: float, metric: str = BTC) -> Candle:
    return metric, minute, opened, closed, 1.0


def hour(value: float, before: int = 0, length: int = 60) -> list[Candle]:
    """The minutes before a minute, all of one volume."""
    return [volume(minute, value) for minute in range(before - length, before)]


def rule(*measures: str, **values: Any) -> AlertRule:
    return AlertRule.model_validate({"measures": measures or ("volume",), **values})


def judged(
    candles: Iterable[Candle],
    *rules: AlertRule,
    first: int = 0,
    last: int = 0,
    only: str | None = None,
) -> dict[Key, Verdict]:
    """What judge() says of the minutes from first to last, each once."""
    connection = sql.connect()
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE candles AS SELECT unnest($rows::STRUCT(
            metric VARCHAR, minute TIMESTAMPTZ, open DOUBLE, close DOUBLE, volume DOUBLE)[], recursive := true)""",
        {
            "rows": [
                {"metric": metric, "minute": at(minute), "open": opened, "close": closed, "volume": traded}
                for metric, minute, opened, closed, traded in candles
            ]
        },
    )
    answer = judge(connection, rules or (rule(),), at(first), at(last), only).rows()
    by_key = {
        (verdict.rule, verdict.metric, verdict.measure, (verdict.minute - NOON) // MINUTE): verdict
        for verdict in answer
    }
    assert len(by_key) == len(answer)
    return by_key


def the_one(candles: Iterable[Candle], *rules: AlertRule) -> Verdict:
    """The only verdict on minute 0."""
    [verdict] = judged(candles, *rules).values()
    return verdict


def test_three_times_a_volume_averaged_100_is_not_above_and_301_is() -> None:
    assert the_one([*hour(100), volume(0, 300)]) == ("spike", BTC, "volume", NOON, 300, 100, 3.0, 60, NOT_ABOVE)
    assert the_one([*hour(100), volume(0, 301)]) == ("spike", BTC, "volume", NOON, 301, 100, 3.01, 60, ABOVE)


def test_the_average_is_that_of_the_hour_and_not_a_constant() -> None:
    varied = [volume(minute, 50 if minute % 2 else 150) for minute in range(-60, 0)]
    assert the_one([*varied, volume(0, 301)])[4:] == (301, 100, 3.01, 60, ABOVE)


def test_the_minute_judged_and_those_after_it_are_not_in_its_average() -> None:
    verdict = the_one([*hour(100), volume(0, 1e6), volume(1, 1e9), volume(60, 1e9)])
    assert (verdict.average, verdict.points) == (100, 60)


def test_a_minute_60_before_counts_and_one_61_before_does_not() -> None:
    a_few = rule(min_points=1)
    verdict = the_one([volume(-61, 1e6), volume(-60, 100), volume(0, 301)], a_few)
    assert verdict[4:] == (301, 100, 3.01, 1, ABOVE)
    verdict = the_one([volume(-61, 1e6), volume(0, 301)], a_few)
    assert verdict[4:] == (301, None, None, 0, TOO_FEW)


def test_with_a_gap_the_average_does_not_reach_further_back_for_rows() -> None:
    old = hour(1e6, before=-60)  # minutes -120 to -61
    near = [volume(minute, 100) for minute in range(-60, 0, 2)]  # 30 of the 60
    assert the_one([*old, *near, volume(0, 301)])[4:] == (301, 100, 3.01, 30, ABOVE)


@pytest.mark.parametrize("residue", range(7))
def test_the_window_is_the_same_wherever_in_the_hour_the_minute_lies(residue: int) -> None:
    seven = rule(window_minutes=7, min_points=1)
    candles = [volume(residue - 8, 1e6), *hour(100, before=residue, length=7), volume(residue, 301)]
    [verdict] = judged(candles, seven, first=residue, last=residue).values()
    assert verdict[4:] == (301, 100, 3.01, 7, ABOVE)


def test_a_minute_with_fewer_points_than_asked_for_is_not_judged_and_said_so() -> None:
    assert the_one([*hour(100, length=29), volume(0, 1e6)])[4:] == (1e6, 100, 1e4, 29, TOO_FEW)
    assert the_one([*hour(100, length=30), volume(0, 1e6)])[4:] == (1e6, 100, 1e4, 30, ABOVE)


def test_an_average_of_nothing_is_not_judged() -> None:
    assert the_one([*hour(0), volume(0, 5)])[4:] == (5, 0, None, 60, TOO_SMALL)
    assert the_one([*hour(0), volume(0, 0)])[4:] == (0, 0, None, 60, TOO_SMALL)


def test_an_average_is_judged_only_above_the_least_one() -> None:
    assert the_one([*hour(100), volume(0, 301)], rule(min_average=100)).verdict == TOO_SMALL
    assert the_one([*hour(100), volume(0, 301)], rule(min_average=99.9)).verdict == ABOVE
    assert the_one([*hour(100), volume(0, 30)], rule(min_average=100)).verdict == TOO_SMALL


def test_a_quiet_minute_after_a_busy_hour_is_not_above() -> None:
    assert the_one([*hour(100), volume(0, 0)])[4:] == (0, 100, 0, 60, NOT_ABOVE)


def test_a_constant_series_is_above_only_factors_below_one() -> None:
    constant = [*hour(0.1), volume(0, 0.1)]
    assert the_one(constant, rule(factor=1)).verdict == NOT_ABOVE
    assert the_one(constant, rule(factor=0.999)).verdict == ABOVE
    prices = [change(minute, 64000.1, 64000.1) for minute in range(-60, 1)]
    assert the_one(prices, rule("price", factor=1)).verdict == NOT_ABOVE


def test_price_is_the_close() -> None:
    candles = [change(minute, 1.0, 20.0) for minute in range(-60, 0)]
    assert the_one([*candles, change(0, 1e6, 61.0)], rule("price"))[4:] == (61, 20, 3.05, 60, ABOVE)


@pytest.mark.parametrize(("measure", "unit"), [("change_absolute", 1.0), ("change_percentage", 100 / 64)])
def test_changes_are_compared_by_their_magnitude(measure: str, unit: float) -> None:
    up_and_down = [change(minute, 64, 66 if minute % 2 else 62) for minute in range(-60, 0)]
    down = the_one([*up_and_down, change(0, 64, 57)], rule(measure))
    assert down == ("spike", BTC, measure, NOON, -7 * unit, 2 * unit, 3.5, 60, ABOVE)
    assert the_one([*up_and_down, change(0, 64, 71)], rule(measure))[4:] == (7 * unit, 2 * unit, 3.5, 60, ABOVE)
    assert the_one([*up_and_down, change(0, 64, 58)], rule(measure))[4:] == (-6 * unit, 2 * unit, 3, 60, NOT_ABOVE)


def test_a_percentage_is_of_the_open() -> None:
    candles = [change(minute, 64, 66) for minute in range(-60, 0)]  # 3.125 %
    verdict = the_one([*candles, change(0, 256, 284)], rule("change_percentage"))
    assert verdict[4:] == (10.9375, 3.125, 3.5, 60, ABOVE)


def test_a_candle_that_opened_at_nothing_has_no_percentage() -> None:
    candles = [change(minute, 64, 66) for minute in range(-60, 0)]
    verdict = the_one([*candles, change(0, 0, 10)], rule("change_percentage"))
    assert verdict[4:] == (None, 3.125, None, 60, NO_VALUE)
    assert the_one([*candles, change(0, 0, 10)], rule("change_absolute"))[4:] == (10, 2, 5, 60, ABOVE)
    with_a_zero = [*candles[:-1], change(-1, 0, 10), change(0, 256, 284)]
    assert the_one(with_a_zero, rule("change_percentage"))[4:] == (10.9375, 3.125, 3.5, 59, ABOVE)


@pytest.mark.parametrize("nonsense", [NAN, INF, -INF])
def test_what_is_no_number_is_no_value_and_no_point(nonsense: float) -> None:
    assert the_one([*hour(100), volume(0, nonsense)])[4:] == (None, 100, None, 60, NO_VALUE)
    thirty = [*hour(nonsense, before=-30, length=30), *hour(100, length=30)]
    assert the_one([*thirty, volume(0, 301)])[4:] == (301, 100, 3.01, 30, ABOVE)
    too_few = [*hour(nonsense, before=-29, length=31), *hour(100, length=29)]
    assert the_one([*too_few, volume(0, 301)])[4:] == (301, 100, 3.01, 29, TOO_FEW)
    assert the_one([*hour(nonsense), volume(0, 301)])[4:] == (301, None, None, 0, TOO_FEW)


def test_only_stored_minutes_from_first_to_last_are_judged() -> None:
    candles = [*hour(100), volume(0, 1), volume(2, 1), volume(3, 1)]
    assert [minute for *_, minute in sorted(judged(candles, first=-1, last=2))] == [-1, 0, 2]
    assert judged(candles, first=4, last=400) == {}
    assert judged([]) == {}


def test_the_order_of_the_rows_does_not_matter() -> None:
    candles = [*hour(100), volume(0, 301), volume(1, 302), *(volume(minute, 7, ETH) for minute in range(-60, 2))]
    assert judged(candles[::-1], last=1) == judged(candles[::2] + candles[1::2], last=1) == judged(candles, last=1)


def test_metrics_are_judged_each_by_its_own_average() -> None:
    candles = [
        *hour(100),
        volume(0, 301),
        *(volume(minute, 1000, ETH) for minute in range(-60, 0)),
        volume(0, 301, ETH),
    ]
    verdicts = judged(candles)
    assert verdicts["spike", BTC, "volume", 0].verdict == ABOVE
    assert verdicts["spike", ETH, "volume", 0].verdict == NOT_ABOVE


@pytest.mark.parametrize(
    ("patterns", "metrics"),
    [
        (["*"], [BTC, ETH, OTHER]),
        (["KRAKEN:*"], [BTC, ETH]),
        (["*:BTCUSD"], [BTC, OTHER]),
        ([BTC], [BTC]),
        ([ETH, "SIM*"], [ETH, OTHER]),
        (["KRAKEN:*", BTC], [BTC, ETH]),  # once each
        (["KRAKEN:???USD"], [BTC, ETH]),
        (["KRAKEN:BTC"], []),
    ],
)
def test_a_rule_is_for_the_metrics_that_its_patterns_name(patterns: list[str], metrics: list[str]) -> None:
    candles = [volume(minute, 1, metric) for metric in (BTC, ETH, OTHER) for minute in range(-60, 1)]
    assert sorted(metric for _, metric, _, _ in judged(candles, rule(metrics=patterns))) == sorted(metrics)


def test_several_rules_of_different_windows_judge_at_once() -> None:
    candles = [*hour(100, before=-10, length=50), *hour(1000, length=10), volume(0, 2400)]
    verdicts = judged(
        candles,
        rule(name="hour", factor=9),
        rule("volume", "price", name="ten", window_minutes=10, min_points=10, factor=2),
        rule(name="minute", window_minutes=1, min_points=1, factor=2.4),
        rule(name="others", metrics=["SIMULATED:*"]),
    )
    assert {key[:3]: verdict[4:] for key, verdict in verdicts.items()} == {
        ("hour", BTC, "volume"): (2400, 250, 9.6, 60, ABOVE),  # (50 × 100 + 10 × 1000) / 60
        ("ten", BTC, "volume"): (2400, 1000, 2.4, 10, ABOVE),
        ("ten", BTC, "price"): (10, 10, 1, 10, NOT_ABOVE),
        ("minute", BTC, "volume"): (2400, 1000, 2.4, 1, NOT_ABOVE),
    }


@pytest.mark.parametrize("window", [1, 2, 59, 61, 90, 1440])
def test_a_window_of_any_length_holds_so_many_minutes(window: int) -> None:
    own = rule(window_minutes=window, min_points=window)
    candles = [*hour(100, length=window), volume(-window - 1, 1e9), volume(0, 301), volume(1, 301)]
    assert judged(candles, own)["spike", BTC, "volume", 0][4:] == (301, 100, 3.01, window, ABOVE)
    assert judged(candles[1:], own)["spike", BTC, "volume", 0].verdict == TOO_FEW


def test_only_one_verdict_is_given_where_one_is_asked_for() -> None:
    candles = [*hour(100), volume(0, 301), volume(1, 1), volume(2, NAN), volume(3, 999)]
    everything = judged(candles, last=3)
    for verdict, minutes in {ABOVE: [0, 3], NOT_ABOVE: [1], NO_VALUE: [2], TOO_SMALL: []}.items():
        some = judged(candles, last=3, only=verdict)
        assert [minute for *_, minute in sorted(some)] == minutes
        assert some.items() <= everything.items()


def test_judging_again_in_a_connection_forgets_what_was_judged_before() -> None:
    connection = sql.connect()
    connection.execute(
        "CREATE TEMP TABLE candles (metric VARCHAR, minute TIMESTAMPTZ, open INT, close INT, volume INT)"
    )
    connection.execute("INSERT INTO candles VALUES (?, ?, 1, 1, 1)", [BTC, NOON])
    assert len(judge(connection, [rule()], NOON, NOON).rows()) == 1
    assert len(judge(connection, [rule()], NOON, NOON).rows()) == 1
    assert judge(connection, [], NOON, NOON).rows() == []


def test_a_measure_that_a_rule_lists_twice_is_judged_once() -> None:
    assert len(judged([*hour(100), volume(0, 301)], rule("volume", "volume"))) == 1


def test_what_is_told_of_a_minute_above_is_all_but_points_and_verdict() -> None:
    assert BROKEN == ("rule", "metric", "measure", "minute", "value", "average", "ratio")


# --- joined ---


def above(minute: int, ratio: float = 4.0, metric: str = BTC, rule: str = "spike", measure: str = "volume") -> Verdict:
    return Verdict(rule, metric, measure, at(minute), ratio * 100, 100.0, ratio, 60, ABOVE)


def test_consecutive_minutes_above_are_one_episode_with_the_peak_of_them() -> None:
    verdicts = [above(2, 5.0), above(0, 4.0), above(1, 7.0), above(4, 3.5)]
    assert joined(verdicts) == [
        Episode("spike", BTC, "volume", at(0), at(2), 3, 700.0, 100.0, 7.0, at(1)),
        Episode("spike", BTC, "volume", at(4), at(4), 1, 350.0, 100.0, 3.5, at(4)),
    ]


def test_of_equal_peaks_the_first_is_the_peak() -> None:
    [episode] = joined([above(0, 4.0), above(1, 5.0), above(2, 5.0)])
    assert episode.peak_minute == at(1)


def test_the_peak_of_a_change_is_the_largest_magnitude() -> None:
    falls = [above(0, 4.0)._replace(value=-400.0), above(1, 6.0)._replace(value=-600.0), above(2, 5.0)]
    [episode] = joined(falls)
    assert (episode.peak, episode.ratio, episode.peak_minute) == (-600.0, 6.0, at(1))


def test_episodes_of_other_rules_metrics_and_measures_stay_apart_oldest_first() -> None:
    verdicts = [above(3), above(2, metric=ETH), above(1, measure="price"), above(0, rule="burst"), above(4)]
    assert [episode[:6] for episode in joined(verdicts)] == [
        ("burst", BTC, "volume", at(0), at(0), 1),
        ("spike", BTC, "price", at(1), at(1), 1),
        ("spike", ETH, "volume", at(2), at(2), 1),
        ("spike", BTC, "volume", at(3), at(4), 2),
    ]
    assert joined([]) == []


@given(st.sets(st.tuples(st.integers(0, 30), st.sampled_from([BTC, ETH]))))
def test_episodes_hold_every_minute_above_once(minutes: set[tuple[int, str]]) -> None:
    episodes = joined(above(minute, metric=metric) for minute, metric in minutes)
    held = [
        ((episode.first - NOON) // MINUTE + i, episode.metric) for episode in episodes for i in range(episode.minutes)
    ]
    assert sorted(held) == sorted(minutes)
    ends = {((episode.last - NOON) // MINUTE + 1, episode.metric) for episode in episodes}
    assert not ends & minutes  # none could be longer


# --- against a loop over the minutes ---


def value_of(measure: str, candle: Candle) -> float | None:
    _, _, opened, closed, traded = candle
    if measure == "price":
        value = closed
    elif measure == "volume":
        value = traded
    elif measure == "change_absolute":
        value = closed - opened
    else:
        value = (closed - opened) / opened * 100 if opened else NAN
    return value if math.isfinite(value) else None


def worked_out(candles: Sequence[Candle], rules: Sequence[AlertRule], first: int, last: int) -> dict[Key, Verdict]:
    """The same verdicts, one at a time."""
    verdicts: dict[Key, Verdict] = {}
    for own in rules:
        for measure in own.measures:
            values: dict[str, dict[int, float | None]] = {}
            for candle in candles:
                values.setdefault(candle[0], {})[candle[1]] = value_of(measure, candle)
            for metric, series in values.items():
                if not any(fnmatch.fnmatchcase(metric, pattern) for pattern in own.metrics):
                    continue
                for minute in range(first, last + 1):
                    if minute in series:
                        key = own.name, metric, measure, minute
                        verdicts[key] = Verdict._make((*key[:3], at(minute), *verdict_on(minute, series, own)))
    return verdicts


def verdict_on(
    minute: int, series: Mapping[int, float | None], own: AlertRule
) -> tuple[float | None, float | None, float | None, int, str]:
    value = series[minute]
    before = (series.get(minute - i) for i in range(1, own.window_minutes + 1))
    window = [abs(other) for other in before if other is not None]
    average = math.fsum(window) / len(window) if window else None
    ratio = abs(value) / average if value is not None and average else None
    if value is None:
        verdict = NO_VALUE
    elif average is None or len(window) < own.min_points:
        verdict = TOO_FEW
    elif average <= own.min_average:
        verdict = TOO_SMALL
    else:
        verdict = ABOVE if abs(value) > own.factor * average else NOT_ABOVE
    return value, average, ratio, len(window), verdict


# Sums of these are exact, so both ways of adding agree to the last bit: opens are powers of two, the rest quarters.
OPENS = st.sampled_from([1.0, 1.0, 2.0, 0.5, 64.0, 0.0, NAN, INF])
QUARTERS = st.one_of(
    st.integers(0, 40).map(lambda n: n / 4), st.sampled_from([0.0, 1.0, 1.0, 3.0, 2.0**20, 0.25, NAN, INF, -INF])
)
RULES = st.builds(
    lambda window, points, **values: AlertRule(window_minutes=window, min_points=min(points, window), **values),
    st.sampled_from([1, 2, 3, 7, 10, 60, 61, 90]),
    st.integers(1, 6),
    name=st.sampled_from(["one", "two"]),
    metrics=st.sampled_from([("*",), ("KRAKEN:*",), (BTC, OTHER), ("*:BTCUSD", ETH)]),
    measures=st.lists(
        st.sampled_from(["price", "volume", "change_absolute", "change_percentage"]), min_size=1, unique=True
    ).map(tuple),
    factor=st.sampled_from([0.5, 1.0, 1.5, 3.0]),
    min_average=st.sampled_from([0.0, 0.0, 1.0, 2.0]),
)


@st.composite
def series(draw: st.DrawFn) -> list[Candle]:
    """Rows of up to three metrics in no order: dense or with gaps, of all sorts of values or constant."""
    rows: list[Candle] = []
    for metric in draw(st.lists(st.sampled_from([BTC, ETH, OTHER]), min_size=1, max_size=3, unique=True)):
        reach = draw(st.sampled_from([12, 70, 130]))
        minutes = draw(st.lists(st.integers(0, reach), max_size=30, unique=True))
        if draw(st.booleans()):
            minutes = list(range(min(minutes, default=0), min(minutes, default=0) + len(minutes)))
        constant = draw(st.none() | st.tuples(OPENS, QUARTERS, QUARTERS))
        rows += [(metric, minute, *(constant or draw(st.tuples(OPENS, QUARTERS, QUARTERS)))) for minute in minutes]
    return draw(st.permutations(rows))


def two_rules_of_different_names(rules: list[AlertRule]) -> bool:
    return len({own.name for own in rules}) == len(rules)


@given(
    series(),
    st.lists(RULES, min_size=1, max_size=2).filter(two_rules_of_different_names),
    st.integers(-5, 130),
    st.integers(0, 7) | st.integers(0, 140),
)
@settings(max_examples=examples(150))
def test_verdicts_are_those_of_a_loop_over_the_minutes(
    candles: list[Candle], rules: list[AlertRule], first: int, length: int
) -> None:
    last = first + length
    assert judged(candles, *rules, first=first, last=last) == worked_out(candles, rules, first, last)


@given(series(), RULES, st.data())
@settings(max_examples=examples(60))
def test_a_minute_corrected_or_healed_and_judged_again_gives_what_judging_from_scratch_gives(
    candles: list[Candle], own: AlertRule, data: st.DataObject
) -> None:
    minute = data.draw(st.integers(0, 130))
    late = BTC, minute, data.draw(OPENS), data.draw(QUARTERS), data.draw(QUARTERS)
    corrected = [candle for candle in candles if candle[:2] != late[:2]] + [late]
    verdicts = judged(candles, own, first=0, last=130)
    # only the minute itself and those in whose window it is can come out otherwise
    verdicts |= judged(corrected, own, first=minute, last=minute + own.window_minutes)
    within = {key: verdict for key, verdict in verdicts.items() if key[3] <= 130}
    assert within == judged(corrected, own, first=0, last=130)
