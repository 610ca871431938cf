"""From missed minutes to incidents: consecutive minutes of one cause are one.

Pure: what is missing comes in, rows of the table incidents go out. Which minutes should be there, watch.py says.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pricetracker_dagster.candles import MINUTE
from pricetracker_dagster.store.records import Row

OPEN, RESOLVED = "open", "resolved"

_NOBODY_SAID = "no tick was run for them"


@dataclass(frozen=True)
class Missed:
    """Consecutive minutes of one cause that no open incident covers yet.

    Attributes:
        cause: their cause.
        reason: what was said of them, in plain words; None where nothing was.
        first: the oldest minute, UTC.
        last: the newest, UTC.
        metrics: whose minutes.
        absent: how many of them, added over the metrics, are missing still.
    """

    cause: str
    reason: str | None
    first: datetime
    last: datetime
    metrics: Sequence[str]
    absent: int


def incident_id(cause: str, first: datetime) -> str:
    """Return the id of the incident that begins in a minute."""
    return f"{cause}|{first:%Y-%m-%dT%H:%MZ}"


def review(
    missed: Iterable[Missed], opened: Sequence[Row], absent: dict[str, int], now: datetime, taken: Collection[str] = ()
) -> list[Row]:
    """Bring incidents up to date with what is missing.

    Args:
        missed: minutes that no open incident covers, oldest first.
        opened: the rows of the table incidents that are open.
        absent: by id, how many of the minutes that these cover, added over the metrics, are missing still.
        now: the current time, UTC.
        taken: the ids of all incidents that are recorded, also of those that are over.

    Returns:
        The rows that are new or changed. One that was healed before anybody saw it open is opened and resolved at once.
        ``missing`` of a resolved one is 0: whether minutes are lost for good is for the caller to say.
    """
    before = {row["id"]: row for row in opened}
    incidents = [{**row, "missing": absent.get(row["id"], 0)} for row in opened]
    ids = {*before, *taken}
    for found in missed:
        for row in incidents:
            touches = found.first <= row["last"] + MINUTE and found.last >= row["first"] - MINUTE
            if touches and row["cause"] == found.cause:
                break
        else:
            row = _new(found, now, ids)
            ids.add(row["id"])
            incidents.append(row)
            continue
        _extend(row, found)
    for row in incidents:
        if not row["missing"]:
            row.update(state=RESOLVED, resolved_at=now)
    return [row for row in incidents if row != before.get(row["id"])]


def _new(found: Missed, now: datetime, taken: Collection[str]) -> Row:
    own = incident_id(found.cause, found.first)
    while own in taken:  # the clock went back, or what was healed is gone: this minute is missed once more
        own += "+"
    return {
        "id": own,
        "state": OPEN,
        "cause": found.cause,
        "reason": found.reason or _NOBODY_SAID,
        "first": found.first,
        "last": found.last,
        "count": (found.last - found.first) // MINUTE + 1,
        "metrics": sorted(found.metrics),
        "missing": found.absent,
        "opened_at": now,
        "resolved_at": None,
        "causes": None,
        "out": sorted(found.metrics),
        "told_out": None,
        "grown_at": found.last,
        "flaps": False,
        "exchange": None,
        "held_by": None,
        "transitions": 0,
    }


def _extend(row: Row, found: Missed) -> None:
    sooner = max(0, (min(found.last + MINUTE, row["first"]) - found.first) // MINUTE)
    later = max(0, (found.last - max(found.first - MINUTE, row["last"])) // MINUTE)
    row.update(
        first=min(row["first"], found.first),
        last=max(row["last"], found.last),
        count=row["count"] + sooner + later,
        metrics=sorted({*row["metrics"], *found.metrics}),
        missing=row["missing"] + found.absent,
    )
