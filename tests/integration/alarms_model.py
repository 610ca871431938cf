"""A small model of what a person may expect of alarms: which there are, and what is told of them.

It is the document, written once more: sets of minutes and fractions. It knows nothing of cursors, ranges and tables.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from pricetracker_dagster.candles.minutes import MINUTE
from tests.integration.test_watch import NOON
from tests.webhook import Webhook

METRICS = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:SOLUSD", "KRAKEN:XRPUSD", "KRAKEN:ADAUSD"
LASTING = METRICS[:2]
CALM = 10
WINDOW, MIN_POINTS, MAX_AGE, GRACE, BACK_AFTER = 6, 3, 8, 1, 3
PATHS = "/a", "/b"

Series = tuple[str, str]
"""Rule and metric."""


@dataclass(frozen=True)
class Choices:
    """The settings of the moment."""

    metrics: tuple[str, ...] = METRICS
    paths: tuple[str, ...] = PATHS
    repeat: int = 4
    factor: int = 3
    resolve_after: int = 3
    lasting: bool = True
    """Whether there is a second rule, of two metrics, for which two minutes in a row must be above."""

    @property
    def rules(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """By name: for how many minutes, and for which metrics."""
        rules: dict[str, tuple[int, tuple[str, ...]]] = {"spike": (1, self.metrics)}
        if self.lasting:
            rules["lasting"] = (2, tuple(metric for metric in self.metrics if metric in LASTING))
        return rules

    def written(self, hook: Webhook) -> str:
        """Return them as a settings file."""
        common = (
            f'measures = ["price"]\nfactor = {self.factor}\nwindow_minutes = {WINDOW}\nmin_points = {MIN_POINTS}\n'
            f"resolve_after_minutes = {self.resolve_after}\n"
        )
        text = (
            f"metrics = {json.dumps(self.metrics)}\n[alerts]\n"
            f"channels = {json.dumps([hook.channel(path) for path in self.paths])}\n"
            f"max_age_minutes = {MAX_AGE}\nrepeat_minutes = {self.repeat}\nmissed_grace_minutes = {GRACE}\n"
            f'incident_resolve_after_minutes = {BACK_AFTER}\n[[alerts.rules]]\nname = "spike"\n{common}'
        )
        if self.lasting:
            text += f'[[alerts.rules]]\nname = "lasting"\nmetrics = {json.dumps(LASTING)}\nfor_minutes = 2\n{common}'
        return text


@dataclass
class Alert:
    """An alert as a person sees it; minutes are counted from noon."""

    id: str
    first: int
    last: int
    factor: int
    above: set[int] = field(default_factory=set)
    state: str = "pending"
    fired_at: datetime | None = None
    sent: bool = False
    because: str | None = None
    ratio: Fraction = Fraction(0)
    held: str | None = None

    @property
    def is_over(self) -> bool:
        return self.state == "resolved"


class Judge:
    """What the rules say of the minutes: the alerts."""

    def __init__(self) -> None:
        self.verdicts: dict[Series, dict[int, Fraction | None]] = {}
        """Of each minute that was judged its ratio where it is above, None where it is not."""
        self.alerts: dict[Series, list[Alert]] = {}
        self.seen: dict[tuple[str, int], int] = {}
        """What was stored when it last looked."""

    def look(
        self,
        stored: Mapping[tuple[str, int], int],
        since: Mapping[str, int],
        choices: Choices,
        newest: int,
        now: datetime,
    ) -> None:
        """Judge what has changed since the last look, and what depends on it."""
        changed: dict[str, list[int]] = {}
        for (metric, minute), value in stored.items():
            if metric in choices.metrics and self.seen.get((metric, minute)) != value:
                changed.setdefault(metric, []).append(minute)
        gone = {a.id for alerts in self.alerts.values() for a in alerts if a.because == "corrected"}
        if changed:
            spans = {metric: (min(minutes), max(minutes)) for metric, minutes in changed.items()}
            touched = self._judge(stored, spans, since, choices, newest)
            for series, alerts in self.alerts.items():
                for alert in alerts:
                    if alert.id in touched:
                        self._agree(alert, self._above(series), gone)
            for name, (for_minutes, metrics) in choices.rules.items():
                for metric in metrics:
                    if metric in spans:
                        self._join((name, metric), for_minutes, gone, choices, now)
        for (name, metric), alerts in self.alerts.items():
            for alert in alerts:
                if not alert.is_over or alert.id in gone:
                    below = self._below_after((name, metric), alert.last) if metric in changed else 0
                    own = [minute for of, minute in stored if of == metric and minute <= newest]
                    self._end(alert, name, metric, below, max([alert.last, *own]), choices, newest, alert.id in gone)
        self.seen = dict(stored)

    def _judge(
        self,
        stored: Mapping[tuple[str, int], int],
        spans: Mapping[str, tuple[int, int]],
        since: Mapping[str, int],
        choices: Choices,
        newest: int,
    ) -> set[str]:
        own = [(metric, alert) for (_, metric), alerts in self.alerts.items() for alert in alerts if metric in spans]
        touched = [
            alert
            for metric, alert in own
            if spans[metric][0] <= alert.last and spans[metric][1] + WINDOW >= alert.first
        ]
        first = min(low for low, _ in spans.values()) - max(minutes - 1 for minutes, _ in choices.rules.values())
        first = min([first, *(a.last for _, a in own if not a.is_over), *(a.first for a in touched)])
        last = max([*(high for _, high in spans.values()), *(a.last for a in touched)])
        last += max(WINDOW, choices.resolve_after)
        begun = min(since.values())
        for name, (_, metrics) in choices.rules.items():
            for metric in metrics:
                verdicts = self.verdicts.setdefault((name, metric), {})
                for minute in range(first, min(last, newest) + 1) if metric in spans else ():
                    verdicts.pop(minute, None)
                    before = [stored[metric, i] for i in range(minute - WINDOW, minute) if (metric, i) in stored]
                    is_of_late = since[metric] == begun or minute >= since[metric]
                    if is_of_late and (metric, minute) in stored and len(before) >= MIN_POINTS:
                        ratio = Fraction(stored[metric, minute]) * len(before) / sum(before)
                        verdicts[minute] = ratio if ratio > choices.factor else None
        return {alert.id for alert in touched}

    def _above(self, series: Series) -> dict[int, Fraction]:
        return {minute: ratio for minute, ratio in sorted(self.verdicts.get(series, {}).items()) if ratio is not None}

    def _below_after(self, series: Series, minute: int) -> int:
        return sum(each > minute and ratio is None for each, ratio in self.verdicts.get(series, {}).items())

    @staticmethod
    def _agree(alert: Alert, above: Mapping[int, Fraction], gone: set[str]) -> None:
        """Make an alert agree with its minutes as they are now."""
        own = {minute for minute in above if alert.first <= minute <= alert.last}
        if own:
            gone.discard(alert.id)
            alert.above, alert.first, alert.last = own, min(own), max(own)
            alert.ratio = max(above[minute] for minute in own)
        else:
            gone.add(alert.id)

    def _join(self, series: Series, for_minutes: int, gone: set[str], choices: Choices, now: datetime) -> None:
        """Add what is above to the alerts that it belongs to, or make new ones."""
        above = self._above(series)
        alerts = self.alerts.setdefault(series, [])
        for minute in above:
            if any(minute in alert.above and alert.id not in gone and alert.because != "corrected" for alert in alerts):
                continue
            run = {minute}
            while max(run) + 1 in above:
                run.add(max(run) + 1)
            near = [a for a in alerts if self._is_near(series, a, minute, choices)]
            if near:
                alert = max(near, key=lambda a: (not a.is_over, a.last))
            else:
                alert = Alert(
                    f"{series[0]}|{series[1]}|price|{at(minute):%Y-%m-%dT%H:%MZ}", minute, minute, choices.factor
                )
                alerts.append(alert)
            is_newer = max(run) > alert.last or alert.id in gone or alert.because == "corrected"
            if alert.id in gone:
                gone.discard(alert.id)
                alert.above, alert.first, alert.last = set(), minute, minute
            if alert.fired_at is None and alert.because == "corrected":
                alert.state, alert.because = "pending", None
            alert.above |= run
            alert.first, alert.last = min(alert.first, minute), max(alert.last, *run)
            alert.ratio = max(above[each] for each in alert.above if each in above)
            begins = alert.fired_at is None and len(alert.above) >= for_minutes
            again = alert.fired_at is not None and alert.is_over and is_newer
            if begins:
                alert.fired_at = now
            if begins or (alert.fired_at is not None and is_newer):
                alert.state, alert.because = "firing", None
            if again:
                alert.sent = False
            if alert.fired_at and not alert.sent and now - at(alert.last + 1) <= MAX_AGE * MINUTE:
                alert.sent, alert.fired_at = True, now

    def _is_near(self, series: Series, alert: Alert, minute: int, choices: Choices) -> bool:
        """Say whether a minute above belongs to an alert."""
        if alert.first - 1 <= minute <= alert.last + 1 or alert.id.endswith(f"{at(minute):|%Y-%m-%dT%H:%MZ}"):
            return True
        if alert.fired_at is None:
            return False
        early, late = (alert.last, minute) if minute > alert.last else (minute, alert.first)
        verdicts = self.verdicts[series]
        below = sum(each in verdicts and verdicts[each] is None for each in range(early + 1, late))
        return late <= early + max(WINDOW, choices.resolve_after) and below < choices.resolve_after

    def _end(
        self,
        alert: Alert,
        name: str,
        metric: str,
        below: int,
        stored: int,
        choices: Choices,
        newest: int,
        is_gone: bool,
    ) -> None:
        patience = max(WINDOW, choices.resolve_after)
        verdicts = self.verdicts.get((name, metric), {})
        is_judged = name in choices.rules and metric in choices.rules[name][1]
        not_above = f"not above the factor {choices.factor} of now" if alert.factor != choices.factor else None
        if is_gone:
            was_seen = any(verdicts.get(minute, 1) is None for minute in range(alert.first, alert.last + 1))
            because = (not_above or "corrected") if is_judged and was_seen else "no longer judged"
            if alert.is_over and because != "corrected":
                return
        elif not is_judged:
            because = "no longer judged"
        elif below >= (choices.resolve_after if alert.fired_at else 1):
            because = not_above or "below again"
        elif stored >= alert.last + patience:
            because = "no longer judged"
        elif newest >= stored + patience:
            because = f"no data since {at(stored + 1):%Y-%m-%d %H:%M} UTC"
        else:
            return
        alert.state, alert.because = "resolved", because


def at(minute: int) -> datetime:
    """Return a minute that is counted from noon."""
    return NOON + minute * MINUTE


@dataclass(frozen=True)
class Message:
    """What is told of a fact."""

    event: str
    channels: frozenset[str]
    held: str | None
    moment: datetime


@dataclass
class Silence:
    """What somebody keeps back."""

    id: str
    metrics: str
    rule: str | None
    until: datetime

    def is_of(self, metric: str, rule: str | None) -> bool:
        return self.metrics in ("KRAKEN:*", metric) and (self.rule is None or self.rule == rule)
