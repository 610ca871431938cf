"""Records that a clock which was ahead has left in the future are corrected before anything is compared with them.

Else they would keep messages back, or send them again, until the present has caught up. Moments are set to the present
in their order; minutes of the future are no gap and no part of an alert; causes noted of them are removed. Which
minutes are stored is decided in ``store/``.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from pricetracker_dagster.alerts.incidents.standstill import CAUSES
from pricetracker_dagster.alerts.lifecycle.alert import RESOLVED
from pricetracker_dagster.candles.minutes import MINUTE, floor_minute, newest_closed_minute
from pricetracker_dagster.store.records import Records, RecordTable, Row

AHEAD = timedelta(seconds=10)
"""A time further in the future than this was stored by a clock that was ahead."""

_MOMENTS = ("fired_at", "opened_at", "resolved_at", "attempted_at", "recorded_at", "made_at")


def correct_future_records(records: Records, now: datetime) -> int:
    """Correct what lies after the present in the tables of records; return how many rows were corrected or removed.

    The caller holds their lock.
    """
    limit = (now + AHEAD).replace(microsecond=0)
    newest = newest_closed_minute(limit)
    sent = _after(records.deliveries, attempted_at=limit)
    messages = _after(records.messages, recorded_at=limit)
    alerts = _after(records.alerts, fired_at=limit, resolved_at=limit, last_minute=newest)
    incidents = _after(records.incidents, opened_at=limit, resolved_at=limit, last=newest)
    # an incident of standing still is of the present minute, which is not closed
    incidents = [row for row in incidents if row["cause"] not in CAUSES or _is_ahead(row, limit)]
    silences = _after(records.silences, made_at=limit, ended_at=limit)
    acknowledged = _after(records.acknowledgements, made_at=limit)
    dated = [*sent, *messages, *alerts, *incidents, *acknowledged]
    moments = {row[name] for row in dated for name in _MOMENTS if row.get(name) is not None and row[name] > limit}
    # right before the present, in their order
    back = {moment: now - i * timedelta(microseconds=1) for i, moment in enumerate(sorted(moments, reverse=True))}
    corrected = (
        # first: were this cut short, what was sent would be sent again
        (records.deliveries, [_attempt(row, back[row["attempted_at"]]) for row in sent]),
        (records.messages, [_dated(row, back) for row in messages]),
        (records.alerts, [_alert(_dated(row, back), newest, now) for row in alerts]),
        (records.incidents, [_incident(_dated(row, back), newest, now) for row in incidents]),
        (records.silences, [_silence(row, limit, now) for row in silences]),
        (records.acknowledgements, [_dated(row, back) for row in acknowledged]),
    )
    for table, rows in corrected:
        if rows:
            table.upsert(rows)
    if acknowledged:  # the moment is in their key: the rows of the future are taken out once the others are there
        records.acknowledgements.remove_after(limit)
    return len(dated) + len(silences) + records.causes.remove_after(newest)


def _attempt(row: Row, moment: datetime) -> Row:
    """Return an attempt that was made at a moment; its channel is left alone for as long as it was to be."""
    pause = row["retry_at"] and row["retry_at"] - row["attempted_at"]
    return {**row, "attempted_at": moment, "retry_at": pause and moment + pause}


def _silence(row: Row, limit: datetime, now: datetime) -> Row:
    """Return a silence that lasts as long as it was to last, from now on."""
    made = row["made_at"] if row["made_at"] <= limit else now
    ended = row["ended_at"]
    return {
        **row,
        "made_at": made,
        "until": row["until"] - (row["made_at"] - made),
        "ended_at": ended if ended is None or ended <= limit else now,
    }


def _after(table: RecordTable, **limits: datetime) -> list[Row]:
    """Return the rows of which a column lies after its limit. As a rule the log shows that there are none."""
    if not table.may_have_after(limits):
        return []
    return table.rows(None, " OR ".join(f"{name} > ${name}" for name in limits), **limits)


def _is_ahead(row: Row, limit: datetime) -> bool:
    return any(row[name] is not None and row[name] > limit for name in ("opened_at", "resolved_at", "last"))


def _dated(row: Row, back: Mapping[datetime, datetime]) -> Row:
    return {**row, **{name: back.get(row[name], row[name]) for name in _MOMENTS if name in row}}


def _alert(row: Row, newest: datetime, now: datetime) -> Row:
    """Return an alert that knows no minute after the newest; one that begins after it is over."""
    if row["minute"] > newest:
        if row["state"] != RESOLVED:
            row.update(state=RESOLVED, resolved_at=now, ended_because="no data")
        return row
    last = min(row["last_minute"], newest)
    return {
        **row,
        "last_minute": last,
        "peak_minute": min(row["peak_minute"], newest),
        "minutes": min(row["minutes"], (last - row["minute"]) // MINUTE + 1),
    }


def _incident(row: Row, newest: datetime, now: datetime) -> Row:
    """Return an incident that counts no minute after the newest; one of such minutes alone is over, and was none."""
    if row["cause"] in CAUSES:
        first, last = (min(row[name], floor_minute(now)) for name in ("first", "last"))
        return {**row, "first": first, "last": last, "count": (last - first) // MINUTE + 1}
    if row["first"] > newest:
        over = row["resolved_at"] if row["state"] == RESOLVED else now
        none = {"count": 0, "missing": 0, "metrics": [], "out": [], "causes": None}
        return {**row, "state": RESOLVED, "resolved_at": over, **none}
    last = min(row["last"], newest)
    if last < row["last"]:  # what its causes were counted of was partly nothing: the next look counts them anew
        row = {**row, "grown_at": row["grown_at"] and min(row["grown_at"], newest), "causes": None}
    count = min(row["count"], (last - row["first"]) // MINUTE + 1)
    return {**row, "last": last, "count": count, "missing": min(row["missing"], count * len(row["metrics"]))}
