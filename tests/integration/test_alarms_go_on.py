"""Who tells when the teller is broken: publication, settings, sensors and their runs, without a watch that runs."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from pricetracker_dagster.alerts.watchdog import unrecorded
from pricetracker_dagster.alerts.watchdog.look import Look, watch_standstill
from pricetracker_dagster.alerts.watchdog.observation import Sign
from pricetracker_dagster.assets import answers
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.cli import main
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.local.tick_by_hand import TickOutcome, run_minute_tick
from pricetracker_dagster.local.watching import Watch
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.sensors.alarms import missed_minutes, run_failure, spike_alerts
from pricetracker_dagster.settings import SettingsError, config_file, last_good, load_settings
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.records import RecordTable, Row
from pricetracker_dagster.store.store import open_store, store_in
from tests.integration.conftest import Bench
from tests.webhook import Webhook

BROKEN = "no toml\n"


class Hours:
    """A bench whose ticks and sensors the test runs by hand, with a webhook."""

    def __init__(self, bench: Bench, webhook: Webhook, instance: dg.DagsterInstance) -> None:
        self.bench = bench
        self.webhook = webhook
        self.instance = instance
        self.tracker = Tracker(load_settings, now=lambda: bench.now)
        self.text = config_file().read_text(encoding="utf-8")

    def store(self) -> None:
        """Store and publish the newest minute, without a run."""
        settings = load_settings()
        collect_minute(settings, self.bench.minute, now=lambda: self.bench.now)
        publish(self.bench.store, [str(metric) for metric in settings.tracked], now=self.bench.now)

    def later(self, **how: float) -> None:
        self.bench.now += timedelta(**how)

    def evaluate(self, *sensors: Any) -> None:
        for sensor in sensors or (missed_minutes, spike_alerts):
            with dg.build_sensor_context(self.instance, resources={"tracker": self.tracker}) as context:
                sensor(context)

    def tick(self) -> TickOutcome:
        outcome = run_minute_tick(self.tracker, self.instance)
        if not outcome.success:
            self.failed(outcome.run_id)
        return outcome

    def failed(self, run_id: str) -> Any:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        [record] = self.instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.PIPELINE_FAILURE).records
        context = dg.build_run_status_sensor_context(
            sensor_name="run_failure",
            dagster_event=record.event_log_entry.dagster_event,  # type: ignore[arg-type]
            dagster_instance=self.instance,
            dagster_run=run,
            resources={"tracker": self.tracker},
        )
        return run_failure(context.for_run_failure())

    def watch(self) -> Look:
        alive = [Sign("the daemon", self.bench.now), Sign("the schedule every_minute", self.bench.now)]
        return watch_standstill(load_settings(), self.bench.now, lambda: (alive, None), unreadable="")

    def break_settings(self, text: str = BROKEN) -> None:
        config_file().write_text(text, encoding="utf-8")

    def mend_settings(self) -> None:
        config_file().write_text(self.text, encoding="utf-8")

    def rows(self) -> list[Row]:
        return open_store(self.bench.settings).records.incidents.rows()

    def titles(self) -> list[str]:
        return [posted.title for posted in self.webhook.posted]


@pytest.fixture
def hours(
    start: Callable[..., Bench], webhook: Webhook, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> Hours:
    monkeypatch.setattr(last_good, "WRITTEN_WITHIN", 0.0)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setattr(unrecorded, "unwritten", {})
    bench = start("BTCUSD", extra=f'[alerts]\nchannels = ["{webhook.channel()}"]\n[watch]\nfree_disk_mb = 1\n')
    hours = Hours(bench, webhook, instance)
    hours.store()
    hours.evaluate()
    assert hours.titles() == []
    return hours


def block(hours: Hours) -> None:
    """Put a folder in the place of the published file."""
    hours.bench.store.folder.published.unlink()
    hours.bench.store.folder.published.mkdir()
    (hours.bench.store.folder.published / "x").touch()


def clear(hours: Hours) -> None:
    (hours.bench.store.folder.published / "x").unlink()
    hours.bench.store.folder.published.rmdir()


def test_publication_that_fails_is_told_at_once_and_once_and_is_over_with_the_next_that_works(hours: Hours) -> None:
    block(hours)
    for _ in range(2):
        hours.later(minutes=1)
        assert not hours.tick().success
        hours.evaluate()
        hours.watch()  # tells nothing beside, and does not end what is not over
    [row] = hours.rows()
    assert (row["cause"], row["state"], row["metrics"]) == ("not published", "open", [])
    assert "Is a directory" in row["reason"]
    assert hours.titles() == ["✗ stale publication"]
    clear(hours)
    hours.evaluate(missed_minutes)  # it publishes itself
    assert hours.titles() == ["✗ stale publication", "✓ stale publication over"]
    assert hours.watch().well
    assert len(hours.titles()) == 2


def test_without_a_watch_missed_minutes_publishes_and_tells_what_is_behind_for_long(hours: Hours) -> None:
    block(hours)
    for minutes in (2, 2, 1):
        hours.later(minutes=minutes)
        collect_minute(load_settings(), hours.bench.minute, now=lambda: hours.bench.now)
        hours.evaluate(missed_minutes)
    assert hours.titles() == ["✗ stale publication"]
    clear(hours)
    hours.evaluate(missed_minutes)
    assert hours.titles()[1:] == ["✓ stale publication over"]


def test_the_watch_ends_what_a_sensor_has_told(hours: Hours) -> None:
    block(hours)
    hours.later(minutes=1)
    hours.tick()
    clear(hours)
    assert not hours.watch().still
    hours.evaluate()
    assert hours.titles() == ["✗ stale publication", "✓ stale publication over"]


def test_a_failed_run_whose_minute_is_stored_and_published_is_no_stale_publication(
    hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "fewer_observations", lambda *_: 1 / 0)
    hours.later(minutes=1)
    hours.tick()
    assert not [row for row in hours.rows() if row["cause"] == "not published"]


def test_settings_that_cannot_be_read_are_told_by_the_last_that_could_be_and_over_when_they_can(hours: Hours) -> None:
    hours.break_settings()
    for _ in range(2):
        hours.later(seconds=20)
        hours.evaluate()
    [row] = hours.rows()
    assert (row["cause"], row["state"]) == ("settings", "open")
    assert row["reason"].startswith("pricetracker.toml: not valid TOML")
    assert hours.titles() == ["✗ unreadable settings"]
    hours.mend_settings()
    for _ in range(2):
        hours.evaluate()
    assert hours.titles() == ["✗ unreadable settings", "✓ unreadable settings over"]


@pytest.mark.parametrize("who", ["watch", "fresh"])
def test_whoever_sees_it_first_tells_it_for_all_and_so_for_its_end(hours: Hours, who: str) -> None:
    lines: list[str] = []
    looker = Watch(lines.append, now=lambda: hours.bench.now)
    looker.once()
    told_before = hours.titles()  # that there is no daemon
    hours.break_settings(hours.text.replace("metrics", "metriks"))
    if who == "fresh":
        looker = Watch(lines.append, now=lambda: hours.bench.now)
        hours.tracker = Tracker(load_settings, now=lambda: hours.bench.now)

    def look() -> None:
        first, second = (hours.evaluate, looker.once) if who != "watch" else (looker.once, hours.evaluate)
        first()
        second()

    look()
    look()
    assert hours.titles()[len(told_before) :] == ["✗ unreadable settings"]
    assert any("metriks: no such key" in line for line in lines)
    hours.mend_settings()
    look()
    look()
    assert hours.titles()[len(told_before) + 1 :] == ["✓ unreadable settings over"]


def test_ticks_that_fail_for_their_settings_are_told_as_such_all_of_them_named(hours: Hours) -> None:
    hours.break_settings()
    for _ in range(2):
        hours.later(minutes=1)
        hours.tick()
    hours.later(minutes=2)  # of these no tick is run
    hours.mend_settings()
    hours.later(minutes=1)
    assert hours.tick().success
    hours.evaluate(missed_minutes)
    causes = {
        row["minute"].minute: (row["cause"], row["reason"][:40])
        for row in store_in(folder(hours)).records.causes.rows()
    }
    failed = ("run failed", "the tick ran and failed: pricetracker.to")
    assert {minute: causes[minute] for minute in (0, 1)} == dict.fromkeys(range(2), failed)
    assert causes[2][0] == causes[3][0] == "not run"
    named = [line for posted in hours.webhook.posted for line in posted.lines if "the tick ran and failed" in line]
    assert named
    assert not any("no tick was run" in line for line in named)


def test_what_a_later_tick_has_noted_before_the_failure_was_heard_of_is_put_right(hours: Hours) -> None:
    hours.break_settings()
    hours.later(minutes=1)
    outcome = run_minute_tick(hours.tracker, hours.instance)
    hours.mend_settings()
    hours.later(minutes=4)
    assert hours.tick().success  # it heals, and notes that no tick was run
    assert {row["cause"] for row in store_in(folder(hours)).records.causes.rows()} == {"not run"}
    hours.failed(outcome.run_id)
    causes = {row["minute"].minute: row["cause"] for row in store_in(folder(hours)).records.causes.rows()}
    assert causes[0] == "run failed"
    assert set(causes.values()) == {"run failed", "not run"}


def test_where_there_never_were_good_settings_a_sensor_fails_plainly(hours: Hours) -> None:
    (folder(hours) / "state" / StateFile.LAST_SETTINGS).unlink()
    hours.tracker = Tracker(load_settings, now=lambda: hours.bench.now)
    hours.break_settings()
    with pytest.raises(SettingsError, match="not valid TOML"):
        hours.evaluate(missed_minutes)
    assert hours.titles() == []


def test_the_trouble_is_seen_in_the_ui_of_dagster(hours: Hours) -> None:
    hours.break_settings()
    with dg.build_sensor_context(hours.instance, resources={"tracker": hours.tracker}) as context:
        result: Any = missed_minutes(context)
    assert "not valid TOML" in result.skip_reason.skip_message


def test_the_command_watch_tells_it_too_and_ends_with_1(hours: Hours, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pricetracker_dagster.local.watching.signs", lambda *_: ((), None))
    hours.break_settings()
    looked = CliRunner().invoke(main, ["watch"])
    assert looked.exit_code == 1
    assert "not valid TOML" in looked.output
    assert "✗ unreadable settings" in "".join(hours.titles())


def fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Make the sensor spike_alerts meet an error."""

    def raised(*_: object) -> None:
        raise error

    monkeypatch.setattr("pricetracker_dagster.sensors.alarms.watch_prices", raised)


