"""The rule of kind divergence: prices far from the median of the others, by hand and against a loop in Python."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricetracker_dagster import sql
from pricetracker_dagster.alerts.divergence import Compared, Outage, with_others
from pricetracker_dagster.alerts.rules import ABOVE, NOT_ABOVE, Verdict, judge
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange
from pricetracker_dagster.settings import AlertRule
from tests.quick import examples

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
KRAKEN, COINBASE, BITSTAMP, GEMINI, OKX = (
    f"{name}:BTCUSD" for name in ["KRAKEN", "COINBASE", "BITSTAMP", "GEMINI", "OKX"]
)
FIVE = KRAKEN, COINBASE, BITSTAMP, GEMINI, OKX
ETHER = "KRAKEN:ETHUSD"
TOO_FEW, QUIET, OUT, NO_VALUE = "too few others", "no trades", "exchange is out", "no value"
NAN, INF = float("nan"), float("inf")

Candle = tuple[str, int, float, float]
"""Metric, minute after NOON, price, volume."""


def at(minute: int) -> datetime:
    return NOON + minute * MINUTE


def near(value: float) -> Any:
    return pytest.approx(value)


def rule(**values: Any) -> AlertRule:
    return AlertRule.model_validate({"kind": "divergence", **values})


def out(exchange: str, first: int, last: int) -> Outage:
    return Outage(exchange, at(first), at(last))


def judged(
    candles: Iterable[Candle],
    *rules: AlertRule,
    first: int = 0,
    last: int = 0,
    markets: Mapping[str, str] | None = None,
    outages: Sequence[Outage] = (),
    **only: Any,
) -> dict[tuple[str, str, int], Verdict]:
    """What judge() says, by rule, metric and minute; all metrics are of the market that their names end with."""
    rows = [
        {"metric": metric, "minute": at(minute), "open": price, "close": price, "volume": volume}
        for metric, minute, price, volume in candles
    ]
    connection = sql.connect()
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE candles AS SELECT unnest($rows::STRUCT(
            metric VARCHAR, minute TIMESTAMPTZ, open DOUBLE, close DOUBLE, volume DOUBLE)[], recursive := true)""",
        {"rows": rows},
    )
    known = {metric: metric.partition(":")[2] for metric, *_ in candles} if markets is None else markets
    answer = judge(
        connection, rules or (rule(),), at(first), at(last), compared=Compared(known, outages), **only
    ).rows()
    by_key = {(each.rule, each.metric, (each.minute - NOON) // MINUTE): each for each in answer}
    assert len(by_key) == len(answer)
    return by_key


def of(metric: str, *prices: float, own: AlertRule | None = None, **known: Any) -> Verdict:
    """What is said of a metric in minute 0, in which the five exchanges have these prices."""
    candles = [(name, 0, price, 1.0) for name, price in zip(FIVE, prices, strict=False)]
    return judged(candles, own or rule(), **known)[(own or rule()).name, metric, 0]


def test_a_price_is_compared_with_the_median_of_the_others() -> None:
    # the others are 100, 101 and 900: a mean would be far off
    assert of(KRAKEN, 101.5, 100, 101, 900, own=rule(basis_points=40)) == (
        *("divergence", KRAKEN, "price", NOON),
        *(101.5, 101.0, near(49.504950495), 3, ABOVE),
    )
    assert of(KRAKEN, 100.5, 100, 101, 900, own=rule(basis_points=50))[4:8] == (
        100.5,
        101.0,
        near(49.504950495),
        3,
    )
    assert of(GEMINI, 101.5, 100, 101, 900)[4:] == (900.0, 101.0, near(79108.910891), 3, ABOVE)


def test_of_an_even_number_of_others_the_median_is_half_way_between_the_two_in_the_middle() -> None:
    assert of(OKX, 100, 101, 103, 300, 102.5)[4:] == (102.5, 102.0, near(49.0196078), 4, NOT_ABOVE)
    assert of(OKX, 100, 101, 103, 300, 103.0)[5:] == (102.0, near(98.0392157), 4, ABOVE)


def test_it_is_no_matter_whether_it_is_above_or_below_the_others() -> None:
    assert of(KRAKEN, 198, 200, 200, 200)[4:] == (198.0, 200.0, 100.0, 3, ABOVE)
    assert of(KRAKEN, 202, 200, 200, 200)[4:] == (202.0, 200.0, 100.0, 3, ABOVE)


def test_so_many_basis_points_must_be_exceeded() -> None:
    assert of(KRAKEN, 201, 200, 200, 200, own=rule(basis_points=50)).verdict == NOT_ABOVE
    assert of(KRAKEN, 201, 200, 200, 200, own=rule(basis_points=49.9)).verdict == ABOVE
    # by binary arithmetic alone these would be a little more than 50 and 10
    assert of(KRAKEN, 0.201, 0.2, 0.2, 0.2, own=rule(basis_points=50)).verdict == NOT_ABOVE
    assert of(KRAKEN, 64064.1001, 64000.1, 64000.1, 64000.1, own=rule(basis_points=10)).verdict == NOT_ABOVE


def test_with_fewer_others_than_asked_for_nothing_is_said() -> None:
    assert of(KRAKEN, 300, 200, 200)[4:] == (300.0, 200.0, 5000.0, 2, TOO_FEW)
    assert of(KRAKEN, 300, 200, 200, own=rule(others=2)).verdict == ABOVE
    assert of(KRAKEN, 300)[4:] == (300.0, None, None, 0, TOO_FEW)
    assert of(KRAKEN, 300, 200, own=rule(others=1))[4:] == (300.0, 200.0, 5000.0, 1, ABOVE)


def test_a_minute_without_trades_is_neither_judged_nor_one_of_the_others() -> None:
    candles = [(KRAKEN, 0, 300.0, 0.0), *((metric, 0, 200.0, 1.0) for metric in FIVE[1:])]
    verdicts = judged(candles)
    assert verdicts["divergence", KRAKEN, 0][4:] == (300.0, None, None, 0, QUIET)
    assert verdicts["divergence", OKX, 0][4:] == (200.0, 200.0, 0.0, 3, NOT_ABOVE)


def test_an_exchange_that_is_out_is_neither_judged_nor_one_of_the_others() -> None:
    candles = [(metric, minute, 300.0 if metric == KRAKEN else 200.0, 1.0) for metric in FIVE for minute in range(4)]
    verdicts = judged(candles, last=3, outages=[out("KRAKEN", 1, 2), out("KRAKEN", 2, 2), out("KRAKE", 0, 9)])
    assert [verdicts["divergence", KRAKEN, minute].verdict for minute in range(4)] == [ABOVE, OUT, OUT, ABOVE]
    assert [verdicts["divergence", OKX, minute].points for minute in range(4)] == [4, 3, 3, 4]


@pytest.mark.parametrize("price", [NAN, INF, -INF, 0.0, -1.0])
def test_what_is_no_price_is_no_value_and_none_of_the_others(price: float) -> None:
    assert of(KRAKEN, price, 200, 200, 200)[4:] == (None, None, None, 0, NO_VALUE)
    assert of(OKX, price, 200, 200, 200, 200)[5:] == (200.0, 0.0, 3, NOT_ABOVE)


def test_only_metrics_of_the_same_market_are_compared() -> None:
    candles = [(KRAKEN, 0, 300.0, 1.0), (ETHER, 0, 20.0, 1.0), *((metric, 0, 200.0, 1.0) for metric in FIVE[1:])]
    verdicts = judged(candles)
    assert verdicts["divergence", ETHER, 0][4:] == (20.0, None, None, 0, TOO_FEW)
    assert verdicts["divergence", KRAKEN, 0].points == 4
    grouped = dict.fromkeys((KRAKEN, ETHER, COINBASE), "one") | dict.fromkeys(FIVE[2:], "other")
    verdicts = judged(candles, rule(others=2), markets=grouped)
    assert verdicts["divergence", KRAKEN, 0][5:] == (110.0, near(17272.7272727), 2, ABOVE)
    assert verdicts["divergence", OKX, 0][5:] == (200.0, 0.0, 2, NOT_ABOVE)


def test_a_metric_of_no_market_that_is_known_takes_no_part() -> None:
    candles = [(metric, 0, 200.0, 1.0) for metric in FIVE]
    verdicts = judged(candles, markets=dict.fromkeys(FIVE[1:], "BTC/USD"))
    assert {metric for _, metric, _ in verdicts} == {*FIVE[1:]}
    assert {verdict.points for verdict in verdicts.values()} == {3}
    assert judged(candles, markets={}) == {}


def test_the_patterns_of_a_rule_say_who_is_judged_and_not_who_counts_among_the_others() -> None:
    candles = [(metric, 0, 300.0 if metric == KRAKEN else 200.0, 1.0) for metric in FIVE]
    verdicts = judged(candles, rule(metrics=["KRAKEN:*"]))
    assert [verdict[1:] for verdict in verdicts.values()] == [(KRAKEN, "price", NOON, 300.0, 200.0, 5000.0, 4, ABOVE)]
    assert judged(candles, metrics=[KRAKEN]).keys() == {("divergence", KRAKEN, 0)}
    assert judged(candles, metrics=[]) == {}


def test_only_minutes_from_first_to_last_are_judged_each_on_its_own() -> None:
    candles = [(metric, minute, 200.0 + minute * (metric == KRAKEN), 1.0) for metric in FIVE for minute in range(-3, 5)]
    verdicts = judged(candles, rule(basis_points=120), first=1, last=3, only=ABOVE)
    assert {key[1:]: verdict.ratio for key, verdict in verdicts.items()} == {(KRAKEN, 3): 150.0}
    assert {minute for _, _, minute in judged(candles, first=1, last=3)} == {1, 2, 3}


def test_a_rule_of_each_kind_judges_at_once() -> None:
    candles = [(metric, minute, 200.0, 1.0) for metric in FIVE for minute in range(-60, 0)]
    candles += [(metric, 0, 700.0 if metric == KRAKEN else 200.0, 1.0) for metric in FIVE]
    verdicts = judged(candles, AlertRule(measures=("price",)), rule(), only=ABOVE)
    assert {key[:2]: verdict[4:8] for key, verdict in verdicts.items()} == {
        ("spike", KRAKEN): (700.0, 200.0, 3.5, 60),
        ("divergence", KRAKEN): (700.0, 200.0, 25000.0, 4),
    }


# --- what changes with what ---


def test_where_one_changed_the_same_minutes_of_the_others_of_its_market_are_judged_as_well() -> None:
    markets = {KRAKEN: "BTC/USD", COINBASE: "BTC/USD", OKX: "BTC/USD", ETHER: "ETH/USD"}
    changed = {KRAKEN: MinuteRange(at(3), at(4)), OKX: MinuteRange(at(8), at(8))}
    assert with_others(changed, markets) == dict.fromkeys((KRAKEN, COINBASE, OKX), MinuteRange(at(3), at(8)))
    assert with_others({ETHER: MinuteRange(at(1), at(1))}, markets) == {ETHER: MinuteRange(at(1), at(1))}
    assert with_others({}, markets) == {}


# --- against a loop in plain Python ---

PRICES = st.sampled_from([100.0, 100.0, 101.0, 100.5, 99.0, 102.0, 64.0, 128.0, 0.0, NAN, INF])
VOLUMES = st.sampled_from([1.0, 1.0, 1.0, 0.25, 0.0, NAN])
SAME = ("KRAKEN:BTCUSD", "KRAKEN:BTCUSDT", "COINBASE:BTCUSD", "OKX:BTCUSDT", "OKX:ETHUSD", "KRAKEN:ETHUSD", "B:ETHUSD")
MARKETS = {metric: metric.partition(":")[2][:3] for metric in SAME}
CANDLES = st.dictionaries(
    st.tuples(st.sampled_from(SAME), st.integers(0, 6)), st.tuples(PRICES, VOLUMES), min_size=6, max_size=40
)
RULES = st.builds(
    rule,
    metrics=st.sampled_from([("*",), ("KRAKEN:*",), ("*:BTC*", "B:ETHUSD")]),
    basis_points=st.sampled_from([10.0, 50.0, 100.0, 1000.0]),
    others=st.integers(1, 4),
)
OUTAGES = st.lists(
    st.builds(
        lambda name, first, length: out(name, first, first + length),
        st.sampled_from(["KRAKEN", "OKX", "B"]),
        st.integers(-2, 6),
        st.integers(0, 4),
    ),
    max_size=2,
)


def why_not(metric: str, minute: int, price: float, volume: float, outages: Sequence[Outage]) -> str | None:
    """Why a minute takes no part."""
    exchange = metric.partition(":")[0]
    if any(each.exchange == exchange and each.first <= at(minute) <= each.last for each in outages):
        return OUT
    if not math.isfinite(price) or price <= 0:
        return NO_VALUE
    return None if math.isfinite(volume) and volume > 0 else QUIET


def worked_out(
    candles: Mapping[tuple[str, int], tuple[float, float]], own: AlertRule, outages: Sequence[Outage]
) -> dict[tuple[str, str, int], Verdict]:
    """The same verdicts, one at a time."""
    reasons = {key: why_not(*key, *candle, outages) for key, candle in candles.items()}
    verdicts = {}
    for (metric, minute), (price, _) in candles.items():
        if not any(fnmatchcase(metric, pattern) for pattern in own.metrics):
            continue
        reason = reasons[metric, minute]
        others = [
            candles[other, minute][0]
            for other in SAME
            if other != metric and MARKETS[other] == MARKETS[metric] and reasons.get((other, minute), "") is None
        ]
        value = price if math.isfinite(price) and price > 0 else None
        if reason is not None:
            others = []
        middle = median(others) if others else None
        apart = None if middle is None else abs(price - middle) / middle * 10000
        if reason is None:
            reason = TOO_FEW if len(others) < own.others else ABOVE if (apart or 0) > own.basis_points else NOT_ABOVE
        said = value, middle, apart, len(others), reason
        verdicts[own.name, metric, minute] = Verdict(own.name, metric, "price", at(minute), *said)
    return verdicts


def flat(candles: Mapping[tuple[str, int], tuple[float, float]]) -> list[Candle]:
    return [(*key, *candle) for key, candle in candles.items()]


@given(CANDLES, RULES, OUTAGES)
@settings(max_examples=examples(200))
def test_verdicts_are_those_of_a_loop_over_the_minutes(
    candles: dict[tuple[str, int], tuple[float, float]], own: AlertRule, outages: list[Outage]
) -> None:
    answer = judged(flat(candles), own, last=6, markets=MARKETS, outages=outages)
    assert answer == worked_out(candles, own, outages)


@given(CANDLES, RULES, st.sampled_from(SAME), st.integers(0, 6), PRICES, VOLUMES)
@settings(max_examples=examples(60))
def test_where_one_was_corrected_its_market_judged_again_gives_what_judging_from_scratch_gives(
    candles: dict[tuple[str, int], tuple[float, float]],
    own: AlertRule,
    metric: str,
    minute: int,
    price: float,
    volume: float,
) -> None:
    verdicts = judged(flat(candles), own, last=6, markets=MARKETS)
    corrected = {**candles, (metric, minute): (price, volume)}
    again = with_others({metric: MinuteRange(at(minute), at(minute))}, MARKETS)
    verdicts |= judged(flat(corrected), own, first=minute, last=minute, markets=MARKETS, metrics=[*again])
    assert verdicts == judged(flat(corrected), own, last=6, markets=MARKETS)
