"""Assets, checks, job and schedule in a real Dagster instance, against the simulated exchange."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as db
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from deltalake import DeltaTable

from pricetracker_dagster import open_prices
from pricetracker_dagster.assets.checks import price_checks
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.definitions import build_defs
from pricetracker_dagster.instance.home import open_instance
from pricetracker_dagster.instance.retention import forget
from pricetracker_dagster.instance.tags import HOURLY, TICK
from pricetracker_dagster.jobs import failures, tick_request
from pricetracker_dagster.local.tick_by_hand import run_minute_tick
from pricetracker_dagster.schedules import every_minute
from pricetracker_dagster.store.delta import Delta
from tests.integration.conftest import NOON, Bench, checked, give_up_after, tracker

Start = Callable[..., Bench]
PRICES, HISTORY, RANK = (dg.AssetKey(name) for name in ("minute_prices", "history_24h", "metric_rank"))


def materialize(
    bench: Bench, instance: dg.DagsterInstance, *assets: dg.AssetKey, **how: object
) -> dg.ExecuteInProcessResult:
    job = build_defs(tracker(bench)).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, asset_selection=list(assets), raise_on_error=False, **how)  # type: ignore[arg-type]


def metadata_of(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, object]:
    event = instance.get_latest_materialization_event(key)
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def checks_of(instance: dg.DagsterInstance, run_id: str) -> dict[str, bool]:
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    evaluations = [record.event_log_entry.dagster_event.asset_check_evaluation_data for record in records]  # type: ignore[union-attr]
    return {evaluation.check_name: evaluation.passed for evaluation in evaluations}


def days_materialized(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_materialized_partitions(PRICES))


def test_a_tick_stores_publishes_ranks_checks_and_is_green(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD", "ETHUSD")
    outcome = run_minute_tick(tracker(bench), instance)
    assert (outcome.success, outcome.message) == (True, "")
    assert checks_of(instance, outcome.run_id) == {
        "no_minute_missing": True,
        "candles_sane": True,
        "every_metric_ranked": True,
        "minute_stored": True,
    }
    assert metadata_of(instance, PRICES)["dagster/row_count"] == 2 * 719
    assert metadata_of(instance, HISTORY)["dagster/row_count"] == 2 * 719 * 4
    ranked = metadata_of(instance, RANK)
    assert ranked["dagster/row_count"] == 2 * 4
    assert [row.data["metric"] for row in ranked["ranking"].records[:2]] == ["SIMULATED:BTCUSD", "SIMULATED:ETHUSD"]  # type: ignore[attr-defined]
    assert days_materialized(instance) == {"2026-03-03"}
    assert list(open_prices(bench.store.folder.published).rank("price").df()["rank"]) == [1, 2]


def test_the_steps_of_a_tick_open_each_table_once_among_them(
    start: Start, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = start("BTCUSD", "ETHUSD")
    run_minute_tick(tracker(bench), instance)
    bench.now += MINUTE
    opened: list[str] = []
    load = Delta.load

    def noted(table: Delta) -> DeltaTable:
        opened.append(table.name)
        return load(table)

    monkeypatch.setattr(Delta, "load", noted)
    assert run_minute_tick(tracker(bench), instance).success
    there = [name for name in set(opened) if bench.store.folder.table(name).path.exists()]
    assert sorted(name for name in opened if name in there) == sorted(there)
    assert "minute_prices" in there


def test_a_tick_that_cannot_store_a_metric_does_all_the_rest_and_then_fails_saying_which_minute_and_why(
    start: Start, instance: dg.DagsterInstance
) -> None:
    bench = start("BTCUSD", "ETHUSD")
    run_minute_tick(tracker(bench), instance)
    bench.exchange.faults.add("delisted", pair="ETHUSD")
    bench.now += MINUTE
    outcome = run_minute_tick(tracker(bench), instance)
    assert not outcome.success
    assert outcome.message == (
        "SIMULATED:ETHUSD: 2026-03-03 12:00 missing: SIMULATED: OHLC of ETHUSD: EQuery:Unknown asset pair"
    )
    assert checks_of(instance, outcome.run_id) == {
        "no_minute_missing": False,
        "candles_sane": True,
        "every_metric_ranked": True,
        "minute_stored": False,
    }
    run = instance.get_run_by_id(outcome.run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.FAILURE
    last = (
        open_prices(bench.store.folder.published)
        .sql("SELECT metric, max(minute) AS last FROM minute_prices GROUP BY metric")
        .df()
    )
    assert last.set_index("metric")["last"]["SIMULATED:BTCUSD"] == NOON


def test_what_a_tick_published_during_an_outage_covers_its_minute_and_lists_it_as_missed(
    start: Start, instance: dg.DagsterInstance
) -> None:
    bench = start("BTCUSD")
    run_minute_tick(tracker(bench), instance)
    give_up_after(bench, 2)
    bench.exchange.faults.add("maintenance")
    bench.now += MINUTE
    assert not run_minute_tick(tracker(bench), instance).success
    assert open_prices(bench.store.folder.published).sql("SELECT as_of FROM snapshot").df()["as_of"][0] == NOON
    missed = open_prices(bench.store.folder.published).sql("FROM missed_minutes").df()
    assert missed.values.tolist() == [["SIMULATED:BTCUSD", NOON, "exchange maintenance"]]


def test_the_last_minute_of_a_day_belongs_to_that_day(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD", now=datetime(2026, 3, 4, 0, 0, 3, tzinfo=UTC))
    assert bench.minute == datetime(2026, 3, 3, 23, 59, tzinfo=UTC)
    run_minute_tick(tracker(bench), instance)
    assert days_materialized(instance) == {"2026-03-03"}


def test_a_tick_that_heals_across_midnight_writes_both_days(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD", now=datetime(2026, 3, 3, 23, 50, 3, tzinfo=UTC))
    run_minute_tick(tracker(bench), instance)
    before = instance.get_latest_materialization_event(PRICES)
    bench.now = datetime(2026, 3, 4, 0, 5, 3, tzinfo=UTC)
    run_minute_tick(tracker(bench), instance)
    assert days_materialized(instance) == {"2026-03-03", "2026-03-04"}
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=PRICES, asset_partitions=["2026-03-03"]), limit=1
    ).records
    assert before is not None
    assert records[0].timestamp > before.timestamp
    assert records[0].asset_materialization is not None
    assert records[0].asset_materialization.metadata["inserted"].value == 10  # 23:50 to 23:59


def test_a_past_day_is_fetched_whole(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD", "GRTETH")
    result = materialize(bench, instance, PRICES, partition_key="2026-02-27")
    assert result.success
    day = datetime(2026, 2, 27, tzinfo=UTC)
    metrics = ["SIMULATED:BTCUSD", "SIMULATED:GRTETH"]
    assert bench.store.prices.gaps(metrics, day, day + timedelta(hours=24) - MINUTE) == {}
    assert bench.store.prices.rows() == 2 * 1440


def test_a_past_day_that_cannot_be_fetched_of_a_metric_fails_at_last_and_says_why(
    start: Start, instance: dg.DagsterInstance
) -> None:
    bench = start("BTCUSD", "ETHUSD")
    job = build_defs(tracker(bench)).resolve_job_def("minute_tick")

    def fetched() -> str:
        result = job.execute_in_process(instance=instance, raise_on_error=False, partition_key="2026-02-27")
        return "".join(failures(result.filter_events(lambda event: event.is_step_failure)))

    bench.exchange.faults.add("delisted", pair="ETHUSD")
    said = fetched()
    assert said.startswith("SIMULATED:ETHUSD: 2026-02-27 00:00 to 23:59 (1440 minutes) missing: ")
    assert "no such pair on SIMULATED" in said
    assert bench.store.prices.rows() == 1440  # of the other
    bench.exchange.faults.clear()
    assert fetched() == ""


def test_several_past_days_are_one_run(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("GRTETH")
    tags = {"dagster/asset_partition_range_start": "2026-02-25", "dagster/asset_partition_range_end": "2026-02-27"}
    assert materialize(bench, instance, PRICES, tags=tags).success
    assert days_materialized(instance) == {"2026-02-25", "2026-02-26", "2026-02-27"}
    assert bench.store.prices.rows() == 3 * 1440
    for day in ("2026-02-25", "2026-02-26", "2026-02-27"):  # each with numbers of its own
        [record] = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=PRICES, asset_partitions=[day]), limit=1
        ).records
        assert record.asset_materialization is not None
        metadata = record.asset_materialization.metadata
        assert (metadata["inserted"].value, metadata["dagster/partition_row_count"].value) == (1440, 1440)


def test_a_day_that_was_fetched_by_hand_is_an_island_that_ticks_leave_alone(
    start: Start, instance: dg.DagsterInstance
) -> None:
    bench = start("GRTETH")
    assert materialize(bench, instance, PRICES, partition_key="2026-02-28").success
    run_minute_tick(tracker(bench), instance)
    first_of_march = datetime(2026, 3, 1, tzinfo=UTC)
    assert bench.store.prices.newest(["SIMULATED:GRTETH"], first_of_march, NOON - timedelta(hours=13)) == {}


def test_only_the_run_of_a_tick_has_the_limits_of_a_tick() -> None:
    """Launched by hand for a past day, the same job takes as long as that takes and blocks no tick."""
    job = build_defs().resolve_job_def("minute_tick")
    assert {"dagster/max_runtime", TICK} & set(job.tags) == set()
    assert {"dagster/max_runtime", TICK} <= set(tick_request(NOON)["tags"])


def test_the_rank_alone_can_be_materialized(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD")
    materialize(bench, instance, PRICES, partition_key="2026-03-03")
    assert not bench.store.folder.published.exists()
    assert materialize(bench, instance, RANK).success
    assert list(open_prices(bench.store.folder.published).rank("volume").df()["metric"]) == ["SIMULATED:BTCUSD"]


def test_a_check_on_demand_tells_what_is_missing_right_now_and_how_to_repair_it(
    start: Start, instance: dg.DagsterInstance
) -> None:
    bench = start("BTCUSD")
    run_minute_tick(tracker(bench), instance)
    bench.now += timedelta(minutes=30)  # nobody ticks
    checked = dg.materialize(
        [price_checks],
        instance=instance,
        resources={"tracker": tracker(bench)},
        raise_on_error=False,
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(PRICES, "no_minute_missing")),
    )
    [evaluation] = checked.get_asset_check_evaluations()
    assert not evaluation.passed
    assert evaluation.metadata["missing"].value == 30
    assert "SIMULATED:BTCUSD: 2026-03-03 12:00 to 12:29 (30 minutes)" in str(evaluation.metadata["sample"].value)
    assert "backfill --from 2026-03-03T12:00Z --to 2026-03-03T12:29Z" in str(evaluation.metadata["repair"].value)


def test_after_more_than_a_day_without_ticks_the_checks_are_red(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD")
    run_minute_tick(tracker(bench), instance)
    bench.now += timedelta(hours=30)
    missing = checked(bench, instance, PRICES, "no_minute_missing")
    assert (missing.passed, missing.metadata["missing"].value) == (False, 1440)
    ranked = checked(bench, instance, RANK, "every_metric_ranked")
    assert (ranked.passed, ranked.metadata["unranked"].value) == (False, "SIMULATED:BTCUSD")


def test_a_metric_that_never_delivered_is_missing_since_it_is_tracked(
    start: Start, instance: dg.DagsterInstance
) -> None:
    bench = start("BTCUSD", "NOPEUSD")
    for _ in range(3):
        outcome = run_minute_tick(tracker(bench), instance)
        bench.now += MINUTE
    assert checks_of(instance, outcome.run_id)["no_minute_missing"] is False
    bench.now -= MINUTE
    assert checked(bench, instance, PRICES, "no_minute_missing").metadata["missing"].value == 3


def test_insane_rows_that_are_stored_are_found(
    start: Start, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = start("BTCUSD")
    sane = validate_rows([("SIMULATED:BTCUSD", int((NOON - 700 * MINUTE).timestamp()), 1, 2, 1, 2, 1, 1)], NOON).kept
    names = sane.schema.names
    insane = sane.set_column(names.index("volume"), sane.schema.field("volume"), [[-5.0]])
    bench.store.prices.upsert(insane)
    outcome = run_minute_tick(tracker(bench), instance)
    assert checks_of(instance, outcome.run_id)["candles_sane"] is True  # the exchange's row took its place
    with monkeypatch.context() as patched:
        patched.setattr("pricetracker_dagster.store.doubts.CONFIRMED_AFTER", timedelta())
        assert [bench.store.prices.upsert(insane).updated for _ in range(2)] == [0, 1]
    bench.now += MINUTE
    outcome = run_minute_tick(tracker(bench), instance)
    assert checks_of(instance, outcome.run_id)["candles_sane"] is False


def test_a_mistake_in_the_settings_fails_the_tick_with_its_line(
    start: Start, instance: dg.DagsterInstance, write_settings: Callable[[str], Path]
) -> None:
    bench = start("BTCUSD")
    write_settings('metrics = ["KRAKEN:BTCUSD"]\nsimulatd = true')
    outcome = run_minute_tick(tracker(bench), instance, bench.minute)
    assert not outcome.success
    assert "pricetracker.toml: simulatd: no such key; did you mean simulated?" in outcome.message


def test_the_schedule_asks_for_the_minute_that_ended_at_its_time(instance: dg.DagsterInstance) -> None:
    with dg.build_schedule_context(instance, scheduled_execution_time=datetime(2026, 3, 4, tzinfo=UTC)) as context:
        request = every_minute(context)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2026-03-03"
    assert request.tags["pricetracker/minute"] == "2026-03-03T23:59:00+00:00"
    assert request.run_config == {}  # the minute travels once
    assert every_minute.default_status == dg.DefaultScheduleStatus.RUNNING


def test_the_schedule_skips_while_a_tick_waits_but_not_while_one_is_at_work(instance: dg.DagsterInstance) -> None:
    job = build_defs().resolve_job_def("minute_tick")
    # a context that is left open is closed by the garbage collector, which then makes a closed instance the current one
    with dg.build_schedule_context(instance, scheduled_execution_time=NOON) as context:
        instance.create_run_for_job(job, tags={TICK: "true"}, status=dg.DagsterRunStatus.STARTED)
        assert isinstance(every_minute(context), dg.RunRequest)
        tick = instance.create_run_for_job(job, tags={TICK: "true"}, status=dg.DagsterRunStatus.NOT_STARTED)
        skipped = every_minute(context)
        assert isinstance(skipped, dg.SkipReason)
        assert tick.run_id in str(skipped.skip_message)
        instance.report_run_failed(tick)
        assert isinstance(every_minute(context), dg.RunRequest)


def test_old_ticks_are_forgotten_with_their_files_and_each_day_stays_materialized(
    start: Start, instance: dg.DagsterInstance
) -> None:
    bench = start("BTCUSD", now=datetime(2026, 3, 3, 23, 58, 3, tzinfo=UTC))
    ids = []
    for _ in range(4):  # 23:57, 23:58, 23:59, 00:00
        ids.append(run_minute_tick(tracker(bench), instance).run_id)
        bench.now += MINUTE
    events = instance.event_log_storage
    assert isinstance(events, SqliteEventLogStorage)
    assert Path(events.path_for_shard(ids[0])).exists()
    assert forget(instance, [TICK], datetime.now(UTC) - timedelta(hours=1)).runs == 0
    assert forget(instance, [TICK], datetime.now(UTC) + timedelta(hours=1)).runs == 4
    assert not any(Path(events.path_for_shard(run)).exists() for run in ids)
    assert days_materialized(instance) == {"2026-03-03", "2026-03-04"}


@pytest.mark.long
def test_old_hourly_runs_and_what_old_checks_said_are_forgotten_too(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD")
    for _ in range(3):
        run_minute_tick(tracker(bench), instance)
        bench.now += MINUTE
    charts = build_defs(tracker(bench)).resolve_job_def("charts")
    for _ in range(3):
        assert charts.execute_in_process(instance=instance).success
    events = instance.event_log_storage
    assert isinstance(events, SqliteEventLogStorage)

    def said() -> int:
        with events.index_connection() as connection:
            return int(connection.execute(db.text("SELECT count(*) FROM asset_check_executions")).scalar_one())

    assert said() > 4
    assert forget(instance, [TICK, HOURLY], datetime.now(UTC) + timedelta(hours=1)).runs == 3 + 3
    assert said() == 4
    assert instance.get_latest_materialization_event(dg.AssetKey("charts_24h")) is not None
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [dg.AssetCheckKey(PRICES, "no_minute_missing")]
    )
    assert len(checks) == 1


def test_the_last_day_of_each_metric_is_drawn(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD", "ETHUSD")
    run_minute_tick(tracker(bench), instance)
    assert materialize(bench, instance, dg.AssetKey("charts_24h")).success
    drawn = metadata_of(instance, dg.AssetKey("charts_24h"))
    assert drawn["dagster/row_count"] == 2 * 719
    for metric in ("SIMULATED:BTCUSD", "SIMULATED:ETHUSD"):
        assert str(drawn[metric]).startswith(f"![{metric}](data:image/png;base64,iVBOR")


def test_the_upkeep_job_runs(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD")
    for _ in range(6):
        run_minute_tick(tracker(bench), instance)
        bench.now += MINUTE
    before = len(bench.store.prices.files())
    bench.now += timedelta(hours=2)
    job = build_defs(tracker(bench)).resolve_job_def("upkeep")
    assert job.execute_in_process(instance=instance).success
    assert len(bench.store.prices.files()) < before
    assert bench.store.prices.rows() == 719 + 5


def test_a_block_that_outlasts_its_limit_ends_the_process_even_where_the_interpreter_is_locked() -> None:
    stuck = (
        "from datetime import timedelta; from pricetracker_dagster.instance.watchdog import time_limit; import re\n"
        "with time_limit(timedelta(seconds=0.3)):\n"
        "    re.match(r'(a+)+$', 'a' * 40 + 'b')  # for hours, in C, without letting go of the interpreter's lock\n"
    )
    ended = subprocess.run([sys.executable, "-c", stuck], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert "Timeout (0:00:00.3" in ended.stderr


def test_the_run_of_a_tick_by_hand_carries_the_tags_of_a_scheduled_one(start: Start) -> None:
    bench = start("BTCUSD")
    with open_instance(bench.settings) as instance:
        outcome = run_minute_tick(tracker(bench), instance)
        run = instance.get_run_by_id(outcome.run_id)
    assert run is not None
    assert run.tags[TICK] == "true"
    assert run.tags["dagster/partition"] == "2026-03-03"
    assert run.tags.items() >= tick_request(bench.minute)["tags"].items()
