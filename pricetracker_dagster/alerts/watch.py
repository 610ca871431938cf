"""What the alarms do, without Dagster: look at what is new, record what it means, then send what is due.

Here belongs the order of these steps, so that a crash between any two of them loses nothing and doubles nothing. What
an alert or an incident is, is in episodes.py and incidents.py; how a message is sent in notify.py.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from pricetracker_dagster import sql
from pricetracker_dagster.alerts.delivery import notify
from pricetracker_dagster.alerts.future_records import put_right
from pricetracker_dagster.alerts.incidents.missed import look_for_missed
from pricetracker_dagster.alerts.lifecycle import review as episodes
from pricetracker_dagster.alerts.lifecycle.alert import LONGEST, RESOLVED, Series, series_of
from pricetracker_dagster.alerts.lifecycle.context import ReviewContext
from pricetracker_dagster.alerts.messages.recording import record, record_ends_of_silences
from pricetracker_dagster.alerts.messages.transitions import ALERT, INCIDENT
from pricetracker_dagster.alerts.operators.state import Desk
from pricetracker_dagster.alerts.rules import ABOVE, NOT_ABOVE, Verdict, judge
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, newest_closed_minute
from pricetracker_dagster.errors import plain
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.locks import Deadline, locked
from pricetracker_dagster.settings import AlertRule, Settings
from pricetracker_dagster.store.delta import files_of, opened_once, patterns
from pricetracker_dagster.store.publish import publish
from pricetracker_dagster.store.records import Records, Row
from pricetracker_dagster.store.store import Store, open_store
from pricetracker_dagster.store.tracked import added_later, note_tracked

PATIENCE = 20.0
"""Seconds to wait for another sensor that is at work."""

PUBLISH_PATIENCE = 5.0
"""Seconds to wait for another process that publishes: that one does it as well, and others wait for this look."""

_BACKTESTED_AT_ONCE = 30 * DAY

_JUDGED_ANEW_MOST = 2 * DAY
"""An alert that began longer before what changed is not judged anew as a whole."""

_NOT_PUT_RIGHT = "what was recorded under a clock that was ahead is not put right yet"

_SQL = Path(__file__).parent / "sql"

_log = logging.getLogger(__name__)


@dataclass
class SensorOutcome:
    """What one look did.

    Attributes:
        cursor: where the next look at the prices begins.
        judged: how many (rule, metric, measure, minute) were judged.
        not_judged: how many were not, by the reason; of the newest minute only.
        alerts: rows of the table alerts that are new or changed.
        incidents: rows of the table incidents that are new or changed.
        attempts: rows of the table deliveries that were added.
        troubles: what went wrong with one rule, metric or step, which the others did not wait for, in plain words.
    """

    cursor: str | None = None
    judged: int = 0
    not_judged: Mapping[str, int] = field(default_factory=dict)
    alerts: Sequence[Row] = ()
    incidents: Sequence[Row] = ()
    attempts: Sequence[Row] = ()
    troubles: list[str] = field(default_factory=list)


def watch_prices(settings: Settings, now: datetime, cursor: str | None) -> SensorOutcome:
    """Judge what was stored or corrected since the cursor, record the alerts this makes, send what is due.

    Without a cursor nothing is judged: what is stored already is the past. Minutes older than ``collect.heal_days`` are
    never judged, so that importing years of history does not make years of alerts; that is what backtest() is for.

    Args:
        settings: the rules, and whom to tell.
        now: the current time, UTC.
        cursor: what the last look returned.

    Raises:
        DeadlineExceeded: another look is at work all the time.
    """
    with one_at_a_time(settings):
        store = open_store(settings)
        records = store.records
        table = store.prices.open()
        version = -1 if table is None else table.version()
        since = None if cursor is None else int(cursor)
        watched = SensorOutcome(cursor=str(version))
        changed: dict[str, MinuteRange] = {}
        with _what_is_due_is_sent_all_the_same(settings, records, now, watched):
            with _told(watched, _NOT_PUT_RIGHT):
                put_right(records, now)
            if table is not None and since is not None and since != version:
                with store.prices.delta.read():
                    changed = _changed(table, since, settings, now)
            desk = _desk(records, now, watched)
            try:
                recorded = _recorded(records, now, changed)
                judged = _judge(store, settings, now, changed, recorded, watched) if changed else Judged()
                watched.alerts = _record(store, records, settings, now, judged, recorded, desk, watched)
            finally:
                with _told(watched, "what is told at the end of a silence is not recorded yet"):
                    record_ends_of_silences(settings, records, now, desk)
        _publish_if(store, settings, now, watched)
        return watched


def watch_minutes(settings: Settings, now: datetime) -> SensorOutcome:
    """Find the minutes that should be stored and are not, record the incidents they make, send what is due.

    A minute should be stored when it is closed, its metric tracked since it began, and ``alerts.missed_grace_minutes``
    have passed; sooner where a tick has said that it could not store it. It is looked for over the last 24 hours.

    Args:
        settings: what is tracked, and whom to tell.
        now: the current time, UTC.

    Raises:
        DeadlineExceeded: another look is at work all the time.
    """
    with one_at_a_time(settings):
        store = open_store(settings)
        records = store.records
        watched = SensorOutcome()
        with _what_is_due_is_sent_all_the_same(settings, records, now, watched):
            with _told(watched, _NOT_PUT_RIGHT):
                put_right(records, now)
            recent, rows = look_for_missed(settings, store, records, now, lambda what: _told(watched, what))
            watched.incidents = record(settings, records, INCIDENT, recent, rows, now, _desk(records, now, watched))
        _publish_if(store, settings, now, watched)
        return watched


def backtest(store: Store, rules: Sequence[AlertRule], first: datetime, last: datetime) -> list[Verdict]:
    """Return what the rules would have said of the stored minutes ``first`` to ``last``: those above, oldest first.

    Nothing is recorded or sent. Every metric that is stored is judged, tracked or not.
    """
    above: list[Verdict] = []
    for span in _spans(first, last, _BACKTESTED_AT_ONCE):
        above += _judged(store, rules, None, *span, only=ABOVE)
    return sorted(above, key=lambda verdict: (verdict.minute, verdict.rule, verdict.metric, verdict.measure))


@contextmanager
def one_at_a_time(settings: Settings) -> Iterator[None]:
    """Hold the lock of those who record and send.

    Raises:
        DeadlineExceeded: another look is at work all the time.
    """
    with locked(settings.state / StateFile.ALERTS_LOCK, Deadline.after(PATIENCE)), opened_once():
        yield


@contextmanager
def _what_is_due_is_sent_all_the_same(
    settings: Settings, records: Records, now: datetime, watched: SensorOutcome
) -> Iterator[None]:
    """Send what is due after the block, also where that fails: what is recorded already waits for nothing new."""
    try:
        yield
    except Exception:
        with _told(watched, "what is due was not sent"):
            watched.attempts = notify.deliver(settings, records, now)
        raise
    watched.attempts = notify.deliver(settings, records, now)


def _desk(records: Records, now: datetime, watched: SensorOutcome) -> Desk:
    """Return what people have written down; of a table that cannot be read nothing is known, and that is told."""
    desk = Desk.of(records, now)
    watched.troubles += desk.troubles
    return desk


@contextmanager
def _told(watched: SensorOutcome, what: str) -> Iterator[None]:
    """Tell whatever goes wrong in the block, and let it go no further."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        _log.exception("%s", what)
        watched.troubles.append(f"{what}: {plain(f'{type(error).__name__}: {error}', 300)}")


