"""What is checked after each tick, and on demand: nothing missed, candles valid, everything ranked.

One step for all: each check is a question to the store, and a step of its own would cost more than the answer.
"""

from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from pricetracker_dagster.assets.answers import metric_rank
from pricetracker_dagster.assets.minute_prices import minute_prices
from pricetracker_dagster.assets.ui_metadata import SAMPLE, sample
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, minutes_in, minutes_of_day
from pricetracker_dagster.instance.tags import minute_of
from pricetracker_dagster.reading.published import ask
from pricetracker_dagster.reading.questions import of_rank
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.settings import Settings, backfill_command, command
from pricetracker_dagster.store import coverage
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.records import NOT_RUN
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.tracked import note_tracked

_NO_MINUTE_MISSING = dg.AssetCheckSpec(
    "no_minute_missing",
    asset=minute_prices,
    description="Every closed minute of the last 24 hours is stored, since its metric is tracked or has a row.",
)
_CANDLES_SANE = dg.AssetCheckSpec(
    "candles_sane",
    asset=minute_prices,
    description="Candles of the last 24 hours are finite, not negative, open and close within low to high.",
)
_EVERY_METRIC_RANKED = dg.AssetCheckSpec(
    "every_metric_ranked",
    asset=metric_rank,
    description="Every tracked metric has a rank by the standard deviation of its price.",
)
_MINUTE_STORED = dg.AssetCheckSpec(
    "minute_stored",
    asset=minute_prices,
    additional_deps=[metric_rank],
    description="What this run was for is stored. Where it is not, the run fails after all else is done.",
)

_TOLD = 50
"""Metrics that are named, each with its reason, where a run fails for their minutes."""

_RANK_IS_OLD_AFTER = 5 * MINUTE


@dg.multi_asset_check(specs=[_NO_MINUTE_MISSING, _CANDLES_SANE, _EVERY_METRIC_RANKED, _MINUTE_STORED], can_subset=True)
def price_checks(
    context: dg.AssetCheckExecutionContext, tracker: dg.ResourceParam[Tracker]
) -> Iterator[dg.AssetCheckResult]:
    """Check the stored prices and the ranking; fail the run at last where its minute is missing."""
    settings = tracker.settings()
    store = tracker.of(settings).store()
    metrics = [str(metric) for metric in settings.tracked]
    last = minute_of(context.run) or tracker.newest_closed_minute()
    wanted = context.selected_asset_check_keys

    if _NO_MINUTE_MISSING.key in wanted:
        since = note_tracked(settings.state, metrics, last + MINUTE)
        yield _no_minute_missing(store, coverage.missing_of_day(store.prices, since, last), settings)
    if _CANDLES_SANE.key in wanted:
        future = store.prices.future_rows(tracker.now())
        invalid = [*store.prices.invalid(last - DAY + MINUTE, last), *future]
        repair = (
            "Materialize the day's partition of minute_prices: the exchange's answer replaces the rows. Rows of the "
            "future, which an earlier version let in, count for nothing until their minute has come; "
            f"{command(simulated=settings.simulated)} repair --yes sets them aside and removes them."
        )
        shown = {"invalid": len(invalid), "future": len(future), "sample": sample("row", invalid), "repair": repair}
        yield _result(_CANDLES_SANE, invalid, shown)
    if _EVERY_METRIC_RANKED.key in wanted:
        yield _every_metric_ranked(store, metrics, last)
    if _MINUTE_STORED.key in wanted:
        not_stored = _not_stored(context, store, metrics, last)
        shown = {"missing": len(not_stored), "which": sample("missing", not_stored)}
        yield _result(_MINUTE_STORED, not_stored, shown)
        if not_stored:
            more = len(not_stored) - _TOLD
            told = [*not_stored[:_TOLD], *([f"and {more:,} metrics more"] if more > 0 else [])]
            context.log.error("; ".join(told))  # one line: `up` passes it on to the terminal
            raise dg.Failure("\n".join(told), allow_retries=False)


