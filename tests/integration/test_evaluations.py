"""Dagster's own state after its clock was ahead: a real instance, a real code server, Dagster's own scheduling code."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, TickStatus
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._daemon.types import DaemonHeartbeat
from dagster._scheduler.scheduler import launch_scheduled_runs
from dagster_shared.error import SerializableErrorInfo

from pricetracker_dagster.instance.home import dagster_home, is_kept, open_instance
from pricetracker_dagster.local.evaluations import bring_back, evaluations
from pricetracker_dagster.settings import load_settings

LOG = logging.getLogger("test_evaluations")
NOW = datetime.now(UTC).replace(second=20, microsecond=0)
"""Near the true present, by which the database dates what it makes."""

SENSORS = ("spike_alerts", "missed_minutes", "run_failure", "heartbeat")


@pytest.fixture
def instance(write_settings: Callable[[str], Path]) -> Iterator[dg.DagsterInstance]:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n')
    with open_instance(load_settings()) as instance:
        yield instance


@pytest.fixture
def daemon(instance: dg.DagsterInstance) -> Iterator["Daemon"]:
    target = ModuleTarget("pricetracker_dagster.definitions", None, None, "pricetracker_dagster")
    with create_test_daemon_workspace_context(target, instance) as context:
        yield Daemon(context)


class Daemon:
    """Dagster's scheduler and sensor daemon, one iteration at a time, with a memory as a running daemon has one."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.memory: dict[str, Any] = {}

    def looks(self, at: datetime) -> None:
        with freeze_time(at):
            list(launch_scheduled_runs(self.context, LOG, at, self.memory))
            list(execute_sensor_iteration(self.context, LOG, None, None))

    def is_started_anew(self) -> None:
        self.memory = {}


def ticks_of(instance: dg.DagsterInstance, name: str) -> list[datetime]:
    """When a schedule or sensor was evaluated, newest first."""
    state = state_of(instance, name)
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
    return [datetime.fromtimestamp(tick.timestamp, UTC) for tick in ticks]


def state_of(instance: dg.DagsterInstance, name: str) -> InstigatorState:
    return next(state for state in instance.all_instigator_state() if state.instigator_name == name)


def signs(instance: dg.DagsterInstance, now: datetime) -> dict[str, datetime | None]:
    return {sign.name: sign.at for sign in evaluations(instance, now).signs}


def test_after_the_clock_went_back_evaluation_goes_on_at_once(instance: dg.DagsterInstance, daemon: Daemon) -> None:
    ahead = NOW + timedelta(hours=2)
    daemon.looks(ahead - timedelta(minutes=1))  # the first look only says since when it is on
    daemon.looks(ahead)
    assert ticks_of(instance, "every_minute") == [ahead.replace(second=0)]
    daemon.looks(NOW)  # as Dagster has it: nothing, for two hours
    daemon.is_started_anew()
    daemon.looks(NOW + timedelta(minutes=1))
    assert ticks_of(instance, "every_minute") == [ahead.replace(second=0)]
    assert min(ticks_of(instance, "spike_alerts")) > NOW + timedelta(hours=1)

    found = evaluations(instance, NOW)
    assert found.ahead is not None
    assert found.ahead >= ahead.replace(second=0)
    assert set(bring_back(instance, NOW)) == {
        *("every_minute", "hourly_charts", "hourly_upkeep", "hourly_storage", "first_charts"),
        *SENSORS,
    }
    assert evaluations(instance, NOW).ahead is None
    # what was put back is no sign of life
    assert all(at is None or at < NOW - timedelta(hours=24) for at in signs(instance, NOW).values())

    daemon.is_started_anew()
    daemon.looks(NOW)
    assert ticks_of(instance, "every_minute")[0] == NOW.replace(second=0)
    alive = signs(instance, NOW)
    assert {name for name, at in alive.items() if at == NOW} >= {f"the sensor {name}" for name in SENSORS}
    daemon.looks(NOW + timedelta(minutes=1))
    assert ticks_of(instance, "every_minute")[0] == NOW.replace(second=0) + timedelta(minutes=1)

    # and when the minutes come that were evaluated ahead of time, they are evaluated again
    tick = ahead.replace(second=0)
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])):  # nobody runs them here
        instance.report_run_canceled(run)
    daemon.looks(tick + timedelta(seconds=1))
    runs = instance.get_runs(dg.RunsFilter(tags={"pricetracker/minute": (tick - timedelta(minutes=1)).isoformat()}))
    assert sorted(run.status.value for run in runs) == ["CANCELED", "QUEUED"]