def _changed(table: DeltaTable, since: int, settings: Settings, now: datetime) -> dict[str, MinuteRange]:
    """Return of each tracked metric from which to which minute rows were added or corrected since a version.

    Rows that were merely written again, as compaction does, stand in files of both versions.
    """
    live, before = set(files_of(table)), set[str]()
    if since >= 0:
        with suppress(DeltaError):  # the log keeps a day: after a longer stop, whatever is not too old is new
            before = set(files_of(DeltaTable(table.table_uri, version=since)))
    if not live - before:
        return {}
    connection = sql.connect()
    columns = "metric", "minute", "open", "close", "volume"
    horizon = duckdb.ConstantExpression(now - timedelta(days=settings.collect.heal_days))
    newest = duckdb.ConstantExpression(newest_closed_minute(now))
    tracked = duckdb.ColumnExpression("metric").isin(*(duckdb.ConstantExpression(str(m)) for m in settings.tracked))

    def rows_in(files: set[str]) -> duckdb.DuckDBPyRelation:
        minute = duckdb.ColumnExpression("minute")
        recent = connection.read_parquet(patterns(sorted(files)), hive_partitioning=False).filter(
            (minute >= horizon) & (minute <= newest)
        )
        return recent.filter(tracked).select(*columns)

    changed = rows_in(live - before)
    replaced = {file for file in before - live if Path(file).exists()}
    if replaced:
        changed = changed.except_(rows_in(replaced))
    extent = changed.aggregate("metric, min(minute), max(minute)", "metric")
    return {metric: MinuteRange(first, last) for metric, first, last in extent.fetchall()}


