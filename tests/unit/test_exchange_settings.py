"""Any exchange has a table of the settings; a name that is none, a key of an API and options of no use are refused."""

from pathlib import Path

import pytest

from pricetracker_dagster.candles.metric import parse_metric
from pricetracker_dagster.settings import Settings, SettingsError, load_settings
from pricetracker_dagster.settings.exchanges import exchange_names


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pricetracker.toml"
    monkeypatch.setenv("PRICETRACKER_CONFIG", str(path))
    return path


FIVE = 'metrics = ["KRAKEN:BTCUSD", "COINBASE:BTCUSD", "BINANCE:BTCUSDT", "BITSTAMP:BTCEUR", "OKX:ETHUSDT"]\n'


def test_metrics_of_five_exchanges_are_followed_each_with_its_table(
    write: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write.write_text(
        f'{FIVE}[exchanges.coinbase]\nurl = "http://127.0.0.1:9"\n[exchanges.okx]\noptions = {{ a = 1 }}\n'
    )
    monkeypatch.setenv("PRICETRACKER_EXCHANGES__COINBASE__REQUESTS_PER_SECOND", "2.5")
    monkeypatch.setenv("PRICETRACKER_EXCHANGES__BITSTAMP__URL", "http://127.0.0.1:8/")
    monkeypatch.setenv("PRICETRACKER_EXCHANGES__BITSTAMP__OPTIONS", '{"b": {"c": 2}}')
    settings = load_settings()
    assert [str(metric) for metric in settings.tracked] == [
        "KRAKEN:BTCUSD",
        "COINBASE:BTCUSD",
        "BINANCE:BTCUSDT",
        "BITSTAMP:BTCEUR",
        "OKX:ETHUSDT",
    ]
    coinbase, bitstamp, binance = (settings.exchange(name) for name in ("COINBASE", "BITSTAMP", "BINANCE"))
    assert (coinbase.url, coinbase.requests_per_second) == ("http://127.0.0.1:9", 2.5)
    assert (bitstamp.url, bitstamp.options) == ("http://127.0.0.1:8", {"b": {"c": 2}})
    assert (binance.url, binance.requests_per_second, binance.timeout_seconds) == ("", None, 10.0)
    assert settings.exchange("OKX").options == {"a": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('metrics = ["COINBSE:BTCUSD"]', 'metrics[0] "COINBSE:BTCUSD": no exchange COINBSE; did you mean COINBASE?'),
        ('metrics = ["HUOBI:BTCUSDT"]', 'metrics[0] "HUOBI:BTCUSDT" is called HTX:BTCUSDT here: write HTX:BTCUSDT'),
        ('metrics = ["COINBASEPRO:BTCUSD"]', "is called COINBASE:BTCUSD here: write COINBASE:BTCUSD"),
        ('metrics = ["KRAKEN:XBT/USD"]', "is called KRAKEN:BTC/USD here: write KRAKEN:BTC/USD"),
        ('metrics = ["SIMULATED_COINBASE:BTCUSD"]', "invented prices are never kept beside real ones"),
        ('metrics = ["OKX:BTCUSDT", "OKX:BTC/USDT"]', 'metrics[1] "OKX:BTC/USDT" is listed twice: remove one'),
        (f"{FIVE}[exchanges.coinbse]\n", "exchanges.coinbse: no such key; did you mean coinbase?"),
        (f"{FIVE}[exchanges.simulated_coinbase]\n", "exchanges.simulated_coinbase: no such key"),
        (f'{FIVE}[exchanges.okx]\nurll = ""\n', "exchanges.okx.urll: no such key; did you mean url?"),
        (f"{FIVE}[exchanges.okx]\nrequests_per_second = 0.01\n", "exchanges.okx.requests_per_second 0.01: too few"),
        (
            f'{FIVE}[exchanges.binance]\noptions = {{ apiKey = "k" }}\n',
            "apiKey: API keys are not needed and not accepted: remove it",
        ),
        (
            f"{FIVE}[exchanges.kraken]\noptions = {{ a = 1 }}\n",
            "options are for exchanges that ccxt asks; kraken is none of them",
        ),
    ],
)
def test_a_mistake_about_an_exchange_is_told_with_the_way_out(write: Path, text: str, said: str) -> None:
    write.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith("pricetracker.toml: ")
    assert said in str(refused.value)


def test_two_markets_of_one_name_are_both_followed_where_the_slash_tells_them_apart() -> None:
    both = ("OKX:USDT/USD", "OKX:USD/TUSD")
    assert [str(metric) for metric in Settings(metrics=both).tracked] == list(both)
    assert parse_metric("OKX:USDT/USD") == ("OKX", "USDT/USD")


def test_the_simulator_stands_for_each_exchange_in_its_dialect_or_in_kraken_s() -> None:
    settings = Settings(metrics=("KRAKEN:BTCUSD", "COINBASE:BTCUSD", "BINANCE:BTCUSDT", "OKX:BTCUSD"), simulated=True)
    assert [str(metric) for metric in settings.tracked] == [
        "SIMULATED:BTCUSD",
        "SIMULATED_COINBASE:BTCUSD",
        "SIMULATED_BINANCE:BTCUSDT",
    ]
    # one server speaks all dialects; each is asked as often as the real one grants
    assert {settings.exchange(metric.exchange).url for metric in settings.tracked} == {"http://127.0.0.1:8650"}
    assert [settings.exchange(metric.exchange).requests_per_second for metric in settings.tracked] == [100, None, None]
    assert [settings.place_of(metric).rpartition(": ")[2] for metric in settings.tracked] == [
        'metrics[0] "KRAKEN:BTCUSD"',
        'metrics[1] "COINBASE:BTCUSD"',
        'metrics[2] "BINANCE:BTCUSDT"',
    ]


def test_every_exchange_of_ccxt_may_be_named_by_one_name() -> None:
    import ccxt

    names = exchange_names()
    assert {"KRAKEN", "COINBASE", "BINANCE", "BITSTAMP", "BITFINEX", "GEMINI", "OKX", "BYBIT", "KUCOIN"} <= {*names}
    assert len(names) == len(ccxt.exchanges)
    assert names == sorted({*names})
