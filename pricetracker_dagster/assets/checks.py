"""What is checked after each tick, and on demand: nothing missed, candles sane, everything ranked.

One step for all: each check is a question to the store, and a step of its own would cost more than the answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

import dagster as dg

from pricetracker_dagster.assets.metric_rank import metric_rank
from pricetracker_dagster.assets.minute_prices import minute_of, minute_prices
from pricetracker_dagster.assets.ui_metadata import SAMPLE, sample
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, minutes_in
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.settings import command
from pricetracker_dagster.store.delta import StoreError
from pricetracker_dagster.store.ranking import ranking
from pricetracker_dagster.store.records import NOT_RUN, Row
from pricetracker_dagster.store.store import Store, open_store
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
            description="Every closed minute of the last 24 hours, since a metric's first row, is stored.",
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
        missed = _missed(store, note_tracked(settings.state, metrics, last + MINUTE), last)
        causes: Sequence[Row] = []
        with suppress(StoreError):  # history_24h tells of it
            causes = open_store(settings).records.causes.rows(first) if missed else []
        yield _no_minute_missing(missed, causes, simulated=settings.simulated)
    if CANDLES_SANE in wanted:
        future = store.prices.future_rows(tracker.now())
        insane = [*store.prices.insane(first, last), *future]
        yield dg.AssetCheckResult(
            check_name=CANDLES_SANE,
            asset_key=minute_prices.key,
            passed=not insane,
            metadata={
                "insane": len(insane),
                "future": len(future),
                "sample": sample("row", insane),
                "repair": "Materialize the day's partition of minute_prices: the exchange's answer replaces the rows. "
                "Rows of the future, which an earlier version let in, count for nothing until their minute has come; "
                f"{command(simulated=settings.simulated)} repair --yes sets them aside and removes them.",
            },
        )
    if EVERY_METRIC_RANKED in wanted:
        rows = ranking(store.folder.published) if store.folder.published.exists() else []
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
        missing = _missing_of_run(context)
        yield dg.AssetCheckResult(
            check_name=MINUTE_STORED,
            asset_key=minute_prices.key,
            passed=not missing,
            metadata={"missing": len(missing), "which": sample("missing", missing)},
        )
        if missing:
            context.log.error("; ".join(missing))  # one line: `up` passes it on to the terminal
            raise dg.Failure("\n".join(missing), allow_retries=False)


def _missed(store: Store, since: Mapping[str, datetime], last: datetime) -> dict[str, list[MinuteRange]]:
    """Return what is missing now: since a metric's first row; of one that never delivered, since it is tracked."""
    missed = store.prices.missed_lately(list(since), last)
    delivered = store.prices.newest(list(since), last - DAY + MINUTE, last)
    for metric, moment in since.items():
        first = max(moment, last - DAY + MINUTE)
        if metric not in delivered and metric not in missed and first <= last:
            missed[metric] = [MinuteRange(first, last)]
    return missed


def _no_minute_missing(
    missed: dict[str, list[MinuteRange]], causes: Sequence[Row], *, simulated: bool
) -> dg.AssetCheckResult:
    count = minutes_in(gap for gaps in missed.values() for gap in gaps)
    cause = {(row["metric"], row["minute"]): f"{row['cause']}: {row['reason']}" for row in causes}
    lines = [
        f"{metric}: {gap}: {cause.get((metric, gap.last), NOT_RUN)}"
        for metric, gaps in sorted(missed.items())
        for gap in gaps
    ]
    metadata: dict[str, dg.MetadataValue | int] = {
        "missing": count,
        "sample": sample("missing", lines),
    }
    if missed:
        first = min(gap.first for gaps in missed.values() for gap in gaps)
        last = max(gap.last for gaps in missed.values() for gap in gaps)
        metadata["repair"] = dg.MetadataValue.text(
            "The next tick tries by itself. To repair now: "
            f"{command(simulated=simulated)} backfill --from {first:%Y-%m-%dT%H:%MZ} --to {last:%Y-%m-%dT%H:%MZ}"
        )
    return dg.AssetCheckResult(
        check_name=NO_MINUTE_MISSING, asset_key=minute_prices.key, passed=not count, metadata=metadata
    )


def _missing_of_run(context: dg.AssetCheckExecutionContext) -> list[str]:
    """Return what minute_prices reported as missing in this run, a line a metric: which, which minutes, why."""
    events = context.instance.get_records_for_run(
        context.run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    reports = [
        record.asset_materialization.metadata["missing_why"].value
        for record in events
        if record.asset_materialization and "missing_why" in record.asset_materialization.metadata
    ]
    return [
        f"{metric}: {missing['minutes']} missing: {missing['why']}"
        for report in reports
        for metric, missing in sorted(report.items())
    ]
