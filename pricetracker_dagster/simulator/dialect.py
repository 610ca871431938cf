"""What a dialect is: one exchange's wire form of the simulated market, and what all dialects share.

A dialect is a module of its own (kraken.py, coinbase.py, binance.py): which paths it answers, how it writes pairs,
candles, trades and errors. Shared here: which pairs it lists, what their candles are at its clock, with the faults that
are switched on. How an answer is sent, and the faults of sending, are in server.py.
"""

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from pricetracker_dagster.simulator.faults import Fault, Faults
from pricetracker_dagster.simulator.market import MINUTE, SECOND, Candle, Market, Pair, Trade, candle

WALK = 3 * 1440
"""Minutes that a request for a number of trades looks back at most."""


@dataclass(frozen=True)
class Answer:
    """One answer: JSON content, or the text of a page."""

    content: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """A request is answered by an error, as the exchange writes it."""

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Keep the answer."""
        super().__init__(content)
        self.answer = Answer(content, status, headers or {})


@dataclass(frozen=True)
class Asked:
    """A request that a dialect knows: its endpoint, the name of a pair in it (perhaps of none), and the query."""

    endpoint: str
    name: str
    pair: Pair | None
    query: Mapping[str, str]
    client: str = ""

    @property
    def altname(self) -> str | None:
        """Kraken's name of the pair, by which faults are limited to it."""
        return self.pair.altname if self.pair else None


class Why(NamedTuple):
    """Why a request is refused: its kind, the pair's name in it, other words for it, for how many seconds."""

    kind: str
    name: str = ""
    text: str | None = None
    seconds: int = 0


