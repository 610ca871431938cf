"""From minutes above to alerts: when one begins, which minutes it takes in, when it fires.

Pure, and idempotent: judging the same minutes again, or more of them, changes the alerts that are recorded instead of
making others of the same fact. When an alert is over is in resolution.py.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pricetracker_dagster.alerts.lifecycle.alert import (
    CORRECTED,
    FIRING,
    PENDING,
    RESOLVED,
    alert_id,
    new_alert,
    series_of,
    set_minutes,
)
from pricetracker_dagster.alerts.lifecycle.context import ReviewContext
from pricetracker_dagster.alerts.lifecycle.resolution import (
    is_of_kind,
    no_data_limit,
    resolve_empty,
    resolve_if_over,
    rule_of,
)
from pricetracker_dagster.alerts.rules import Series, Verdict, highest, runs
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import AlertRule
from pricetracker_dagster.store.records import Row


def review(
    above: Iterable[Verdict], recorded: Sequence[Row], rules: Mapping[str, AlertRule], context: ReviewContext
) -> list[Row]:
    """Bring alerts up to date with the minutes that were found above; return the rows that are new or changed.

    A run of consecutive minutes above is an alert once it is ``for_minutes`` long; before that it is pending. What is
    above belongs to a recorded alert, on either side, unless ``resolve_after_minutes`` were seen below between them;
    minutes without data count neither way. It is resolved by so many minutes seen below, by a whole window without
    data, where it is no longer judged, or where all of it was corrected. What is above again after that, and so near
    that it belongs to it, makes it fire once more.

    Args:
        above: the minutes above among those that were judged. Where ``for_minutes`` is more than one, as many minutes
            before a new one must have been judged too.
        recorded: rows of the table alerts: all that are not resolved, and those near the minutes judged.
        rules: those in force, by name.
        context: how far one knows.
    """
    alerts: dict[Series, list[Row]] = defaultdict(list)
    before_it = [dict(row) for row in recorded if row["rule"] in rules and not is_of_kind(row, rules[row["rule"]])]
    foreign = {row["id"] for row in before_it}  # what is found now belongs to none of them
    for row in recorded:
        if row["id"] not in foreign:
            alerts[series_of(row)].append(dict(row))
    found = runs(above)
    above_of: dict[Series, list[Verdict]] = defaultdict(list)
    for run in found:
        above_of[run[0].series] += run
    empty = {row["id"] for row in recorded if row["ended_because"] == CORRECTED}
    for series, of_series in alerts.items():
        for row in of_series:
            if row["id"] in context.judged.whole:
                _correct(row, above_of[series], empty)
    for run in found:
        _merge_run(run, alerts[run[0].series], rules[run[0].rule], context, empty)
    before = {row["id"]: row for row in recorded}
    rows = [*before_it, *(row for of_series in alerts.values() for row in of_series)]
    for row in rows:
        resolve = resolve_empty if row["id"] in empty - foreign else resolve_if_over
        resolve(row, rule_of(row, rules, context), context)
    return [row for row in rows if row != before.get(row["id"])]


def _correct(row: Row, above: Iterable[Verdict], empty: set[str]) -> None:
    """Make an alert agree with its minutes as they are now; ``empty`` names those with no minute above any more."""
    own = [verdict for verdict in above if row["minute"] <= verdict.minute <= row["last_minute"]]
    if own:
        empty.discard(row["id"])
        set_minutes(row, own)
    else:
        empty.add(row["id"])


def _merge_run(
    run: Sequence[Verdict], alerts: list[Row], rule: AlertRule, context: ReviewContext, empty: set[str]
) -> None:
    """Add a run of minutes above to the alert it belongs to, or make one of it."""
    row = _alert_to_extend(run, alerts, rule, context)
    if row is None:
        row = new_alert(run[0], rule)
        alerts.append(row)
    # of one that was corrected as a whole nothing counts but what is above now
    goes_on = run[-1].minute > row["last_minute"] or row["id"] in empty or row["ended_because"] == CORRECTED
    if row["id"] in empty:
        empty.discard(row["id"])
        set_minutes(row, run)
    if not row["fired_at"] and row["ended_because"] == CORRECTED:
        row.update(state=PENDING, resolved_at=None, ended_because=None)
    # what lies within is counted already
    beyond = sum(not row["minute"] <= verdict.minute <= row["last_minute"] for verdict in run)
    row["minutes"] = max(row["minutes"] + beyond, len(run))
    row["last_minute"] = max(row["last_minute"], run[-1].minute)
    row["minute"] = min(row["minute"], run[0].minute)  # late data: it began before; its id stays
    peak = highest(run)
    if (peak.ratio or 0.0) > row["peak_ratio"]:
        row.update(peak=peak.value, peak_ratio=peak.ratio, peak_minute=peak.minute)
    fires = row["fired_at"] is None and row["minutes"] >= rule.for_minutes
    again = goes_on and row["fired_at"] is not None and row["state"] == RESOLVED
    if fires:
        row["fired_at"] = context.now
    if fires or (goes_on and row["fired_at"]):
        row.update(state=FIRING, resolved_at=None, ended_because=None)  # resolve_if_over() resolves it if it is over
    if again:
        row["sent"] = False  # that was about the time before
    if row["fired_at"] and not row["sent"] and context.now - (row["last_minute"] + MINUTE) <= context.max_age:
        row.update(sent=True, fired_at=context.now)


def _alert_to_extend(
    run: Sequence[Verdict], alerts: Sequence[Row], rule: AlertRule, context: ReviewContext
) -> Row | None:
    """Return the alert to which a run of minutes above belongs: the one it is in, else the one that goes on."""
    series, first, last = run[0].series, run[0].minute, run[-1].minute

    def is_near(earlier: datetime, later: datetime, row: Row) -> bool:
        if later <= earlier + MINUTE:
            return True
        if not row["fired_at"] or later > earlier + no_data_limit(rule):
            return False
        return context.judged.below_between(series, earlier, later) < rule.resolve_after_minutes

    def rank(row: Row) -> tuple[bool, bool, datetime]:
        is_its_own = row["minute"] <= first and last <= row["last_minute"]
        return is_its_own, row["state"] != RESOLVED, row["last_minute"]

    own_id = alert_id(series, first, rule.kind)  # it began so early once, and was corrected
    touched = [
        row
        for row in alerts
        if row["id"] == own_id or (is_near(row["last_minute"], first, row) and is_near(last, row["minute"], row))
    ]
    return max(touched, key=rank, default=None)
