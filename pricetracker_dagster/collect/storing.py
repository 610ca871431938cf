"""Answers of exchanges into the table of prices, together where that goes and a metric at a time where not."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime

import pyarrow as pa

from pricetracker_dagster.candles.table import by_day
from pricetracker_dagster.candles.validate import Validated
from pricetracker_dagster.collect.result import Collected, Stored
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.exchanges.base import ExchangeError
from pricetracker_dagster.store.prices import PriceTable
from pricetracker_dagster.store.records import REJECTED

SPLIT_WITHIN = 5.0
"""Seconds in which rows that cannot be stored together are stored one metric at a time."""

_BATCH = 6 * 60
"""Rebuilt minutes that are stored at once: a backfill that is stopped has lost no more than these."""


def store_answers(
    prices: PriceTable,
    collected: Collected,
    answers: Sequence[tuple[str, Validated]],
    first: datetime,
    now: datetime | None = None,
) -> set[str]:
    """Upsert what was kept of each metric, a day at a time, and add it to the account.

    Rows that cannot be stored are noted for their metric, and the others go in. Return those of which all is stored.
    """
    if not answers:
        return set()
    for metric, validated in answers:
        collected.rejected += validated.rejected
        if validated.rejected:
            collected.causes.setdefault(metric, REJECTED)
    failed = set()
    together = _upsert(prices, collected, [validated for _, validated in answers], first, now)
    if together is not None:
        until = time.monotonic() + SPLIT_WITHIN
        about_rows = not isinstance(together, OSError | PricetrackerError)
        for metric, validated in answers:
            problem: Exception | None = together
            if about_rows and len(answers) > 1 and time.monotonic() < until:
                problem = _upsert(prices, collected, [validated], first, now)
            if problem is not None:
                failed.add(metric)
                collected.note_error([metric], problem, stored=False)
    return {metric for metric, _ in answers} - failed


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
    prices: PriceTable, collected: Collected, answers: Sequence[Validated], first: datetime, now: datetime | None
) -> Exception | None:
    """Upsert some answers together, a day at a time; return what went wrong with one of the days, or None."""
    problem: Exception | None = None
    try:
        days = by_day(pa.concat_tables([validated.kept for validated in answers]), first, collected.minute)
    except Exception as error:
        return error
    derived = [validated.derived for validated in answers if validated.derived is not None]
    for day, rows in days.items():
        try:
            upserted = prices.upsert(rows, derived=pa.concat_tables(derived) if derived else None, now=now)
        except Exception as error:
            problem = error
            continue
        collected.rejected += upserted.rejected
        collected.doubts |= {doubt.key: doubt for doubt in upserted.doubts}
        if upserted.inserted or upserted.updated:
            before = collected.stored.get(day, Stored(0, 0))
            collected.stored[day] = Stored(before.inserted + upserted.inserted, before.updated + upserted.updated)
    return problem
