"""A metric with fewer observations than the others is visible as such wherever the ranking is shown."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from pricetracker_dagster.assets.answers import metric_rank
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.cli import main
from pricetracker_dagster.reading.questions import fewer_observations
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import Store, open_store

NEWEST = datetime(2026, 3, 3, 11, 59, tzinfo=UTC)
METRICS = ("KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD")


@pytest.fixture
def store(write_settings: Callable[[str], Path]) -> Store:
    """Three metrics: two of a whole day, one of seven hours."""
    write_settings(f"metrics = {list(METRICS)}".replace("'", '"'))
    store = open_store(load_settings())
    rows = [
        (metric, int((NEWEST - i * MINUTE).timestamp()), price, price, price, price, 1, 1)
        for metric, count in zip(METRICS, (1440, 420, 1440), strict=True)
        for i in range(count)
        for price in [100 + i % 7]
    ]
    store.prices.upsert(validate_rows(rows, NEWEST + timedelta(seconds=65)).kept)
    publish(store, list(METRICS), now=NEWEST + timedelta(seconds=66))
    return store


def test_below_the_table_it_says_whose_deviation_is_over_less_time(store: Store) -> None:
    said = CliRunner().invoke(main, ["rank", "price"])
    assert said.exit_code == 0
    assert "  KRAKEN:ETHUSD: 420 minutes of 1,440, others have 1,440: its deviation is over less time" in said.output
    assert said.output.count("is over less time") == 1


@pytest.mark.parametrize("shape", ["csv", "json"])
def test_what_programs_read_stays_as_it_is(store: Store, shape: str) -> None:
    assert "over less time" not in CliRunner().invoke(main, ["rank", "price", "--format", shape]).output


def test_in_the_ui_the_table_says_it_beside_the_rank(store: Store) -> None:
    tracker = Tracker(load_settings, now=lambda: NEWEST + timedelta(seconds=66))
    done = dg.materialize([metric_rank], resources={"tracker": tracker}, selection=[metric_rank])
    [event] = done.asset_materializations_for_node("metric_rank")
    table: Any = event.metadata["ranking"].value
    shown = {row.data["metric"]: row.data["observations"] for row in table.records if row.data["measure"] == "price"}
    assert shown == {
        "KRAKEN:BTCUSD": "1440 of 1440",
        "KRAKEN:ETHUSD": "420 of 1440 (fewer than others)",
        "KRAKEN:XRPUSD": "1440 of 1440",
    }
    assert event.metadata["fewer_observations"].value == 1


@pytest.mark.parametrize(
    ("counts", "fewer"),
    [
        ({}, {}),
        ({"A": 5}, {}),
        ({"A": 5, "B": 5}, {}),
        ({"A": 5, "B": 4, "C": 1}, {("price", "B"): (4, 5), ("price", "C"): (1, 5)}),
    ],
)
def test_fewer_than_the_fullest_is_fewer(counts: dict[str, int], fewer: dict[tuple[str, str], tuple[int, int]]) -> None:
    rows = [{"measure": "price", "metric": metric, "observations": count} for metric, count in counts.items()]
    assert fewer_observations(rows) == fewer
