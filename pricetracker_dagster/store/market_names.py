"""Of which market each metric of a data folder is: for whoever compares exchanges, the publisher and the alarms alike.

How a name is taken apart is candles/markets.py's; here belongs what a data folder and its settings know of that.
"""

import json
from hashlib import sha256
from typing import NamedTuple, Self

from pricetracker_dagster.candles.markets import Market, grouped, market_of, told_of
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.small import kept_in
from pricetracker_dagster.store.store import Store


class MarketNames(NamedTuple):
    """What exchanges have told of their pairs, and which quotes count as one."""

    told: dict[str, tuple[str, str]]
    usd_like: tuple[str, ...]

    @classmethod
    def known_in(cls, store: Store) -> Self:
        """Read what is known in a data folder."""
        return cls(told_of(kept_in(store.folder.state / StateFile.MARKETS)), store.usd_like)

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
