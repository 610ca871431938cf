"""Of which market each metric of a data folder is: for whoever compares exchanges, the publisher and the alarms alike.

How a name is taken apart is candles/markets.py's. Here belongs what a data folder and its settings know of that: base
and quote as the exchanges tell them, which a tick notes in a small file. What that lacks is told by the name.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Self

from pricetracker_dagster.candles.markets import Market, grouped, market_of
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in
from pricetracker_dagster.store.store import Store


class MarketNames(NamedTuple):
    """What exchanges have told of their pairs, and which quotes count as one."""

    told: dict[str, tuple[str, str]]
    usd_like: tuple[str, ...]

    @classmethod
    def known_in(cls, store: Store) -> Self:
        """Read what is known in a data folder."""
        return cls(_told_in(store.folder.state / StateFile.MARKETS), store.usd_like)

    def own(self, metric: str) -> Market:
        """Return the market of a metric, with its own quote."""
        return market_of(metric, self.told)

    def compared(self, metric: str) -> str:
        """Return the name of the market in which a metric is compared."""
        return self.group(self.own(metric))

    def group(self, own: Market) -> str:
        """Return the name of the market as part of which one is compared."""
        return str(grouped(own, self.usd_like))

    @property
    def digest(self) -> str:
        """Something that is another one where any market may be."""
        return sha256(json.dumps(self, sort_keys=True).encode()).hexdigest()[:32]


def note_markets(state: Path, told: Mapping[str, tuple[str, str]]) -> None:
    """Add base and quote of some metrics; nothing is written where they are known."""
    file = state / StateFile.MARKETS
    kept = _told_in(file)
    both = {**kept, **told}
    if both != kept:
        with suppress(OSError):  # it is told again in a minute
            write_text(file, json.dumps(both, indent=1, sort_keys=True))


def _told_in(file: Path) -> dict[str, tuple[str, str]]:
    """Return base and quote of metrics as the file holds them; an entry of any other shape is left out."""
    found = {}
    for metric, told in kept_in(file).items():
        match told:
            case [str(base), str(quote)] if base and quote:
                found[metric] = (base, quote)
    return found
