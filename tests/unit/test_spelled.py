"""A metric is found by its name with and without the slash between base and quote."""

from pricetracker_dagster.candles.metric import spelled


def test_a_name_means_the_metric_that_is_followed_however_it_is_spelled() -> None:
    followed = ["KRAKEN:BTCUSD", "OKX:USDT/USD", "OKX:ETHUSDT"]
    assert spelled("KRAKEN:BTC/USD", followed) == "KRAKEN:BTCUSD"
    assert spelled("OKX:USDTUSD", followed) == "OKX:USDT/USD"
    assert spelled("OKX:ETHUSDT", followed) == "OKX:ETHUSDT"
    assert spelled("OKX:ETHUSD", followed) == "OKX:ETHUSD"  # none of them: whoever asks says so


def test_a_name_that_two_markets_have_means_none_of_them() -> None:
    assert spelled("OKX:USDTUSD", ["OKX:USDT/USD", "OKX:USD/TUSD"]) == "OKX:USDTUSD"
    assert spelled("OKX:USD/TUSD", ["OKX:USDT/USD", "OKX:USD/TUSD"]) == "OKX:USD/TUSD"