@dataclass
class Judged:
    """What one look has judged.

    Attributes:
        above: the minutes above.
        below: of series of which an alert is recorded or a minute is above, the minutes that are not, oldest first.
        since: the oldest minute that was judged, UTC; None: none was.
        until: the newest one, UTC.
        whole: the ids of recorded alerts of which every minute was judged anew.
    """

    above: list[Verdict] = field(default_factory=list)
    below: dict[Series, list[datetime]] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    whole: frozenset[str] = frozenset()


def _recorded(records: Records, now: datetime, changed: Mapping[str, MinuteRange]) -> list[Row]:
    """Return the alerts that are open, and those near the minutes that changed."""
    state, minute = duckdb.ColumnExpression("state"), duckdb.ColumnExpression("last_minute")
    near = min((span.first for span in changed.values()), default=now) - DAY
    return records.alerts.rows(
        min(near, now) - LONGEST,
        (state != duckdb.ConstantExpression(RESOLVED)) | (minute >= duckdb.ConstantExpression(near)),
    )


def _judge(
    store: Store,
    settings: Settings,
    now: datetime,
    changed: Mapping[str, MinuteRange],
    recorded: Sequence[Row],
    watched: SensorOutcome,
) -> Judged:
    """Judge the minutes that changed, those in whose window they are, and what of recorded alerts depends on them."""
    rules = settings.rules
    first = min(span.first for span in changed.values()) - _run_up(rules)
    # an earlier version stored minutes that are yet to come
    newest = newest_closed_minute(now)
    last = max(span.last for span in changed.values()) + _reach(rules)
    own = [row for row in recorded if row["metric"] in changed]
    # whether it is over depends on all that came since it was last above
    since_above = [row["last_minute"] for row in own if row["state"] != RESOLVED]
    touched = [row for row in own if _is_touched(row, changed[row["metric"]], _lookback(rules))]
    anew = [row for row in touched if row["minute"] >= first - _JUDGED_ANEW_MOST]
    first = min([first, *since_above, *(row["minute"] for row in anew)])
    # and whether one that fires after all is over at once, on what came after it
    last = min(max([last, *(row["last_minute"] + _reach(rules) for row in anew)]), newest)
    # of a metric that came to the list later, what was before is fetched too: nobody is to be alarmed by that
    tracked = note_tracked(settings.state, map(str, settings.tracked), newest + MINUTE)
    begins = added_later(tracked)
    judged = Judged(since=first, until=last, whole=frozenset(row["id"] for row in anew))
    of_interest = {series_of(row) for row in own}
    for span in _spans(first, last, DAY):  # memory stays bounded after a backfill of many metrics
        verdicts = [
            verdict
            for verdict in _judged_apart(store, rules, list(changed), span, watched)
            if verdict.minute >= begins.get(verdict.metric, verdict.minute)
        ]
        above = [verdict for verdict in verdicts if verdict.verdict == ABOVE]
        judged.above += above
        of_interest |= {verdict[:3] for verdict in above}
        for verdict in verdicts:
            if verdict.verdict == NOT_ABOVE and verdict[:3] in of_interest:
                judged.below.setdefault(verdict[:3], []).append(verdict.minute)
        watched.judged += sum(verdict.verdict in (ABOVE, NOT_ABOVE) for verdict in verdicts)
        newest_judged = max((verdict.minute for verdict in verdicts), default=span.first)
        watched.not_judged = Counter(
            verdict.verdict
            for verdict in verdicts
            if verdict.minute == newest_judged and verdict.verdict not in (ABOVE, NOT_ABOVE)
        )
    for minutes in judged.below.values():
        minutes.sort()
    return judged


def _is_touched(row: Row, span: MinuteRange, lookback: timedelta) -> bool:
    """Say whether minutes that changed are among those of an alert, or in the windows of these."""
    return bool(span.first <= row["last_minute"] and span.last + lookback >= row["minute"])


def _spans(first: datetime, last: datetime, length: timedelta) -> Iterator[MinuteRange]:
    """Part the minutes from ``first`` to ``last`` into ranges of at most this length."""
    while first <= last:
        yield MinuteRange(first, min(last, first + length - MINUTE))
        first += length


