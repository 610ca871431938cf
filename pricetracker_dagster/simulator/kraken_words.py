"""How Kraken writes pairs, candles, trades and the summary of a pair in JSON."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from pricetracker_dagster.simulator.market import SECOND, Candle, Pair, Trade

_FEES = [[0, 0.26], [50000, 0.24], [100000, 0.22]]


def facts(pair: Pair) -> dict[str, Any]:
    """Write a pair as AssetPairs does."""
    return {
        "altname": pair.altname,
        "wsname": pair.wsname,
        "aclass_base": "currency",
        "base": pair.base,
        "aclass_quote": "currency",
        "quote": pair.quote,
        "lot": "unit",
        "pair_decimals": pair.decimals,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": _FEES,
        "fees_maker": _FEES,
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": "0.0001",
    }


def row_of(pair: Pair, found: Candle) -> list[Any]:
    """Write a candle as OHLC does: times and counts are numbers, everything else is text."""
    prices = (str(pair.price(price)) for price in (found.open, found.high, found.low, found.close))
    vwap = "0.0" if found.vwap is None else str(found.vwap)
    return [found.minute, *prices, vwap, volume_text(found.volume), found.trades]


def trade_row(pair: Pair, trade: Trade) -> list[Any]:
    """Write a trade as Trades does."""
    price, volume = str(pair.price(trade.price)), volume_text(trade.volume)
    return [price, volume, round(trade.time / SECOND, 4), trade.side, trade.kind, "", trade.id]


def volume_text(volume: Decimal) -> str:
    """Write a volume, with eight decimals."""
    return f"{volume:.8f}"


def summary(pair: Pair, day: Sequence[Candle], today: Sequence[Candle]) -> dict[str, Any]:
    """Write a pair's summary as Ticker does.

    Args:
        pair: the pair.
        day: its candles of the last 24 hours, at least one.
        today: those since 00:00 UTC, at least one.
    """
    last = day[-1]
    price = str(last.close)

    def both(value: Callable[[Sequence[Candle]], Any]) -> list[Any]:
        return [value(today), value(day)]

    def mean(candles: Sequence[Candle]) -> str:
        volume = sum((found.volume for found in candles), Decimal(0))
        turnover = sum(((found.vwap or found.close) * found.volume for found in candles), Decimal(0))
        return str(pair.price(turnover / volume if volume else last.close))

    return {
        "a": [price, "1", "1.000"],
        "b": [price, "1", "1.000"],
        "c": [price, volume_text(last.volume)],
        "v": both(lambda candles: volume_text(sum((found.volume for found in candles), Decimal(0)))),
        "p": both(mean),
        "t": both(lambda candles: sum(found.trades for found in candles)),
        "l": both(lambda candles: str(min(found.low for found in candles))),
        "h": both(lambda candles: str(max(found.high for found in candles))),
        "o": str(today[0].open),
    }
