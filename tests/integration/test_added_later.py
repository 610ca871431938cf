"""A metric that is added to the list later gets its last 24 hours in the background, and alarms nobody by them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pricetracker_dagster.alerts.watch import watch_minutes, watch_prices
from pricetracker_dagster.candles.minutes import DAY
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.coverage import missing
from pricetracker_dagster.store.store import open_store
from pricetracker_dagster.store.tracked import added_later
from tests.integration.conftest import Track
from tests.odd_kraken import NEWEST, NOW, OddKraken

BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"


def tick(odd: OddKraken, settings: Settings) -> datetime:
    minute = datetime.fromtimestamp(odd.now // 60 * 60 - 60, UTC)
    assert collect_minute(settings, minute, now=lambda: datetime.fromtimestamp(odd.now, UTC)).missing == {}
    odd.now += 60
    return minute


def count(settings: Settings, metric: str) -> int:
    return int(open_store(settings).prices.candles([metric], NEWEST - 2 * DAY, NEWEST + DAY).num_rows)


def test_a_metric_added_later_gets_its_last_24_hours_without_a_hole_at_any_time(odd: OddKraken, track: Track) -> None:
    tick(odd, track("BTCUSD", budget=30))
    settings = track("BTCUSD", "ETHUSD", budget=30)
    store = open_store(settings)
    begun = tick(odd, settings)
    for _ in range(20):
        newest = tick(odd, settings)
        assert missing(store.prices, {ETH: None}, begun - 2 * DAY, newest) == {}
        if not store.prices.gaps([ETH], begun - DAY, newest):
            break
    assert count(settings, ETH) == (newest - (begun - DAY)) // timedelta(minutes=1) + 1
    assert count(settings, BTC) < 13 * 60  # the first ones get theirs when the tracker is started


def test_what_was_before_a_metric_was_added_alarms_nobody(odd: OddKraken, track: Track) -> None:
    def bursts(envelope: Any) -> Any:
        """One minute in thirty is fifty times as large."""
        [key] = [key for key in envelope["result"] if key != "last"]
        for row in envelope["result"][key]:
            if row[0] // 60 % 30 == 0 and row[0] < NOW - 300:
                row[6] = "75.0"
        return envelope

    odd.change["OHLC", "ETHUSD"] = bursts
    settings = track("BTCUSD", budget=30)
    now = NEWEST + timedelta(seconds=65)
    tick(odd, settings)
    cursor = watch_prices(settings, now, None).cursor
    settings = track("BTCUSD", "ETHUSD", budget=30)
    for _ in range(3):
        tick(odd, settings)
        now += timedelta(minutes=1)
        watched = watch_prices(settings, now, cursor)
        cursor = watched.cursor
        assert watched.alerts == []
        assert watched.troubles == []
        assert watch_minutes(settings, now).incidents == []


def test_a_burst_of_a_metric_added_later_alarms_from_when_it_was_added_on(odd: OddKraken, track: Track) -> None:
    tick(odd, track("BTCUSD", budget=30))
    settings = track("BTCUSD", "ETHUSD", budget=30)
    burst = int(odd.now) // 60 * 60

    def bursts(envelope: Any) -> Any:
        for row in envelope["result"]["XETHZUSD"]:
            if row[0] in (burst, burst - 3600):
                row[6] = "75.0"
        return envelope

    odd.change["OHLC", "ETHUSD"] = bursts
    tick(odd, settings)
    cursor = watch_prices(settings, NEWEST + timedelta(seconds=125), None).cursor
    tick(odd, settings)
    watched = watch_prices(settings, NEWEST + timedelta(seconds=185), cursor)
    assert [(row["metric"], row["measure"], row["minute"].timestamp()) for row in watched.alerts] == [
        (ETH, "volume", burst)
    ]


@pytest.mark.parametrize(
    ("since", "later"),
    [
        ({}, []),
        ({"A": NEWEST}, []),
        ({"A": NEWEST, "B": NEWEST}, []),
        ({"A": NEWEST, "B": NEWEST + DAY, "C": NEWEST}, ["B"]),
    ],
)
def test_who_came_later_is_told_from_who_was_first(since: dict[str, datetime], later: list[str]) -> None:
    assert list(added_later(since)) == later
