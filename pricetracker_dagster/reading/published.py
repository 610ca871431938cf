"""A published file held open: read-only, locked, the same until it is closed; and who follows the newest one.

The other way to read is once: ask() opens, asks and closes, for the short questions of a tick.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.candles.metric import spelled
from pricetracker_dagster.candles.pair_names import own_name
from pricetracker_dagster.errors import UnknownName, did_you_mean
from pricetracker_dagster.reading.questions import Question
from pricetracker_dagster.store.live_files import files_of_days, patterns
from pricetracker_dagster.store.publishing.access import NotPublished, attached, explained, files_of_views, opened


def ask(published: Path, question: Question) -> duckdb.DuckDBPyRelation:
    """Answer one question and close the file: quick, and blocks nobody. The rows are held in memory.

    Raises:
        NotPublished, PublishedDamaged, StoreError: as of store.publishing.access.opened().
    """
    with attached(published) as connection:
        return connection.sql(question.statement, params=dict(question.parameters) or None).materialize()


def identity(published: Path) -> str | None:
    """Return what tells a published file from the one before and the one after; None where there is none."""
    try:
        found = published.stat()
    except FileNotFoundError:
        return None
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


class PublishedFile:
    """One published file, held open. It may be asked from several threads at once.

    Attributes:
        identity: of the file, see identity().
        as_of: the newest closed minute that it covers, UTC; None while nothing is stored.
    """

    def __init__(self, published: Path, *, unlocked: bool = False) -> None:
        """Open it, with the engine locked: it reads this file and those of its views, and nothing else.

        Args:
            published: the file.
            unlocked: let statements of a user reach other files, too.

        Raises:
            NotPublished, PublishedDamaged, StoreError: as of store.publishing.access.opened().
        """
        self.path = published
        self._stack = ExitStack()
        while True:
            before = identity(published)
            if before is None:
                raise NotPublished(published)
            self._connection = self._stack.enter_context(opened(published, unlocked=unlocked))
            if identity(published) == before:  # else it was replaced meanwhile
                break
            self._stack.close()
        self.identity = before
        with ExitStack() as unless_read:
            unless_read.callback(self._stack.close)
            with explained(self._connection, published):
                [(unix,)] = self._connection.execute("SELECT epoch(as_of) FROM snapshot").fetchall()
            unless_read.pop_all()
        self.as_of = None if unix is None else datetime.fromtimestamp(unix, UTC)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics with a value in the last 24 hours."""
        with self.cursor() as cursor:
            rows = cursor.execute("SELECT DISTINCT metric FROM available_metrics ORDER BY metric").fetchall()
        return tuple(metric for (metric,) in rows)

    @cached_property
    def markets(self) -> tuple[str, ...]:
        """The markets of the metrics that are tracked."""
        with self.cursor() as cursor:
            rows = cursor.execute("SELECT DISTINCT market FROM markets ORDER BY market").fetchall()
        return tuple(market for (market,) in rows)

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection of one's own to this file; errors that are about its files say which, and the way out.

        It is closed at the end of the block, and what it answered with it.
        """
        with closing(self._own_cursor()) as cursor, explained(cursor, self.path):
            yield cursor

    def _own_cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = sql.cursor(self._connection)
        cursor.execute(f"USE {sql.identifier(self.path.stem)}")
        return cursor

    def answer(self, question: Question) -> duckdb.DuckDBPyRelation:
        """Return what a question answers, held in memory. Errors as of relation()."""
        cursor = self._own_cursor()  # stays open for what was materialized
        with explained(cursor, self.path):
            relation = self.relation(cursor, question)
            if relation is None:
                raise ValueError(f"the statement answers nothing: {question.statement}")
            return relation.materialize()

    def relation(self, cursor: duckdb.DuckDBPyConnection, question: Question) -> duckdb.DuckDBPyRelation | None:
        """Return what a question would answer, not asked yet; None of a statement that answers nothing.

        Raises:
            UnknownName: there is nothing of its metric or market; the message says what there is.
            duckdb.Error: its statement is wrong, or would write.
        """
        statement, values = question.statement, dict(question.parameters)
        if isinstance(name := values.get("metric"), str):  # with or without a slash in its pair
            values["metric"] = spelled(name, self.metrics)
        if question.first is not None and question.end is not None:
            statement, values = self._of_days(statement, values, question.first, question.end)
        if question.metric is not None and values["metric"] not in self.metrics:
            self._check(cursor, question)
        if question.market is not None:
            self._check_market(question.market)
        found: duckdb.DuckDBPyRelation | None = cursor.sql(statement, params=values or None)
        return found

    def _of_days(
        self, statement: str, values: dict[str, object], first: datetime, end: datetime
    ) -> tuple[str, dict[str, object]]:
        """Let a statement read only the files of the days in question: a year has as many files as days."""
        files = files_of_days(self._files, first.date(), end.date())
        if not files:
            return statement.replace("{{minutes}}", "(FROM minute_prices LIMIT 0)"), values
        read = "read_parquet($files::VARCHAR[], hive_partitioning = false)"
        return statement.replace("{{minutes}}", read), {**values, "files": patterns(files)}

    @cached_property
    def _files(self) -> list[str]:
        with self.cursor() as cursor:  # of one's own: several threads may ask for this at once
            return sorted(files_of_views(cursor, "minute_prices"))

    def _check(self, cursor: duckdb.DuckDBPyConnection, question: Question) -> None:
        """Refuse a metric of which neither the last 24 hours nor the range in question have anything."""
        metric = str(question.metric)
        when = "in the last 24 hours"
        if question.first is not None and question.end is not None:
            statement = (
                "SELECT 1 FROM {{minutes}} WHERE metric = $metric AND minute >= $start AND minute < $end LIMIT 1"
            )
            values: dict[str, object] = {"metric": metric, "start": question.first, "end": question.end}
            asked = self._of_days(statement, values, question.first, question.end)
            if cursor.execute(*asked).fetchall():
                return
            when += f", nor from {question.first:%Y-%m-%d %H:%M} to {question.end:%Y-%m-%d %H:%M} UTC"
        ours = own_name(metric)
        hint = f"; did you mean {ours}?" if ours in self.metrics else did_you_mean(metric, self.metrics)
        raise UnknownName(f"no values of {metric} {when}{hint}")

    def _check_market(self, market: str) -> None:
        """Refuse a market of which no metric is tracked."""
        if market not in self.markets and market not in (known.replace("/", "") for known in self.markets):
            raise UnknownName(f"no market {market}{did_you_mean(market.upper(), self.markets)}")

    def close(self) -> None:
        """Let the file go. What was held in memory stays."""
        self._stack.close()


class Follower:
    """Gives the newest published file."""

    def __init__(self, published: Path) -> None:
        """Follow a path, where the file is now or later."""
        self.path = published
        self._lock = threading.Lock()
        self._current: PublishedFile | None = None

    def current(self) -> PublishedFile:
        """Return the newest published file, held open.

        Raises:
            NotPublished, PublishedDamaged, StoreError: as of store.publishing.access.opened().
        """
        with self._lock:
            if self._current is None or identity(self.path) != self._current.identity:
                self._current = PublishedFile(self.path)  # who still asks the one before keeps it
            return self._current


def published_in(path: str | os.PathLike[str]) -> Path:
    """Return the published file that a path means: it, or the data folder in which it lies."""
    found = Path(path)
    return found / "pricetracker.duckdb" if found.is_dir() else found
