"""The assets of the alarms: what the sensors recorded and people wrote down, shown each time that it changes."""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.assets.minute_prices import minute_prices
from pricetracker_dagster.assets.ui_metadata import OWNER, page, rounded, sql_command, table_columns, table_metadata
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.schema import ACKNOWLEDGEMENTS, ALERTS, INCIDENTS, SILENCES, Table

_SHOWN = 100

_OF_AN_ALERT = ("metric", "measure", "minute", "state", "value", "average", "ratio", "peak_ratio", "minutes", "rule")
_OF_AN_INCIDENT = ("cause", "state", "first", "last", "count", "metrics", "missing", "reason")


def _spec(table: Table, description: str, *deps: dg.AssetsDefinition | dg.AssetSpec) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        deps=deps,
        description=description,
        group_name="alarms",
        owners=[OWNER],
        kinds={"deltalake", "duckdb"},
        metadata=table_metadata(table),
    )


alerts = _spec(
    ALERTS,
    "Values that exceed a rule: pending, firing, resolved. Recorded by the sensor spike_alerts before anything is "
    "sent, and shown here whenever one begins, goes on or ends.",
    minute_prices,
)
incidents = _spec(
    INCIDENTS,
    "Outages: minutes missed near each other in time, whatever the causes; also what stands still. Recorded by sensors "
    "and the watch before anything is sent, shown here when one opens, grows or is resolved.",
    minute_prices,
)
silences = _spec(
    SILENCES,
    "Whose messages are kept back for a while, since when, until when, why and by whom. Made and ended by "
    "`pricetracker silence`, and shown here each time.",
)
acknowledgements = _spec(
    ACKNOWLEDGEMENTS,
    "Who looks after an alert or an incident: there are no more reminders of it until it is over. Made by "
    "`pricetracker acknowledge`, and shown here each time.",
    alerts,
    incidents,
)


def written_down(table: Table, rows: Sequence[Row], *, simulated: bool) -> dg.AssetMaterialization:
    """Return what is reported of rows that a person has written into ``silences`` or ``acknowledgements``."""
    metadata = {
        "what": _shown(rows, table, table.names),
        "sql": sql_command(f"FROM {table.name} ORDER BY made_at DESC", simulated=simulated),
    }
    return dg.AssetMaterialization(table.name, metadata=metadata)


def what_changed(watched: SensorOutcome, settings: Settings) -> list[dg.AssetMaterialization]:
    """Return what a sensor reports of one look: an event for each of the two assets with a row that changed."""
    return [
        dg.AssetMaterialization(
            table.name,
            metadata={
                "changed": len(rows),
                "open": sum(row["state"] != "resolved" for row in rows),
                "messages": len(watched.attempts),
                "not_delivered": sum(not attempt["delivered"] for attempt in watched.attempts),
                "what": _shown(rows, table, (*columns, "held_by")),
                "page": page(settings, view="alarms"),
                "sql": sql_command(sql, simulated=settings.simulated),
            },
        )
        for table, rows, columns, sql in (
            (ALERTS, watched.alerts, _OF_AN_ALERT, "FROM alerts ORDER BY minute DESC LIMIT 20"),
            (INCIDENTS, watched.incidents, _OF_AN_INCIDENT, "FROM incidents ORDER BY first DESC"),
        )
        if rows
    ]


def _shown(rows: Sequence[Row], table: Table, columns: Sequence[str]) -> dg.MetadataValue:
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: _cell(row.get(name)) for name in columns}) for row in rows[:_SHOWN]],
        schema=dg.TableSchema(table_columns(table, columns)),
    )


def _cell(value: object) -> str | float | int | None:
    if isinstance(value, list):
        return ", ".join(value[:10]) + (f" and {len(value) - 10} more" if len(value) > 10 else "")
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return rounded(value) if value is None or isinstance(value, float | int) else str(value)
