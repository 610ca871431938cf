"""What a tick says of thousands of metrics that lack its minute stays small: Dagster keeps an event of each tick."""

import json
from datetime import UTC, datetime

import pytest

from pricetracker_dagster.assets.minute_prices import why_missing
from pricetracker_dagster.candles.minutes import MinuteRange
from pricetracker_dagster.collect.result import Collected

MINUTE = datetime(2026, 3, 3, 12, tzinfo=UTC)


def without(metrics: int) -> Collected:
    names = [f"KRAKEN:P{number:05d}USD" for number in range(metrics)]
    collected = Collected(MINUTE, tuple(names))
    collected.missing = {name: [MinuteRange(MINUTE, MINUTE)] for name in names}
    return collected


@pytest.mark.parametrize(("metrics", "more"), [(51, "1"), (1_000, "950"), (10_000, "9,950")])
def test_fifty_metrics_are_named_and_the_others_counted(metrics: int, more: str) -> None:
    told = why_missing(without(metrics))
    assert len(told) == 51
    assert list(told)[-1] == f"and {more} metrics more"
    assert len(json.dumps(told)) < 10_000


def test_as_many_as_fit_are_all_named() -> None:
    assert len(why_missing(without(50))) == 50
    assert why_missing(without(1)) == {
        "KRAKEN:P00000USD": {
            "minutes": "2026-03-03 12:00",
            "why": "the exchange answered without it",
            "cause": "exchange error",
        }
    }
