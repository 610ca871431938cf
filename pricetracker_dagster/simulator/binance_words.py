"""How Binance writes symbols, klines and trades in JSON: prices and volumes as text with eight decimals."""

from decimal import Decimal
from typing import Any

from pricetracker_dagster.simulator.market import MINUTE, Candle, Pair, Trade

_MS = 1_000_000

LIMITS = (
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
    {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61000},
)


def text(value: Decimal) -> str:
    """Write a price or a volume."""
    return f"{value:.8f}"


def symbol_of(pair: Pair, base: str, quote: str, *, trades: bool) -> dict[str, Any]:
    """Write a pair as exchangeInfo does."""
    tick = text(Decimal(1).scaleb(-pair.decimals))
    return {
        "symbol": base + quote,
        "status": "TRADING" if trades else "BREAK",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {
                "filterType": "LOT_SIZE",
                "minQty": "0.00000001",
                "maxQty": "100000000.00000000",
                "stepSize": "0.00000001",
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def kline_of(one: Candle) -> list[Any]:
    """Write a candle as klines does."""
    prices = (text(price) for price in (one.open, one.high, one.low, one.close, one.volume))
    closes = (one.minute + MINUTE) * 1000 - 1
    bought = text(one.bought), text(one.paid)
    return [one.minute * 1000, *prices, closes, text(one.turnover), one.trades, *bought, "0"]


def trade_of(trade: Trade) -> dict[str, Any]:
    """Write a trade as trades does."""
    return {
        "id": trade.id,
        "price": text(trade.price),
        "qty": text(trade.volume),
        "quoteQty": text(trade.price * trade.volume),
        "time": trade.time // _MS,
        "isBuyerMaker": trade.side == "s",
        "isBestMatch": True,
    }


def agg_trade_of(trade: Trade) -> dict[str, Any]:
    """Write a trade as aggTrades does: one that is the only one of its aggregate."""
    return {
        "a": trade.id,
        "p": text(trade.price),
        "q": text(trade.volume),
        "f": trade.id,
        "l": trade.id,
        "T": trade.time // _MS,
        "m": trade.side == "s",
        "M": True,
    }
