"""The markets of one exchange as they are listed now: kept for a day, asked for again where that is in doubt."""

import threading
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.exchanges.base import ExchangeError, PairUnknown
from pricetracker_dagster.exchanges.by_ccxt.markets import Markets, is_followed, keep, lacks, listed_in, read_kept
from pricetracker_dagster.exchanges.by_ccxt.questions import Questions
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded

_LAST, _AGAIN = DAY, 10 * MINUTE
"""How long the list is kept, and how long one that lacks a pair."""

_DOUBTED = timedelta(hours=1)
"""How old the list may be by which a pair that has been quiet for long is still listed."""


class Listing:
    """The list of an exchange's markets. Threads may share it."""

    def __init__(self, questions: Questions, file: Path) -> None:
        """Read nothing yet; ``file`` keeps the list from process to process."""
        self._questions = questions
        self._file = file
        self._markets = Markets()
        self._loaded = Markets()
        """All that was loaded by this process, so that who is followed later need not have it asked for again."""
        self._lock = threading.Lock()

    def markets(self, wanted: Collection[str], deadline: Deadline) -> Markets:
        """Return the list, asked for again where it is old, or lacks some of the pairs that are wanted."""
        with self._lock:
            if not self._markets.symbols:
                self._use(read_kept(self._file, self._questions.client.url))
            if self._loaded.symbols and not is_followed(self._markets, wanted):
                self._follow(wanted)
            age = datetime.now(UTC) - self._markets.asked_at
            lacking = not is_followed(self._markets, wanted) or (age > _AGAIN and lacks(self._markets, wanted))
            if lacking or not timedelta() <= age <= _LAST:  # kept under a clock that was ahead: its age is unknown
                self._load(wanted, deadline)
            return self._markets

    def symbol_of(self, pair: str, deadline: Deadline) -> str:
        """Return what ccxt calls a pair.

        Raises:
            PairUnknown: it is not listed; PairAmbiguous: two are called so.
        """
        markets = self._markets if self._markets.symbols else self.markets({pair}, deadline)
        return markets.symbol_of(self._questions.name, pair)

    def known_symbol(self, pair: str) -> str:
        """Return what ccxt calls a pair, without asking; empty where that is not known."""
        with suppress(PairUnknown):
            return self._markets.symbol_of(self._questions.name, pair)
        return ""

    def lists(self, symbol: str) -> bool:
        """Say whether a market is listed, as far as is known."""
        return self._markets.lists(symbol)

    def still_lists(self, symbol: str, deadline: Deadline) -> bool:
        """Say the same by a list that is not old."""
        with self._lock:
            if datetime.now(UTC) - self._markets.asked_at > _DOUBTED:
                self._load({symbol}, deadline)
        return self.lists(symbol)

    def any_followed(self) -> str | None:
        """Return a market that is followed."""
        return next(iter(self._markets.followed), None)

    def _load(self, wanted: Collection[str], deadline: Deadline) -> None:
        """Ask for the list. Where that fails an old one is better than none."""
        try:
            loaded = self._questions.markets(deadline)
            self._loaded = listed_in(f"{self._questions.name}: markets", loaded)
        except (ExchangeError, DeadlineExceeded):
            if not self._markets.symbols:
                raise
            return
        self._follow(wanted)

    def _follow(self, wanted: Collection[str]) -> None:
        """Keep what was loaded, whole of the pairs that are followed."""
        markets = self._loaded.following({*wanted, *self._markets.followed}, self._markets)
        keep(self._file, self._questions.client.url, markets)
        self._use(markets)

    def _use(self, markets: Markets) -> None:
        self._markets = markets
        self._questions.use(markets.followed)
