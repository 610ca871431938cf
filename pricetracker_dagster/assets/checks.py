"""What is checked after each tick, and on demand: nothing missed, candles valid, everything ranked.

One step for all: each check is a question to the store, and a step of its own would cost more than the answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime

import dagster as dg

from pricetracker_dagster.assets.metric_rank import metric_rank
from pricetracker_dagster.assets.minute_prices import minute_prices
from pricetracker_dagster.assets.ui_metadata import SAMPLE, sample
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, minutes_in, minutes_of_day
from pricetracker_dagster.instance.tags import minute_of
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.settings import backfill_command, command
from pricetracker_dagster.store import coverage, reading
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.records import NOT_RUN
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.tracked import note_tracked

NO_MINUTE_MISSING = "no_minute_missing"
CANDLES_SANE = "candles_sane"
MINUTE_STORED = "minute_stored"
EVERY_METRIC_RANKED = "every_metric_ranked"

_RANK_IS_OLD_AFTER = 5 * MINUTE


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            NO_MINUTE_MISSING,
            asset=minute_prices,
            description="Every closed minute of the last 24 hours is stored, since its metric is tracked or has a row.",
        ),
        dg.AssetCheckSpec(
            CANDLES_SANE,
            asset=minute_prices,
            description="Candles of the last 24 hours are finite, not negative, open and close within low to high.",
        ),
        dg.AssetCheckSpec(
            EVERY_METRIC_RANKED,
            asset=metric_rank,
            description="Every tracked metric has a rank by the standard deviation of its price.",
        ),
        dg.AssetCheckSpec(
            MINUTE_STORED,
            asset=minute_prices,
            additional_deps=[metric_rank],
            description="What this run was for is stored. Where it is not, the run fails after all else is done.",
        ),
    ],
    can_subset=True,
)
def price_checks(
    context: dg.AssetCheckExecutionContext, tracker: dg.ResourceParam[Tracker]
) -> Iterator[dg.AssetCheckResult]:
    """Check the stored prices and the ranking; fail the run at last where its minute is missing."""
    settings = tracker.settings()
    store = tracker.store()
    metrics = [str(metric) for metric in settings.tracked]
    last = minute_of(context.run) or tracker.newest_closed_minute()
    first = last - DAY + MINUTE
    wanted = {key.name for key in context.selected_asset_check_keys}

    if NO_MINUTE_MISSING in wanted:
        missing = coverage.missing_of_day(store.prices, note_tracked(settings.state, metrics, last + MINUTE), last)
        causes: Mapping[tuple[str, datetime], coverage.Cause] = {}
        with suppress(StoreError):  # history_24h tells of it
            causes = coverage.causes(store.records.causes, first) if missing else {}
        yield _no_minute_missing(missing, causes, simulated=settings.simulated)
    if CANDLES_SANE in wanted:
        future = store.prices.future_rows(tracker.now())
        invalid = [*store.prices.invalid(first, last), *future]
        yield dg.AssetCheckResult(
            check_name=CANDLES_SANE,
            asset_key=minute_prices.key,
            passed=not invalid,
            metadata={
                "invalid": len(invalid),
                "future": len(future),
                "sample": sample("row", invalid),
                "repair": "Materialize the day's partition of minute_prices: the exchange's answer replaces the rows. "
                "Rows of the future, which an earlier version let in, count for nothing until their minute has come; "
                f"{command(simulated=settings.simulated)} repair --yes sets them aside and removes them.",
            },
        )
    if EVERY_METRIC_RANKED in wanted:
        rows = reading.rank(store.folder.published).to_dicts() if store.folder.published.exists() else []
        current = [row for row in rows if row["as_of"] >= last - _RANK_IS_OLD_AFTER]
        ranked = {row["metric"] for row in current if row["measure"] == "price" and row["stddev"] is not None}
        unranked = [metric for metric in metrics if metric not in ranked]
        as_of = max((row["as_of"] for row in rows), default=None)
        yield dg.AssetCheckResult(
            check_name=EVERY_METRIC_RANKED,
            asset_key=metric_rank.key,
            passed=not unranked,
            metadata={
                "ranked": len(ranked),
                "unranked": ", ".join(unranked[:SAMPLE]) or "none",
                **({"as_of": dg.MetadataValue.timestamp(as_of)} if as_of else {}),
                "repair": "A metric is ranked once two of its minutes of the last 24 hours are stored (pricetracker "
                "backfill --hours 24 fetches the past ones) and metric_rank is materialized.",
            },
        )
    if MINUTE_STORED in wanted:
        not_stored = _not_stored(context, store, metrics, last)
        yield dg.AssetCheckResult(
            check_name=MINUTE_STORED,
            asset_key=minute_prices.key,
            passed=not not_stored,
            metadata={"missing": len(not_stored), "which": sample("missing", not_stored)},
        )
        if not_stored:
            context.log.error("; ".join(not_stored))  # one line: `up` passes it on to the terminal
            raise dg.Failure("\n".join(not_stored), allow_retries=False)


def _no_minute_missing(
    missing: coverage.Gaps, causes: Mapping[tuple[str, datetime], coverage.Cause], *, simulated: bool
) -> dg.AssetCheckResult:
    flat = [(metric, gap) for metric, gaps in sorted(missing.items()) for gap in gaps]
    count = minutes_in(gap for _, gap in flat)
    lines = [f"{metric}: {gap}: {causes.get((metric, gap.last), NOT_RUN)}" for metric, gap in flat]
    metadata: dict[str, dg.MetadataValue | int] = {
        "missing": count,
        "sample": sample("missing", lines),
    }
    if flat:
        first = min(gap.first for _, gap in flat)
        last = max(gap.last for _, gap in flat)
        metadata["repair"] = dg.MetadataValue.text(
            f"The next tick tries by itself. To repair now: {backfill_command(first, last, simulated=simulated)}"
        )
    return dg.AssetCheckResult(
        check_name=NO_MINUTE_MISSING, asset_key=minute_prices.key, passed=not count, metadata=metadata
    )


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
    tags = run.tags
    first = tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_start")
    last = tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_end")
    if first is None or last is None:
        return MinuteRange(newest, newest), False
    begin, end = minutes_of_day(date.fromisoformat(first))[0], minutes_of_day(date.fromisoformat(last))[1]
    return MinuteRange(begin, min(end, newest)), False
