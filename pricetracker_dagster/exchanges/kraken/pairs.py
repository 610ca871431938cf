"""Kraken's pairs: which there are, what we and what Kraken calls them, and the list of them that is kept for a day."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from pricetracker_dagster.candles.pair_names import OUR_ASSETS
from pricetracker_dagster.exchanges.base import ExchangeUnreachable, PairUnknown
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in

_MOST_PAIRS, _LONGEST_NAME = 20_000, 32
"""Kraken lists some 1,400, with up to 16 letters."""


class Pairs(NamedTuple):
    """What AssetPairs has answered, and when, UTC."""

    names: dict[str, str] = {}  # noqa: RUF012 - never changed
    """By our name of a pair the one that a request takes."""
    keys: dict[str, str] = {}  # noqa: RUF012
    """By the key of its answers our name of the pair."""
    asked_at: datetime = datetime.fromtimestamp(0, UTC)
    spelled: dict[str, str] = {}  # noqa: RUF012
    """By our name of a pair the one with a slash between base and quote."""

    def named(self, pair: str) -> str:
        """Return the name that a request takes of a pair, which may be written with a slash.

        Raises:
            PairUnknown: base and quote meet elsewhere.
        """
        plain = pair.replace("/", "")
        if "/" in pair and self.spelled.get(plain, pair) != pair:
            raise PairUnknown(f"{pair}: this market is {self.spelled[plain]}")
        return self.names.get(plain, plain)

    def owner(self, key: str) -> str | None:
        """Return the pair whose answers bear this key; None where that is not known."""
        return self.keys.get(key) or next((pair for pair, name in self.names.items() if name == key), None)


def listed_in(what: str, asset_pairs: Mapping[str, Any]) -> Pairs:
    """Return what an answer of AssetPairs lists.

    Raises:
        ExchangeUnreachable: it lists none, or far too many.
    """
    if len(asset_pairs) > _MOST_PAIRS:
        raise ExchangeUnreachable(f"{what} lists {len(asset_pairs):,} pairs; more than {_MOST_PAIRS:,} are not read")
    names = our_pairs(asset_pairs)
    if not names:
        raise ExchangeUnreachable(f"{what} lists no pair that has a name")
    spelled = {pair.replace("/", ""): pair for pair in map(_our_spelling, asset_pairs.values()) if pair}
    ours = {name: pair for pair, name in names.items()}
    altnames = {key: facts.get("altname") for key, facts in asset_pairs.items() if isinstance(facts, Mapping)}
    keys = {key: ours[name] for key, name in altnames.items() if _is_name(key) and _is_name(name) and name in ours}
    return Pairs(names, keys, datetime.now(UTC), spelled)


def our_pairs(asset_pairs: Mapping[str, Any]) -> dict[str, str]:
    """Map ``BASEQUOTE`` by our names to the name that a request takes, from an answer of AssetPairs.

    Names are read from ``wsname`` (``XBT/USD``), never made by stripping X and Z, which would spoil XTZ and ZEC. Pairs
    without one are dark pools and quote no candles. Of several entries for one pair the one whose two names are the
    same (``XBTUSD``) is taken, else the first.
    """
    pairs: dict[str, str] = {}
    for facts in asset_pairs.values():
        altname, wsname = (facts.get("altname"), facts.get("wsname")) if isinstance(facts, Mapping) else (None, None)
        if not (_is_name(altname) and _is_name(wsname)):
            continue  # an entry of another kind, now or one day: none of ours
        if spelling := _our_spelling(facts):
            pair = spelling.replace("/", "")
            if pair not in pairs or altname == wsname.replace("/", ""):
                pairs[pair] = altname
    return pairs


def _our_spelling(facts: object) -> str | None:
    """Return ``BASE/QUOTE`` by our names of assets of what AssetPairs has of a pair; None where it is none of ours."""
    wsname = facts.get("wsname") if isinstance(facts, Mapping) else None
    base, slash, quote = wsname.partition("/") if _is_name(wsname) else ("", "", "")
    return f"{OUR_ASSETS.get(base, base)}/{OUR_ASSETS.get(quote, quote)}" if base and slash and quote else None


def read_kept(file: Path, url: str) -> Pairs:
    """Return the list that was kept of the exchange at a URL; an empty one where there is none, or it is damaged."""
    kept = kept_in(file)
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        named = [dict(kept["pairs"]), dict(kept.get("keys", {})), dict(kept.get("spelled", {}))]
        pairs = Pairs(named[0], named[1], datetime.fromisoformat(kept["asked_at"]), named[2])
        texts = [text for each in named for text in (*each, *each.values())]
        if kept["url"] == url and pairs.names and all(map(_is_name, texts)) and pairs.asked_at.tzinfo:
            return pairs
    return Pairs()


def keep(file: Path, url: str, pairs: Pairs) -> None:
    """Keep a list for the processes that come after this one."""
    lists = {"pairs": pairs.names, "keys": pairs.keys, "spelled": pairs.spelled}
    kept = {"url": url, "asked_at": pairs.asked_at.isoformat(), **lists}
    with suppress(OSError):  # it is asked for again; where nothing can be written, storing says so
        write_text(file, json.dumps(kept))


def _is_name(text: object) -> TypeGuard[str]:
    """Say whether it is the kind of text that names a pair: what is sent back to the exchange, and shown."""
    return isinstance(text, str) and text.isascii() and text.isprintable() and 0 < len(text) <= _LONGEST_NAME
