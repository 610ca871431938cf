"""What is removed from the tables because it is old: minute prices by ``keep_days``, records by ``alerts.keep_days``.

Here belongs which rows that are. Rows leave a table; its replaced files stay for readers as after any other change
(maintenance.py). A clock that is ahead removes nothing: no time counts that is after the newest stored day.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from deltalake import DeltaTable

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in, moment_of
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.live_files import PARTITION, rows_a_day
from pricetracker_dagster.store.prices import PriceTable
from pricetracker_dagster.store.records import Records, RecordTable
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.writing import literal

NOTICE = timedelta(hours=24)
"""So long before prices are removed for the first time by a value of ``keep_days``, it is said what they are."""

_CAUSES_KEPT = timedelta(days=30)
"""So long it is kept why a minute was missing: only ticks, checks and incidents of late look there."""

_RESOLVED = "state = 'resolved' AND resolved_at < {old} AND {last} < {settled}"
_OF_FACTS: tuple[tuple[str, str], ...] = (("messages", "fact"), ("deliveries", "id"), ("acknowledgements", "fact"))
"""The tables that are about alerts and incidents, and the column that says about which."""


@dataclass(frozen=True)
class Removal:
    """Minute prices that ``keep_days`` removes: whole UTC days.

    Attributes:
        days: oldest first.
        rows: how many there are in all.
        due: when they are removed, UTC; None: they have just been.
    """

    days: tuple[date, ...]
    rows: int
    due: datetime | None

    def __str__(self) -> str:
        """Say which days, how much, and when or how to keep them."""
        days = f"{self.days[0]} to {self.days[-1]}" if len(self.days) > 1 else f"{self.days[0]}"
        what = f"minute prices of {days}, {self.rows:,} rows in {len(self.days)} days"
        if self.due is None:
            return f"keep_days: removed {what}"
        return (
            f"keep_days: {what}, will be removed after {self.due:%Y-%m-%d %H:%M} UTC; set keep_days to 0 to keep them"
        )


def trusted(prices: PriceTable, now: datetime) -> datetime:
    """Return the time by which something is old, UTC: not after the newest day that is stored."""
    table = prices.open()
    newest = max((day for day, _ in rows_a_day(table)), default=None) if table is not None else None
    return now if newest is None else min(now, datetime.combine(newest, time(), UTC) + DAY - MINUTE)


def remove_old_prices(store: Store, settings: Settings, now: datetime) -> Removal | None:
    """Remove the minute prices that ``keep_days`` does not keep; return what was or will be removed, None: nothing.

    Where a value of ``keep_days`` would remove something for the first time, it is only announced; what is removed
    goes a day later at the earliest. Only whole partitions go, in one commit, without a file being rewritten.
    """
    table = store.prices.open()
    first = settings.kept_since(trusted(store.prices, now))
    if first is None:
        (store.folder.state / StateFile.KEEP_DAYS).unlink(missing_ok=True)
    if table is None or first is None:
        return None
    old = [(day, rows) for day, rows in rows_a_day(table) if day < first.date()]
    if not old:
        return None
    days, rows = tuple(sorted({day for day, _ in old})), sum(count for _, count in old)
    due = _announced(store, settings.keep_days, now) + NOTICE
    if now < due:
        return Removal(days, rows, due)
    with store.prices.write():
        store.prices.load().delete(f"{PARTITION} < '{first:%Y-%m-%d}'")
    return Removal(days, rows, None)


def _announced(store: Store, keep_days: int, now: datetime) -> datetime:
    """Return since when it is known what a value of ``keep_days`` removes; a lower one is announced anew."""
    file = store.folder.state / StateFile.KEEP_DAYS
    kept = kept_in(file)
    at, value = moment_of(kept.get("announced_at")), kept.get("keep_days")
    if at is None or at > now or not isinstance(value, int) or keep_days < value:
        at = now
        write_text(file, json.dumps({"keep_days": keep_days, "announced_at": at.isoformat()}))
    return at


def remove_old_records(store: Store, settings: Settings, now: datetime) -> dict[str, int]:
    """Remove resolved alerts and incidents, what was sent about them, and causes, that are old; return how many rows.

    What is open stays, with all its messages; so does what a correction within ``collect.heal_days`` may still change.
    """
    now = trusted(store.prices, now)
    old = now - timedelta(days=settings.alerts.keep_days)
    settled = min(old, now - timedelta(days=settings.collect.heal_days) - 2 * DAY)
    records = store.records
    bounds = {"old": _moment(old), "settled": _moment(settled)}
    removed = {
        "alerts": _remove(records.alerts, _RESOLVED.format(last="last_minute", **bounds)),
        "incidents": _remove(records.incidents, _RESOLVED.format(last="last", **bounds)),
    }
    for name, column in _OF_FACTS:
        table: RecordTable = getattr(records, name)
        before = f"{table.time} < {_moment(old)}"
        kept = _kept_facts(records, table, column, old)
        among = "".join(f" AND {column} <> {sql.literal(fact)}" for fact in kept)
        removed[name] = _remove(table, before + among)
    looked_at = _moment(now - max(_CAUSES_KEPT, timedelta(days=settings.collect.heal_days)))
    removed["causes"] = _remove(records.causes, f"minute < {looked_at} AND noted_at < {looked_at}")
    return {name: rows for name, rows in removed.items() if rows}


def _moment(moment: datetime) -> str:
    return literal(int(moment.timestamp()))


def _kept_facts(records: Records, table: RecordTable, column: str, old: datetime) -> Sequence[str]:
    """Return the alerts and incidents that are kept and of which a table has rows from before ``old``."""
    connection = sql.connect()
    with table.read(), records.alerts.read(), records.incidents.read():
        of_rows = table.relation(connection, None, f'"{table.time}" < $old', [column], old=old).distinct()
        alerts = records.alerts.relation(connection, columns=["id"])
        facts = alerts.union(records.incidents.relation(connection, columns=["id"]))
        named = of_rows.set_alias("r").join(facts.set_alias("f"), f'r."{column}" = f.id', how="semi")
        return sorted(row[0] for row in named.fetchall())


def _remove(table: RecordTable, which: str) -> int:
    """Delete the rows of which a predicate, as delta-rs takes it, holds; nothing is written where there are none."""
    opened: DeltaTable | None = table.open()
    if opened is None:
        return 0
    with table.write():
        return opened.delete(which)["num_deleted_rows"] or 0
