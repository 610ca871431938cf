"""The assets of the alarms: what the sensors recorded and people wrote down, shown each time that it changes."""

from collections.abc import Sequence

import dagster as dg

from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.assets.minute_prices import minute_prices
from pricetracker_dagster.assets.ui_metadata import OWNER, rounded, sql_command, table_columns, table_metadata
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.schema import ACKNOWLEDGEMENTS, ALERTS, INCIDENTS, SILENCES, Table

_SHOWN = 100

_ALERT_COLUMNS = (
    "metric",
    "measure",
    "minute",
    "state",
    "value",
    "average",
    "ratio",
    "peak_ratio",
    "minutes",
    "rule",
    "held_by",
)
_INCIDENT_COLUMNS = ("cause", "state", "first", "last", "count", "metrics", "missing", "reason", "held_by")

alerts = dg.AssetSpec(
    "alerts",
    deps=[minute_prices],
    description="Values that exceed a rule: pending, firing, resolved. Recorded by the sensor spike_alerts before "
    "anything is sent, and shown here whenever one begins, goes on or ends.",
    group_name="alarms",
    owners=[OWNER],
    kinds={"deltalake", "duckdb"},
    metadata=table_metadata(ALERTS),
)

incidents = dg.AssetSpec(
    "incidents",
    deps=[minute_prices],
    description="Outages: minutes missed near each other in time, whatever the causes; also what stands still. "
    "Recorded by sensors and the watch before anything is sent, shown here when one opens, grows or is resolved.",
    group_name="alarms",
    owners=[OWNER],
    kinds={"deltalake", "duckdb"},
    metadata=table_metadata(INCIDENTS),
)


silences = dg.AssetSpec(
    "silences",
    description="Whose messages are kept back for a while, since when, until when, why and by whom. Made and ended by "
    "`pricetracker silence`, and shown here each time.",
    group_name="alarms",
    owners=[OWNER],
    kinds={"deltalake", "duckdb"},
    metadata=table_metadata(SILENCES),
)

acknowledgements = dg.AssetSpec(
    "acknowledgements",
    deps=[alerts, incidents],
    description="Who looks after an alert or an incident: there are no more reminders of it until it is over. Made by "
    "`pricetracker acknowledge`, and shown here each time.",
    group_name="alarms",
    owners=[OWNER],
    kinds={"deltalake", "duckdb"},
    metadata=table_metadata(ACKNOWLEDGEMENTS),
)


def written_down(table: str, rows: Sequence[Row], *, simulated: bool) -> dg.AssetMaterialization:
    """Return what is reported of rows that a person has written into ``silences`` or ``acknowledgements``."""
    spec, kept = {"silences": (silences, SILENCES), "acknowledgements": (acknowledgements, ACKNOWLEDGEMENTS)}[table]
    metadata = {
        "what": _table(rows, kept, kept.names),
        "sql": sql_command(f"FROM {table} ORDER BY made_at DESC", simulated=simulated),
    }
    return dg.AssetMaterialization(spec.key, metadata=metadata)


def what_changed(watched: SensorOutcome, *, simulated: bool) -> list[dg.AssetMaterialization]:
    """Return what a sensor reports of one look: an event for each of the two assets with a row that changed."""
    events = []
    for spec, rows, table, columns, sql in (
        (alerts, watched.alerts, ALERTS, _ALERT_COLUMNS, "FROM alerts ORDER BY minute DESC LIMIT 20"),
        (incidents, watched.incidents, INCIDENTS, _INCIDENT_COLUMNS, "FROM incidents ORDER BY first DESC"),
    ):
        if rows:
            metadata = {
                "changed": len(rows),
                "open": sum(row["state"] != "resolved" for row in rows),
                "messages": len(watched.attempts),
                "not_delivered": sum(not attempt["delivered"] for attempt in watched.attempts),
                "what": _table(rows, table, columns),
                "sql": sql_command(sql, simulated=simulated),
            }
            events.append(dg.AssetMaterialization(spec.key, metadata=metadata))
    return events


def _table(rows: Sequence[Row], table: Table, columns: Sequence[str]) -> dg.MetadataValue:
    def shown(value: object) -> str | float | int | None:
        return rounded(value) if isinstance(value, float | int) or value is None else _text(value)

    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: shown(row.get(name)) for name in columns}) for row in rows[:_SHOWN]],
        schema=dg.TableSchema(table_columns(table, columns)),
    )


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value[:10]) + (f" and {len(value) - 10} more" if len(value) > 10 else "")
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "minute") else str(value)
