"""What every exchange can do for us, and how it says that it cannot.

An exchange is one small class, which says what it asks and what an answer means; asking.py does the asking.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import pyarrow as pa

from pricetracker_dagster.candles.validate import Answer, Validated
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.files.locks import Deadline


class Allowance(NamedTuple):
    """How much may be asked of an exchange: requests for candles a second, and the longest wait for an answer."""

    requests_per_second: float
    timeout_seconds: float


class Exchange(Protocol):
    """One exchange. Pairs are written ``BASEQUOTE`` with our names of assets (BTC, DOGE), times are UTC.

    Every verb asks over the network within its deadline, and again where a failure may pass; else it raises one of the
    kinds of ExchangeError.
    """

    name: str
    """The part of a metric before the colon, e.g. ``KRAKEN``."""
    allowance: Allowance
    """How much may be asked of it."""
    reach: timedelta
    """How far back candles() answers; older minutes are for history()."""
    settles: timedelta
    """How long after its end a minute is complete for history()."""

    def time(self, deadline: Deadline) -> datetime:
        """Return the exchange's own time, by which a minute is closed or not."""

    def pairs(self, wanted: Collection[str], deadline: Deadline) -> Collection[str]:
        """Return every pair it knows. A list that was kept and lacks some of ``wanted`` is asked for again."""

    def base_and_quote(self, pair: str) -> tuple[str, str] | None:
        """Return what a pair trades for what, as pairs() has found; None where it is not known."""

    def candles(self, pair: str, since: datetime, deadline: Deadline, *, patient: bool = True) -> Answer:
        """Fetch the closed minutes of ``pair`` from ``since`` on, with one request: at most ``reach`` back.

        The rows may be left for whoever stores them to validate, with those of all other metrics in one pass.
        A minute without trades is a row: where the exchange lists none, it is filled (candles/no_trade.py).
        With ``patient=False`` it asks once, whatever the failure: the caller asks for others first (retry_pause()).
        """

    def history(
        self, pair: str, first: datetime, last: datetime, deadline: Deadline, *, before: pa.Table | None = None
    ) -> Iterator[Validated]:
        """Fetch closed minutes ``first`` to ``last`` however old they are, oldest first, a batch of whole minutes each.

        An exchange that answers old ranges yields a batch a request; one whose candles do not reach back far enough
        rebuilds them from trades. A batch stays valid if the deadline passes before the next. ``before`` is the candle
        right before ``first``, where it is known: its close fills quiet minutes at the beginning, which is otherwise
        asked for.
        """


class ExchangeError(PricetrackerError):
    """An exchange did not give what was asked for. The message says what and why, in plain words."""

    cause = "exchange error"
    """The kind, as reports and incidents call it."""


class ExchangeUnreachable(ExchangeError):
    """No usable answer: no connection, a time-out, a server error, a broken body. It may pass."""


class NoAnswer(ExchangeUnreachable):
    """No whole answer came in the time that was given."""


class NotAsked(ExchangeUnreachable):
    """The deadline passed before it was asked."""

    why = "not asked in time: other requests came first"


class RateLimited(ExchangeError):
    """The exchange asks us to slow down; ``pause`` is for how many seconds, where it says so."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        """Keep what it says."""
        super().__init__(message)
        self.pause = pause


class Banned(RateLimited):
    """The exchange answers nothing to this address for a while; each request more may make it longer."""

    cause = "banned by the exchange"


class RefusedHere(ExchangeError):
    """The exchange answers nobody from here, e.g. by the law of the country that the address belongs to."""

    cause = "refused by the exchange"


class Maintenance(ExchangeError):
    """The exchange is closed for maintenance or takes only some orders: no minute can be had now."""

    cause = "exchange maintenance"


class PairUnknown(ExchangeError):
    """The exchange does not know the pair, or no longer does. Only that pair is concerned."""

    cause = "pair unknown"


class PairAmbiguous(PairUnknown):
    """Two markets of the exchange have the pair's name; the message says which, and how to tell them apart."""
