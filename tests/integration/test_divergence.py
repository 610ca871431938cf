"""Divergences on real tables, told to a real webhook: they begin, end and come late as all alerts do."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pricetracker_dagster.alerts import backtest as backtesting
from pricetracker_dagster.alerts.backtest import backtest, joined
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.settings import AlertRule
from pricetracker_dagster.store.records import Row
from tests.integration.test_watch import NOON, SOON, Watch, watch
from tests.quick import examples
from tests.webhook import Webhook

__all__ = ["watch"]

KRAKEN, COINBASE, BITSTAMP, GEMINI = METRICS = tuple(
    f"{name}:BTCUSD" for name in ("KRAKEN", "COINBASE", "BITSTAMP", "GEMINI")
)
RULE = '[[alerts.rules]]\nkind = "divergence"\nbasis_points = 50\n'


def begin(watch: Callable[..., Watch], *channels: str, rule: str = "", **known: object) -> Watch:
    """Five quiet minutes before noon at 20000 everywhere, and a first look, from which on things are new."""
    it = watch(*channels, metrics=METRICS, extra=f"{RULE}{rule}", **known)
    for minute in range(-5, 0):
        put(it, minute)
    it.look(-1)
    return it


def put(it: Watch, minute: int, others: float = 20000.0, **prices: float) -> None:
    """Store a minute of all four, at 20000 where it is not said otherwise."""
    it.put_prices({(metric, minute): prices.get(metric.partition(":")[0], others) for metric in METRICS})


def short(row: Row) -> tuple[object, ...]:
    """First and last minute after noon, how many, state, and why it is over."""
    first, last = ((row[name] - NOON) // MINUTE for name in ("minute", "last_minute"))
    return first, last, row["minutes"], row["state"], row["ended_because"]


def test_a_price_that_stays_away_from_the_others_is_told_once_and_its_end(
    watch: Callable[..., Watch], webhook: Webhook
) -> None:
    it = begin(watch, webhook.channel(), rule="for_minutes = 2\nresolve_after_minutes = 2")
    for minute, price in enumerate([20150.0, 20170.0, 20160.0, 20000.0, 20000.0]):
        put(it, minute, COINBASE=price)
        it.look(minute)
        it.look(minute)  # twice, as sensors may
    [alert] = it.alerts()
    assert alert == {
        **alert,
        "id": "divergence|COINBASE:BTCUSD|divergence|2026-03-03T12:00Z",
        "rule": "divergence",
        "rule_kind": "divergence",
        "measure": "price",
        "value": 20150.0,
        "average": 20000.0,
        "ratio": 75.0,
        "factor": 50.0,
        "others": 3,
        "minutes": 3,
        "peak": 20170.0,
        "peak_ratio": 85.0,
        "fired_at": NOON + MINUTE + SOON,  # not after the first one
        "ended_because": "below again",
    }
    assert [posted.title for posted in webhook.posted] == [
        "▲ COINBASE:BTCUSD price 75.0 basis points above the others",
        "✓ COINBASE:BTCUSD price no longer diverges",
    ]
    began, ended = (posted.lines[0] for posted in webhook.posted)
    assert began == (
        "▲ COINBASE:BTCUSD price diverges: 20150 is 75.0 basis points above 20000, the median of 3 others, since "
        "2026-03-03 12:00 UTC (divergence: more than 50 basis points)"
    )
    assert ended == (
        "✓ COINBASE:BTCUSD price below again: it diverged for 3 minutes from 2026-03-03 12:00 UTC, at most 85.0 "
        "basis points, at 12:01 with 20170 (divergence: more than 50 basis points)"
    )


def test_it_is_judged_when_enough_of_the_others_have_come(watch: Callable[..., Watch]) -> None:
    it = begin(watch)
    it.put_prices({(COINBASE, 0): 20150.0, (KRAKEN, 0): 20000.0})
    assert it.look(0).not_judged == {"too few others": 2}
    it.put_prices({(BITSTAMP, 0): 20000.0})
    assert it.look(0).not_judged == {"too few others": 3}
    it.put_prices({(GEMINI, 0): 20000.0})
    assert [(row["metric"], row["state"]) for row in it.look(0).alerts] == [(COINBASE, "firing")]


def test_where_the_others_are_corrected_it_is_corrected_too(watch: Callable[..., Watch], webhook: Webhook) -> None:
    it = begin(watch, webhook.channel())
    put(it, 0, COINBASE=20150.0)
    it.look(0)
    put(it, 0, others=20150.0)
    it.look(0)
    assert [short(row) for row in it.alerts()] == [(0, 0, 1, "resolved", "corrected")]
    put(it, 0, others=20000.0, COINBASE=20150.0)
    it.look(0)
    assert [short(row) for row in it.alerts()] == [(0, 0, 1, "firing", None)]
    assert [posted.title.split()[2:] for posted in webhook.posted] == [
        ["price", "75.0", "basis", "points", "above", "the", "others"],
        ["price", "no", "longer", "diverges"],
        ["price", "diverges", "again"],
    ]


def test_a_minute_without_trades_neither_diverges_nor_ends_anything(watch: Callable[..., Watch]) -> None:
    it = begin(watch, rule="resolve_after_minutes = 1")
    put(it, 0, COINBASE=20150.0)
    it.look(0)
    it.put_prices({(metric, 1): 20000.0 for metric in METRICS if metric != COINBASE})
    it.put([1], 0.0, COINBASE)  # at 10, and nobody paid it
    assert it.look(1).not_judged == {"no trades": 1, "too few others": 3}
    assert [short(row) for row in it.alerts()] == [(0, 0, 1, "firing", None)]
    put(it, 2)
    it.look(2)
    assert [short(row) for row in it.alerts()] == [(0, 0, 1, "resolved", "below again")]


def test_without_a_judged_minute_for_an_hour_it_is_over(watch: Callable[..., Watch]) -> None:
    it = begin(watch)
    put(it, 0, COINBASE=20150.0)
    it.look(0)
    it.put_prices({(COINBASE, minute): 20150.0 for minute in range(1, 60)})  # and nobody else
    it.look(59)
    assert [short(row) for row in it.alerts()] == [(0, 0, 1, "firing", None)]
    it.put_prices({(COINBASE, 60): 20150.0})
    it.look(60)
    assert [short(row) for row in it.alerts()] == [(0, 0, 1, "resolved", "no longer judged")]


def fail(it: Watch, minutes: range, metric: str) -> None:
    """Let an exchange be in maintenance, and its incident be found."""
    for minute in minutes:
        noted = {"minute": NOON + minute * MINUTE, "cause": "exchange maintenance", "noted_at": NOON}
        it.records.causes.upsert([{"metric": metric, "reason": "system status: maintenance", **noted}])
        it.put_prices({(other, minute): 20000.0 for other in METRICS if other != metric})
        it.look_at_minutes(minute + 1)
        it.look(minute)


def test_an_exchange_that_is_out_is_none_of_the_others_and_what_it_says_is_not_judged(
    watch: Callable[..., Watch],
) -> None:
    it = begin(watch, rule="others = 2")
    fail(it, range(3), COINBASE)
    assert [row["exchange"] for row in it.incidents()] == ["COINBASE"]
    put(it, 3, KRAKEN=20150.0, COINBASE=20900.0)
    found = it.look(3)
    assert found.not_judged == {"exchange is out": 1}
    assert [(row["metric"], row["others"]) for row in found.alerts] == [(KRAKEN, 2)]
    for minute in range(4, 8):
        put(it, minute, COINBASE=20900.0)
        it.look_at_minutes(minute + 1)
        it.look(minute)
    assert [row["state"] for row in it.incidents()] == ["resolved"]
    put(it, 8, COINBASE=20900.0)
    it.look(8)
    put(it, 3, KRAKEN=20150.0, COINBASE=20950.0)  # what it said meanwhile is not judged afterwards, either
    it.look(8)
    of_coinbase = [short(row) for row in it.alerts() if row["metric"] == COINBASE]
    assert [first for first, *_ in of_coinbase] == [8]


def test_a_rule_that_becomes_one_of_the_other_kind_begins_anew(
    watch: Callable[..., Watch], write_settings: Callable[[str], Path]
) -> None:
    it = watch(metrics=METRICS, extra='[[alerts.rules]]\nname = "one"\nmeasures = ["price"]\nmin_points = 4\n')
    for minute in range(-5, 0):
        put(it, minute)
    it.look(-1)
    put(it, 0, KRAKEN=80000.0)
    it.look(0)
    write_settings(f'metrics = {list(METRICS)}\n{RULE}name = "one"\n')
    put(it, 0, KRAKEN=80001.0)
    put(it, 1, KRAKEN=80000.0)
    it.look(1)
    assert {row["id"]: short(row) for row in it.alerts()} == {
        "one|KRAKEN:BTCUSD|price|2026-03-03T12:00Z": (0, 0, 1, "resolved", "no longer judged"),
        "one|KRAKEN:BTCUSD|divergence|2026-03-03T12:00Z": (0, 1, 2, "firing", None),
    }


def test_with_a_larger_limit_it_is_over_and_says_so(
    watch: Callable[..., Watch], write_settings: Callable[[str], Path]
) -> None:
    it = begin(watch, rule="resolve_after_minutes = 1")
    put(it, 0, COINBASE=20150.0)
    it.look(0)
    write_settings(f"metrics = {list(METRICS)}\n{RULE.replace('50', '100')}resolve_after_minutes = 1")
    put(it, 1, COINBASE=20150.0)
    it.look(1)
    assert [short(row)[3:] for row in it.alerts()] == [("resolved", "not above the 100 basis points of now")]


# --- the backtest ---


def stored(it: Watch, by_minute: Mapping[int, float]) -> None:
    for minute, price in by_minute.items():
        put(it, minute, COINBASE=price)


def test_the_backtest_says_what_the_sensor_would_have_said(watch: Callable[..., Watch]) -> None:
    it = begin(watch, rule="for_minutes = 2")
    stored(it, {0: 20150.0, 1: 20000.0, 2: 20120.0, 3: 20180.0, 4: 20000.0, 5: 20000.0})
    it.look(5)
    fired = [short(row)[:3] for row in it.alerts() if row["fired_at"]]
    rules = [AlertRule(kind="divergence", for_minutes=2)]
    episodes = joined(backtest(it.store, rules, NOON - 5 * MINUTE, NOON + 5 * MINUTE))
    told = [((each.first - NOON) // MINUTE, (each.last - NOON) // MINUTE, each.minutes) for each in episodes]
    assert told == fired == [(2, 3, 2)]
    assert [(each.peak, each.average, each.ratio) for each in episodes] == [(20180.0, 20000.0, 90.0)]


def test_fewer_consecutive_minutes_than_the_rule_asks_for_are_none_wherever_the_time_begins(
    watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = begin(watch)
    stored(it, {0: 20150.0, 1: 20150.0, 2: 20150.0, 3: 20000.0, 4: 20150.0, 5: 20150.0})
    rules = [AlertRule(kind="divergence", for_minutes=3)]

    def told(first: int, last: int) -> list[int]:
        found = backtest(it.store, rules, NOON + first * MINUTE, NOON + last * MINUTE)
        return [(verdict.minute - NOON) // MINUTE for verdict in found]

    assert told(-5, 5) == [0, 1, 2]
    assert told(2, 5) == [2]
    assert told(0, 1) == []  # not yet
    assert told(4, 5) == []
    monkeypatch.setattr(backtesting, "AT_ONCE", DAY / 1440 * 2)
    assert told(-5, 5) == [0, 1, 2]


# --- at random ---

STEPS = st.lists(
    st.dictionaries(
        st.tuples(st.sampled_from(METRICS), st.integers(-3, 0)),
        st.sampled_from([20000.0, 20000.0, 20010.0, 20150.0, 19800.0]),
        min_size=1,
        max_size=8,
    ),
    min_size=3,
    max_size=8,
)
"""What is stored, look after look: prices by metric and how many minutes ago, new ones, late ones and corrections."""


def far(prices: Mapping[tuple[str, int], float]) -> set[tuple[str, int]]:
    """Whoever is more than 50 basis points from the median of two others or more, by metric and minute."""
    found = set()
    for (metric, minute), price in prices.items():
        others = [other for (name, at), other in prices.items() if at == minute and name != metric]
        if len(others) >= 2 and abs(price - median(others)) * 10_000 > 50 * median(others):
            found.add((metric, minute))
    return found


@given(STEPS)
@settings(
    max_examples=examples(8),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_in_whatever_order_prices_come_alerts_agree_with_what_is_stored_in_the_end(
    watch: Callable[..., Watch], write_settings: Callable[[str], Path], steps: list[dict[tuple[str, int], float]]
) -> None:
    """Each minute above is of an alert; an alert counts those within it, and is corrected where there is none."""
    folder = write_settings("").parent
    shutil.rmtree(folder / "data", ignore_errors=True)
    it = begin(watch, rule="others = 2\nresolve_after_minutes = 2")
    prices: dict[tuple[str, int], float] = {}
    for newest, step in enumerate(steps):
        came = {(metric, newest + ago): price for (metric, ago), price in step.items() if newest + ago >= 0}
        it.put_prices(came)
        prices |= came
        it.look(newest)
    above, alerts = far(prices), it.alerts()
    found = set()
    for row in alerts:
        first, last, minutes, _, because = short(row)
        assert isinstance(first, int)
        assert isinstance(last, int)
        own = {minute for metric, minute in above if metric == row["metric"] and first <= minute <= last}
        assert (len(own), not own) == (0 if because == "corrected" else minutes, because == "corrected")
        found |= {(row["metric"], minute) for minute in own}
        if own:
            assert (min(own), max(own)) == (first, last)
    assert found == above
