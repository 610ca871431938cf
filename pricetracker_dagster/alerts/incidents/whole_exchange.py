"""When an exchange is out as a whole: more than half of its metrics are, or its own answer says so.

Its answer says so where it is in maintenance, has banned us, refuses to answer from here, or does not tell its time or
its markets: then none of its minutes can be had, however many of its metrics were asked so far.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from pricetracker_dagster.alerts.incidents.model import OURS, Missed, Noted, ReviewContext, exchange_of
from pricetracker_dagster.exchanges.base import Banned, Maintenance, PairUnknown, RefusedHere
from pricetracker_dagster.store.records import REJECTED, Row

_OF_ITSELF = re.compile(r"(: (time|markets|assetpairs): |: by its clock it is |'s clock says )", re.IGNORECASE)
"""What follows an exchange's name where its time or its markets could not be had, or its time is not ours."""

_OF_A_MARKET = re.compile(r": \w+ of [^\s:]+: ")
"""How a reason about one market begins: that may be closed while all others go on."""


def _is_of_all(noted: Noted, part: Missed) -> bool:
    """Say whether what was noted is true of all metrics of an exchange."""
    reason, name = noted.reason or "", exchange_of(part.metrics[0])
    if noted.cause in (Banned.cause, RefusedHere.cause):
        return True
    if noted.cause == Maintenance.cause:
        return not is_of_a_market(reason)
    return noted.cause not in OURS and reason.startswith(name) and bool(_OF_ITSELF.match(reason, len(name)))


def is_of_a_market(reason: str) -> bool:
    """Say whether a reason is about one market of an exchange, and not about all of it."""
    return _OF_A_MARKET.search(reason) is not None


def _is_of_one(noted: Noted) -> bool:
    """Say whether what was noted is the trouble of one metric, also where that is the only one of its exchange."""
    return noted.cause in (PairUnknown.cause, REJECTED, Maintenance.cause)


def _most(count: int, tracked: int) -> bool:
    return 2 * count > tracked


def exchange_after(
    row: Row, cause: str, out: Sequence[str], last: datetime, parts: Sequence[Missed], context: ReviewContext
) -> str | None:
    """Return the exchange that is out as a whole: no longer where most are back; at the end what was noted last.

    ``row`` is the incident as it is recorded, empty: it is new; ``cause``, ``out``, ``last`` (its newest missed minute,
    UTC) and ``parts`` are as they are now.
    """
    if row and not out:
        recorded: str | None = row.get("exchange")
        return recorded
    of_all = [
        (noted.last, exchange_of(part.metrics[0])) for part in parts for noted in part.causes if _is_of_all(noted, part)
    ]
    name = row.get("exchange")
    if name is None and cause not in OURS:
        name = of_all[0][1] if of_all else _mostly_out(parts, context)
    tracked = sum(exchange_of(metric) == name for metric in context.since)
    is_still = 2 * sum(exchange_of(metric) == name for metric in out) >= tracked
    return name if not out or is_still or any(noted == last for noted, _ in of_all) else None


def _mostly_out(parts: Sequence[Missed], context: ReviewContext) -> str | None:
    """Return an exchange with more than half of its tracked metrics out at once."""
    tracked = Counter(exchange_of(metric) for metric in context.since)
    involved = Counter(exchange_of(metric) for metric in {m for part in parts for m in part.metrics} & {*context.since})
    if not any(_most(count, tracked[name]) for name, count in involved.items()):
        return None
    last: dict[str, datetime] = {}
    alone = {name for name, count in tracked.items() if count == 1}
    parts = [
        part for part in parts if exchange_of(part.metrics[0]) not in alone or not all(map(_is_of_one, part.causes))
    ]
    for first, at_once in groupby(sorted(parts, key=lambda part: part.span), lambda part: part.first):
        for part in at_once:
            for metric in part.metrics:
                if metric in context.since:
                    last[metric] = max(part.last, last.get(metric, part.last))
        out = Counter(exchange_of(metric) for metric, minute in last.items() if minute + context.resolve_after >= first)
        for name, count in out.most_common():
            if _most(count, tracked[name]):
                return name
    return None
