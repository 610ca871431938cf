"""From minutes above to alerts: when one begins, goes on and ends.

Pure, and idempotent: judging the same minutes again, or more of them, changes the alerts that are recorded instead of
making others of the same fact.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from pricetracker_dagster.alerts.rules import Verdict
from pricetracker_dagster.candles import DAY, MINUTE, ranges
from pricetracker_dagster.settings import AlertRule
from pricetracker_dagster.store.records import Row

PENDING, FIRING, RESOLVED = "pending", "firing", "resolved"

LONGEST = 30 * DAY
"""No alert lasts longer than this."""

Series = tuple[str, str, str]
"""Rule, metric, measure."""


@dataclass(frozen=True)
class Known:
    """How far one knows.

    Attributes:
        now: the current time, UTC.
        newest_closed: the newest minute that is over, UTC.
        tracked: the metrics that are tracked now.
        stored: the newest minute of late of those of them that have one, UTC.
        max_age: alerts of minutes that ended longer ago are not sent.
    """

    now: datetime
    newest_closed: datetime
    tracked: Collection[str]
    stored: Mapping[str, datetime]
    max_age: timedelta


def alert_id(series: Series, minute: datetime) -> str:
    """Return the id of the alert that begins in a minute: the same fact has the same id."""
    return "|".join((*series, f"{minute:%Y-%m-%dT%H:%MZ}"))


def review(
    above: Iterable[Verdict], recorded: Sequence[Row], rules: Mapping[str, AlertRule], known: Known
) -> list[Row]:
    """Bring alerts up to date with the minutes that were found above.

    A run of consecutive minutes above is an alert once it is ``for_minutes`` long; before that it is pending. What is
    above within ``resolve_after_minutes`` of a recorded alert, on either side, belongs to that one. It is resolved by
    so many minutes without one above, by a whole window without data, or when nobody tracks its metric any more.

    Args:
        above: the minutes above among those that were judged. Where ``for_minutes`` is more than one, as many minutes
            before a new one must have been judged too.
        recorded: rows of the table alerts: all that are not resolved, and those near the minutes judged.
        rules: those in force, by name.
        known: how far one knows.

    Returns:
        The rows that are new or changed.
    """
    alerts: dict[Series, list[Row]] = {}
    for row in recorded:
        alerts.setdefault((row["rule"], row["metric"], row["measure"]), []).append(dict(row))
    for series, verdicts in groupby(sorted(above, key=_series_and_minute), key=_series):
        of_series = alerts.setdefault(series, [])
        by_minute = {verdict.minute: verdict for verdict in verdicts}
        for run in ranges(by_minute):
            _take_in([by_minute[run.first + i * MINUTE] for i in range(run.length)], of_series, rules[series[0]], known)
    before = {row["id"]: row for row in recorded}
    changed = []
    for of_series in alerts.values():
        for row in of_series:
            _end(row, rules.get(row["rule"]), known)
            if row != before.get(row["id"]):
                changed.append(row)
    return changed


def _take_in(run: Sequence[Verdict], alerts: list[Row], rule: AlertRule, known: Known) -> None:
    """Add a run of minutes above to the alert it belongs to, or make one of it."""
    row = _host(run[0].minute, run[-1].minute, alerts, rule)
    if row is None:
        row = _new(run[0], rule)
        alerts.append(row)
    goes_on = run[-1].minute > row["last_minute"]
    later = [verdict for verdict in run if verdict.minute > row["last_minute"]]
    row["minutes"] = max(row["minutes"] + len(later), len(run))
    row["last_minute"] = max(row["last_minute"], run[-1].minute)
    highest = max(run, key=_ratio)
    if _ratio(highest) > row["peak_ratio"]:
        row.update(peak=highest.value, peak_ratio=highest.ratio, peak_minute=highest.minute)
    fires = row["fired_at"] is None and row["minutes"] >= rule.for_minutes
    if fires:
        row["fired_at"] = known.now
    if fires or (goes_on and row["fired_at"]):
        row.update(state=FIRING, resolved_at=None, ended_because=None)  # _end() resolves it if it is over
    if row["fired_at"] and not row["sent"] and known.now - (row["last_minute"] + MINUTE) <= known.max_age:
        row.update(sent=True, fired_at=known.now)


def _host(first: datetime, last: datetime, alerts: Sequence[Row], rule: AlertRule) -> Row | None:
    """Return the alert to which what is above from ``first`` to ``last`` belongs: of several the one that goes on."""
    touched = [
        row
        for row in alerts
        for reach in [(rule.resolve_after_minutes if row["fired_at"] else 1) * MINUTE]
        if first <= row["last_minute"] + reach and last >= row["minute"] - reach
    ]
    return max(touched, key=lambda row: (row["state"] != RESOLVED, row["last_minute"]), default=None)


def _new(verdict: Verdict, rule: AlertRule) -> Row:
    return {
        "id": alert_id(_series(verdict), verdict.minute),
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


def _end(row: Row, rule: AlertRule | None, known: Known) -> None:
    """Resolve an alert that is over."""
    if row["state"] == RESOLVED:
        return
    stored = known.stored.get(row["metric"])
    if rule is None or row["metric"] not in known.tracked:
        because = "no longer tracked"
    elif stored is not None and stored >= row["last_minute"] + _quiet(row, rule) * MINUTE:
        because = "below again"
    elif known.newest_closed >= row["last_minute"] + max(rule.window_minutes, rule.resolve_after_minutes) * MINUTE:
        because = "no data"
    else:
        return
    row.update(state=RESOLVED, resolved_at=known.now, ended_because=because)


def _quiet(row: Row, rule: AlertRule) -> int:
    """Return how many minutes without one above end it: of one that is only pending, the first."""
    return rule.resolve_after_minutes if row["fired_at"] else 1


def _series(verdict: Verdict) -> Series:
    return verdict.rule, verdict.metric, verdict.measure


def _series_and_minute(verdict: Verdict) -> tuple[Series, datetime]:
    return _series(verdict), verdict.minute


def _ratio(verdict: Verdict) -> float:
    return verdict.ratio or 0.0
