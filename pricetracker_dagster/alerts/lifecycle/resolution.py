"""When an alert is over, and why. Which minutes belong to an alert is in review.py."""

from collections.abc import Mapping
from datetime import timedelta

from pricetracker_dagster.alerts.lifecycle.alert import CORRECTED, RESOLVED, kind_of, series_of
from pricetracker_dagster.alerts.lifecycle.context import ReviewContext
from pricetracker_dagster.candles.metric import matches
from pricetracker_dagster.candles.minutes import MINUTE, newest_closed_minute
from pricetracker_dagster.settings import DIVERGENCE, AlertRule
from pricetracker_dagster.store.records import Row

_NO_DIVERGENCE_MINUTES = 60
"""After so long without a judged minute a divergence is over: as with the window of spikes, that of an hour."""


def rule_of(row: Row, rules: Mapping[str, AlertRule], context: ReviewContext) -> AlertRule | None:
    """Return the rule of an alert, if it is still for its kind, measure and metric."""
    rule, metric = rules.get(row["rule"]), row["metric"]
    if rule is None or metric not in context.tracked or not is_of_kind(row, rule):
        return None
    if row["measure"] not in rule.judged_measures:
        return None
    return rule if any(matches(metric, pattern) for pattern in rule.metrics) else None


def is_of_kind(row: Row, rule: AlertRule | None) -> bool:
    """Say whether an alert is of a rule's kind: the rule of that name may have been of another one."""
    return rule is not None and kind_of(row) == rule.kind


def resolve_if_over(row: Row, rule: AlertRule | None, context: ReviewContext) -> None:
    """Resolve an alert that is over."""
    if row["state"] == RESOLVED:
        return
    last = row["last_minute"]
    stored = max(last, context.stored.get(row["metric"], last))
    # without one above; of an alert that is only pending the first minute ends it
    enough = rule.resolve_after_minutes if rule is not None and row["fired_at"] else 1
    if rule is None:
        because = "no longer judged"
    elif context.judged.below_after(series_of(row), last) >= enough:
        because = "below again" if rule.limit == row["factor"] else _not_above_now(rule)
    elif stored >= last + no_data_limit(rule):
        because = "no longer judged"  # there is data, but too little for an average
    elif newest_closed_minute(context.now) >= stored + no_data_limit(rule):
        because = f"no data since {stored + MINUTE:%Y-%m-%d %H:%M} UTC"
    else:
        return
    row.update(state=RESOLVED, resolved_at=context.now, ended_because=because)


def resolve_empty(row: Row, rule: AlertRule | None, context: ReviewContext) -> None:
    """Resolve an alert with no minute above any more; one that is over already was corrected meanwhile."""
    if rule is None or not context.judged.is_below(row):
        because = "no longer judged"
    else:
        because = CORRECTED if rule.limit == row["factor"] else _not_above_now(rule)
    if row["state"] != RESOLVED:
        row.update(state=RESOLVED, resolved_at=context.now, ended_because=because)
    elif because == CORRECTED:
        row["ended_because"] = because


def no_data_limit(rule: AlertRule) -> timedelta:
    """Return after how long without a judged minute an alert is over."""
    window = _NO_DIVERGENCE_MINUTES if rule.kind == DIVERGENCE else rule.window_minutes
    return max(window, rule.resolve_after_minutes) * MINUTE


def _not_above_now(rule: AlertRule) -> str:
    if rule.kind == DIVERGENCE:
        return f"not above the {rule.basis_points:g} basis points of now"
    return f"not above the factor {rule.factor:g} of now"
