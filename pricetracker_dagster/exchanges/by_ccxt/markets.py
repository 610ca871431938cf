"""Which spot markets an exchange lists, by our names, and the list of them that is kept for a day.

Of each market its symbol is kept; all that ccxt knows of it only where it is followed, since that is a hundred times
as much.
"""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pricetracker_dagster.candles.metric import PAIR
from pricetracker_dagster.exchanges.base import ExchangeUnreachable, PairAmbiguous, PairUnknown
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in

_MOST = 20_000

_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Markets:
    """What was listed, and when, UTC.

    Attributes:
        symbols: by pair without a slash, ``BASEQUOTE``, the symbols that it may mean: mostly one.
        followed: by symbol what ccxt knows of those that are followed, also of one that is listed no more.
        asked_at: when.
    """

    symbols: Mapping[str, list[str]] = field(default_factory=dict)
    followed: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    asked_at: datetime = _NEVER

    @property
    def pairs(self) -> set[str]:
        """Every name that a pair may be called by: with the slash, and without where that means one market."""
        listed = {symbol for symbols in self.symbols.values() for symbol in symbols}
        return listed | {pair for pair, symbols in self.symbols.items() if len(symbols) == 1}

    def lists(self, symbol: str) -> bool:
        """Say whether a symbol was listed."""
        return symbol in self.symbols.get(symbol.replace("/", ""), ())

    def symbol_of(self, exchange: str, pair: str) -> str:
        """Return the symbol of a pair, which is listed or was so when it was last followed.

        Raises:
            PairUnknown: it is not, or two markets have this name.
        """
        known = [*self.symbols.get(pair.replace("/", ""), ()), *self.followed]
        found = list(dict.fromkeys(each for each in known if pair in (each, each.replace("/", ""))))
        if not found:
            raise PairUnknown(f"{exchange}: it lists no spot market {pair}")
        if len(found) > 1 and pair not in found:
            ways = " or ".join(f"{exchange}:{each}" for each in found)
            raise PairAmbiguous(f"{exchange}: {pair} is the name of {len(found)} markets: write {ways}")
        return pair if pair in found else found[0]

    def following(self, pairs: Collection[str], before: "Markets") -> "Markets":
        """Return the same list with what is known of those of some pairs alone, by this one or the one before."""
        return replace(self, followed={**_followed(before, pairs), **_followed(self, pairs)})


def listed_in(what: str, loaded: Mapping[str, Any]) -> Markets:
    """Return the spot markets that are active of all that ccxt has loaded, and what is known of each.

    Raises:
        ExchangeUnreachable: there is none, or there are far too many.
    """
    if len(loaded) > _MOST:
        raise ExchangeUnreachable(f"{what} lists {len(loaded):,} markets; more than {_MOST:,} are not read")
    symbols: dict[str, list[str]] = {}
    known = {}
    for market in loaded.values():
        base, quote = (str(market.get(side) or "").upper() for side in ("base", "quote"))
        symbol = f"{base}/{quote}"
        if market.get("spot") and market.get("active") is not False and PAIR.fullmatch(symbol):
            of_name = symbols.setdefault(base + quote, [])
            if symbol not in of_name:
                of_name.append(symbol)
                known[symbol] = market
    if not symbols:
        raise ExchangeUnreachable(f"{what} lists no spot market that is active")
    return Markets(symbols, known, datetime.now(UTC))


def _followed(markets: Markets, pairs: Collection[str]) -> dict[str, dict[str, Any]]:
    wanted = {pair.replace("/", "") for pair in pairs}
    return {symbol: market for symbol, market in markets.followed.items() if symbol.replace("/", "") in wanted}


def lacks(markets: Markets, pairs: Collection[str]) -> bool:
    """Say whether one of some pairs is not listed."""
    return not set(pairs) <= markets.pairs


def is_followed(markets: Markets, pairs: Collection[str]) -> bool:
    """Say whether all is known of those of some pairs that are listed."""
    wanted = {symbol for pair in pairs for symbol in markets.symbols.get(pair.replace("/", ""), ())}
    return wanted <= markets.followed.keys()


def read_kept(file: Path, root: str) -> Markets:
    """Return the list that was kept of the exchange at a URL; an empty one where there is none, or it is damaged."""
    kept = kept_in(file)
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        symbols = {str(pair): [str(each) for each in of_pair] for pair, of_pair in kept["symbols"].items()}
        followed = {str(symbol): dict(market) for symbol, market in kept["followed"].items()}
        asked_at = datetime.fromisoformat(kept["asked_at"])
        if kept["url"] == root and symbols and asked_at.tzinfo:
            return Markets(symbols, followed, asked_at)
    return Markets()


def keep(file: Path, root: str, markets: Markets) -> None:
    """Keep a list for the processes that come after this one."""
    kept = {
        "url": root,
        "asked_at": markets.asked_at.isoformat(),
        "symbols": markets.symbols,
        "followed": markets.followed,
    }
    with suppress(
        OSError, TypeError, ValueError
    ):  # it is asked for again; where nothing can be written, storing says so
        write_text(file, json.dumps(kept))
