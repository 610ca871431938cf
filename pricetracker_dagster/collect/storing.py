"""Answers of exchanges into the table of prices, together where that goes and a metric at a time where not."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pricetracker_dagster.candles.minutes import MinuteRange
from pricetracker_dagster.candles.schema import NO_CANDLES
from pricetracker_dagster.candles.table import by_day, of_metric, spans_of
from pricetracker_dagster.candles.validate import Answer, Validated, validate_together
from pricetracker_dagster.collect.result import Collected, Stored
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.exchanges.base import ExchangeError
from pricetracker_dagster.store.prices import PriceTable
from pricetracker_dagster.store.records import REJECTED

SPLIT_WITHIN = 5.0
"""Seconds in which rows that cannot be stored together are stored one metric at a time."""

_BATCH = 6 * 60
"""Rebuilt minutes that are stored at once: a backfill that is stopped has lost no more than these."""


class StoredAnswers(NamedTuple):
    """The metrics of which all that came is stored, and the first and last valid minute that came of each."""

    metrics: set[str]
    spans: Mapping[str, MinuteRange]


def store_answers(
    prices: PriceTable,
    collected: Collected,
    answers: Sequence[tuple[str, Answer]],
    first: datetime,
    now: datetime | None = None,
) -> StoredAnswers:
    """Validate and upsert what was answered of each metric, a day at a time, and add it to the account.

    Rows that cannot be stored are noted for their metric, and the others go in.
    """
    if not answers:
        return StoredAnswers(set(), {})
    metrics = {metric for metric, _ in answers}
    validated, failed = _validated(collected, answers)
    collected.rejected += validated.rejected
    for metric in dict.fromkeys(row.metric for row in validated.rejected):
        collected.causes.setdefault(metric, REJECTED)
    together = _upsert(prices, collected, validated, first, now)
    if together is not None:
        until = time.monotonic() + SPLIT_WITHIN
        about_rows = not isinstance(together, OSError | PricetrackerError)
        for metric in metrics - failed:
            problem: Exception | None = together
            if about_rows and len(metrics) > 1 and time.monotonic() < until:
                alone = Validated(of_metric(validated.kept, metric), [], validated.derived)
                problem = _upsert(prices, collected, alone, first, now)
            if problem is not None:
                failed.add(metric)
                collected.note_error([metric], problem, stored=False)
    return StoredAnswers(metrics - failed, spans_of(validated.kept))


def _validated(collected: Collected, answers: Sequence[tuple[str, Answer]]) -> tuple[Validated, set[str]]:
    """Validate answers in one pass; where that fails an answer at a time, and return the metrics of which one fails."""
    try:
        return validate_together([answer for _, answer in answers]), set()
    except Exception as error:
        if len(answers) == 1:
            [(metric, _)] = answers
            collected.note_error([metric], error)
            return Validated(NO_CANDLES, []), {metric}
    parts = [_validated(collected, [answer]) for answer in answers]
    failed = {metric for _, of_one in parts for metric in of_one}
    return validate_together([part for part, _ in parts]), failed


def batches(pages: Iterator[Validated]) -> Iterator[list[Validated]]:
    """Gather pages until they are worth a commit. What was gathered is yielded even where the next page fails."""
    batch: list[Validated] = []
    try:
        for page in pages:
            batch.append(page)
            if sum(validated.kept.num_rows for validated in batch) >= _BATCH:
                yield batch
                batch = []
    except ExchangeError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _upsert(
    prices: PriceTable, collected: Collected, rows: Validated, first: datetime, now: datetime | None
) -> Exception | None:
    """Upsert some rows together, a day at a time; return what went wrong with one of the days, or None."""
    problem: Exception | None = None
    try:
        days = by_day(rows.kept, first, collected.minute)
    except Exception as error:
        return error
    for day, of_day in days.items():
        try:
            upserted = prices.upsert(of_day, derived=rows.derived, now=now)
        except Exception as error:
            problem = error
            continue
        collected.rejected += upserted.rejected
        collected.doubts |= {doubt.key: doubt for doubt in upserted.doubts}
        if upserted.inserted or upserted.updated:
            before = collected.stored.get(day, Stored(0, 0))
            collected.stored[day] = Stored(before.inserted + upserted.inserted, before.updated + upserted.updated)
    return problem
