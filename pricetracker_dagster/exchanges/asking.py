"""The loop of asking an exchange: within its rate limit, and again after a pause where the failure may pass.

One request is the matter of http.py, what is asked for and what an answer means of each exchange's own module.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pricetracker_dagster.exchanges.base import (
    Allowance,
    Banned,
    ExchangeError,
    ExchangeUnreachable,
    NoAnswer,
    NotAsked,
    RateLimited,
)
from pricetracker_dagster.exchanges.http import MOST_BYTES, Http, Response
from pricetracker_dagster.exchanges.rate_limit import RateLimiter
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded

T = TypeVar("T")

_PAUSE_FIRST, _PAUSE_MOST, _TRIES = 0.4, 8.0, 8
"""With these pauses, half a minute of trouble is sat out."""


_BAN = 60.0
"""Seconds for which an exchange is left alone that has banned this address without saying for how long."""


def retry_pause(error: Exception, failures: int) -> float | None:
    """Return after how many seconds to ask again after so many failures; None: not at all."""
    if isinstance(error, NotAsked | Banned) or failures >= _TRIES:
        return None
    if not isinstance(error, ExchangeUnreachable | RateLimited):
        return None
    pause = min(_PAUSE_FIRST * 2.0 ** (failures - 1), _PAUSE_MOST) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
    told = error.pause if isinstance(error, RateLimited) else None
    return max(pause, told or 0.0)


class Client:
    """The REST interface of one exchange. Threads may share it."""

    def __init__(self, http: Http, limiter: RateLimiter) -> None:
        """Ask nothing yet."""
        self.url = http.url
        self.allowance = Allowance(limiter.per_second, http.timeout)
        self._http = http
        self._limiter = limiter

    def get(
        self,
        what: str,
        path: str,
        query: Mapping[str, str],
        read: Callable[[Any], T],
        deadline: Deadline,
        *,
        most: int = MOST_BYTES,
        patient: bool = True,
    ) -> T:
        """Ask until there is a usable answer, the error is final or the deadline passes.

        Args:
            what: what is asked for, as messages begin.
            path: below the root of the interface.
            query: its parameters.
            read: returns what the JSON of an answer means, or raises one of the kinds of ExchangeError.
            deadline: after which nobody needs the answer.
            most: bytes of the answer, decoded.
            patient: ask again after a failure that may pass; False: ask once.

        Raises:
            ExchangeError: one of its kinds.
        """

        def ask() -> T:
            self._limiter.wait(deadline)
            return read(self._http.get(what, path, query, deadline, most=most))

        return self.until_answered(what, ask, deadline, patient=patient)

    def once(self, what: str, url: str, headers: Mapping[str, str], deadline: Deadline, cost: float = 1.0) -> Response:
        """Ask once for a URL, which takes as much of the allowance as ``cost`` usual requests; return any answer.

        Raises:
            DeadlineExceeded: it could not be asked before the deadline.
            ExchangeUnreachable: no whole answer in time.
            Banned: it is not to be asked.
        """
        self._limiter.wait(deadline, cost)
        return self._http.answer(what, url, deadline, headers=headers)

    def until_answered(self, what: str, ask: Callable[[], T], deadline: Deadline, *, patient: bool = True) -> T:
        """Call ``ask``, which asks once, and again as get() does."""
        failure: ExchangeError | None = None
        failures, pause = 0, 0.0
        while True:
            try:
                deadline.sleep(pause)
                return ask()
            except (ExchangeUnreachable, RateLimited) as error:
                if isinstance(error, NoAnswer) and failure is not None and not deadline.remaining:
                    raise failure from None  # our own deadline cut this one short: the answer before says more
                failure, failures = error, failures + 1
                again = retry_pause(error, failures)
                pause = again or 0.0
                if isinstance(error, Banned):
                    self._limiter.block(error.pause or _BAN, banned=True)
                elif isinstance(error, RateLimited):
                    self._limiter.block(pause)
                if again is None or not patient:
                    raise
            except DeadlineExceeded:
                raise failure or NotAsked(f"{what}: {NotAsked.why}") from None
