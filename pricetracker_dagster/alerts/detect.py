"""Which minutes are new or corrected since a sensor last looked, and what the rules say of them.

Here belongs what is read of the stored prices for that, and how much around a changed minute has to be judged anew. A
rule itself is in rules.py; what becomes of a minute that is above is in ``lifecycle/``.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from pricetracker_dagster import sql
from pricetracker_dagster.alerts.divergence import compared_in, has_divergence, markets_of, with_others
from pricetracker_dagster.alerts.lifecycle.alert import RESOLVED, series_of
from pricetracker_dagster.alerts.lifecycle.context import Judged
from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.alerts.rules import ABOVE, NOT_ABOVE, Verdicts, judge
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, newest_closed_minute
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.settings import AlertRule, Settings
from pricetracker_dagster.store.live_files import files_of, patterns, rows_in
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.schema import sql_types
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.tracked import added_later, note_tracked

_JUDGED_ANEW_MOST = 2 * DAY
"""An alert that began longer before what changed is not judged anew as a whole."""

_log = logging.getLogger(__name__)


def changed_minutes(table: DeltaTable, since: int, settings: Settings, now: datetime) -> dict[str, MinuteRange]:
    """Return of each tracked metric from which to which minute rows were added or corrected since a version.

    Rows that were merely written again, as compaction does, are in files of both versions.
    """
    live, before = set(files_of(table)), set[str]()
    if since >= 0:
        with suppress(DeltaError):  # the log keeps a day: after a longer stop, whatever is not too old is new
            before = set(files_of(DeltaTable(table.table_uri, version=since)))
    if not live - before:
        return {}
    replaced = [file for file in before - live if Path(file).exists()]
    values = {
        "added": patterns(sorted(live - before)),
        "replaced": patterns(sorted(replaced or live - before)),
        "any_replaced": bool(replaced),
        "tracked": [str(metric) for metric in settings.tracked],
        "oldest": now - timedelta(days=settings.collect.heal_days),
        "newest": newest_closed_minute(now),
    }
    extent = sql.connect().execute(sql.load("alerts/sql/changed.sql"), values)
    return {metric: MinuteRange(first, last) for metric, first, last in extent.fetchall()}


def judge_changed(
    store: Store,
    settings: Settings,
    now: datetime,
    changed: Mapping[str, MinuteRange],
    recorded: Sequence[Row],
    watched: SensorOutcome,
) -> Judged:
    """Judge the minutes that changed, those in whose window they are, and what of recorded alerts depends on them.

    Where a rule compares exchanges, the same minutes of the others are judged as well.
    """
    rules, tracked = settings.rules, [str(metric) for metric in settings.tracked]
    if has_divergence(rules):
        changed = with_others(changed, markets_of(store, tracked))
    lookback = _longest(rule.lookback_minutes for rule in rules)
    # so far before a minute others matter to whether it fires
    run_up = _longest(rule.for_minutes - 1 for rule in rules)
    # so far after it others matter to its alert, or it to their verdicts
    reach = max(lookback, _longest(rule.resolve_after_minutes for rule in rules))
    first = min(span.first for span in changed.values()) - run_up
    last = max(span.last for span in changed.values()) + reach
    own = [row for row in recorded if row["metric"] in changed]
    # whether it is over depends on all that came since it was last above
    since_above = [row["last_minute"] for row in own if row["state"] != RESOLVED]
    touched = [row for row in own if _is_touched(row, changed[row["metric"]], lookback)]
    anew = [row for row in touched if row["minute"] >= first - _JUDGED_ANEW_MOST]
    first = min([first, *since_above, *(row["minute"] for row in anew)])
    newest = newest_closed_minute(now)  # an earlier version stored minutes that are yet to come
    # and whether one that fires after all is over at once, on what came after it
    last = min(max([last, *(row["last_minute"] + reach for row in anew)]), newest)
    # of a metric that came to the list later, what was before is fetched too, and raises no alarm
    begins = added_later(note_tracked(settings.state, tracked, newest + MINUTE))
    judged = Judged(since=first, until=last, whole=frozenset(row["id"] for row in anew))
    of_interest = {series_of(row) for row in own}
    for span in spans(first, last, DAY):  # memory stays bounded after a backfill of many metrics
        counts = Counter[tuple[datetime, str]]()
        for verdicts in _judge_apart(store, rules, list(changed), tracked, span, watched):
            verdicts.forget_before(begins)
            above = verdicts.rows(ABOVE)
            judged.above += above
            of_interest |= {verdict.series for verdict in above}
            for series, minute in verdicts.not_above(of_interest):
                judged.below.setdefault(series, []).append(minute)
            for minute, verdict, count in verdicts.counts():
                counts[minute, verdict] += count
        watched.judged += sum(count for (_, verdict), count in counts.items() if verdict in {ABOVE, NOT_ABOVE})
        newest_judged = max((minute for minute, _ in counts), default=span.first)
        watched.not_judged = {
            verdict: count
            for (minute, verdict), count in counts.items()
            if minute == newest_judged and verdict not in {ABOVE, NOT_ABOVE}
        }
    for minutes in judged.below.values():
        minutes.sort()
    return judged


def judge_stored(
    store: Store,
    rules: Sequence[AlertRule],
    metrics: Sequence[str] | None,
    first: datetime,
    last: datetime,
    only: str | None = None,
    among: Sequence[str] | None = None,
) -> Verdicts:
    """Judge the stored minutes ``first`` to ``last`` of some metrics, or of all.

    ``among``: the metrics whose prices are compared by rules of kind divergence; None: all that are stored.
    """
    connection = sql.connect()
    files = store.prices.files(first - _longest(rule.lookback_minutes for rule in rules), last)
    with store.prices.read():
        connection.execute(sql.filled("alerts/sql/candles.sql", {"files": rows_in(files, sql_types(SCHEMA))}))
        compared = None
        if has_divergence(rules):
            if among is None:
                among = [metric for (metric,) in connection.execute(sql.load("alerts/sql/metrics.sql")).fetchall()]
            compared = compared_in(store, among, first, last)
        return judge(connection, rules, first, last, only, metrics, compared)


def spans(first: datetime, last: datetime, length: timedelta) -> Iterator[MinuteRange]:
    """Part the minutes from ``first`` to ``last`` into ranges of at most this length."""
    while first <= last:
        yield MinuteRange(first, min(last, first + length - MINUTE))
        first += length


def _judge_apart(
    store: Store,
    rules: Sequence[AlertRule],
    metrics: Sequence[str],
    tracked: Sequence[str],
    span: MinuteRange,
    watched: SensorOutcome,
) -> list[Verdicts]:
    """Judge; where that fails, each rule on its own, and where that fails, each metric: one is not the others' trouble.

    Where nothing can be judged at all, it fails.
    """
    try:
        return [judge_stored(store, rules, metrics, *span, None, tracked)]
    except MemoryError:
        raise
    except Exception:
        whole, verdicts = len(rules) * len(metrics), list[Verdicts]()
        for rule in rules:
            try:
                verdicts.append(judge_stored(store, [rule], metrics, *span, None, tracked))
                continue
            except Exception:
                _log.debug("rule %s is judged a metric at a time", rule.name, exc_info=True)
            for metric in metrics if whole > 1 else ():
                with watched.catching(f"{metric} could not be judged by the rule {rule.name}"):
                    verdicts.append(judge_stored(store, [rule], [metric], *span, None, tracked))
        if not verdicts:
            raise
        return verdicts


def _is_touched(row: Row, span: MinuteRange, lookback: timedelta) -> bool:
    """Say whether minutes that changed are among those of an alert, or in the windows of these."""
    return bool(span.first <= row["last_minute"] and span.last + lookback >= row["minute"])


def _longest(minutes: Iterable[int]) -> timedelta:
    return max(minutes, default=0) * MINUTE
