"""The sensors in a real Dagster instance: what they report, and what a failed tick raises."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from pricetracker_dagster.alerts.watchdog.heartbeat import HeartbeatError
from pricetracker_dagster.definitions import build_defs
from pricetracker_dagster.local.tick_by_hand import run_minute_tick
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.sensors import default_sensors
from pricetracker_dagster.sensors.alarms import missed_minutes, run_failure, spike_alerts
from pricetracker_dagster.sensors.heartbeat import heartbeat
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store.store import open_store
from tests.integration.conftest import NOON, Bench, give_up_after, tracker
from tests.webhook import Webhook

Start = Callable[..., Bench]


def evaluate(sensor: Any, bench: Bench, instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    with dg.build_sensor_context(instance, cursor=cursor, resources={"tracker": tracker(bench)}) as context:
        return sensor(context)


def of_run(bench: Bench, instance: dg.DagsterInstance, run_id: str, sensor: dg.SensorDefinition) -> Any:
    """Return the context of a run-status sensor for a run that has ended."""
    run = instance.get_run_by_id(run_id)
    assert run is not None
    of_type = dg.DagsterEventType.PIPELINE_SUCCESS if run.is_success else dg.DagsterEventType.PIPELINE_FAILURE
    [record] = instance.get_records_for_run(run_id, of_type=of_type).records
    return dg.build_run_status_sensor_context(
        sensor_name=sensor.name,
        dagster_event=record.event_log_entry.dagster_event,  # type: ignore[arg-type]
        dagster_instance=instance,
        dagster_run=run,
        resources={"tracker": tracker(bench)},
    )


def test_all_sensors_are_on_from_the_start_and_look_often_enough() -> None:
    assert {sensor.name for sensor in default_sensors} == {
        *("spike_alerts", "missed_minutes", "run_failure", "heartbeat", "first_charts")
    }
    assert {sensor.default_status for sensor in default_sensors} == {dg.DefaultSensorStatus.RUNNING}
    assert spike_alerts.minimum_interval_seconds is not None
    assert spike_alerts.minimum_interval_seconds <= 10


def test_an_alert_is_shown_on_its_asset_and_the_cursor_moves_on(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD")
    first = evaluate(spike_alerts, bench, instance)
    assert str(first.skip_reason.skip_message) == "0 judged"
    bench.exchange.faults.add("burst", pair="XBTUSD", factor=5000, since=int((NOON.timestamp()) - 60))
    run_minute_tick(tracker(bench), instance)
    result = evaluate(spike_alerts, bench, instance, first.cursor)
    [event] = result.asset_events
    assert event.asset_key == dg.AssetKey("alerts")
    newest = {row.data["minute"]: row.data for row in event.metadata["what"].records}["2026-03-03 11:59"]
    assert (newest["metric"], newest["measure"], newest["state"]) == ("SIMULATED:BTCUSD", "volume", "firing")
    assert newest["ratio"] > 3
    again = evaluate(spike_alerts, bench, instance, result.cursor)
    assert (again.cursor, again.asset_events) == (result.cursor, [])


def test_a_sensor_that_finds_another_at_work_skips_and_keeps_its_cursor(
    start: Start, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pricetracker_dagster.alerts import watch
    from pricetracker_dagster.files.locks import Deadline, locked

    bench = start("BTCUSD")
    monkeypatch.setattr(watch, "PATIENCE", 0.2)
    with locked(bench.settings.state / "alerts.lock", Deadline.after(1)):
        for sensor in (spike_alerts, missed_minutes):
            skipped = evaluate(sensor, bench, instance, "7")
            assert isinstance(skipped, dg.SkipReason)
            assert "another sensor kept the lock" in str(skipped.skip_message)


def test_minutes_that_no_run_was_started_for_are_an_incident_on_its_asset(
    start: Start, instance: dg.DagsterInstance
) -> None:
    bench = start("BTCUSD")
    run_minute_tick(tracker(bench), instance)
    bench.now = bench.now.replace(minute=5)
    result = evaluate(missed_minutes, bench, instance)
    [event] = result.asset_events
    assert event.asset_key == dg.AssetKey("incidents")
    [row] = event.metadata["what"].records
    assert (row.data["cause"], row.data["first"], row.data["last"]) == (
        "not run",
        "2026-03-03 12:00",
        "2026-03-03 12:02",
    )
    assert str(evaluate(missed_minutes, bench, instance).skip_reason.skip_message) == "nothing new is missing"


def test_a_failed_tick_is_told_once_with_minute_metrics_and_cause(
    start: Start, instance: dg.DagsterInstance, webhook: Webhook
) -> None:
    bench = start("BTCUSD", "ETHUSD", extra=f'[alerts]\nchannels = ["{webhook.channel()}"]')
    run_minute_tick(tracker(bench), instance)
    give_up_after(bench, 2)
    bench.exchange.faults.add("maintenance")
    for _ in range(2):  # two failures of one cause are one incident
        bench.now = bench.now.replace(minute=bench.now.minute + 1)
        outcome = run_minute_tick(tracker(bench), instance)
        assert not outcome.success
        run_failure(of_run(bench, instance, outcome.run_id, run_failure).for_run_failure())
    [posted] = webhook.posted
    assert posted.lines[0] == (
        "✗ missed: 2026-03-03 12:00 UTC of SIMULATED as a whole, 2 metrics: SIMULATED:BTCUSD, SIMULATED:ETHUSD: "
        "exchange maintenance: SIMULATED: OHLC of BTCUSD: EService:Market in cancel_only mode"
    )
    [incident] = open_store(bench.settings).records.incidents.rows()
    assert incident["count"] == 2
    event = instance.get_latest_materialization_event(dg.AssetKey("incidents"))
    assert event is not None


def test_a_retried_run_raises_nothing_yet(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD", extra="[collect]\nbudget_seconds = 1")
    bench.exchange.faults.add("maintenance")
    outcome = run_minute_tick(tracker(bench), instance)
    instance.add_run_tags(outcome.run_id, {"dagster/will_retry": "true"})
    skipped = run_failure(of_run(bench, instance, outcome.run_id, run_failure).for_run_failure())
    assert isinstance(skipped, dg.SkipReason)
    assert open_store(bench.settings).records.incidents.rows() == []


def test_a_tick_that_fails_before_it_can_note_anything_is_noted_for_it(
    start: Start, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = start("BTCUSD")
    run_minute_tick(tracker(bench), instance)
    bench.now = bench.now.replace(minute=1)
    broken = Tracker(load_settings, now=lambda: bench.now)
    monkeypatch.setattr(broken, "store", lambda: 1 / 0)
    monkeypatch.setattr(broken, "settings", lambda: 1 / 0)
    outcome = run_minute_tick(broken, instance, NOON)
    run_failure(of_run(bench, instance, outcome.run_id, run_failure).for_run_failure())
    [incident] = open_store(bench.settings).records.incidents.rows()
    assert incident["reason"] == "the tick ran and failed: division by zero"
    assert (incident["cause"], incident["first"]) == ("run failed", NOON)


def test_each_good_tick_is_heard_of(start: Start, instance: dg.DagsterInstance, webhook: Webhook) -> None:
    bench = start("BTCUSD", extra=f'[alerts]\nheartbeat_url = "http://{webhook.address}/beat"')
    outcome = run_minute_tick(tracker(bench), instance)
    context = of_run(bench, instance, outcome.run_id, heartbeat)
    assert heartbeat(context) is None
    assert webhook.requested == ["/beat"]
    webhook.behaviour["/beat"] = "500"
    with pytest.raises(HeartbeatError, match=r"^alerts.heartbeat_url: HTTP 500$"):
        heartbeat(context)
    webhook.behaviour["/beat"] = "close"
    with pytest.raises(HeartbeatError, match="no answer"):
        heartbeat(context)


def test_without_a_heartbeat_url_nothing_is_requested(start: Start, instance: dg.DagsterInstance) -> None:
    bench = start("BTCUSD")
    outcome = run_minute_tick(tracker(bench), instance)
    assert isinstance(heartbeat(of_run(bench, instance, outcome.run_id, heartbeat)), dg.SkipReason)


def test_the_definitions_hold_the_sensors_and_the_assets_they_report_on() -> None:
    repository = build_defs().get_repository_def()
    assert {sensor.name for sensor in repository.sensor_defs} >= {sensor.name for sensor in default_sensors}
    assert {dg.AssetKey("alerts"), dg.AssetKey("incidents")} <= set(repository.asset_graph.get_all_asset_keys())
