"""What a collection did: what was stored, what is missing and why, in words that a report can show."""

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

import duckdb
from deltalake.exceptions import DeltaError

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MinuteRange
from pricetracker_dagster.candles.validate import RejectedRow
from pricetracker_dagster.errors import PricetrackerError, plain
from pricetracker_dagster.exchanges.base import ExchangeError, NotAsked
from pricetracker_dagster.files.locks import DeadlineExceeded
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.coverage import said_of
from pricetracker_dagster.store.doubts import Doubt, Key
from pricetracker_dagster.store.records import MISTAKE, NOT_STORED, Row


@dataclass(frozen=True)
class Stored:
    """Rows of one UTC day that a collection changed."""

    inserted: int
    updated: int


@dataclass
class Collected:
    """What a collection did.

    Attributes:
        minute: the newest minute it was for, UTC.
        metrics: what it was to collect.
        stored: for each UTC day in which a row was added or corrected, how many.
        rejected: rows that were not valid, with the reason.
        missing: for each metric that lacks minutes after all, which ones.
        reasons: for metrics with trouble, what it was, in plain words.
        causes: for the same metrics, its kind (ExchangeError.cause, REJECTED, NOT_STORED, MISTAKE or NOT_RUN).
        troubles: what went wrong beside, with no metric's minute at stake, in plain words.
        tracebacks: of our own mistakes, for the log.
        doubts: rows that take trades away from a stored one and wait for a second answer, by metric and minute.
        clocks: by exchange that was asked for its time, so many seconds this machine's clock is ahead of its.
    """

    minute: datetime
    metrics: tuple[str, ...]
    stored: dict[date, Stored] = field(default_factory=dict)
    rejected: list[RejectedRow] = field(default_factory=list)
    missing: dict[str, list[MinuteRange]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    doubts: dict[Key, Doubt] = field(default_factory=dict)
    clocks: dict[str, float] = field(default_factory=dict)
    _last_rejected: dict[str, RejectedRow] = field(default_factory=dict, init=False, repr=False, compare=False)
    _seen: int = field(default=0, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, settings: Settings, minute: datetime) -> "Collected":
        """Return the empty account of a collection of all that is tracked, up to a minute, UTC."""
        return cls(minute, tuple(str(metric) for metric in settings.tracked))

    @property
    def inserted(self) -> int:
        """How many rows were added."""
        return sum(stored.inserted for stored in self.stored.values())

    @property
    def updated(self) -> int:
        """How many rows were corrected."""
        return sum(stored.updated for stored in self.stored.values())

    def why(self, metric: str) -> str:
        """Say why a metric lacks minutes."""
        if metric in self.reasons:
            return self.reasons[metric]
        for row in self.rejected[self._seen :]:
            self._last_rejected[row.metric] = row
        self._seen = len(self.rejected)
        if rejected := self._last_rejected.get(metric):
            return f"its row was rejected: {rejected.problem} ({rejected.row})"
        return "the exchange answered without it"

    def cause(self, metric: str) -> str:
        """Return the kind of that reason, as reports and incidents call it."""
        return self.causes.get(metric, ExchangeError.cause)

    def summary(self) -> str:
        """Say what is missing, a line a metric: which, which minutes, why. Empty where nothing is."""
        return "\n".join(said_of(metric, gaps, self.why(metric)) for metric, gaps in sorted(self.missing.items()))

    def note(self, metric: str, reason: str, cause: str) -> None:
        """Note why a metric may lack minutes: in plain words, and the kind."""
        self.reasons[metric] = reason
        self.causes[metric] = cause

    def forgive(self, metric: str) -> None:
        """Forget what was noted of a metric that has answered after all."""
        self.reasons.pop(metric, None)
        self.causes.pop(metric, None)

    def note_error(self, metrics: Iterable[str], error: Exception, *, stored: bool = True) -> None:
        """Note of some metrics what went wrong with them; not ``stored`` where it was when their rows were stored."""
        reason, cause = self._explain(error)
        if not stored and cause != MISTAKE:
            reason, cause = f"its rows were not stored: {reason}", NOT_STORED
        for metric in metrics:
            self.note(metric, reason, cause)

    @contextmanager
    def noting_errors(self, metrics: Iterable[object]) -> Iterator[None]:
        """Note whatever goes wrong in the block for the metrics it concerns, and let it go no further."""
        try:
            yield
        except Exception as error:
            self.note_error(map(str, metrics), error)

    @contextmanager
    def noting_trouble(self, what: str) -> Iterator[None]:
        """Note whatever goes wrong in the block that costs no metric its minute, and let it go no further."""
        try:
            yield
        except Exception as error:
            self.troubles.append(f"{what}: {self._explain(error)[0]}")

    def causes_of_missing(self, metrics: Iterable[str], noted_at: datetime) -> list[Row]:
        """Return rows of the table ``causes``: why the newest missing minute of each of some metrics is missing."""
        return [
            {
                "metric": metric,
                "minute": self.missing[metric][-1].last,
                "cause": self.cause(metric),
                "reason": self.why(metric),
                "noted_at": noted_at,
            }
            for metric in metrics
            if metric in self.missing
        ]

    def _explain(self, error: Exception) -> tuple[str, str]:
        """Return an error in plain words and its kind. Of a mistake of ours the traceback is kept for the log."""
        reason, cause = in_plain_words(error)
        if cause == MISTAKE:
            self.tracebacks.append("".join(traceback.format_exception(error)))
            reason += "; the traceback is in the run's log"
        return reason, cause


def in_plain_words(error: Exception) -> tuple[str, str]:
    """Return an error in one line and its kind: the cause of a missed minute, MISTAKE where it is one of ours.

    What libraries say is shown without secrets; our own errors know none. What comes of Ctrl-C is raised as that.
    """
    if isinstance(error, MemoryError):  # there is nothing to go on with
        raise error
    if sql.is_interrupted(error):
        raise KeyboardInterrupt from error
    if isinstance(error, ExchangeError):
        return str(error), error.cause
    if isinstance(error, DeadlineExceeded):
        return NotAsked.why, ExchangeError.cause
    if isinstance(error, PricetrackerError):
        return str(error), NOT_STORED
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror, NOT_STORED
    if isinstance(error, DeltaError | duckdb.IOException):
        return plain(error, 300), NOT_STORED
    return f"a mistake of pricetracker: {plain(f'{type(error).__name__}: {error}', 300)}", MISTAKE
