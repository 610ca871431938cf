"""What an alert is: its states, its id, and a row of the table alerts. How one changes is in review.py."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pricetracker_dagster.alerts.rules import Series, Verdict, highest
from pricetracker_dagster.candles.minutes import DAY
from pricetracker_dagster.settings import DIVERGENCE, SPIKE, AlertRule
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.schema import ALERTS

PENDING, FIRING, RESOLVED = "pending", "firing", "resolved"

CORRECTED = "corrected"
"""Why an alert with no minute above any more is over."""

LONGEST = 30 * DAY
"""No alert lasts longer than this."""


def series_of(row: Row) -> Series:
    """Return the series of an alert."""
    return row["rule"], row["metric"], row["measure"]


def kind_of(row: Row) -> str:
    """Return the kind of rule that an alert is of; an earlier version knew one kind, and did not name it."""
    return str(row.get("rule_kind") or SPIKE)


def alert_id(series: Series, minute: datetime, kind: str = SPIKE) -> str:
    """Return the id of the alert that begins in a minute: the same fact has the same id.

    A divergence stands in the place of a measure: a rule of the same name may have been of the other kind before.
    """
    rule, metric, measure = series
    return "|".join((rule, metric, measure if kind == SPIKE else kind, f"{minute:%Y-%m-%dT%H:%MZ}"))


def messages_since(row: Row) -> datetime:
    """Return a moment, UTC, before the first message about an alert, which a correction may let begin later."""
    minute: datetime = row["minute"]
    return min(minute, datetime.strptime(row["id"].rpartition("|")[2], "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC))


def new_alert(verdict: Verdict, rule: AlertRule) -> Row:
    """Return a pending alert of one minute above."""
    row: Row = {
        **dict.fromkeys(ALERTS.names),
        "id": alert_id(verdict.series, verdict.minute, rule.kind),
        "rule": verdict.rule,
        "metric": verdict.metric,
        "measure": verdict.measure,
        "state": PENDING,
        "value": verdict.value,
        "average": verdict.average,
        "ratio": verdict.ratio,
        "factor": rule.limit,
        "sent": False,
        "transitions": 0,
        "rule_kind": rule.kind,
        "others": verdict.points if rule.kind == DIVERGENCE else None,
    }
    set_minutes(row, [verdict])
    return row


def set_minutes(row: Row, own: Sequence[Verdict]) -> None:
    """Let these be the minutes of an alert, oldest first. Its id stays, also where it begins with another one."""
    peak = highest(own)
    row.update(
        minute=own[0].minute,
        last_minute=own[-1].minute,
        minutes=len(own),
        peak=peak.value,
        peak_ratio=peak.ratio,
        peak_minute=peak.minute,
    )
