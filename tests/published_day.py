"""A day of three metrics, stored and published, with what a day brings: minutes that are missed, an alert, an outage.

Each value follows from a formula over the number of its minute, so that a test works out what it expects by itself.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.schema import ALERTS, INCIDENTS
from pricetracker_dagster.store.store import Store, store_in

AS_OF = datetime(2026, 3, 3, 12, 4, tzinfo=UTC)
MINUTES = 1560
FIRST = AS_OF - (MINUTES - 1) * MINUTE
METRICS = ("KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:GRTETH")
GONE = [AS_OF - i * MINUTE for i in range(130, 120, -1)]
"""Ten minutes in a row that nobody has of KRAKEN:BTCUSD, the first six for another cause than the last four."""

SPIKE = AS_OF - 30 * MINUTE
"""The minute in which the volume of KRAKEN:BTCUSD was out of proportion."""

JUMP = AS_OF - 200 * MINUTE
"""The minute in which KRAKEN:ETHUSD rose by a third: nothing moved more on that day."""

_CANDLES = """
    WITH metrics AS (
        FROM (VALUES
            ('KRAKEN:BTCUSD', 64000.1, 40.0),
            ('KRAKEN:ETHUSD', 3200.05, 1.0),
            ('KRAKEN:GRTETH', 1.23e-5, 1e-8)
        ) AS _(metric, base, step)
    ),
    priced AS (
        SELECT
            *,
            $first + to_minutes(i) AS minute,
            metric = 'KRAKEN:BTCUSD' AS is_first,
            CASE
                WHEN minute = $jump AND metric = 'KRAKEN:ETHUSD' THEN 4300.0
                ELSE round(base + step * ((i + 1) % 7), 8)
            END AS close
        FROM metrics, range($minutes) AS _(i)
    )
    SELECT
        metric,
        minute,
        round(base + step * (i % 7), 8) AS open,
        greatest(priced.close, round(base + step * 9, 8)) AS high,
        round(base - step * 3, 8) AS low,
        priced.close,
        CASE WHEN minute = $spike AND is_first THEN 301.0 ELSE (i % 5) + 0.25 END AS volume,
        (i % 5)::BIGINT AS trades,
        minute + INTERVAL 63 SECONDS AS fetched_at
    FROM priced
    WHERE NOT (is_first AND minute IN (SELECT unnest($gone::TIMESTAMPTZ[])))
    ORDER BY metric, minute
"""


class Day(NamedTuple):
    """What lies in the data folder."""

    store: Store

    @property
    def published(self) -> Path:
        """The published file."""
        return self.store.folder.published


def publish_a_day(folder: Path) -> Day:
    """Store and publish it in a data folder."""
    store = store_in(folder)
    with sql.connect() as connection:
        values = {"minutes": MINUTES, "first": FIRST, "spike": SPIKE, "jump": JUMP, "gone": GONE}
        store.prices.upsert(connection.sql(_CANDLES, params=values).to_arrow_table().cast(SCHEMA))
    store.records.causes.upsert(
        [
            {
                "metric": METRICS[0],
                "minute": minute,
                "cause": "exchange error" if i < 6 else "not run",
                "reason": "no answer",
                "noted_at": minute + 2 * MINUTE,
            }
            for i, minute in enumerate(GONE)
        ]
    )
    store.records.alerts.upsert([_alert()])
    store.records.incidents.upsert([_incident()])
    publish(store, list(METRICS), now=AS_OF + MINUTE + timedelta(seconds=5))
    return Day(store)


def _alert() -> dict[str, object]:
    known = {
        "id": f"spike|{METRICS[0]}|volume|{SPIKE:%Y-%m-%dT%H:%MZ}",
        "rule": "spike",
        "metric": METRICS[0],
        "measure": "volume",
        "minute": SPIKE,
        "state": "firing",
        "value": 301.0,
        "average": 2.25,
        "ratio": 301 / 2.25,
        "factor": 3.0,
        "last_minute": SPIKE,
        "minutes": 1,
        "peak": 301.0,
        "peak_ratio": 301 / 2.25,
        "peak_minute": SPIKE,
        "fired_at": SPIKE + MINUTE,
        "sent": True,
        "transitions": 1,
    }
    return dict.fromkeys(ALERTS.names) | known


def _incident() -> dict[str, object]:
    known = {
        "id": f"exchange error|{GONE[0]:%Y-%m-%dT%H:%MZ}",
        "state": "resolved",
        "cause": "exchange error",
        "reason": "no answer",
        "first": GONE[0],
        "last": GONE[-1],
        "count": 10,
        "metrics": [METRICS[0]],
        "missing": 0,
        "opened_at": GONE[0] + 2 * MINUTE,
        "resolved_at": GONE[-1] + 6 * MINUTE,
        "transitions": 2,
    }
    return dict.fromkeys(INCIDENTS.names) | known