@pytest.mark.long
def test_however_far_and_however_often_the_clock_was_ahead(instance: dg.DagsterInstance, daemon: Daemon) -> None:
    daemon.looks(NOW - timedelta(minutes=1))
    daemon.looks(NOW)
    before = instance.all_instigator_state()
    assert evaluations(instance, NOW).ahead is None
    assert bring_back(instance, NOW) == []  # where the clock was right nothing is touched
    assert instance.all_instigator_state() == before
    for minutes, hours in ((1, 0.02), (2, 72)):
        ahead, now = NOW + timedelta(hours=hours), NOW + timedelta(minutes=minutes)
        daemon.looks(ahead - timedelta(minutes=1))
        daemon.looks(ahead)
        assert evaluations(instance, now).ahead is not None
        bring_back(instance, now)
        daemon.is_started_anew()
        daemon.looks(now)
        assert ticks_of(instance, "every_minute")[0] == now.replace(second=0)


def test_what_failed_since_the_newest_good_evaluation_is_said_and_so_is_a_schedule_that_is_off(
    instance: dg.DagsterInstance, daemon: Daemon
) -> None:
    daemon.looks(NOW - timedelta(minutes=1))
    daemon.looks(NOW)
    state = state_of(instance, "every_minute")
    [tick] = instance.get_ticks(state.instigator_origin_id, state.selector_id)
    later = NOW + timedelta(minutes=1)
    error = SerializableErrorInfo("Unable to reach the user code server\n", [], "DagsterUserCodeUnreachableError")
    instance.create_tick(tick.tick_data.with_status(TickStatus.FAILURE, timestamp=later.timestamp(), error=error))
    sign = next(sign for sign in evaluations(instance, later).signs if "every_minute" in sign.name)
    assert sign.at is not None
    assert sign.at < later
    assert sign.trouble == "Unable to reach the user code server"

    instance.update_instigator_state(state.with_status(InstigatorStatus.STOPPED))
    sign = next(sign for sign in evaluations(instance, later).signs if "every_minute" in sign.name)
    assert sign.is_off
    assert sign.at is not None  # until then it was evaluated
    assert sign.at < later
    assert sign.trouble == "it is switched off in the Dagster UI, Automation"


def test_the_oldest_heartbeat_counts_and_one_of_the_future_does_not(instance: dg.DagsterInstance) -> None:
    assert signs(instance, NOW)["the daemon"] is None
    for kind in instance.get_required_daemon_types():
        instance.add_daemon_heartbeat(DaemonHeartbeat(NOW.timestamp(), kind, "one"))
    assert signs(instance, NOW)["the daemon"] == NOW
    kind = min(instance.get_required_daemon_types())
    instance.add_daemon_heartbeat(DaemonHeartbeat((NOW - timedelta(minutes=9)).timestamp(), kind, "one"))
    assert signs(instance, NOW)["the daemon"] == NOW - timedelta(minutes=9)
    instance.add_daemon_heartbeat(DaemonHeartbeat((NOW + timedelta(hours=2)).timestamp(), kind, "one"))
    [sign] = [sign for sign in evaluations(instance, NOW).signs if sign.name == "the daemon"]
    assert sign.at is None
    assert kind in sign.trouble


def test_whether_an_instance_was_ever_kept_in_a_folder_is_seen_without_making_it(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    assert not is_kept(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    instance.all_instigator_state()
    instance.get_runs_count()
    assert is_kept(dagster_home(load_settings()))
