"""The market of a metric: what is traded for what. Metrics of one market, on whichever exchange, can be compared.

Here belongs how a pair's name is taken apart, and which quotes count as one. What is said of a market is worked out in
store/publishing/markets.py. Nothing is asked of anybody: what exchanges have told of their pairs is an argument.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

_FIATS = "USD EUR GBP JPY CHF CAD AUD NZD KRW TRY BRL MXN ARS COP ZAR PLN CZK UAH RUB IDR INR SGD HKD AED NGN THB VND"
USD_LIKE = ("USD", "USDT", "USDC", "DAI", "FDUSD", "TUSD", "BUSD", "PYUSD", "USDP", "GUSD", "USDE", "USDG", "RLUSD")
"""The dollar and the best-known coins that mean to be worth one."""

_STABLECOINS = "UST USDS USDD EURT EURC EURI EURQ EURR XUSD"
_COINS_THAT_QUOTE = "BTC ETH BNB SOL XRP TRX DOGE OKB KCS"
_OTHER_COINS = "ADA LTC DOT BCH XLM LINK AVAX ATOM UNI AAVE XMR ETC FIL NEAR APT ARB SUI TON SHIB PEPE POL"
QUOTES = frozenset((*_FIATS.split(), *USD_LIKE, *_STABLECOINS.split(), *_COINS_THAT_QUOTE.split()))
"""What others are priced in, as far as an exchange does not tell."""

_KNOWN = QUOTES | {*_OTHER_COINS.split()}
_LENGTHS = sorted({len(quote) for quote in QUOTES})


class Market(NamedTuple):
    """What is traded (``base``) for what (``quote``), e.g. BTC for USD; no quote where the name does not say it."""

    base: str
    quote: str | None

    def __str__(self) -> str:
        """Return the written form: ``BTC/USD``, and the base alone where there is no quote."""
        return self.base if self.quote is None else f"{self.base}/{self.quote}"


def market_of(metric: str, told: Mapping[str, tuple[str, str]] = {}) -> Market:
    """Return the market of a metric.

    Args:
        metric: its name, ``EXCHANGE:BASEQUOTE`` or ``EXCHANGE:BASE/QUOTE``.
        told: base and quote of metrics, as their exchanges tell them.

    As the exchange tells it; else by the stroke in its name; else by the known quote with which it ends. Where two fit
    (``BTCTUSD``, ``DOTUSD``: TUSD and USD) it is the one whose base is known, else the shorter one: DOT/USD. Where none
    does, the whole pair is the base: such a metric is compared with those that are called the same.
    """
    if metric in told:
        return Market(*told[metric])
    pair = metric.partition(":")[2]
    base, stroke, quote = pair.partition("/")
    if stroke and base and quote:
        return Market(base, quote)
    splits = [
        (pair[:-length], pair[-length:]) for length in _LENGTHS if len(pair) > length and pair[-length:] in QUOTES
    ]
    if not splits:
        return Market(pair, None)
    return Market(*next((each for each in splits if each[0] in _KNOWN), splits[0]))


def grouped(market: Market, usd_like: Sequence[str]) -> Market:
    """Return the market in which one is compared: quotes of ``usd_like`` count as the first of them.

    A market of two of them stays what it is: USDT/USD is what tells whether they are worth the same.
    """
    if market.quote not in usd_like or market.base in usd_like:
        return market
    return Market(market.base, usd_like[0])
