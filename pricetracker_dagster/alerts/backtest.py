"""What the rules would have said of stored minutes. Nothing is recorded or sent."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from pricetracker_dagster.alerts.detect import judge_stored, spans
from pricetracker_dagster.alerts.rules import ABOVE, Verdict, highest, runs
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.settings import AlertRule
from pricetracker_dagster.store.store import Store

AT_ONCE = 30 * DAY
"""Stored minutes are judged in spans of this length, so that memory stays bounded."""


def backtest(store: Store, rules: Sequence[AlertRule], first: datetime, last: datetime) -> list[Verdict]:
    """Return what the rules would have said of the stored minutes ``first`` to ``last``: those above, oldest first.

    Fewer consecutive ones than a rule's ``for_minutes`` are none. Nothing is recorded or sent. Every metric that is
    stored is judged, tracked or not, and compared with every other one.
    """
    above: list[Verdict] = []
    least = {rule.name: rule.for_minutes for rule in rules}
    run_up = (max(least.values(), default=1) - 1) * MINUTE
    for span in spans(first - run_up, last, AT_ONCE):
        above += judge_stored(store, rules, None, *span, only=ABOVE).rows()
    if run_up:
        above = [verdict for run in runs(above) if len(run) >= least[run[0].rule] for verdict in run]
    above = [verdict for verdict in above if verdict.minute >= first]
    return sorted(above, key=lambda verdict: (verdict.minute, verdict.rule, verdict.metric, verdict.measure))


BROKEN = Verdict._fields[:7]
"""The columns of a minute above: all but the count of points and the verdict."""


class Episode(NamedTuple):
    """Consecutive minutes above of one rule, metric and measure; the peak is the minute of the largest ratio."""

    rule: str
    metric: str
    measure: str
    first: datetime
    last: datetime
    minutes: int
    peak: float | None
    average: float | None
    ratio: float | None
    peak_minute: datetime


def joined(above: Iterable[Verdict]) -> list[Episode]:
    """Join consecutive minutes above, oldest first."""
    found = []
    for run in runs(above):
        peak, span = highest(run), (run[0].minute, run[-1].minute)
        found.append(Episode(*peak.series, *span, len(run), peak.value, peak.average, peak.ratio, peak.minute))
    return sorted(found, key=lambda episode: (episode.first, *episode[:3]))
