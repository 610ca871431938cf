"""Records that a clock which was ahead has left in the future are corrected before anything is compared with them.

Else they would keep messages back, or send them again, until the present has caught up. Moments are set to the present
in their order; minutes of the future are no gap and no part of an alert; causes noted of them are removed. Which
minutes are stored is decided in ``store/``.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from pricetracker_dagster.alerts.incidents.standstill import CAUSES
from pricetracker_dagster.alerts.lifecycle.alert import RESOLVED
from pricetracker_dagster.candles.minutes import MINUTE, floor_minute, newest_closed_minute
from pricetracker_dagster.store.records import Records, RecordTable, Row

AHEAD = timedelta(seconds=10)
"""A time further in the future than this was stored by a clock that was ahead."""

_MOMENTS = {"alerts": ("fired_at", "resolved_at"), "incidents": ("opened_at", "resolved_at")}


def correct_future_records(records: Records, now: datetime) -> int:
    """Correct what lies after the present in the tables of records. The caller holds their lock.

    Args:
        records: the tables.
        now: the current time, UTC.

    Returns:
        How many rows were corrected or removed.
    """
    limit = (now + AHEAD).replace(microsecond=0)
    newest = newest_closed_minute(limit)
    alerts = _after(records.alerts, {"fired_at": limit, "resolved_at": limit, "last_minute": newest})
    opened = _after(records.incidents, {"opened_at": limit, "resolved_at": limit, "last": newest})
    # an incident of standing still is of the present minute, which is not closed
    opened = [row for row in opened if row["cause"] not in CAUSES or _is_ahead(row, limit)]
    sent = _after(records.deliveries, {"attempted_at": limit})
    silences = _after(records.silences, {"made_at": limit, "ended_at": limit})
    acknowledged = _after(records.acknowledgements, {"made_at": limit})
    moments = [row[name] for row in alerts for name in _MOMENTS["alerts"]]
    moments += [row[name] for row in opened for name in _MOMENTS["incidents"]]
    moments += [row["attempted_at"] for row in sent]
    messages = _after(records.messages, {"recorded_at": limit})
    moments += [row["recorded_at"] for row in messages] + [row["made_at"] for row in acknowledged]
    back = _in_their_order((moment for moment in moments if moment is not None and moment > limit), now)
    if sent:  # first: were this cut short, what was sent would be sent again
        records.deliveries.upsert([_attempt(row, back[row["attempted_at"]]) for row in sent])
    if messages:
        records.messages.upsert([{**row, "recorded_at": back[row["recorded_at"]]} for row in messages])
    if alerts:
        records.alerts.upsert([_alert(_dated(row, _MOMENTS["alerts"], back), newest, now) for row in alerts])
    if opened:
        dated = [_dated(row, _MOMENTS["incidents"], back) for row in opened]
        records.incidents.upsert([_incident(row, newest, now) for row in dated])
    if silences:
        records.silences.upsert([_silence(row, limit, now) for row in silences])
    if acknowledged:  # the moment is in their key: the rows of the future are taken out once these are there
        records.acknowledgements.upsert([_dated(row, ["made_at"], back) for row in acknowledged])
        records.acknowledgements.remove_after(limit)
    count = sum(map(len, (alerts, opened, sent, messages, silences, acknowledged)))
    return count + records.causes.remove_after(newest)


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


def _after(table: RecordTable, limits: Mapping[str, datetime]) -> list[Row]:
    """Return the rows of which a column lies after its limit. As a rule the log shows that there are none."""
    if not table.may_have_after(limits):
        return []
    return table.rows(None, " OR ".join(f"{name} > ${name}" for name in limits), **limits)


def _is_ahead(row: Row, limit: datetime) -> bool:
    return any(row[name] is not None and row[name] > limit for name in ("opened_at", "resolved_at", "last"))


def _in_their_order(moments: Iterable[datetime], now: datetime) -> dict[datetime, datetime]:
    """Return for each moment one right before ``now``, the newest last."""
    ordered = sorted(set(moments), reverse=True)
    return {moment: now - i * timedelta(microseconds=1) for i, moment in enumerate(ordered)}


def _dated(row: Row, names: Iterable[str], back: Mapping[datetime, datetime]) -> Row:
    return {**row, **{name: back.get(row[name], row[name]) for name in names}}


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