def test_a_sensor_that_raises_is_told_once_with_why_and_over_with_its_next_good_evaluation(
    hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        fail(patched, ZeroDivisionError("division\nby zero"))
        for _ in range(3):
            hours.later(seconds=20)
            with pytest.raises(ZeroDivisionError):
                hours.evaluate(spike_alerts)
            hours.evaluate(missed_minutes)  # another's good evaluation ends nothing
    [row] = hours.rows()
    assert (row["cause"], row["state"]) == ("sensor failure", "open")
    assert row["reason"] == "the sensor spike_alerts cannot do its work: ZeroDivisionError: division"
    assert hours.titles() == ["✗ failing sensor"]
    for _ in range(2):
        hours.evaluate(spike_alerts)
    assert hours.titles() == ["✗ failing sensor", "✓ failing sensor over"]


def test_a_sensor_that_fails_over_a_damaged_table_tells_that_as_the_watch_does(hours: Hours) -> None:
    [newest, *_] = sorted((hours.bench.store.prices.path / "_delta_log").glob("*.json"), reverse=True)
    whole = newest.read_bytes()
    newest.write_bytes(whole[:40])
    for _ in range(2):
        with pytest.raises(Exception, match="damaged"):
            hours.evaluate(missed_minutes)
        hours.watch()
    assert hours.titles() == ["✗ damaged data"]
    newest.write_bytes(whole)
    hours.evaluate(missed_minutes)
    assert hours.titles() == ["✗ damaged data", "✓ damaged data over"]


def test_what_cannot_be_recorded_for_a_full_disk_is_told_once_all_the_same_and_once_when_over(
    hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        fail(patched, RuntimeError("No space left on device"))
        patched.setattr(RecordTable, "upsert", _full)
        patched.setattr(unrecorded, "write_text", _full)  # not even what was told can be kept
        for _ in range(3):
            hours.later(seconds=20)
            with pytest.raises(RuntimeError):
                hours.evaluate(spike_alerts)
    [posted] = hours.webhook.posted
    assert posted.title == "✗ no alarms"
    assert "the sensor spike_alerts cannot do its work: RuntimeError: No space left" in posted.lines[0]
    hours.evaluate(missed_minutes)  # it was not this one that failed
    assert len(hours.titles()) == 1
    for _ in range(2):
        hours.evaluate(spike_alerts)
    assert hours.titles() == ["✗ no alarms", "✓ alarms again"]


def _full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_reminder_comes_when_it_is_due(hours: Hours) -> None:
    hours.break_settings()
    hours.evaluate(missed_minutes)
    for minutes in (58, 1, 2, 1):
        hours.later(minutes=minutes)
        hours.evaluate(missed_minutes)
    told = [title for title in hours.titles() if "unreadable settings" in title]
    assert len(told) == 2
    assert "still" in told[1]


def test_no_view_shows_what_is_kept(hours: Hours, tmp_path: Path) -> None:
    kept = folder(hours) / "state" / StateFile.LAST_SETTINGS
    secret = hours.webhook.channel()
    assert secret in kept.read_text(encoding="utf-8")
    hours.break_settings()
    hours.evaluate()
    holding = [
        path
        for place, _, names in os.walk(tmp_path)
        for name in names
        if (path := Path(place) / name) not in (kept, config_file()) and secret.encode() in path.read_bytes()
    ]
    assert holding == []


def folder(hours: Hours) -> Path:
    return hours.bench.settings.folder


def test_minutes_are_found_missing_by_the_last_settings_too(hours: Hours) -> None:
    hours.break_settings()
    hours.later(minutes=5)
    hours.evaluate(missed_minutes)
    [row] = [row for row in hours.rows() if row["metrics"]]
    assert (row["metrics"], row["last"] - row["first"]) == (["SIMULATED:BTCUSD"], 2 * MINUTE)