def _judged_apart(
    store: Store, rules: Sequence[AlertRule], metrics: Sequence[str], span: MinuteRange, watched: SensorOutcome
) -> list[Verdict]:
    """Judge; where that fails, each rule on its own, and where that fails, each metric: one is not the others' trouble.

    Raises:
        Exception: nothing could be judged at all.
    """
    try:
        return _judged(store, rules, metrics, *span)
    except MemoryError:
        raise
    except Exception:
        whole, verdicts, judged = len(rules) * len(metrics), [], 0
        for rule in rules:
            try:
                verdicts += _judged(store, [rule], metrics, *span)
                judged += len(metrics)
                continue
            except Exception:
                _log.debug("rule %s is judged a metric at a time", rule.name, exc_info=True)
            for metric in metrics if whole > 1 else ():
                with _told(watched, f"{metric} could not be judged by the rule {rule.name}"):
                    verdicts += _judged(store, [rule], [metric], *span)
                    judged += 1
        if not judged:
            raise
        return verdicts


def _judged(
    store: Store,
    rules: Sequence[AlertRule],
    metrics: Sequence[str] | None,
    first: datetime,
    last: datetime,
    only: str | None = None,
) -> list[Verdict]:
    """Judge the stored minutes ``first`` to ``last`` of some metrics, or of all."""
    begin = first - _lookback(rules)
    files = store.prices.files(begin, last)
    if not files:
        return []
    connection = sql.connect()
    values = {"files": patterns(files), "first": begin, "last": last, "metrics": metrics}
    with store.prices.delta.read():
        connection.execute(sql.load(_SQL / "candles.sql"), values)
        return [Verdict(*row) for row in judge(connection, rules, first, last, only).fetchall()]


def _record(
    store: Store,
    records: Records,
    settings: Settings,
    now: datetime,
    judged: Judged,
    recorded: Sequence[Row],
    desk: Desk,
    watched: SensorOutcome,
) -> list[Row]:
    """Bring the table alerts up to date, and what is told of it."""
    rows: list[Row] = []
    if judged.above or judged.whole or any(row["state"] != RESOLVED for row in recorded):
        rows = _reviewed(store, settings, now, judged, recorded, watched)
    return record(settings, records, ALERT, recorded, rows, now, desk)


def _reviewed(
    store: Store,
    settings: Settings,
    now: datetime,
    judged: Judged,
    recorded: Sequence[Row],
    watched: SensorOutcome,
) -> list[Row]:
    """Return the alerts that are new or changed; where that fails, of each metric on its own."""
    tracked = [str(metric) for metric in settings.tracked]
    known = ReviewContext(
        now=now,
        newest_closed=newest_closed_minute(now),
        tracked=tracked,
        stored=store.prices.newest(tracked, now - DAY, newest_closed_minute(now)),
        max_age=settings.alerts.max_age_minutes * MINUTE,
        below=judged.below,
        judged_from=judged.since,
        judged_to=judged.until,
        whole=judged.whole,
    )
    rules = {rule.name: rule for rule in settings.rules}
    rows: list[Row] = []
    try:
        return episodes.review(judged.above, recorded, rules, known)
    except MemoryError:
        raise
    except Exception:
        for metric in sorted({verdict.metric for verdict in judged.above} | {row["metric"] for row in recorded}):
            with _told(watched, f"what is above of {metric} could not be made an alert"):
                own = [verdict for verdict in judged.above if verdict.metric == metric]
                rows += episodes.review(own, [row for row in recorded if row["metric"] == metric], rules, known)
    return rows


def _publish_if(store: Store, settings: Settings, now: datetime, watched: SensorOutcome) -> None:
    """Let people read what has changed."""
    if watched.alerts or watched.incidents or watched.attempts:
        with _told(watched, "what was recorded is not published yet"):  # the next tick publishes it
            publish(store, [str(metric) for metric in settings.tracked], now=now, patience=PUBLISH_PATIENCE)


def _lookback(rules: Sequence[AlertRule]) -> timedelta:
    """Return how far before a minute candles matter to its verdict."""
    return max((rule.window_minutes for rule in rules), default=0) * MINUTE


def _reach(rules: Sequence[AlertRule]) -> timedelta:
    """Return how far after a minute others matter to its alert, or it to their verdicts."""
    return max((max(rule.window_minutes, rule.resolve_after_minutes) for rule in rules), default=0) * MINUTE


def _run_up(rules: Sequence[AlertRule]) -> timedelta:
    """Return how far before a minute others matter to whether it fires."""
    return max((rule.for_minutes - 1 for rule in rules), default=0) * MINUTE
