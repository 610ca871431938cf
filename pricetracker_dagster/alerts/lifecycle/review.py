"""From minutes above to alerts: when one begins, goes on and ends.

Pure, and idempotent: judging the same minutes again, or more of them, changes the alerts that are recorded instead of
making others of the same fact.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import groupby

from pricetracker_dagster.alerts.rules import Verdict
from pricetracker_dagster.candles.minutes import DAY, MINUTE, ranges
from pricetracker_dagster.settings import AlertRule
from pricetracker_dagster.store.records import Row

PENDING, FIRING, RESOLVED = "pending", "firing", "resolved"

CORRECTED = "corrected"
"""Why an alert is over of which no minute is above any more."""

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
        below: the minutes that were judged and are not above, oldest first.
        judged_from: the oldest minute that was judged, UTC; None: none was. Of open alerts of the metrics that were
            judged, all minutes after the newest one above were.
        judged_to: the newest minute that was judged, UTC; None: all that there is.
        whole: the ids of recorded alerts of which every minute was judged anew.
    """

    now: datetime
    newest_closed: datetime
    tracked: Collection[str]
    stored: Mapping[str, datetime]
    max_age: timedelta
    below: Mapping[Series, Sequence[datetime]] = field(default_factory=dict)
    judged_from: datetime | None = None
    judged_to: datetime | None = None
    whole: Collection[str] = ()

    def between(self, series: Series, after: datetime, before: datetime) -> int:
        """Count the minutes between two that were seen below; what was not judged just now counts as such."""
        first = after + MINUTE
        known_from = before if self.judged_from is None else min(max(first, self.judged_from), before)
        known_to = before if self.judged_to is None else min(max(known_from, self.judged_to + MINUTE), before)
        below = self.below.get(series, ())
        seen = bisect_left(below, known_to) - bisect_left(below, known_from)
        unknown = (known_from - first) // MINUTE + (before - known_to) // MINUTE
        return max(0, unknown) + max(0, seen)

    def below_after(self, series: Series, minute: datetime) -> int:
        """Count the minutes after one that were seen below."""
        below = self.below.get(series, ())
        return len(below) - bisect_right(below, minute)

    def is_below(self, row: Row) -> bool:
        """Say whether any minute of an alert was seen below."""
        below = self.below.get(series_of(row), ())
        return bisect_left(below, row["minute"]) < bisect_right(below, row["last_minute"])


def alert_id(series: Series, minute: datetime) -> str:
    """Return the id of the alert that begins in a minute: the same fact has the same id."""
    return "|".join((*series, f"{minute:%Y-%m-%dT%H:%MZ}"))


