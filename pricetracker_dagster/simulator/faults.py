"""What can go wrong at an exchange, to be switched on and off while it runs.

Each fault says which requests or which rows it concerns and how long it lasts; the dialects and server.py apply it.
"""

import itertools
import math
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

KINDS: Mapping[str, str] = {
    "error": "an error in the exchange's form; `text` says which, e.g. EService:Unavailable",
    "rate_limit": "too many requests: Kraken's EAPI:Rate limit exceeded, others' HTTP 429 or code",
    "banned": "the address is banned: HTTP 418 or 403, with Retry-After where the exchange tells it",
    "refused_here": "HTTP 451: this exchange is not for where we are",
    "server_error": "HTTP 502 with a page of HTML",
    "truncated": "the body ends in the middle",
    "hang": "no answer at all, until the client gives up",
    "slow": "the answer comes after `seconds`",
    "maintenance": "everything but time and status is refused: Kraken's EService:Market in cancel_only mode",
    "delisted": "the pair is gone from the list of pairs or told as ended, and unknown to every other request",
    "hole": "minutes from `since` to `until` are absent from candles; trades still have them",
    "correction": "volume and close of the newest `minutes` closed minutes differ from what they will be",
    "insane": "the newest closed candle cannot be true: its high is NaN or null and its volume negative",
    "lagging": "every second answer comes from a node that lacks the later half of the trades of the newest `minutes`",
    "odd_row": "the newest closed candle counts its trades as 10^20, which no 64-bit integer holds",
    "odd_pairs": "AssetPairs lists entries without a name, null and of another shape among the pairs",
    "milliseconds": "Time tells milliseconds instead of seconds",
    "drip": "the body comes a byte each `seconds`",
    "huge": "the body is padded with blanks to 100 MB",
    "redirect": "HTTP 302 to another host",
    "clock_skew": "the exchange's clock is ahead by `seconds`; behind if negative",
    "burst": "volumes from `since` to `until` are `factor` times as large",
}
"""Kind to description."""

_ids = itertools.count(1)


class FaultError(ValueError):
    """The fault cannot be switched on. The message says what there is."""


@dataclass
class Fault:
    """One fault, of one of the KINDS."""

    kind: str
    pair: str | None = None
    """Kraken's name of the only pair concerned, e.g. ``XBTUSD``; None: every pair."""
    endpoint: str | None = None
    """The only endpoint concerned, e.g. ``OHLC``; None: every one."""
    count: int | None = None
    """Only the next so many requests, fewer with each; None: all."""
    lasts: int | float | None = None
    """Seconds until it ends by itself; None: until it is switched off."""
    seconds: int | float = 2.0
    text: str | None = None
    minutes: int = 1
    since: int | None = None
    """First minute concerned, Unix seconds; None: no bound. ``until`` is the last one."""
    until: int | None = None
    factor: int = 20
    exchange: str | None = None
    """The only exchange concerned, e.g. ``coinbase``; None: every one."""
    id: int = field(default_factory=lambda: next(_ids))

    def at(self, exchange: str) -> bool:
        """Say whether it concerns an exchange."""
        return self.exchange in (None, exchange)

    def concerns(self, kind: str, pair: str | None, minute: int | None, exchange: str) -> bool:
        """Say whether it is of a kind and concerns a pair of an exchange, and a minute (Unix seconds) where one is."""
        return (
            (self.kind == kind and self.pair in (None, pair) and self.at(exchange))
            and (minute is None or self.since is None or minute >= self.since)
            and (minute is None or self.until is None or minute <= self.until)
        )


class Faults:
    """The faults that are switched on. Threads may share it."""

    def __init__(self, exchanges: Collection[str] = ()) -> None:
        """Begin without any, for exchanges of these names."""
        self._exchanges = exchanges
        self._lock = threading.Lock()
        self._on: list[tuple[Fault, float]] = []

    def __iter__(self) -> Iterator[Fault]:
        """Return those that are on now, oldest first."""
        now = time.monotonic()
        with self._lock:
            self._on = [(fault, end) for fault, end in self._on if now < end and fault.count != 0]
            return iter([fault for fault, _ in self._on])

    @property
    def any(self) -> bool:
        """Say whether there may be any: a look that costs nothing."""
        return bool(self._on)

    def add(self, kind: str, **what: Any) -> Fault:
        """Switch a fault on.

        Raises:
            FaultError: there is no such kind or attribute, or a value is of the wrong type.
        """
        if kind not in KINDS:
            raise FaultError(f"no fault {kind!r}; there is {', '.join(KINDS)}")
        unknown = set(what) - set(_ATTRIBUTES)
        if unknown:
            raise FaultError(f"no attribute {', '.join(sorted(unknown))}; there is {', '.join(_ATTRIBUTES)}")
        for name, value in what.items():
            if value is not None and not isinstance(value, _ATTRIBUTES[name]):
                raise FaultError(f"{name}: {value!r} is not of type {_ATTRIBUTES[name]}")
        fault = Fault(kind, **what)
        if fault.exchange not in (None, *self._exchanges):
            raise FaultError(f"no exchange {fault.exchange!r}; there is {', '.join(self._exchanges)}")
        with self._lock:
            self._on.append((fault, time.monotonic() + (math.inf if fault.lasts is None else fault.lasts)))
        return fault

    def remove(self, which: str | int | Fault) -> int:
        """Switch off one fault, by itself or its number, or all of a kind. Return how many those were."""
        wanted = which.id if isinstance(which, Fault) else which
        gone = [fault.id for fault in self if wanted in (fault.id, str(fault.id), fault.kind)]
        with self._lock:
            self._on = [(fault, end) for fault, end in self._on if fault.id not in gone]
        return len(gone)

    def clear(self) -> None:
        """Switch everything off."""
        with self._lock:
            self._on = []

    def on(self, kind: str, *, pair: str | None, endpoint: str, exchange: str) -> Fault | None:
        """Return the fault of that kind that concerns a request, and count it as used once."""
        for fault in self if self.any else ():
            if fault.concerns(kind, pair, None, exchange) and fault.endpoint in (None, endpoint):
                with self._lock:
                    if fault.count is not None:
                        fault.count = max(0, fault.count - 1)
                return fault
        return None

    def of(self, kind: str, pair: str, minute: int | None, exchange: str) -> list[Fault]:
        """Return the faults of that kind that concern a pair, and a minute where one is given; none counts as used."""
        return [fault for fault in self if fault.concerns(kind, pair, minute, exchange)] if self.any else []


_ATTRIBUTES = {name: kind for name, kind in get_type_hints(Fault).items() if name not in ("kind", "id")}
