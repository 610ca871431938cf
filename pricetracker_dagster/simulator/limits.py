"""What exchanges grant a client, an address at a time: so many requests a second, or so much weight a minute."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

_WEIGHT_PERIOD = 60.0


class Bucket:
    """So many requests a second on average, ``burst`` of them at once. Threads may share it.

    ``timer`` returns seconds: the exchange's clock may stand still in a test, its patience does not depend on that.
    """

    def __init__(self, a_second: float, burst: float, timer: Callable[[], float]) -> None:
        """Begin full."""
        self._a_second, self._burst, self._timer = a_second, burst, timer
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def grant(self, client: str) -> bool:
        """Say whether a client may ask now, and count it if so."""
        with self._lock:
            now = self._timer()
            left, since = self._left.get(client, (self._burst, now))
            left = min(self._burst, left + (now - since) * self._a_second)
            granted = left >= 1
            self._left[client] = (left - granted, now)
            return granted


@dataclass
class Spent:
    """What a client has spent in the period that began at ``since``."""

    since: float
    weight: int = 0
    refused: int = 0
    banned_until: float = 0.0


@dataclass(frozen=True)
class Weighed:
    """How a request was weighed: what is spent in this period, and for how many seconds nothing more is granted."""

    used: int
    wait: int = 0
    is_banned: bool = False


class Weights:
    """So much weight a minute; who goes on asking when it is spent is banned for a while. Threads may share it."""

    def __init__(self, a_minute: int, *, patience: int, ban: float, timer: Callable[[], float]) -> None:
        """Begin with nothing spent. A ban of ``ban`` seconds follows ``patience`` refusals in one minute."""
        self._a_minute, self._patience, self._ban, self._timer = a_minute, patience, ban, timer
        self._lock = threading.Lock()
        self._of: dict[str, Spent] = {}

    def weigh(self, client: str, weight: int) -> Weighed:
        """Count a request of a client."""
        with self._lock:
            now = self._timer()
            period = now // _WEIGHT_PERIOD * _WEIGHT_PERIOD
            spent = self._of.setdefault(client, Spent(period))
            if now < spent.banned_until:
                return Weighed(spent.weight, ceil(spent.banned_until - now), is_banned=True)
            if spent.since != period:
                spent.since, spent.weight, spent.refused = period, 0, 0
            spent.weight += weight
            if spent.weight <= self._a_minute:
                return Weighed(spent.weight)
            spent.refused += 1
            if spent.refused > self._patience:
                spent.banned_until = now + self._ban
                return Weighed(spent.weight, ceil(self._ban), is_banned=True)
            return Weighed(spent.weight, ceil(period + _WEIGHT_PERIOD - now) or 1)