def told_since(row: Row) -> datetime:
    """Return a moment, UTC, before anything was told of an alert: after a correction it may begin later than that."""
    minute: datetime = row["minute"]
    return min(minute, datetime.strptime(row["id"].rpartition("|")[2], "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC))


def review(
    above: Iterable[Verdict], recorded: Sequence[Row], rules: Mapping[str, AlertRule], known: Known
) -> list[Row]:
    """Bring alerts up to date with the minutes that were found above.

    A run of consecutive minutes above is an alert once it is ``for_minutes`` long; before that it is pending. What is
    above belongs to a recorded alert, on either side, unless ``resolve_after_minutes`` were seen below between them: of
    minutes without data nobody knows. It is resolved by so many minutes seen below, by a whole window without data,
    where it is no longer judged, or where all of it was corrected. What is above again after that, and so near that it
    belongs to it, makes it fire once more.

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
        alerts.setdefault(series_of(row), []).append(dict(row))
    found = {
        series: {verdict.minute: verdict for verdict in verdicts}
        for series, verdicts in groupby(sorted(above, key=_series_and_minute), key=_series)
    }
    empty = {row["id"] for row in recorded if row["ended_because"] == CORRECTED}
    for series, of_series in alerts.items():
        for row in of_series:
            if row["id"] in known.whole:
                _correct(row, found.get(series, {}), empty)
    for series, by_minute in found.items():
        of_series = alerts.setdefault(series, [])
        for run in ranges(by_minute):
            verdicts = [by_minute[run.first + i * MINUTE] for i in range(run.length)]
            _take_in(verdicts, series, of_series, rules[series[0]], known, empty)
    before = {row["id"]: row for row in recorded}
    changed = []
    for of_series in alerts.values():
        for row in of_series:
            if row["id"] in empty:
                _end_empty(row, rules.get(row["rule"]), known)
            else:
                _end(row, rules.get(row["rule"]), known)
            if row != before.get(row["id"]):
                changed.append(row)
    return changed


def series_of(row: Row) -> Series:
    """Return the series of an alert."""
    return row["rule"], row["metric"], row["measure"]


def _correct(row: Row, above: Mapping[datetime, Verdict], empty: set[str]) -> None:
    """Make an alert agree with its minutes as they are now; ``empty`` names those of which none is above any more."""
    own = [verdict for minute, verdict in above.items() if row["minute"] <= minute <= row["last_minute"]]
    if own:
        empty.discard(row["id"])
        _set(row, own)
    else:
        empty.add(row["id"])


def _set(row: Row, own: Sequence[Verdict]) -> None:
    """Let these be the minutes of an alert, oldest first. Its id stays, also where it begins with another one."""
    highest = max(own, key=_ratio)
    row.update(
        minute=own[0].minute,
        last_minute=own[-1].minute,
        minutes=len(own),
        peak=highest.value,
        peak_ratio=highest.ratio,
        peak_minute=highest.minute,
    )


def _take_in(
    run: Sequence[Verdict], series: Series, alerts: list[Row], rule: AlertRule, known: Known, empty: set[str]
) -> None:
    """Add a run of minutes above to the alert it belongs to, or make one of it."""
    row = _host(run[0].minute, run[-1].minute, series, alerts, rule, known)
    if row is None:
        row = _new(run[0], rule)
        alerts.append(row)
    # of one that was corrected as a whole nothing counts but what is above now
    goes_on = run[-1].minute > row["last_minute"] or row["id"] in empty or row["ended_because"] == CORRECTED
    if row["id"] in empty:
        empty.discard(row["id"])
        _set(row, run)
    if not row["fired_at"] and row["ended_because"] == CORRECTED:
        row.update(state=PENDING, resolved_at=None, ended_because=None)
    # what lies within is counted already
    beyond = sum(not row["minute"] <= verdict.minute <= row["last_minute"] for verdict in run)
    row["minutes"] = max(row["minutes"] + beyond, len(run))
    row["last_minute"] = max(row["last_minute"], run[-1].minute)
    row["minute"] = min(row["minute"], run[0].minute)  # late data: it began before; its id stays
    highest = max(run, key=_ratio)
    if _ratio(highest) > row["peak_ratio"]:
        row.update(peak=highest.value, peak_ratio=highest.ratio, peak_minute=highest.minute)
    fires = row["fired_at"] is None and row["minutes"] >= rule.for_minutes
    again = goes_on and row["fired_at"] is not None and row["state"] == RESOLVED
    if fires:
        row["fired_at"] = known.now
    if fires or (goes_on and row["fired_at"]):
        row.update(state=FIRING, resolved_at=None, ended_because=None)  # _end() resolves it if it is over
    if again:
        row["sent"] = False  # that was said of the time before
    if row["fired_at"] and not row["sent"] and known.now - (row["last_minute"] + MINUTE) <= known.max_age:
        row.update(sent=True, fired_at=known.now)


def _host(
    first: datetime, last: datetime, series: Series, alerts: Sequence[Row], rule: AlertRule, known: Known
) -> Row | None:
    """Return the alert to which a run of minutes above belongs: the one it is in, else the one that goes on."""

    def is_near(earlier: datetime, later: datetime, row: Row) -> bool:
        if later <= earlier + MINUTE:
            return True
        if not row["fired_at"] or later > earlier + _patience(rule):
            return False
        return known.between(series, earlier, later) < rule.resolve_after_minutes

    own_id = alert_id(series, first)  # it began so early once, and was corrected
    touched = [
        row
        for row in alerts
        if row["id"] == own_id or (is_near(row["last_minute"], first, row) and is_near(last, row["minute"], row))
    ]

    def rank(row: Row) -> tuple[bool, bool, datetime]:
        is_its_own = row["minute"] <= first and last <= row["last_minute"]
        return is_its_own, row["state"] != RESOLVED, row["last_minute"]

    return max(touched, key=rank, default=None)


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
    last = row["last_minute"]
    stored = max(last, known.stored.get(row["metric"], last))
    if rule is None or not _is_judged(row, rule, known):
        because = "no longer judged"
    elif known.below_after(series_of(row), last) >= _quiet(row, rule):
        changed = rule.factor != row["factor"]
        because = _not_above_now(rule) if changed else "below again"
    elif stored >= last + _patience(rule):
        because = "no longer judged"  # there is data, of which too few for an average
    elif known.newest_closed >= stored + _patience(rule):
        because = f"no data since {stored + MINUTE:%Y-%m-%d %H:%M} UTC"
    else:
        return
    row.update(state=RESOLVED, resolved_at=known.now, ended_because=because)


def _end_empty(row: Row, rule: AlertRule | None, known: Known) -> None:
    """Resolve an alert of which no minute is above any more; one that is over already was corrected meanwhile."""
    if rule is None or not _is_judged(row, rule, known) or not known.is_below(row):
        because = "no longer judged"
    elif rule.factor != row["factor"]:
        because = _not_above_now(rule)
    else:
        because = CORRECTED
    if row["state"] != RESOLVED:
        row.update(state=RESOLVED, resolved_at=known.now, ended_because=because)
    elif because == CORRECTED:
        row["ended_because"] = because


def _not_above_now(rule: AlertRule) -> str:
    return f"not above the factor {rule.factor:g} of now"


def _is_judged(row: Row, rule: AlertRule, known: Known) -> bool:
    """Say whether a rule is still for the measure and metric of an alert."""
    metric = row["metric"]
    return (
        metric in known.tracked
        and row["measure"] in rule.measures
        and any(fnmatchcase(metric, pattern) for pattern in rule.metrics)
    )


def _patience(rule: AlertRule) -> timedelta:
    """Return after how long without a judged minute an alert is over."""
    return max(rule.window_minutes, rule.resolve_after_minutes) * MINUTE


def _quiet(row: Row, rule: AlertRule) -> int:
    """Return how many minutes without one above end it: of one that is only pending, the first."""
    return rule.resolve_after_minutes if row["fired_at"] else 1


def _series(verdict: Verdict) -> Series:
    return verdict.rule, verdict.metric, verdict.measure


def _series_and_minute(verdict: Verdict) -> tuple[Series, datetime]:
    return _series(verdict), verdict.minute


def _ratio(verdict: Verdict) -> float:
    return verdict.ratio or 0.0
