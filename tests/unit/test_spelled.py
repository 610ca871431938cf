"""A metric is found by its name with and without the slash between base and quote."""

import pytest

from pricetracker_dagster import sql
from pricetracker_dagster.candles.metric import matches, spelled


def test_a_name_means_the_metric_that_is_followed_however_it_is_spelled() -> None:
    followed = ["KRAKEN:BTCUSD", "OKX:USDT/USD", "OKX:ETHUSDT"]
    assert spelled("KRAKEN:BTC/USD", followed) == "KRAKEN:BTCUSD"
    assert spelled("OKX:USDTUSD", followed) == "OKX:USDT/USD"
    assert spelled("OKX:ETHUSDT", followed) == "OKX:ETHUSDT"
    assert spelled("OKX:ETHUSD", followed) == "OKX:ETHUSD"  # none of them: whoever asks says so


def test_a_name_that_two_markets_have_means_none_of_them() -> None:
    assert spelled("OKX:USDTUSD", ["OKX:USDT/USD", "OKX:USD/TUSD"]) == "OKX:USDTUSD"
    assert spelled("OKX:USD/TUSD", ["OKX:USDT/USD", "OKX:USD/TUSD"]) == "OKX:USD/TUSD"


@pytest.mark.parametrize(
    ("metric", "pattern", "meant"),
    [
        ("KRAKEN:BTCUSD", "KRAKEN:BTC/USD", True),
        ("OKX:USDT/USD", "OKX:USDTUSD", True),
        ("OKX:USDT/USD", "OKX:USD/TUSD", False),
        ("OKX:USDT/USD", "OKX:USDT/USD", True),
        ("KRAKEN:ETHUSD", "*:*/USD", True),
        ("KRAKEN:ETHEUR", "*:*/USD", False),
        ("OKX:ETH/USDT", "OKX:*", True),
        ("KRAKEN:BTCUSD", "COINBASE:*", False),
        ("KRAKEN:BTCUSD", "*", True),
    ],
)
def test_a_pattern_means_the_same_in_python_and_in_sql(metric: str, pattern: str, *, meant: bool) -> None:
    assert matches(metric, pattern) is meant
    connection = sql.connect()
    connection.execute("CREATE OR REPLACE TABLE known AS SELECT $metric AS metric", {"metric": metric})
    wanted = connection.table("known").filter(
        sql.load("alerts/sql/wanted.sql").replace("$patterns", f"['{pattern}']").replace("$metrics", "NULL")
    )
    assert wanted.fetchall() == ([(metric,)] if meant else [])
