"""Which minutes are missed, and the rows of the table incidents that this makes.

Here belongs what is read for that, of the stored minutes and of the table causes, and what is noted there of ticks that
failed. How minutes are grouped into incidents is in review.py; in which order rows and messages are written, in
``messages/recording.py``.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from pricetracker_dagster import sql
from pricetracker_dagster.alerts.incidents.model import OPEN, RESOLVED, Missed, Noted, ReviewContext
from pricetracker_dagster.alerts.incidents.review import review
from pricetracker_dagster.alerts.incidents.standstill import CAUSES
from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, minutes_in, newest_closed_minute, overlaps
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store import coverage
from pricetracker_dagster.store.records import NOT_RUN, RUN_FAILED, Row
from pricetracker_dagster.store.store import Store, open_store
from pricetracker_dagster.store.tracked import note_tracked


def note_failed_run(settings: Settings, minute: datetime, reason: str) -> list[str]:
    """Note why the minute (UTC) of a tick whose run failed is missing, where the tick itself could not.

    What a later tick has noted meanwhile, that none was run for it, is put right: one was. Returns the metrics whose
    minute is missing, or was when the tick failed.
    """
    store = open_store(settings)
    causes = store.records.causes
    noted = {row["metric"]: row["cause"] for row in causes.rows(minute) if row["minute"] == minute}
    missing = store.prices.gaps([str(metric) for metric in settings.tracked], minute, minute)
    concerned = sorted({*noted, *missing})
    causes.upsert(
        [
            {"metric": metric, "minute": minute, "cause": RUN_FAILED, "reason": reason, "noted_at": minute}
            for metric in concerned
            if noted.get(metric, NOT_RUN) == NOT_RUN
        ]
    )
    return concerned


def review_missed(
    settings: Settings, store: Store, now: datetime, watched: SensorOutcome
) -> tuple[list[Row], list[Row]]:
    """Find the minutes that should be stored and are not, over the last 24 hours, and the incidents that they make.

    Nothing is recorded.

    Returns:
        The recorded rows that were considered, and the rows that are new or changed.
    """
    newest = newest_closed_minute(now)
    oldest = newest - DAY + MINUTE
    since = note_tracked(settings.state, map(str, settings.tracked), newest + MINUTE)
    # an earlier version stored some twice after the clock went back: by the older row both are written
    single = {row["id"]: row for row in reversed(store.records.incidents.rows())}
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
        waiting={
            metric: overlaps(MinuteRange(max(since[metric], grace_ends + MINUTE), newest), gaps)
            for metric, gaps in missing.items()
            if metric in since
        },
        resolve_after=settings.alerts.incident_resolve_after_minutes * MINUTE,
        taken=single,
    )
    rows = review(_missed(store, missing, recent, context, grace_ends, watched), recent, context)
    was_open = {row["id"] for row in recent if row["state"] == OPEN}
    for row in rows:
        # of what keep_days has removed nobody can say any more what was missing
        kept = row["first"] >= (settings.kept_since(now) or row["first"])
        if row["first"] < oldest and row["state"] == RESOLVED and row["id"] in was_open and kept:
            row["missing"] = _lost(store, row, since, newest)
    return recent, rows


def _missing(
    store: Store, since: Mapping[str, datetime], recent: Iterable[Row], first: datetime, last: datetime
) -> coverage.Gaps:
    """Return the minutes that have no row, of what is tracked and, since then, of what incidents name."""
    begins = {metric: max(moment, first) for metric, moment in since.items()}
    for row in recent:
        for metric in row["metrics"]:
            begins[metric] = max(min(begins.get(metric, row["first"]), row["first"]), first)
    missing = coverage.missing(store.prices, begins, first, last)
    later = {metric: overlaps(MinuteRange(begins[metric], last), gaps) for metric, gaps in missing.items()}
    return {metric: gaps for metric, gaps in later.items() if gaps}


def _missed(
    store: Store,
    missing: coverage.Gaps,
    recent: Iterable[Row],
    context: ReviewContext,
    grace_ends: datetime,
    watched: SensorOutcome,
) -> list[Missed]:
    """Return what is missed and what was healed meanwhile."""
    connection, table = sql.connect(), store.records.causes
    # registered and not create_view(), whose views all connections of this process would share
    causes = table.to_relation(connection, [])
    with watched.catching("why minutes are missing could not be read"), table.read():
        causes = table.relation(connection, context.oldest).to_arrow_table()
    connection.register("causes", causes)
    # at these something else begins: an incident, the time after it, a metric's time
    cuts = {moment for row in recent for moment in (row["first"], row["last"] + MINUTE)} | {*context.since.values()}
    values = {
        "missing": [
            {"metric": metric, "first": gap.first, "last": gap.last, "since": context.since.get(metric)}
            for metric, gaps in missing.items()
            for gap in gaps
        ],
        "grace_ends": grace_ends,
        "not_run": NOT_RUN,
        "cuts": [moment for moment in cuts if moment > context.oldest],
    }
    missed = []
    found = connection.execute(sql.load("alerts/incidents/sql/missed.sql"), values)
    for first, last, metrics, kinds, reasons, absent in found.fetchall():
        noted = [Noted(**kind, reason=reason) for kind, reason in zip(kinds, reasons, strict=True)]
        missed.append(Missed(first, last, metrics, noted, absent))
    return missed


def _lost(store: Store, row: Row, since: Mapping[str, datetime], newest: datetime) -> int:
    """Return how many minutes of an incident that began long ago and is over are missing for good."""
    last = min(row["last"], newest)
    return sum(
        minutes_in(overlaps(MinuteRange(since.get(metric, row["first"]), last), gaps))
        for metric, gaps in store.prices.gaps(row["metrics"], row["first"], last).items()
    )
