"""Where collecting fails as a whole, readers still get what is stored."""

import dagster as dg
import pytest

from pricetracker_dagster import open_prices
from pricetracker_dagster.assets.minute_prices import minute_prices
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store.store import open_store
from tests.integration.conftest import NOON


@pytest.mark.parametrize("error", [RuntimeError("broken"), OSError(28, "No space left on device"), KeyError("x")])
def test_a_failure_while_collecting_still_publishes_what_is_stored(
    write_settings: object, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    assert callable(write_settings)
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    store = open_store(load_settings())
    rows = [
        ("KRAKEN:BTCUSD", int((NOON - i * MINUTE).timestamp()), 1 + i, 1 + i, 1 + i, 1 + i, 1, 1) for i in (1, 2, 3)
    ]
    store.prices.upsert(validate_rows(rows, NOON).kept)

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("pricetracker_dagster.collect.tick.ask_for_candles", fails)
    minute = NOON - MINUTE
    done = dg.materialize(
        [minute_prices],
        resources={"tracker": Tracker(load_settings, now=lambda: NOON)},
        partition_key=f"{minute:%Y-%m-%d}",
        run_config={"ops": {"minute_prices": {"config": {"minute": minute.isoformat()}}}},
        raise_on_error=False,
    )
    assert not done.success
    assert {row["observations"] for row in open_prices(store.folder.published).rank("price").to_dicts()} == {3}
