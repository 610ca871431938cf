"""What an alert is: its states, its id, and a row of the table alerts. How one changes is in review.py."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pricetracker_dagster.alerts.rules import Verdict
from pricetracker_dagster.candles.minutes import DAY
from pricetracker_dagster.settings import AlertRule
from pricetracker_dagster.store.records import Row

PENDING, FIRING, RESOLVED = "pending", "firing", "resolved"

CORRECTED = "corrected"
"""Why an alert with no minute above any more is over."""

LONGEST = 30 * DAY
"""No alert lasts longer than this."""

Series = tuple[str, str, str]
"""Rule, metric, measure."""


def series_of(row: Row) -> Series:
    """Return the series of an alert."""
    return row["rule"], row["metric"], row["measure"]


def series_of_verdict(verdict: Verdict) -> Series:
    """Return the series of a judged minute."""
    return verdict.rule, verdict.metric, verdict.measure


def alert_id(series: Series, minute: datetime) -> str:
    """Return the id of the alert that begins in a minute: the same fact has the same id."""
    return "|".join((*series, f"{minute:%Y-%m-%dT%H:%MZ}"))


def messages_since(row: Row) -> datetime:
    """Return a moment, UTC, before the first message about an alert, which a correction may let begin later."""
    minute: datetime = row["minute"]
    return min(minute, datetime.strptime(row["id"].rpartition("|")[2], "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC))


def new_alert(verdict: Verdict, rule: AlertRule) -> Row:
    """Return a pending alert of one minute above."""
    return {
        "id": alert_id(series_of_verdict(verdict), verdict.minute),
        "rule": verdict.rule,
        "metric": verdict.metric,
        "measure": verdict.measure,
        "minute": verdict.minute,
        "state": PENDING,
        "value": verdict.value,
        "average": verdict.average,
        "ratio": verdict.ratio,
        "factor": rule.factor,
        "last_minute": verdict.minute,
        "minutes": 1,
        "peak": verdict.value,
        "peak_ratio": verdict.ratio,
        "peak_minute": verdict.minute,
        "fired_at": None,
        "resolved_at": None,
        "ended_because": None,
        "sent": False,
        "held_by": None,
        "transitions": 0,
    }


def set_minutes(row: Row, own: Sequence[Verdict]) -> None:
    """Let these be the minutes of an alert, oldest first. Its id stays, also where it begins with another one."""
    highest = max(own, key=ratio)
    row.update(
        minute=own[0].minute,
        last_minute=own[-1].minute,
        minutes=len(own),
        peak=highest.value,
        peak_ratio=highest.ratio,
        peak_minute=highest.minute,
    )


def ratio(verdict: Verdict) -> float:
    """Return by how much a minute is above, 0 where that is not known."""
    return verdict.ratio or 0.0
