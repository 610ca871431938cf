"""The watch over real tables and a real webhook: recorded before it is sent, told once, told when it is over."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pricetracker_dagster import open_prices
from pricetracker_dagster.alerts.delivery import notify
from pricetracker_dagster.alerts.incidents.standstill import EVALUATION, PUBLICATION, STORAGE
from pricetracker_dagster.alerts.watch import watch_minutes
from pricetracker_dagster.alerts.watchdog import look as watch_standstill
from pricetracker_dagster.alerts.watchdog.observation import Sign
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.cli import main
from pricetracker_dagster.files.locks import Deadline, locked
from pricetracker_dagster.local.probes import wrong
from pricetracker_dagster.local.watching import Watch
from pricetracker_dagster.settings import config_file, load_settings
from pricetracker_dagster.store.clock import clock_differences, note_clock
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.publishing.access import covered
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.repairing import repair
from pricetracker_dagster.store.store import open_store, store_in
from tests.integration.conftest import Bench
from tests.webhook import Webhook

look = watch_standstill.watch_standstill


class Stage:
    """A bench with a webhook, and a Dagster whose signs of life the test gives."""

    def __init__(self, bench: Bench, webhook: Webhook) -> None:
        self.bench = bench
        self.webhook = webhook
        self.alive = bench.now
        self.ahead: datetime | None = None
        self.failing: list[Sign] = []

    @property
    def now(self) -> datetime:
        return self.bench.now

    def signs(self) -> tuple[Sequence[Sign], datetime | None]:
        living = [Sign("the daemon", self.alive), Sign("the schedule every_minute", self.alive)]
        return [*living, *self.failing], self.ahead

    def passes(self, alive: bool = True, **how: float) -> watch_standstill.Look:
        """Let time pass and look."""
        self.bench.now += timedelta(**how)
        if alive:
            self.alive = self.bench.now
        return look(load_settings(), self.bench.now, self.signs)

    def rows(self) -> list[Row]:
        return open_store(self.bench.settings).records.incidents.rows()

    def titles(self) -> list[str]:
        return [posted.title for posted in self.webhook.posted]


@pytest.fixture
def stage(start: Callable[..., Bench], webhook: Webhook) -> Stage:
    bench = start("BTCUSD", extra=f'[alerts]\nchannels = ["{webhook.channel()}"]\n[watch]\nfree_disk_mb = 1\n')
    stage = Stage(bench, webhook)
    store_minutes(bench)
    return stage


def store_minutes(bench: Bench) -> None:
    from pricetracker_dagster.collect.tick import collect_minute

    collect_minute(bench.settings, bench.minute)


def test_a_daemon_that_stands_still_is_recorded_told_once_and_told_when_over(stage: Stage) -> None:
    assert stage.passes().well
    assert stage.rows() == []
    for _ in range(3):
        assert stage.passes(alive=False, minutes=1).well
    stilled = stage.passes(alive=False, minutes=1)
    assert list(stilled.still) == [EVALUATION]
    [row] = stage.rows()
    assert (row["state"], row["cause"], row["metrics"]) == ("open", "standstill", [])
    assert "the daemon (last at 2026-03-03 12:00:05 UTC)" in row["reason"]
    for _ in range(5):
        stage.passes(alive=False, minutes=1)
    assert stage.titles() == ["✗ standstill"]
    [grown] = stage.rows()
    assert grown["id"] == row["id"]

    store_minutes(stage.bench)
    assert stage.passes().well
    [over] = stage.rows()
    assert (over["id"], over["state"]) == (row["id"], "resolved")
    assert stage.titles() == ["✗ standstill", "✓ standstill over"]
    stage.passes(minutes=1)
    assert len(stage.titles()) == 2
    published = open_prices(stage.bench.store.folder.published).incidents().df()
    assert list(published["cause"]) == ["standstill"]


def test_killed_between_recording_and_sending_nothing_is_lost_or_doubled(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    for minute in range(2):  # opened, then resolved
        with monkeypatch.context() as patched:
            patched.setattr(notify, "deliver", killed)
            with pytest.raises(KeyboardInterrupt):
                stage.passes(alive=minute == 1, minutes=4 * (1 - minute))
        assert len(stage.rows()) == 1
        assert len(stage.titles()) == minute
        if minute:
            store_minutes(stage.bench)
        stage.passes(alive=minute == 1, seconds=10)
        assert len(stage.titles()) == minute + 1
    assert stage.titles() == ["✗ standstill", "✓ standstill over"]


def test_the_watch_over_missed_minutes_leaves_these_incidents_alone(stage: Stage) -> None:
    stage.passes(alive=False, minutes=6)
    before = stage.rows()
    watched = watch_minutes(stage.bench.settings, stage.now)
    assert {row["cause"] for row in watched.incidents} == {"not run"}
    standing = [row for row in stage.rows() if row["cause"] == "standstill"]
    assert standing == before
    # and the other way round: the missed minutes are no business of this watch
    stage.passes()
    assert {row["cause"]: row["state"] for row in stage.rows()} == {"not run": "open", "standstill": "resolved"}


@pytest.mark.parametrize(("cause", "told"), [("exchange maintenance", 0), ("exchange error", 0), ("not run", 1)])
def test_an_outage_of_the_exchange_is_told_by_its_own_incident_alone(stage: Stage, cause: str, told: int) -> None:
    now = stage.now + timedelta(minutes=10)
    first = stage.now.replace(second=0)
    row = {
        "id": f"{cause}|x", "state": "open", "cause": cause, "reason": "r", "first": first,
        "last": now.replace(second=0) - 2 * MINUTE, "count": 9, "metrics": ["SIMULATED:BTCUSD"], "missing": 9,
        "opened_at": first, "resolved_at": None,
    }  # fmt: skip
    open_store(stage.bench.settings).records.incidents.upsert([row])
    stage.passes(minutes=10)
    assert len([row for row in stage.rows() if row["cause"] == "standstill"]) == told


def test_low_disk_and_a_wrong_clock_have_incidents_of_their_own(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_standstill, "free_bytes", lambda _: 10)
    note_clock(stage.bench.settings.state, "SIMULATED", 7200.0, stage.now)
    stage.passes(seconds=1)
    assert sorted(row["cause"] for row in stage.rows()) == ["clock", "standstill"]
    [title] = stage.titles()
    assert "✗ low disk" in title
    assert "✗ wrong clock" in title
    monkeypatch.undo()
    monkeypatch.setenv("PRICETRACKER_EXCHANGES__SIMULATED__URL", stage.bench.exchange.url)
    note_clock(stage.bench.settings.state, "SIMULATED", 0.0, stage.now)


def test_what_cannot_be_read_hides_nothing_else(stage: Stage) -> None:
    def unreadable() -> tuple[Sequence[Sign], datetime | None]:
        raise RuntimeError("database disk image is malformed\nmore")

    log = stage.bench.settings.folder / "minute_prices" / "_delta_log"
    for commit in log.glob("*.json"):
        commit.write_text("{")
    found = look(load_settings(), stage.now + timedelta(minutes=9), unreadable)
    assert not found.well
    [trouble] = found.troubles
    assert "cannot be read: database disk image is malformed" in trouble
    assert "the table minute_prices is damaged" in found.still[STORAGE].reason  # once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"KRAKEN": {"ahead": 12.5, "measured_at": "2026-03-03T12:00:00+00:00"}}', {"KRAKEN": 12.5}),
        ('{"KRAKEN": {"ahead": 12.5, "measured_at": "2026-03-03T14:00:00+00:00"}}', {}),
        ('{"KRAKEN": {"ahead": 12.5, "measured_at": "2026-03-03T11:40:00+00:00"}}', {}),
        ('{"KRAKEN": {"ahead": "x", "measured_at": "2026-03-03T12:00:00+00:00"}}', {}),
        ('{"KRAKEN": {"ahead": 1, "measured_at": "2026-03-03T12:00:00"}}', {}),
        ('{"KRAKEN": 5}', {}),
        ("[]", {}),
        ("{", {}),
        ("", {}),
    ],
)
def test_a_measured_clock_counts_while_it_is_fresh(tmp_path: Path, text: str, expected: dict[str, float]) -> None:
    (tmp_path / "clock.json").write_text(text)
    now = datetime(2026, 3, 3, 12, 5, tzinfo=UTC)
    assert clock_differences(tmp_path, now) == expected
    note_clock(tmp_path, "OTHER", -3.0, now)
    assert clock_differences(tmp_path, now) == {**expected, "OTHER": -3.0}


def watching(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> tuple[Watch, list[str], list[str], list[float]]:
    """A watch as `up` runs it: what it says, what it asks to restart, and its clock that nobody sets."""
    said: list[str] = []
    asked: list[str] = []
    monotonic = [1000.0]
    monkeypatch.setattr("pricetracker_dagster.local.watching.signs", lambda *_: stage.signs())
    monkeypatch.setattr("pricetracker_dagster.local.watching.bring_back", lambda *_: ["every_minute"])
    watch = Watch(
        said.append, asked.append, now=lambda: stage.now, monotonic=lambda: monotonic[0], answers=lambda _: True
    )
    return watch, said, asked, monotonic


def test_the_part_concerned_is_started_anew_and_more_of_it_where_that_did_not_help(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, said, asked, monotonic = watching(stage, monkeypatch)
    restarts: list[tuple[int, str]] = []
    for second in range(0, 16 * 60, 20):
        monotonic[0] += 20
        stage.bench.now += timedelta(seconds=20)
        watch.once(goes_on=True)
        if len(asked) > len(restarts):
            restarts += [(second + 20, part) for part in asked[len(restarts) :]]
    assert [part for _, part in restarts] == ["daemon", "code", "daemon", "code", "daemon"]
    first, second, *_, third = sorted({at for at, _ in restarts})
    assert 180 <= first <= 220
    assert second - first == 180
    assert third - second == 360
    assert any("restarting daemon: no sign of life for more than 3 minutes" in line for line in said)
    assert len([line for line in said if line.startswith("standstill:")]) == 1


def test_what_a_person_has_switched_off_is_told_and_nothing_is_started_anew_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, said, asked, monotonic = watching(stage, monkeypatch)
    stage.failing = [Sign("the sensor heartbeat", stage.now, "it is switched off in the Dagster UI", is_off=True)]
    for _ in range(6):
        monotonic[0] += 50
        stage.alive = stage.bench.now = stage.now + timedelta(seconds=50)
        store_minutes(stage.bench)
        watch.once(goes_on=True)
    assert any("the sensor heartbeat (last at 2026-03-03 12:00:05 UTC: it is switched off" in line for line in said)
    assert asked == []


def test_the_same_stillness_is_said_again_when_it_comes_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, said, _, monotonic = watching(stage, monkeypatch)
    free = [10**12]
    monkeypatch.setattr(watch_standstill, "free_bytes", lambda _: free[0])
    for bytes_ in (10**12, 1000, 900, 10**12, 1000):
        free[0] = bytes_
        monotonic[0] += 10
        watch.once(goes_on=True)
    low = "standstill: less than watch.free_disk_mb = 1 MB of disk are free"
    assert [line[: len(low)] for line in said if "disk" in line] == [low, f"over: {low}"[: len(low)], low]


def test_a_silent_code_server_is_the_part_concerned(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, _, asked, monotonic = watching(stage, monkeypatch)
    watch.answers = lambda _: False
    for _ in range(20):
        monotonic[0] += 10
        stage.bench.now += timedelta(seconds=10)
        watch.once(goes_on=True)
    assert asked == ["code"]


def test_a_clock_that_went_back_has_the_daemon_started_anew_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, said, asked, monotonic = watching(stage, monkeypatch)
    watch.once(goes_on=True)
    monotonic[0] += 10
    stage.ahead = stage.now
    stage.bench.now -= timedelta(hours=2)
    watch.once(goes_on=True)
    assert asked == ["daemon"]
    assert any("the clock went back: every_minute would have waited" in line for line in said)
    [row] = stage.rows()
    assert row["cause"] == "standstill"
    assert "it went back" in row["reason"]


def test_a_clock_set_forward_and_a_machine_that_slept_restart_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, _, asked, monotonic = watching(stage, monkeypatch)
    watch.once(goes_on=True)
    for elapsed, passed in ((10, 3600), (600, 600), (10, 10)):
        monotonic[0] += elapsed
        stage.bench.now += timedelta(seconds=passed)
        watch.once(goes_on=True)
    assert asked == []


def test_it_says_once_that_the_schedule_is_evaluated_or_what_is_wrong(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for lives in (True, False):
        watch, said, _, monotonic = watching(stage, monkeypatch)
        stage.alive = stage.now - timedelta(hours=1)
        watch.answers = lambda _: False
        for second in range(0, 160, 10):
            monotonic[0] += 10
            stage.bench.now += timedelta(seconds=10)
            if lives and second == 50:
                stage.alive = stage.now
            watch.once(goes_on=True)
        assert any("the schedule every_minute is evaluated" in line for line in said) == lives
        assert any(line.startswith("no schedule was evaluated within two minutes") for line in said) != lives


def test_what_is_wrong_names_the_code_server_and_a_proxy() -> None:
    signs = [Sign("the daemon", None), Sign("the schedule every_minute", None, "Unable to reach it")]
    said = wrong(signs, False, {"https_proxy": "http://user:secret@127.0.0.1:9"})
    assert "the schedule every_minute: Unable to reach it" in said
    assert "the code server does not answer" in said
    assert "a proxy is set (https_proxy)" in said
    assert "secret" not in said


def test_the_command_looks_once_and_ends_with_1_where_something_stands_still(stage: Stage) -> None:
    looked = CliRunner().invoke(main, ["watch"])
    assert looked.exit_code == 1
    assert "standstill: no sign of life for more than 3 minutes: the daemon (never yet)" in looked.output
    assert "standstill" in {row["cause"] for row in stage.rows()}
    assert len(stage.titles()) == 1
    again = CliRunner().invoke(main, ["watch"])
    assert again.exit_code == 1
    assert "no sign of life" in again.output
    assert len(stage.titles()) == 1


def test_on_a_folder_that_is_not_there_it_says_so_and_makes_none(
    write_settings: Callable[[str], Path], tmp_path: Path
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n')
    looked = CliRunner().invoke(main, ["watch"])
    assert looked.exit_code == 1
    assert "nothing has run yet" in looked.output
    assert not (tmp_path / "data").exists()


def commits_of(delta: Delta) -> list[Path]:
    """Return the commits of a table, oldest first; one that has none gets one."""
    delta.open_or_create()
    return sorted((delta.path / "_delta_log").glob("*.json"))


def tear(folder: Path, table: str) -> None:
    """Cut the newest commit of a table."""
    newest = commits_of(
        store_in(folder).prices if table == "minute_prices" else getattr(store_in(folder).records, table)
    )[-1]
    newest.write_bytes(newest.read_bytes()[:200])


def mend(stage: Stage) -> None:
    assert not repair.repair(stage.bench.store, stage.now, [], lambda: None).left


def test_what_is_stored_and_cannot_be_published_is_told_with_why_and_published_as_soon_as_it_can_be(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_standstill, "PUBLISH_PATIENCE", 0.1)
    store = stage.bench.store
    publish(store, ["SIMULATED:BTCUSD"], now=stage.now)
    with locked(store.folder.state / "publish.lock", Deadline.after(5)):  # as a process does that was stopped at it
        for minutes in (3, 2):
            stage.bench.now += timedelta(minutes=minutes)
            store_minutes(stage.bench)
            still = stage.passes().still
        assert list(still) == [PUBLICATION]
    [row] = stage.rows()
    assert (row["state"], row["cause"]) == ("open", "not published")
    assert "what is published ends at 2026-03-03 11:59:00 UTC" in row["reason"]
    assert f"another process has held {store.folder.state / 'publish.lock'}" in row["reason"]
    assert stage.titles() == ["✗ stale publication"]
    assert stage.passes(seconds=10).well
    assert stage.titles() == ["✗ stale publication", "✓ stale publication over"]
    assert covered(store.folder.published) == stage.bench.minute


def test_a_published_file_that_cannot_be_read_is_published_anew(stage: Stage) -> None:
    stage.bench.store.folder.published.write_bytes(b"no database")
    assert stage.passes(seconds=1).well
    assert covered(stage.bench.store.folder.published) == stage.bench.minute


@pytest.mark.parametrize("table", ["minute_prices", "alerts", "causes"])
def test_a_damaged_table_is_an_incident_told_once_and_told_when_mended(stage: Stage, table: str) -> None:
    tear(stage.bench.settings.folder, table)
    for _ in range(3):
        assert list(stage.passes(seconds=10).still) == [STORAGE]
    [row] = stage.rows()
    assert (row["state"], row["cause"]) == ("open", "standstill")
    assert f"the table {table} is damaged: _delta_log/" in row["reason"]
    assert "Run `pricetracker --simulated repair`" in row["reason"]
    assert stage.titles() == ["✗ damaged data"]
    mend(stage)
    for _ in range(2):
        assert not stage.passes(seconds=10).still
    assert stage.titles() == ["✗ damaged data", "✓ damaged data over"]


def test_sensors_that_fail_over_a_damaged_table_and_minutes_that_do_not_come_are_told_as_that_alone(
    stage: Stage,
) -> None:
    tear(stage.bench.settings.folder, "minute_prices")
    stage.failing = [Sign("the sensor spike_alerts", stage.now, "StoreError: the table minute_prices is damaged")]
    for _ in range(3):
        assert list(stage.passes(minutes=2).still) == [STORAGE]
    mend(stage)
    for _ in range(2):
        assert not stage.passes(seconds=10).still  # they are evaluated again within a minute
    assert stage.titles() == ["✗ damaged data", "✓ damaged data over"]


@pytest.mark.parametrize("table", ["incidents", "deliveries"])
def test_damaged_tables_of_alarms_are_told_although_that_cannot_be_recorded(stage: Stage, table: str) -> None:
    tear(stage.bench.settings.folder, table)
    for _ in range(3):
        assert not stage.passes(seconds=10).well
    assert stage.titles() == ["✗ damaged data: no alarms"]
    [line] = stage.webhook.posted[0].lines
    assert f"the table {table} is damaged" in line
    stage.passes(minutes=59)
    assert len(stage.titles()) == 1
    stage.passes(minutes=1)
    assert len(stage.titles()) == 2  # a reminder an hour
    mend(stage)
    for _ in range(3):
        stage.passes(seconds=10)
    assert "✓ alarms again" in stage.titles()
    assert len([title for title in stage.titles() if title == "✓ alarms again"]) == 1


def test_a_data_file_that_is_gone_is_told_too(stage: Stage) -> None:
    [file, *_] = open_store(stage.bench.settings).prices.files()
    Path(file).unlink()
    stage.passes(seconds=10)
    [row] = stage.rows()
    assert Path(file).name in row["reason"]
    assert stage.titles() == ["✗ damaged data"]


def test_a_message_that_no_channel_took_is_sent_again_until_one_does(stage: Stage) -> None:
    tear(stage.bench.settings.folder, "deliveries")
    stage.webhook.behaviour = {"/": "500"}
    assert any("did not take the message" in trouble for trouble in stage.passes(seconds=10).troubles)
    stage.webhook.behaviour = {}
    stage.passes(seconds=10)  # after a pause
    stage.passes(seconds=50)
    stage.passes(seconds=10)
    assert stage.titles() == ["✗ damaged data: no alarms"] * 2


def test_a_channel_that_takes_nothing_neither_repeats_nor_silences_what_others_are_told(
    stage: Stage, write_settings: Callable[[str], Path]
) -> None:
    text = config_file().read_text()
    write_settings(text.replace("channels = [", f'channels = ["{stage.webhook.channel("/broken")}", '))
    stage.webhook.behaviour = {"/broken": "500"}
    stage.passes(seconds=1)
    [newest, *_] = commits = commits_of(open_store(stage.bench.settings).records.incidents)
    assert len(commits) == 1
    whole = newest.read_bytes()

    def told() -> list[str]:
        return [posted.title for posted in stage.webhook.to("/") if "alarms" in posted.title]

    for _ in range(2):  # the second time is told as well
        newest.write_bytes(whole[:40])
        before = len(told())
        for _ in range(3):
            stage.passes(seconds=10)
        newest.write_bytes(whole)
        for _ in range(8):
            stage.passes(seconds=20)
        assert told()[before:] == ["✗ damaged data: no alarms", "✓ alarms again"]
    assert 2 <= len(stage.webhook.to("/broken")) <= 8  # after pauses


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"told_at": {"x": 5}, "tried_at": []}', '{"told_at": "2026-03-03T10:00"}']
)
def test_what_was_told_and_cannot_be_read_any_more_counts_as_not_told(stage: Stage, text: str) -> None:
    stage.bench.store.folder.state.mkdir(exist_ok=True)
    (stage.bench.store.folder.state / "told_unrecorded.json").write_text(text)
    tear(stage.bench.settings.folder, "incidents")
    stage.passes(seconds=10)
    assert stage.titles() == ["✗ damaged data: no alarms"]


def test_what_an_earlier_version_has_told_ends_too(stage: Stage) -> None:
    stage.bench.store.folder.state.mkdir(exist_ok=True)
    kept = stage.bench.store.folder.state / "told_unrecorded.json"
    kept.write_text(json.dumps({"told_at": stage.now.isoformat()}))
    for _ in range(2):
        stage.passes(seconds=10)
    assert stage.titles() == ["✓ alarms again"]
    assert not kept.exists()


def test_a_message_told_by_a_clock_that_was_ahead_silences_none(stage: Stage) -> None:
    tear(stage.bench.settings.folder, "incidents")
    stage.passes(hours=3)
    stage.passes(hours=-3)
    assert stage.titles() == ["✗ damaged data: no alarms"] * 2
