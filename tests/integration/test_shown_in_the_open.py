"""What a person sees in the Dagster UI without a click: text and tables, never Markdown that hides behind a button."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import dagster as dg
import pytest

from pricetracker_dagster.assets.ui_metadata import SAMPLE, duckdb_command, sample
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.definitions import build_defs
from pricetracker_dagster.local.tick_by_hand import run_minute_tick
from pricetracker_dagster.sensors.first_charts import first_charts
from tests.integration.conftest import NOON, Bench, checked, tracker

Start = Callable[..., Bench]
PRICES = dg.AssetKey("minute_prices")
IN_THE_OPEN = dg.TextMetadataValue | dg.TableMetadataValue
HIDDEN = dg.MarkdownMetadataValue


def shown_when_red(bench: Bench, instance: dg.DagsterInstance, name: str) -> Mapping[str, dg.MetadataValue]:
    evaluation = checked(bench, instance, PRICES, name)
    assert not evaluation.passed
    return evaluation.metadata


def test_of_missing_minutes_the_sample_is_a_table_and_the_way_to_repair_a_text(
    start: Start, instance: dg.DagsterInstance
) -> None:
    bench = start("BTCUSD")
    run_minute_tick(tracker(bench), instance)
    bench.now += timedelta(minutes=30)
    metadata = shown_when_red(bench, instance, "no_minute_missing")
    assert isinstance(metadata["sample"], dg.TableMetadataValue)
    assert [row.data for row in metadata["sample"].records] == [
        {"missing": "SIMULATED:BTCUSD: 2026-03-03 12:00 to 12:29 (30 minutes): not run"}
    ]
    assert isinstance(metadata["repair"], dg.TextMetadataValue)
    assert str(metadata["repair"].value).startswith("The next tick tries by itself. To repair now: ")


def test_of_rows_that_cannot_be_true_likewise(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD")
    run_minute_tick(tracker(bench), instance)
    table = bench.store.prices.open()
    assert table is not None
    table.update({"high": "low - 1.0"}, predicate="trades > 0")
    metadata = shown_when_red(bench, instance, "candles_sane")
    assert isinstance(metadata["sample"], dg.TableMetadataValue)
    assert len(metadata["sample"].records) == SAMPLE
    assert all("SIMULATED:BTCUSD 2026-03-03" in str(row.data["row"]) for row in metadata["sample"].records)
    assert isinstance(metadata["repair"], dg.TextMetadataValue)


def test_no_asset_and_no_check_of_a_tick_hides_anything_but_pictures(
    start: Start, instance: dg.DagsterInstance
) -> None:
    bench = start("BTCUSD", "ETHUSD")
    run_minute_tick(tracker(bench), instance)
    bench.exchange.faults.add("delisted", pair="ETHUSD")
    bench.exchange.faults.add("insane", pair="XBTUSD")
    bench.now += MINUTE
    run_id = run_minute_tick(tracker(bench), instance).run_id
    shown: dict[str, dg.MetadataValue] = {}
    for record in instance.all_logs(run_id):
        event = record.dagster_event
        if event is not None and event.is_step_materialization:
            shown |= event.step_materialization_data.materialization.metadata
        elif event is not None and event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            shown |= event.asset_check_evaluation_data.metadata
    assert shown.keys() >= {"sql", "duckdb", "sample", "repair", "which", "rejected_rows"}
    assert [name for name, value in shown.items() if isinstance(value, HIDDEN)] == []
    for name in ("sql", "duckdb", "sample", "repair", "which", "rejected_rows"):
        assert isinstance(shown[name], IN_THE_OPEN), name


def test_a_sample_of_nothing_says_so_and_a_long_one_is_cut() -> None:
    assert sample("row", []).value == "none"
    table = sample("row", [f"line {i}" for i in range(SAMPLE + 5)])
    assert isinstance(table, dg.TableMetadataValue)
    assert len(table.records) == SAMPLE


@pytest.mark.parametrize("folder", ["/data", "/my data", "/it's"])
def test_a_command_to_copy_is_one_that_a_shell_takes(folder: str) -> None:
    import shlex
    from pathlib import Path

    command = str(duckdb_command(Path(folder) / "pricetracker.duckdb").value)
    assert shlex.split(command) == ["duckdb", "-readonly", f"{folder}/pricetracker.duckdb"]


# Pictures at the first start


def evaluated(bench: Bench, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    with dg.build_sensor_context(instance, resources={"tracker": tracker(bench)}) as context:
        answer = first_charts(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def test_charts_are_requested_once_when_there_is_something_to_draw_and_none_was_drawn(
    start: Start, instance: dg.DagsterInstance
) -> None:
    bench = start("BTCUSD")
    before = evaluated(bench, instance)
    assert isinstance(before, dg.SkipReason)
    assert before.skip_message == "nothing is published yet"
    run_minute_tick(tracker(bench), instance)
    request = evaluated(bench, instance)
    assert isinstance(request, dg.RunRequest)
    bench.now += timedelta(seconds=50)
    again = evaluated(bench, instance)
    assert isinstance(again, dg.RunRequest)
    assert again.run_key == request.run_key  # Dagster starts no second run of one key
    assert build_defs(tracker(bench)).resolve_job_def("charts").execute_in_process(instance=instance).success
    assert isinstance(evaluated(bench, instance), dg.SkipReason)


def test_charts_are_not_requested_of_a_file_without_rows_or_one_that_cannot_be_read(
    start: Start, instance: dg.DagsterInstance
) -> None:
    from pricetracker_dagster.store.publishing.publish import publish

    bench = start("BTCUSD")
    publish(bench.store, ["SIMULATED:BTCUSD"], now=bench.now)
    assert isinstance(evaluated(bench, instance), dg.SkipReason)
    bench.store.prices.upsert(
        validate_rows([("SIMULATED:BTCUSD", int(NOON.timestamp()), 1.0, 1.0, 1.0, 1.0, 1.0, 1)], NOON).kept
    )
    bench.store.folder.published.unlink()
    bench.store.folder.published.write_bytes(b"no database")
    skipped = evaluated(bench, instance)
    assert isinstance(skipped, dg.SkipReason)
    assert "cannot be read" in str(skipped.skip_message)