def _result(spec: dg.AssetCheckSpec, wrong: Sized, metadata: Mapping[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(check_name=spec.name, asset_key=spec.asset_key, passed=not len(wrong), metadata=metadata)


def _no_minute_missing(store: Store, missing: coverage.Gaps, settings: Settings) -> dg.AssetCheckResult:
    flat = [(metric, gap) for metric, gaps in sorted(missing.items()) for gap in gaps]
    if not flat:
        return _result(_NO_MINUTE_MISSING, flat, {"missing": 0, "sample": sample("missing", [])})
    first, last = min(gap.first for _, gap in flat), max(gap.last for _, gap in flat)
    causes: Mapping[tuple[str, datetime], coverage.Cause] = {}
    with suppress(StoreError):  # history_24h tells of it
        causes = coverage.causes(store.records.causes, first)
    lines = [f"{metric}: {gap}: {causes.get((metric, gap.last), NOT_RUN)}" for metric, gap in flat]
    now = f"To repair now: {backfill_command(first, last, simulated=settings.simulated)}"
    metadata = {
        "missing": minutes_in(gap for _, gap in flat),
        "sample": sample("missing", lines),
        "repair": f"The next tick tries by itself. {now}",
    }
    return _result(_NO_MINUTE_MISSING, flat, metadata)


def _every_metric_ranked(store: Store, metrics: Sequence[str], last: datetime) -> dg.AssetCheckResult:
    rows = ask(store.folder.published, of_rank()).to_dicts() if store.folder.published.exists() else []
    current = [row for row in rows if row["as_of"] >= last - _RANK_IS_OLD_AFTER]
    ranked = {row["metric"] for row in current if row["measure"] == "price" and row["stddev"] is not None}
    unranked = [metric for metric in metrics if metric not in ranked]
    as_of = max((row["as_of"] for row in rows), default=None)
    metadata = {
        "ranked": len(ranked),
        "unranked": ", ".join(unranked[:SAMPLE]) or "none",
        **({"as_of": dg.MetadataValue.timestamp(as_of)} if as_of else {}),
        "repair": "A metric is ranked once two of its minutes of the last 24 hours are stored (pricetracker "
        "backfill --hours 24 fetches the past ones) and metric_rank is materialized.",
    }
    return _result(_EVERY_METRIC_RANKED, unranked, metadata)


def _not_stored(
    context: dg.AssetCheckExecutionContext, store: Store, metrics: Sequence[str], newest: datetime
) -> list[str]:
    """Return what the run was for and is not stored, a line a metric: which minutes, and why."""
    span, is_tick = _minutes_of(context.run, newest)
    if not store.prices.gaps(metrics, *span):  # as nearly always: then nobody need ask why
        return []
    record = context.instance.get_run_record_by_id(context.run.run_id)
    began = datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), UTC) if record else None
    noted: Mapping[tuple[str, datetime], coverage.Cause] = {}
    with suppress(StoreError):  # history_24h tells of it
        noted = coverage.causes(store.records.causes, span.first, began)
    # where something went wrong, an absent beginning is not the time before a pair's first trade
    in_trouble = {metric for metric, minute in noted if minute <= span.last}
    since = {metric: span.first if is_tick or metric in in_trouble else None for metric in metrics}
    missing = coverage.missing(store.prices, since, *span)
    reasons = {metric: noted.get((metric, gaps[-1].last)) for metric, gaps in missing.items()}
    return [
        coverage.said_of(metric, gaps, cause.reason if (cause := reasons[metric]) else "see the log of the run")
        for metric, gaps in sorted(missing.items())
    ]


def _minutes_of(run: dg.DagsterRun, newest: datetime) -> tuple[MinuteRange, bool]:
    """Return the minutes that a run is for, and whether it is a tick: one minute, or whole days up to the newest."""
    minute = minute_of(run)
    if minute is not None:
        return MinuteRange(minute, minute), True
    day, tags = run.tags.get("dagster/partition"), run.tags
    first = day or tags.get("dagster/asset_partition_range_start")
    last = day or tags.get("dagster/asset_partition_range_end")
    if first is None or last is None:
        return MinuteRange(newest, newest), False
    begin, end = minutes_of_day(date.fromisoformat(first))[0], minutes_of_day(date.fromisoformat(last))[1]
    return MinuteRange(begin, min(end, newest)), False