class Dialect(ABC):
    """One exchange: what it answers to a path and a query.

    Attributes:
        name: what faults and counts call it.
        prefix: of the keys by which its requests are counted.
        refused: how many requests were more than its limit grants.
    """

    name: ClassVar[str]
    prefix: ClassVar[str]
    paths: ClassVar[Mapping[str, re.Pattern[str]]]
    """Endpoint to its path; a group ``pair`` in it is the name of a pair."""

    def __init__(self, market: Market, clock: Callable[[], datetime], faults: Faults, *, limits: bool) -> None:
        """Begin with the market as this exchange trades it; without limits every request is granted."""
        self.market = market.at(self.name)
        self.clock = clock
        self.faults = faults
        self.limits = limits
        self.refused = 0
        self._turn = itertools.count()
        self.begin()
        self.names = {name: pair for pair in self.market.pairs for name in self.names_of(pair)}

    def begin(self) -> None:
        """Prepare what the other methods need, e.g. a full allowance; nothing by default."""
        return

    @abstractmethod
    def names_of(self, pair: Pair) -> Sequence[str]:
        """Return the names by which a request may ask for a pair; none if this exchange has no such pair."""

    @abstractmethod
    def refusal(self, why: Why) -> Refusal:
        """Write a refusal. Its kind is a fault's, ``unknown_pair``, or one of the exchange's own."""

    def refuse(self, kind: str, asked: Asked, fault: Fault | None = None) -> Refusal:
        """Return a refusal of a request."""
        text = fault.text if fault and kind == "error" else None
        return self.refusal(Why(kind, asked.name, text, int(fault.seconds) if fault else 0))

    @abstractmethod
    def content(self, asked: Asked) -> Any:
        """Return what a request is answered that nothing prevents.

        Raises:
            Refusal: the request is wrong.
        """

    def grant(self, asked: Asked) -> Mapping[str, str]:  # noqa: ARG002 - by default everything is granted
        """Count a request against the exchange's rate limit; return headers.

        Raises:
            Refusal: there were too many.
        """
        return {}

    def asked(self, path: str, query: Mapping[str, str], client: str = "") -> Asked | None:
        """Return what a request asks for, if its path is this exchange's."""
        for endpoint, pattern in self.paths.items():
            if found := pattern.fullmatch(path):
                name = found.groupdict().get("pair") or self.pair_named(query)
                return Asked(found.groupdict().get("endpoint") or endpoint, name, self.names.get(name), query, client)
        return None

    def pair_named(self, query: Mapping[str, str]) -> str:
        """Return the name of a pair in a query."""
        return query.get("pair", "")

    def on(self, kind: str, asked: Asked) -> Fault | None:
        """Return the fault of that kind that concerns a request, and count it as used once."""
        return self.faults.on(kind, pair=asked.altname, endpoint=asked.endpoint, exchange=self.name)

    def answer(self, asked: Asked) -> Answer:
        """Answer a request."""
        try:
            headers = self._granted(asked) if self.limits else {}
            for kind in ("refused_here", "banned", "error", "rate_limit"):
                if fault := self.on(kind, asked):
                    raise self.refuse(kind, asked, fault)
            if not self.goes_on(asked) and (fault := self.on("maintenance", asked)):
                raise self.refuse("maintenance", asked, fault)
            return Answer(self.content(asked), headers=headers)
        except Refusal as refusal:
            return refusal.answer

    def _granted(self, asked: Asked) -> Mapping[str, str]:
        try:
            return self.grant(asked)
        except Refusal:
            self.refused += 1
            raise

    def goes_on(self, asked: Asked) -> bool:
        """Say whether a request is answered during maintenance."""
        return asked.endpoint == "time"

    def now(self) -> int:
        """Return the exchange's time in Unix nanoseconds, with the skew that is switched on."""
        skewed = (fault.seconds for fault in self.faults if fault.kind == "clock_skew" and fault.at(self.name))
        return int((self.clock().timestamp() + next(skewed, 0)) * SECOND)

    def forming(self) -> int:
        """Return the minute that is forming."""
        return self.now() // SECOND // MINUTE * MINUTE

    def of(self, kind: str, pair: Pair, minute: int | None = None) -> list[Fault]:
        """Return the faults of that kind that concern a pair here, and a minute where one is given."""
        return self.faults.of(kind, pair.altname, minute, exchange=self.name)

    def is_listed(self, pair: Pair) -> bool:
        """Say whether a pair is traded now."""
        return pair.is_listed(self.now() // SECOND) and not self.of("delisted", pair)

    def all_pairs(self) -> list[Pair]:
        """Return the pairs of this exchange, whether listed or not."""
        return [pair for pair in self.market.pairs if self.names_of(pair)]

    def listed(self, asked: Asked) -> Pair:
        """Return the pair that a request names.

        Raises:
            Refusal: it is not listed.
        """
        if asked.pair is None or not self.is_listed(asked.pair):
            raise self.refuse("unknown_pair", asked)
        return asked.pair

    def is_known(self, pair: Pair) -> bool:
        """Say whether a pair is or was traded, on an exchange that goes on telling of those that were."""
        return self.now() // SECOND >= pair.listed_from and not self.of("delisted", pair)

    def kept(self, asked: Asked) -> Pair:
        """Return the pair that a request names, on an exchange that goes on answering what a pair was before its end.

        Raises:
            Refusal: it was not listed yet, or its past is gone, too.
        """
        if asked.pair is None or not self.is_known(asked.pair):
            raise self.refuse("unknown_pair", asked)
        return asked.pair

    def of_minute(self, pair: Pair, minute: int) -> Sequence[Trade]:
        """Return a minute's trades, with the bursts that are switched on."""
        trades = self.market.listed_trades(pair, minute)
        for burst in self.of("burst", pair, minute)[-1:] if self.faults.any else ():
            trades = [trade._replace(volume=trade.volume * burst.factor) for trade in trades]
        return trades

    def candle(self, pair: Pair, minute: int, *, half: bool = False) -> Candle | None:
        """Return a minute as it stands now; None before a pair's first trade and when it is not listed."""
        now = self.now()
        if minute * SECOND > now or not pair.is_listed(minute):
            return None
        trades = self.of_minute(pair, minute)
        if half:
            trades = trades[: len(trades) // 2]
        if (minute + MINUTE) * SECOND > now:
            trades = [trade for trade in trades if trade.time <= now]
        before = None if trades else self.market.close_before(pair, minute)
        return candle(pair, minute, trades, before)

    def candles(self, asked: Asked, pair: Pair, first: int, last: int) -> list[Candle]:
        """Return the minutes from ``first`` to ``last`` at most, oldest first, as the faults for their content say.

        The forming minute is one of them, minutes without trades are flat at the close before.
        """
        forming = self.forming()
        lags = self.on("lagging", asked) if next(self._turn) % 2 else None
        behind = forming - (lags.minutes if lags else 0) * MINUTE
        found = []
        for minute in range(max(first, pair.listed_from), min(last, forming) + MINUTE, MINUTE):
            one = self.candle(pair, minute, half=behind <= minute < forming)
            if one is not None and not (self.faults.any and self.of("hole", pair, minute)):
                found.append(one)
        self._spoil(asked, found, forming)
        return found

    def _spoil(self, asked: Asked, found: list[Candle], forming: int) -> None:
        """Change candles as the faults for their content say."""
        closed = [i for i, one in enumerate(found) if one.minute < forming]
        if fault := self.on("correction", asked):
            for i in closed[-fault.minutes :]:
                # the later value is the true one: half the volume is still unaccounted for
                found[i] = found[i].halved()
        if closed and self.on("insane", asked):
            found[closed[-1]] = found[closed[-1]]._replace(high=Decimal("NaN"), volume=Decimal(-1))
        if closed and self.on("odd_row", asked):
            found[closed[-1]] = found[closed[-1]]._replace(trades=10**20)

    def trades_after(self, pair: Pair, since: int) -> Iterator[Trade]:
        """Yield the trades after a moment (ns) until now, oldest first."""
        now = self.now()
        minute = max(since // SECOND, pair.listed_from) // MINUTE * MINUTE
        while minute * SECOND <= now:
            yield from (trade for trade in self.of_minute(pair, minute) if since < trade.time <= now)
            minute += MINUTE

    def trades_before(self, pair: Pair, end: int) -> Iterator[Trade]:
        """Yield the trades before a moment (ns) and not after now, newest first, some days back."""
        now = self.now()
        newest = min(end, now + 1) // SECOND // MINUTE * MINUTE
        for minute in range(newest, max(newest - WALK * MINUTE, pair.listed_from - MINUTE), -MINUTE):
            yield from (
                trade for trade in reversed(self.of_minute(pair, minute)) if trade.time < end and trade.time <= now
            )


def common(name: str) -> str:
    """Return the name of a currency as everybody but Kraken writes it."""
    return {"XBT": "BTC", "XDG": "DOGE"}.get(name, name)


def base_and_quote(pair: Pair) -> tuple[str, str]:
    """Return the currencies of a pair as everybody but Kraken writes them."""
    base, _, quote = pair.wsname.partition("/")
    return common(base), common(quote)


def number(value: Decimal) -> int | float | None:
    """Write a decimal as JSON of JavaScript does: without a point where it is whole; null for what is no number."""
    if value.is_nan():
        return None
    return int(value) if value == value.to_integral_value() else float(value)
