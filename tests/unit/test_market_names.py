"""Of which market a metric is: by its exchange, by a stroke in its name, by the quote with which it ends."""

import re

import pytest

from pricetracker_dagster.candles.markets import QUOTES, USD_LIKE, Market, grouped, market_of
from pricetracker_dagster.settings.markets import MarketSettings
from pricetracker_dagster.settings.template import template


@pytest.mark.parametrize(
    ("pair", "market"),
    [
        ("BTCUSD", "BTC/USD"),
        ("BTCUSDT", "BTC/USDT"),
        ("USDTUSD", "USDT/USD"),
        ("USDCUSDT", "USDC/USDT"),
        ("USDTEUR", "USDT/EUR"),
        ("EURUSDT", "EUR/USDT"),
        ("EURUSD", "EUR/USD"),
        ("ETHBTC", "ETH/BTC"),
        ("BTCTUSD", "BTC/TUSD"),
        ("DOTUSD", "DOT/USD"),
        ("BATUSD", "BAT/USD"),
        ("SHIBUSD", "SHIB/USD"),
        ("SHIBBUSD", "SHIB/BUSD"),
        ("BNBUSD", "BNB/USD"),
        ("BNBBUSD", "BNB/BUSD"),
        ("TUSDUSD", "TUSD/USD"),
        ("BTCFDUSD", "BTC/FDUSD"),
        ("1INCHUSDC", "1INCH/USDC"),
        ("USD", "USD"),
        ("ODDPAIR", "ODDPAIR"),
        ("ODD/PAIR", "ODD/PAIR"),
        ("AUSD/T", "AUSD/T"),
    ],
)
def test_the_market_is_read_from_the_name(pair: str, market: str) -> None:
    assert str(market_of(f"ANY:{pair}")) == market


def test_an_exchange_knows_better_than_the_name() -> None:
    told = {"ONE:DOTUSD": ("DO", "TUSD")}
    assert market_of("ONE:DOTUSD", told) == Market("DO", "TUSD")
    assert market_of("OTHER:DOTUSD", told) == Market("DOT", "USD")


def test_a_name_that_ends_with_no_known_quote_is_a_base_without_one() -> None:
    assert market_of("ANY:ODDPAIR") == Market("ODDPAIR", None)


@pytest.mark.parametrize(
    ("market", "group"),
    [
        (Market("BTC", "USDC"), Market("BTC", "USD")),
        (Market("BTC", "USD"), Market("BTC", "USD")),
        (Market("BTC", "EUR"), Market("BTC", "EUR")),
        (Market("USDC", "USDT"), Market("USDC", "USDT")),
        (Market("USDC", "USD"), Market("USDC", "USD")),
        (Market("USDC", "EUR"), Market("USDC", "EUR")),
        (Market("ODDPAIR", None), Market("ODDPAIR", None)),
    ],
)
def test_grouped_quotes_count_as_the_first_but_not_among_themselves(market: Market, group: Market) -> None:
    assert grouped(market, ("USD", "USDT", "USDC")) == group
    assert grouped(market, ()) == market


@pytest.mark.parametrize(
    ("usd_like", "said"),
    [
        (["USD"], "one quote alone is no group"),
        (["USD", "USDT", "USD"], 'usd_like[2] "USD" is listed twice: remove one'),
        (["USD", "usdt"], '"usdt" is the name of no quote: write e.g. USDT; did you mean USDT?'),
        (["USD", "US DT"], '"US DT" is the name of no quote: write e.g. USDT'),
    ],
)
def test_a_group_that_is_none_is_refused_with_the_way_out(usd_like: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        MarketSettings.model_validate({"usd_like": usd_like})


def test_the_settings_file_names_each_known_dollar() -> None:
    said = template().partition("[markets]")[2].partition("[watch]")[0]
    assert set(USD_LIKE) <= set(re.findall(r"[A-Z]{3,}", said))
    assert set(USD_LIKE) <= QUOTES
