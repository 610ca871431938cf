"""When an alert is over, and why. Which minutes belong to an alert is in review.py."""

from datetime import timedelta
from fnmatch import fnmatchcase

from pricetracker_dagster.alerts.lifecycle.alert import CORRECTED, RESOLVED, series_of
from pricetracker_dagster.alerts.lifecycle.context import ReviewContext
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import AlertRule
from pricetracker_dagster.store.records import Row


def resolve_if_over(row: Row, rule: AlertRule | None, context: ReviewContext) -> None:
    """Resolve an alert that is over."""
    if row["state"] == RESOLVED:
        return
    last = row["last_minute"]
    stored = max(last, context.stored.get(row["metric"], last))
    if rule is None or not _is_judged(row, rule, context):
        because = "no longer judged"
    elif context.below_after(series_of(row), last) >= _quiet(row, rule):
        changed = rule.factor != row["factor"]
        because = _not_above_now(rule) if changed else "below again"
    elif stored >= last + no_data_limit(rule):
        because = "no longer judged"  # there is data, but too little for an average
    elif context.newest_closed >= stored + no_data_limit(rule):
        because = f"no data since {stored + MINUTE:%Y-%m-%d %H:%M} UTC"
    else:
        return
    row.update(state=RESOLVED, resolved_at=context.now, ended_because=because)


def resolve_empty(row: Row, rule: AlertRule | None, context: ReviewContext) -> None:
    """Resolve an alert with no minute above any more; one that is over already was corrected meanwhile."""
    if rule is None or not _is_judged(row, rule, context) or not context.is_below(row):
        because = "no longer judged"
    elif rule.factor != row["factor"]:
        because = _not_above_now(rule)
    else:
        because = CORRECTED
    if row["state"] != RESOLVED:
        row.update(state=RESOLVED, resolved_at=context.now, ended_because=because)
    elif because == CORRECTED:
        row["ended_because"] = because


def no_data_limit(rule: AlertRule) -> timedelta:
    """Return after how long without a judged minute an alert is over."""
    return max(rule.window_minutes, rule.resolve_after_minutes) * MINUTE


def _quiet(row: Row, rule: AlertRule) -> int:
    """Return how many minutes without one above end it: of one that is only pending, the first."""
    return rule.resolve_after_minutes if row["fired_at"] else 1


def _is_judged(row: Row, rule: AlertRule, context: ReviewContext) -> bool:
    """Say whether a rule is still for the measure and metric of an alert."""
    metric = row["metric"]
    return (
        metric in context.tracked
        and row["measure"] in rule.measures
        and any(fnmatchcase(metric, pattern) for pattern in rule.metrics)
    )


def _not_above_now(rule: AlertRule) -> str:
    return f"not above the factor {rule.factor:g} of now"
