"""What every exchange can do for us, and how it says that it cannot.

An exchange is one module with one small class: three verbs and its own quirks, written beside the code that
handles them. Nothing here or in those modules knows the store, the settings file or Dagster.
"""

import random
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Protocol

import pyarrow as pa

from pricetracker_dagster.candles.validate import Validated
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.files.locks import Deadline


class Exchange(Protocol):
    """One exchange. Pairs are written ``BASEQUOTE`` with our names of assets (BTC, DOGE), times are UTC.

    Every verb asks over the network within its deadline, patiently: what may pass is tried again.

    Raises:
        ExchangeError: one of its kinds below, from every verb.
    """

    name: str
    """The part of a metric before the colon, e.g. ``KRAKEN``."""

    reach: timedelta
    """How far back candles() answers; what is older is for rebuild()."""

    def time(self, deadline: Deadline) -> datetime:
        """Return the exchange's own time, by which a minute is closed or not."""

    def pairs(self, wanted: Collection[str], deadline: Deadline) -> Collection[str]:
        """Return every pair it knows. ``wanted`` are those we hope for: an old list without them is renewed."""

    settles: timedelta
    """How long after its end a minute is complete for rebuild()."""

    def candles(self, pair: str, since: datetime, deadline: Deadline, *, patient: bool = True) -> Validated:
        """Fetch the closed minutes of ``pair`` from ``since`` on, as far back as the candle endpoint reaches.

        With ``patient=False`` what may pass is not tried again: the caller has others to ask first (again_after()).
        """

    def rebuild(
        self, pair: str, first: datetime, last: datetime, deadline: Deadline, *, before: pa.Table | None = None
    ) -> Iterator[Validated]:
        """Fetch closed minutes ``first`` to ``last`` however old they are, oldest first, in whole minutes.

        What was yielded stands even if the deadline passes before the next batch. ``before`` is the candle right before
        ``first``, where that is known: its close opens a quiet beginning, which is else asked for.
        """


class ExchangeError(PricetrackerError):
    """An exchange did not give what was asked for. The message says what and why, in plain words."""

    cause = "exchange error"
    """The kind, as reports and incidents call it."""


class ExchangeUnreachable(ExchangeError):
    """No usable answer: no connection, a time-out, a server error, a broken body. It may pass."""


class NoAnswer(ExchangeUnreachable):
    """It did not answer as a whole in the time that it was given."""


class NotAsked(ExchangeUnreachable):
    """There was no time left to ask: others were before it."""


class RateLimited(ExchangeError):
    """The exchange asks us to slow down."""


class Maintenance(ExchangeError):
    """The exchange is closed for maintenance or takes only some orders: no minute can be had now."""

    cause = "exchange maintenance"


class PairUnknown(ExchangeError):
    """The exchange does not know the pair, or no longer does. Only that pair is concerned."""

    cause = "pair unknown"


_PAUSE_FIRST, _PAUSE_MOST = 0.4, 8.0
_TRIES = 8
"""With these pauses, half a minute of trouble is sat out."""


def again_after(error: Exception, times: int) -> float | None:
    """Return after how many seconds to ask again when that has failed so many times; None: not at all."""
    if isinstance(error, NotAsked) or not isinstance(error, ExchangeUnreachable | RateLimited) or times >= _TRIES:
        return None
    pause = min(_PAUSE_FIRST * 2.0 ** (times - 1), _PAUSE_MOST)
    return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
