"""A metric that is asked again within one tick is stored once, and a tick that is late itself asks nobody again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pricetracker_dagster.collect import intake, storing
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.store.store import open_store
from tests.integration.conftest import Bench, Track
from tests.odd_kraken import NEWEST, OddKraken


@pytest.mark.parametrize("times", [1, 2])
def test_an_answer_that_lacks_the_newest_minute_and_the_next_one_are_stored_together(
    odd: OddKraken, track: Track, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    left = [times]

    def without_the_newest(envelope: Any) -> Any:
        if left[0]:
            left[0] -= 1
            envelope["result"]["XXBTZUSD"] = envelope["result"]["XXBTZUSD"][:-2]
        return envelope

    odd.change["OHLC", "XBTUSD"] = without_the_newest
    monkeypatch.setattr(storing, "SPLIT_WITHIN", 0.0)  # on a slow machine there is no time to store them one by one
    monkeypatch.setattr(intake, "STORED_EVERY", 60.0)
    settings = track("BTCUSD")
    collected = collect_minute(settings, NEWEST)
    assert (collected.tracebacks, collected.missing, collected.reasons) == ([], {}, {})
    assert odd.count("OHLC")["XBTUSD"] == times + 1
    assert open_store(settings).prices.newest(["KRAKEN:BTCUSD"], NEWEST - timedelta(hours=1)) == {
        "KRAKEN:BTCUSD": NEWEST
    }


@pytest.mark.parametrize("minutes", [0, 1, 5])
def test_a_tick_that_is_late_itself_asks_for_candles_once(start: Callable[..., Bench], minutes: int) -> None:
    bench = start("BTCUSD", "ETHUSD", extra="[collect]\nbudget_seconds = 20\n")
    minute = bench.minute
    bench.now += timedelta(minutes=minutes)
    assert collect_minute(bench.settings, minute, now=lambda: bench.now).missing == {}
    assert bench.exchange.requests["OHLC"] == 2
