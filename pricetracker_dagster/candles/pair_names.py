"""What others call exchanges and pairs otherwise than we do: names which people type and files bear."""

import re

OUR_ASSETS = {"XBT": "BTC", "XDG": "DOGE"}
"""Kraken's names of assets that the rest of the world calls otherwise."""

_OUR_EXCHANGES = {
    "COINBASEEXCHANGE": "COINBASE",
    "COINBASEPRO": "COINBASE",
    "GDAX": "COINBASE",
    "GATEIO": "GATE",
    "HUOBI": "HTX",
    "OKEX": "OKX",
}
"""Exchanges by what ccxt calls them otherwise, or what they were called before."""

_KEY = r"(?:X(?=ETC|ETH|LTC|MLN|REP|XBT|XDG|XLM|XMR|XRP|ZEC)|Z(?=AUD|CAD|EUR|GBP|JPY|USD))([A-Z]{3})"
"""An asset in the keys of Kraken's AssetPairs: its oldest ones carry an X, moneys of states a Z (``XXBTZUSD``)."""


def own_name(metric: str) -> str:
    """Return the name under which a metric is kept: ``KRAKEN:BTCUSD`` also for Kraken's ``XBTUSD`` and ``XXBTZUSD``."""
    exchange, _, pair = metric.partition(":")
    exchange = _OUR_EXCHANGES.get(exchange, exchange)
    if key := re.fullmatch(rf"(?:{_KEY}|(USDT)){_KEY}", pair):
        pair = "".join(filter(None, key.groups()))
    for theirs, ours in OUR_ASSETS.items():
        pair = re.sub(f"^{theirs}(?=.)|(?<=.){theirs}$|{theirs}(?=/)", ours, pair)
    return f"{exchange}:{pair}"
