"""Which minutes are missed, and the rows of the table incidents that this makes.

Here belongs what is read for that, of the stored minutes and of the table causes. How minutes are grouped into
incidents is in review.py; in which order rows and messages are written, in ``messages/recording.py``.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from pricetracker_dagster import sql
from pricetracker_dagster.alerts.incidents.model import OPEN, RESOLVED, Missed, Noted, ReviewContext
from pricetracker_dagster.alerts.incidents.review import review
from pricetracker_dagster.alerts.incidents.standstill import CAUSES
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, minutes_in, newest_closed_minute
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store import coverage
from pricetracker_dagster.store.records import NOT_RUN, Records, Row
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.tracked import note_tracked


def review_missed(
    settings: Settings,
    store: Store,
    records: Records,
    now: datetime,
    catching: Callable[[str], AbstractContextManager[None]],
) -> tuple[list[Row], list[Row]]:
    """Find the minutes that should be stored and are not, over the last 24 hours, and the incidents that they make.

    Nothing is recorded.

    Args:
        settings: what is tracked.
        store: the prices.
        records: the tables of records.
        now: the current time, UTC.
        catching: notes an error in its block as a trouble, after the words that it is given.

    Returns:
        The recorded rows that were considered, and the rows that are new or changed.
    """
    newest = newest_closed_minute(now)
    oldest = newest - DAY + MINUTE
    since = note_tracked(settings.state, map(str, settings.tracked), newest + MINUTE)
    recorded = records.incidents.rows()
    # an earlier version stored some twice after the clock went back: by the older row both are written
    single = {row["id"]: row for row in reversed(recorded)}
    # those of standing still are about no missed minute: watch_standstill() opens and resolves them
    recent = [
        row
        for row in reversed(single.values())
        if row["cause"] not in CAUSES and (row["state"] == OPEN or row["last"] >= oldest)
    ]
    missing = _missing(store, since, recent, oldest, newest)
    grace_ends = newest - settings.alerts.missed_grace_minutes * MINUTE
    context = ReviewContext(
        now=now,
        newest=newest,
        oldest=oldest,
        since=since,
        waiting=_waiting(missing, since, grace_ends),
        resolve_after=settings.alerts.incident_resolve_after_minutes * MINUTE,
        taken=single,
    )
    missed = _missed(records, missing, since, recent, oldest, grace_ends, catching)
    rows = review(missed, recent, context)
    was_open = {row["id"] for row in recent if row["state"] == OPEN}
    for row in rows:
        if row["first"] < oldest and row["state"] == RESOLVED and row["id"] in was_open:
            row["missing"] = _lost(store, row, since, newest)
    return recent, rows


def _missing(
    store: Store, since: Mapping[str, datetime], recent: Iterable[Row], first: datetime, last: datetime
) -> dict[str, list[MinuteRange]]:
    """Return the minutes that have no row, of what is tracked and, since then, of what incidents name."""
    begins = {metric: max(moment, first) for metric, moment in since.items()}
    for row in recent:
        for metric in row["metrics"]:
            begins[metric] = max(min(begins.get(metric, row["first"]), row["first"]), first)
    missing = {}
    for metric, gaps in coverage.missing(store.prices, begins, first, last).items():
        later = _since(gaps, begins[metric])
        if later:
            missing[metric] = later
    return missing


def _since(spans: Iterable[MinuteRange], first: datetime) -> list[MinuteRange]:
    return [MinuteRange(max(span.first, first), span.last) for span in spans if span.last >= first]


def _waiting(
    missing: Mapping[str, Sequence[MinuteRange]], since: Mapping[str, datetime], grace_ends: datetime
) -> dict[str, list[MinuteRange]]:
    """Return the minutes that may still come."""
    return {
        metric: later
        for metric, gaps in missing.items()
        if metric in since and (later := _since(gaps, max(since[metric], grace_ends + MINUTE)))
    }


def _missed(
    records: Records,
    missing: Mapping[str, Sequence[MinuteRange]],
    since: Mapping[str, datetime],
    recent: Sequence[Row],
    oldest: datetime,
    grace_ends: datetime,
    catching: Callable[[str], AbstractContextManager[None]],
) -> list[Missed]:
    """Return what is missed and what was healed meanwhile."""
    connection = sql.connect()
    # registered and not create_view(), whose views all connections of this process would share
    causes = records.causes.to_relation(connection, [])
    with catching("why minutes are missing could not be read"), records.causes.read():
        causes = records.causes.relation(connection, oldest).to_arrow_table()
    connection.register("causes", causes)
    flat = [
        {"metric": metric, "first": span.first, "last": span.last, "expected": expected}
        for metric, gaps in missing.items()
        for span, expected in _parted(gaps, since.get(metric))
    ]
    values = {
        "missing": flat,
        "grace_ends": grace_ends,
        "not_run": NOT_RUN,
        "cuts": _cuts(recent, since.values(), oldest),
    }
    found = connection.execute(sql.load("alerts/incidents/sql/missed.sql"), values).fetchall()
    return [
        Missed(
            first,
            last,
            metrics,
            [Noted(**cause, reason=reason) for cause, reason in zip(causes, reasons, strict=True)],
            absent,
        )
        for first, last, metrics, causes, reasons, absent in found
    ]


def _parted(gaps: Iterable[MinuteRange], since: datetime | None) -> Iterable[tuple[MinuteRange, bool]]:
    """Yield what is missing, parted where the metric was listed: only from then on is it expected."""
    for gap in gaps:
        if since is None or gap.last < since:
            yield gap, False
        elif gap.first >= since:
            yield gap, True
        else:
            yield MinuteRange(gap.first, since - MINUTE), False
            yield MinuteRange(since, gap.last), True


def _cuts(recent: Iterable[Row], listed: Collection[datetime], oldest: datetime) -> list[datetime]:
    """Return the minutes at which something else begins: an incident, the time after it, a metric's time."""
    cuts = {moment for row in recent for moment in (row["first"], row["last"] + MINUTE)} | {*listed}
    return sorted(moment for moment in cuts if moment > oldest)


def _lost(store: Store, row: Row, since: Mapping[str, datetime], newest: datetime) -> int:
    """Return how many minutes of an incident that began long ago and is over are missing for good."""
    gaps = store.prices.gaps(row["metrics"], row["first"], min(row["last"], newest))
    return sum(minutes_in(_since(spans, since.get(metric, row["first"]))) for metric, spans in gaps.items())
