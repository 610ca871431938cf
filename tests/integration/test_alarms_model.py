"""Stories of alarms on real tables and webhooks, told by hand and at random, against the model of alarms_model.py.

Alerts must be as the model has them. Who is out, and what is missing, must agree with what is stored. Of each change of
an alert or an incident one message must be told, to whom it is due and not before its time, and whatever is killed or
fails in between, each channel must get each of its messages, and none of another.

MODEL_STORIES tells how many random stories are tried, instead of a few that are always the same.
"""

import copy
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from pricetracker_dagster.alerts import watch
from pricetracker_dagster.alerts.delivery import lines
from pricetracker_dagster.alerts.operators import actions
from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import CONFIG_VARIABLE, channel_name, load_settings
from pricetracker_dagster.store.records import RecordTable, Row
from pricetracker_dagster.store.tracked import note_tracked
from tests.integration.alarms_model import (
    BACK_AFTER,
    CALM,
    GRACE,
    MAX_AGE,
    METRICS,
    PATHS,
    Alert,
    Choices,
    Judge,
    Message,
    Silence,
    at,
)
from tests.integration.test_watch import NOON, Watch
from tests.quick import examples
from tests.webhook import Webhook

STORIES = int(os.environ.get("MODEL_STORIES", "0"))

LONGEST_PAUSE = 5
"""Minutes until a channel that failed is tried again."""


class Killed(BaseException):
    """The process is killed here."""


VALUES = st.tuples(*(st.sampled_from([CALM, CALM, CALM, CALM, 40, 400, 4000, None, "failed"]) for _ in METRICS))
LOOKS = st.sampled_from(["both", "both", "both", "both", "prices", "minutes", "none"])


class Story(RuleBasedStateMachine):
    """One data folder, whatever happens to it."""

    hook: Webhook
    folder: Callable[[], Path]
    monkeypatch: pytest.MonkeyPatch

    def __init__(self) -> None:
        super().__init__()
        self.path = self.folder() / "pricetracker.toml"
        self.monkeypatch.setenv(CONFIG_VARIABLE, str(self.path))
        self.choices = Choices()
        self.path.write_text(self.choices.written(self.hook), encoding="utf-8")
        self.watch = Watch(load_settings)
        self.hook.behaviour.clear()
        self.stored: dict[tuple[str, int], int] = {}
        self.newest = -1
        self.now = at(0)
        self.judge = Judge()
        self.since = self._tracked()
        self.told: dict[str, list[Message]] = {}
        self.told_out: dict[str, set[str]] = {}
        self.missed_once: dict[str, set[int]] = {metric: set() for metric in METRICS}
        self.noted: dict[str, set[int]] = {metric: set() for metric in METRICS}
        self.all_listed_always = True
        self.silences: list[Silence] = []
        self.acknowledged: dict[str, datetime] = {}
        self.crash_at: tuple[int, bool] | None = None
        self.names = {path: channel_name(self.hook.channel(path)) for path in PATHS}
        self.good_since = dict.fromkeys(PATHS, self.now)
        self.accepted: dict[str, Counter[str]] = {path: Counter() for path in PATHS}
        self.sent_twice: dict[str, Counter[str]] = {path: Counter() for path in PATHS}
        self.store({(metric, minute): CALM for metric in METRICS for minute in range(-10, 0)})
        self.now = at(0) + timedelta(seconds=3)
        self.judge.seen = dict(self.stored)  # the first look takes what is there for the past
        self.watch.cursor = watch.watch_prices(self.watch.settings, self.now, None).cursor
        self.look_at_minutes()

    # What happens

    @rule(values=VALUES, looks=LOOKS)
    def a_minute(self, values: tuple[int | str | None, ...], looks: str) -> None:
        """A minute passes, which happens more often than all else."""
        self.pass_minute(values, looks)

    @rule(values=VALUES, looks=LOOKS)
    def another_minute(self, values: tuple[int | str | None, ...], looks: str) -> None:
        self.pass_minute(values, looks)

    @rule(values=VALUES, looks=LOOKS)
    def one_more_minute(self, values: tuple[int | str | None, ...], looks: str) -> None:
        self.pass_minute(values, looks)

    @rule(values=VALUES, count=st.integers(3, 6))
    def minutes_alike(self, values: tuple[int | str | None, ...], count: int) -> None:
        """Some minutes pass before anybody looks."""
        for _ in range(count - 1):
            self.pass_minute(values, "none")
        self.pass_minute(values, "both")

    def pass_minute(self, values: tuple[int | str | None, ...], looks: str) -> None:
        """Let a minute pass: what came of each metric, and who looks."""
        self.newest += 1
        self.now = at(self.newest + 1) + timedelta(seconds=3)
        came = dict(zip(METRICS, values, strict=True))
        self.store(
            {
                (metric, self.newest): value
                for metric, value in came.items()
                if isinstance(value, int) and metric in self.choices.metrics
            }
        )
        failed = [metric for metric in self.choices.metrics if came[metric] == "failed"]
        if failed:
            self.watch.fail(self.newest, failed)
            for metric in failed:
                self.noted[metric].add(self.newest)
        self.look(looks)

    @rule(
        metric=st.sampled_from(METRICS),
        ago=st.integers(1, 12),
        length=st.integers(1, 3),
        value=st.sampled_from([CALM, 40, 400, 5000]),
    )
    def late_or_corrected(self, metric: str, ago: int, length: int, value: int) -> None:
        """Minutes of a while ago come late, or are found to have been different."""
        first = self.newest - ago
        self.store({(metric, minute): value for minute in range(first, first + length) if minute <= self.newest})
        self.later(20)
        self.look("both")

    @rule(minutes=st.sampled_from([2, 4, 7, 12, 70]), filled=st.sampled_from([True, True, False]))
    def the_machine_is_off(self, minutes: int, filled: bool) -> None:
        """Nobody is there for a while; what was missed may be fetched afterwards."""
        first = self.newest + 1
        if at(first + minutes) > NOON + timedelta(hours=18):
            return  # what is older than a day is another story
        self.newest += minutes
        self.now = at(self.newest + 1) + timedelta(seconds=3)
        if filled:
            missed = range(first, self.newest + 1)
            self.store({(metric, minute): CALM for metric in self.choices.metrics for minute in missed})
        self.look("both")

    @rule(path=st.sampled_from(PATHS), how=st.sampled_from(["ok", "ok", "500", "close"]))
    def a_channel_changes(self, path: str, how: str) -> None:
        """A channel fails, or takes messages again."""
        if how == "ok" != self.hook.behaviour.get(path, "ok"):
            self.good_since[path] = self.now
        self.hook.behaviour[path] = how

    @rule(
        pattern=st.sampled_from(["KRAKEN:*", *METRICS]),
        minutes=st.sampled_from([2, 5, 20]),
        rule=st.sampled_from([None, None, "spike"]),
    )
    def somebody_silences(self, pattern: str, minutes: int, rule: str | None) -> None:
        """Somebody keeps messages back."""
        self.later(1)
        until = self.now + minutes * MINUTE
        row = actions.silence(self.watch.settings, pattern, until, self.now, rule=rule, reason=None, who="ada")
        self.silences.append(Silence(row["id"], pattern, rule, until))

    @rule(which=st.integers(0, 5))
    def somebody_ends_a_silence(self, which: int) -> None:
        """Somebody has enough of a silence."""
        self.later(1)
        in_force = [silence for silence in self.silences if silence.until > self.now]
        if in_force:
            ended = in_force[which % len(in_force)]
            actions.end_silence(self.watch.settings, ended.id, self.now, who="bob")
            ended.until = self.now

    @rule(which=st.integers(0, 5))
    def somebody_acknowledges(self, which: int) -> None:
        """Somebody looks after something."""
        self.later(1)
        rows = [*self.watch.alerts(), *self.watch.incidents()]
        ids = sorted(row["id"] for row in rows if row["state"] in ("firing", "open"))
        if ids:
            own = ids[which % len(ids)]
            refused = ""
            try:
                actions.acknowledge(self.watch.settings, own, self.now, who="ada", note=None)
            except actions.OperatorError as error:
                refused = str(error)
            if refused:
                assert own in self.acknowledged
                assert "acknowledged already" in refused
            else:
                self.acknowledged[own] = self.now

    @rule(
        what=st.one_of(
            st.tuples(st.just("repeat"), st.sampled_from([0, 2, 4, 30])),
            st.tuples(st.just("factor"), st.sampled_from([2, 3, 6])),
            st.tuples(st.just("resolve_after"), st.sampled_from([2, 3, 5])),
            st.tuples(st.just("lasting"), st.booleans()),
            st.tuples(st.just("paths"), st.sampled_from([PATHS, PATHS, PATHS[:1], PATHS[1:], ()])),
            st.tuples(st.just("metrics"), st.sampled_from([METRICS, METRICS[:4], METRICS[1:], METRICS])),
        )
    )
    def settings_are_edited(self, what: tuple[str, Any]) -> None:
        """Somebody edits the settings; the next tick meets a new list of metrics."""
        name, value = what
        if name == "paths":
            for path in {*value} - {*self.choices.paths}:
                self.good_since[path] = self.now
        self.all_listed_always &= name != "metrics" or value == self.choices.metrics
        self.choices = Choices(**{**self.choices.__dict__, name: value})
        self.path.write_text(self.choices.written(self.hook), encoding="utf-8")
        self.since = self._tracked()

    @rule(number=st.integers(1, 4), after=st.booleans())
    def the_next_look_is_killed(self, number: int, after: bool) -> None:
        """The process that looks next is killed as it writes a table for the n-th time: before or after."""
        self.crash_at = number, after

    # What is done about it

    def store(self, prices: Mapping[tuple[str, int], int]) -> None:
        """Store minutes, in one answer of the exchange."""
        self.watch.put_prices(prices)
        self.stored |= prices

    def later(self, seconds: int) -> None:
        """Let seconds pass within the minute."""
        self.now = min(self.now + timedelta(seconds=seconds), at(self.newest + 2) - timedelta(seconds=1))

    def _tracked(self) -> dict[str, int]:
        since = note_tracked(self.watch.settings.state, self.choices.metrics, at(self.newest + 1))
        return {metric: (moment - NOON) // MINUTE for metric, moment in since.items()}

    def look(self, looks: str) -> None:
        """Look as the sensors do."""
        if looks in ("both", "prices"):
            self.look_at_prices()
        if looks in ("both", "minutes"):
            self.later(1)
            self.look_at_minutes()

    def look_at_prices(self) -> None:
        """Look at the prices, and compare."""
        before = copy.deepcopy(self.judge)
        outages = {
            row["metrics"][0].partition(":")[0]: row["id"]
            for row in self.watch.incidents()
            if row["state"] == "open" and row["exchange"] and 2 * len(row["out"]) > len(row["metrics"])
        }
        self.judge.look(self.stored, self.since, self.choices, self.newest, self.now)
        killed = self._run("alerts", lambda: watch.watch_prices(self.watch.settings, self.now, self.watch.cursor))
        if killed == "lost":
            self.judge = before
        else:
            known = {alert.id: alert for alerts in before.alerts.values() for alert in alerts}
            for (name, metric), alerts in self.judge.alerts.items():
                for alert in alerts:
                    self._tell_of_alert(known.get(alert.id), alert, name, metric, outages)
            if killed:
                self.judge.seen = before.seen
        self._compare_alerts()
        self._compare_messages()

    def look_at_minutes(self) -> None:
        """Look at the minutes, and compare."""
        before = {row["id"]: row for row in self.watch.incidents()}
        killed = self._run("incidents", lambda: watch.watch_minutes(self.watch.settings, self.now))
        if killed != "lost":
            for row in self.watch.incidents():
                self._tell_of_incident(before.get(row["id"]), row)
            self._compare_incidents()
        self._compare_messages()

    def _run(self, fact: str, look: Callable[[], SensorOutcome]) -> str:
        """Look, and say whether it was killed: ``lost`` before what it found was recorded, ``kept`` after that."""
        crash, self.crash_at = self.crash_at, None
        posted = len(self.hook.posted)
        done: list[str] = []
        killed = ""
        put = RecordTable.upsert

        def counting(table: RecordTable, rows: Sequence[Row], **how: Any) -> Any:
            name = Path(table.path).name
            if crash == (len(done) + 1, False):
                raise Killed(name)
            done.append(name)
            answer = put(table, rows, **how)
            if crash == (len(done), True):
                raise Killed(name)
            return answer

        with self.monkeypatch.context() as patch:
            patch.setattr(RecordTable, "upsert", counting)
            try:
                watched = look()
            except Killed as error:
                is_kept = fact in done or str(error) == "deliveries"
                killed = "kept" if is_kept else "lost"
            else:
                if fact == "alerts":
                    self.watch.cursor = watched.cursor
                assert watched.troubles == []
        for post in self.hook.posted[posted:]:
            if self.hook.behaviour.get(post.path, "ok") == "ok":
                lines = [line for line in post.lines if not line.startswith("http")]
                self.accepted[post.path].update(lines)
                if killed:  # it could not be noted
                    self.sent_twice[post.path].update(lines)
        self._was_killed = bool(killed)
        return killed

    # What is told

    def _held(self, metrics: Sequence[str], name: str | None) -> str | None:
        """Return the silence that covers each of some metrics: the one that ends first of the last of each."""
        found = []
        for metric in metrics:
            own = [s for s in self.silences if s.until > self.now and s.is_of(metric, name)]
            if not own:
                return None
            found.append(max(own, key=lambda s: (s.until, s.id)))
        return f"silence {min(found, key=lambda s: s.until).id}" if found else None

    def _say(self, fact: str, event: str, held: str | None, channels: frozenset[str] | None = None) -> None:
        told = self.told.setdefault(fact, [])
        times = 1 + sum(message.event.split(" ")[0] == event for message in told)
        if channels is None:
            channels = self._channels
        told.append(
            Message(
                f"{event} {times}" if times > 1 or event == "reminder" else event,
                frozenset() if held else channels,
                held,
                self.now,
            )
        )

    @property
    def _channels(self) -> frozenset[str]:
        return frozenset(self.names[path] for path in self.choices.paths)

    def _say_end(self, fact: str, held: str | None) -> None:
        """Tell the end to whoever has heard of it, and to all that are set; where nobody has, to nobody."""
        told = self.told.get(fact, [])
        starts = [i for i, message in enumerate(told) if message.event.split(" ")[0] in ("firing", "opened")]
        heard: frozenset[str] = frozenset().union(*(message.channels for message in told[starts[-1] :]))
        if heard and held and held.startswith("incident "):  # who has heard of it hears its end, also in an outage
            held = None
        self._say(fact, "resolved", held, self._channels | heard if heard else frozenset())

    def _say_what_is_due(self, fact: str, held: str | None, was_held: str | None, began: datetime) -> None:
        told = self.told.setdefault(fact, [])
        if held:
            return
        if was_held:
            self._say(fact, "still", None)
        elif self.acknowledged.get(fact, NOON - timedelta(days=1)) < began and self.choices.repeat and told:
            due = set()
            for channel in self._channels:
                own = [message.moment for message in told if channel in message.channels]
                if self.now - max(own or [message.moment for message in told]) >= self.choices.repeat * MINUTE:
                    due.add(channel)
            if due:
                self._say(fact, "reminder", None, frozenset(due))

    def _tell_of_alert(
        self, before: Alert | None, after: Alert, name: str, metric: str, outages: Mapping[str, str]
    ) -> None:
        held = self._held([metric], name)
        if held is None and "KRAKEN" in outages:
            held = f"incident {outages['KRAKEN']}"
        count = len(self.told.get(after.id, ()))
        if after.sent:
            fires = before is None or not before.sent or before.fired_at != after.fired_at
            fires |= before is not None and before.is_over and after.state == "firing"
            if fires:
                self._say(after.id, "firing", held)
            if after.is_over and (fires or (before and not before.is_over)):
                self._say_end(after.id, held)
            if after.state == "firing" and count == len(self.told.get(after.id, ())):
                assert after.fired_at
                self._say_what_is_due(after.id, held, before.held if before else None, after.fired_at)
        if after.state == "firing":
            after.held = held

    def _tell_of_incident(self, before: Row | None, after: Row) -> None:
        own, out = after["id"], set(after["out"])
        held = self._held(sorted(out or after["metrics"]), None)
        count = len(self.told.get(own, ()))
        if before is None:
            self._say(own, "opened", held)
            self.told_out[own] = out
        elif out:
            told_out = self.told_out[own]
            news = [m.moment for m in self.told[own] if not m.event.startswith("reminder")]
            joined, backs = out - told_out, sum(m.event.startswith("back") for m in self.told[own])
            often = joined <= {*before["metrics"]}  # who comes and goes is told half as often each time
            if self.now - max(news) >= (min(2 ** max(0, backs - 1), 60) if often else 1) * MINUTE:
                if joined:
                    self._say(own, "joined", held)
                    self.told_out[own] = told_out | out
                elif 2 * len(told_out - out) >= len(told_out):
                    self._say(own, "back", held)
                    self.told_out[own] = out
        if after["flaps"] and not (before and before["flaps"]):
            self._say(own, "flapping", held)
        if not out and (before is None or before["state"] == "open"):
            self._say_end(own, held)
        elif out and count == len(self.told[own]):
            self._say_what_is_due(own, held, before["held_by"] if before else None, after["opened_at"])

    # What must agree

    def _compare_alerts(self) -> None:
        """States, counts and reasons of the alerts."""
        expected = {
            alert.id: (
                alert.state,
                at(alert.first),
                at(alert.last) if alert.because != "corrected" else None,
                len(alert.above),
                alert.because,
                alert.sent,
                alert.held if alert.state == "firing" else None,
                pytest.approx(float(alert.ratio)),
            )
            for alerts in self.judge.alerts.values()
            for alert in alerts
        }
        found = {
            row["id"]: (
                row["state"],
                row["minute"],
                row["last_minute"] if row["ended_because"] != "corrected" else None,
                row["minutes"],
                row["ended_because"],
                row["sent"],
                row["held_by"] if row["state"] == "firing" else None,
                row["peak_ratio"],
            )
            for row in self.watch.alerts()
        }
        assert found == expected

    def _compare_incidents(self) -> None:
        """Who is out, what is missing and how it is counted, by what is stored."""
        rows = self.watch.incidents()
        absent: dict[str, set[int]] = {}
        for metric in self.choices.metrics:
            gaps = {m for m in range(self.since[metric], self.newest + 1) if (metric, m) not in self.stored}
            absent[metric] = {m for m in gaps if m <= self.newest - GRACE or m in self.noted[metric]}
            noted = {m for m in self.noted[metric] if m >= self.since[metric]}
            self.missed_once[metric] |= absent[metric] | noted
            named = [row for row in rows if metric in row["out"]]
            assert len(named) <= 1, f"{metric} is out in two"
            if any(m + BACK_AFTER > self.newest for m in absent[metric] | noted):
                assert len(named) == 1, f"{metric} is out in none"
            if named:
                left_open = [
                    m
                    for m in self.missed_once[metric]
                    if m + BACK_AFTER > self.newest
                    or any((metric, later) not in self.stored for later in range(m + 1, m + BACK_AFTER + 1))
                ]
                assert left_open, f"{metric} is not out"
            for minute in absent[metric]:
                covering = [r for r in rows if metric in r["metrics"] and r["first"] <= at(minute) <= r["last"]]
                assert covering, f"{metric} {minute} is in none"
        for row in rows:
            assert (row["state"] == "open") == bool(row["out"])
            assert 1 <= row["count"] <= (row["last"] - row["first"]) // MINUTE + 1
            assert {*row["out"]} <= {*row["metrics"]} & {*self.choices.metrics}
        if self.all_listed_always:
            assert sum(row["missing"] for row in rows) == sum(map(len, absent.values()))

    def _compare_messages(self) -> None:
        """Each message is one of a fact, each once, in order; and what channels took is what they are owed."""
        rows = self.watch.records.messages.rows()
        facts = {row["id"]: row for row in (*self.watch.alerts(), *self.watch.incidents())}
        counting = [
            row for row in rows if row["number"] <= (facts[row["fact"]]["transitions"] if row["fact"] in facts else 0)
        ]
        found: dict[str, list[Message]] = {}
        for row in sorted(counting, key=lambda row: (row["fact"], row["number"])):
            assert row["number"] == len(found.setdefault(row["fact"], [])) + 1
            found[row["fact"]].append(
                Message(row["event"], frozenset(row["channels"]), row["held_by"], row["recorded_at"])
            )
        for fact, told in self.told.items():
            for message, expected in zip(found.get(fact, []), told, strict=False):
                if expected.held is None and not expected.channels:  # at an end: what kept the beginning back
                    assert (message.event, message.channels) == (expected.event, expected.channels)
                else:
                    assert message == expected
        assert {fact: len(told) for fact, told in found.items()} == {
            fact: len(told) for fact, told in self.told.items() if told
        }
        summaries = [row for row in rows if row["subject"] == "summary"]
        owed = [*counting, *summaries]
        for path, name in self.names.items():
            to_it = Counter(row["text"] for row in owed if name in row["channels"])
            surplus = self.accepted[path] - to_it - self.sent_twice[path]
            assert not surplus, f"{path} was told what it is not owed, or twice"
            is_good = path in self.choices.paths and self.hook.behaviour.get(path, "ok") == "ok"
            if is_good and not self._was_killed and self.now - self.good_since[path] > LONGEST_PAUSE * MINUTE:
                lacking = to_it - self.accepted[path]
                for row in owed:
                    if name in row["channels"] and lacking[row["text"]]:
                        assert self._is_old_news(row, owed, name), f"{path} was never told: {row['text']}"

    def _is_old_news(self, row: Row, owed: Sequence[Row], name: str) -> bool:
        """Say whether what came after it says all."""
        later = [each for each in owed if each["fact"] == row["fact"] and each["number"] > row["number"]]
        later = [each for each in later if name in each["channels"]]
        if row["event"].startswith("reminder") and later:
            return True
        is_old = self.now - row["recorded_at"] > MAX_AGE * MINUTE
        return is_old and any(each["event"].startswith("resolved") for each in later)

    def teardown(self) -> None:
        """In the end all is well, and everybody has heard of it."""
        self.crash_at = None
        for path in PATHS:
            self.a_channel_changes(path, "ok")
        self.settings_are_edited(("paths", PATHS))
        for _ in range(4):
            self.the_machine_is_off(7, filled=True)
        assert [row["id"] for row in self.watch.alerts() if row["state"] != "resolved"] == []
        assert [row["id"] for row in self.watch.incidents() if row["state"] != "resolved"] == []
        rows = self.watch.records.messages.rows()
        said = Counter(row["fact"] for row in rows if row["subject"] == "summary")
        kept = {row["held_by"] for row in rows if row["held_by"] and row["held_by"].startswith("silence ")}
        assert said == Counter(name for name in kept if self.silences[int(name[9:]) - 1].until <= self.now)


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[], Path]:
    """Make a folder for each story."""

    def numbers() -> Iterator[int]:
        number = 0
        while True:
            yield (number := number + 1)

    numbered = numbers()

    def make() -> Path:
        folder = tmp_path / f"story-{next(numbered)}"
        folder.mkdir()
        return folder

    return make


@pytest.fixture
def story(webhook: Webhook, folders: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> type[Story]:
    """Return what stories are made of."""
    monkeypatch.setattr(watch, "publish", lambda *_, **__: None)  # nobody reads it here, and it takes half of the time
    monkeypatch.setattr(lines, "MAX_LINES", 1000)  # so that each line can be counted

    class Own(Story):
        hook = webhook
        folder = staticmethod(folders)

    Own.monkeypatch = monkeypatch
    return Own


@pytest.mark.long
def test_a_story_in_which_much_goes_wrong(story: type[Story]) -> None:
    it = story()

    def minute(looks: str = "both", **prices: int | str | None) -> None:
        it.pass_minute(tuple(prices.get(metric[7:10].lower(), CALM) for metric in METRICS), looks)

    minute(btc=400, eth=400)
    it.the_next_look_is_killed(1, after=True)  # what is told is written, the alerts are not
    minute(btc=4000, sol=400)
    it.look("prices")
    it.store({("KRAKEN:ETHUSD", 0): CALM})  # corrected, and corrected back
    it.look("prices")
    it.store({("KRAKEN:ETHUSD", 0): 400})
    it.look("prices")
    it.somebody_acknowledges(0)
    it.settings_are_edited(("resolve_after", 5))
    it.settings_are_edited(("repeat", 2))
    it.a_channel_changes("/a", "500")
    it.somebody_silences("KRAKEN:XRPUSD", 20, None)
    minute(xrp=400, ada=400)
    minute(sol="failed", xrp=None)
    it.the_next_look_is_killed(2, after=True)  # the alerts are recorded, nothing is sent
    minute(sol="failed", ada=4000)
    it.somebody_acknowledges(3)
    it.settings_are_edited(("paths", PATHS[:1]))  # who has heard of it hears of its end
    it.somebody_ends_a_silence(0)
    minute()
    it.a_channel_changes("/a", "ok")
    it.store({("KRAKEN:XRPUSD", 3): 400})  # late, beside an alert
    minute("prices", sol=None)
    it.the_next_look_is_killed(3, after=False)  # sent and not noted
    minute("prices")
    minute()
    it.settings_are_edited(("paths", PATHS))
    it.settings_are_edited(("metrics", METRICS[1:]))
    for _ in range(3):
        minute()
    it.teardown()
    events = Counter(message.event.split(" ")[0] for told in it.told.values() for message in told)
    assert {"firing", "resolved", "reminder", "still", "opened"} <= {*events}
    assert any(message.event == "firing 2" for told in it.told.values() for message in told)


def test_what_late_minutes_and_corrections_do_to_alerts_long_over(story: type[Story]) -> None:
    it = story()
    for prices in (
        {("KRAKEN:ETHUSD", -4): 5000, ("KRAKEN:ADAUSD", -2): 400},
        {("KRAKEN:ETHUSD", minute): 5000 for minute in (-11, -10, -9)},  # so far back that the first is too small now
        {("KRAKEN:ADAUSD", minute): 5000 for minute in (-7, -6, -5)},
        {("KRAKEN:ADAUSD", minute): 40 for minute in (-4, -3)},
        {("KRAKEN:ETHUSD", -10): 40},  # it is large again: that is told, and that it was over at once
        {("KRAKEN:ADAUSD", minute): 40 for minute in (-12, -11, -10)},  # none of what is near to what is judged
    ):
        it.store(prices)
        it.look("prices")
    it.teardown()


def test_a_minute_that_was_above_alone_stays_what_it_was_beside_an_alert_that_is_corrected(story: type[Story]) -> None:
    it = story()
    btc = METRICS[0]
    it.pass_minute((4000, CALM, CALM, CALM, CALM), "both")
    it.pass_minute((40, CALM, CALM, CALM, CALM), "both")
    for _ in range(3):
        it.pass_minute((None, CALM, CALM, CALM, CALM), "none")
    for prices in ({(btc, minute): 5000 for minute in (2, 3, 4)}, {(btc, 3): CALM}):
        it.store(prices)
        it.look("prices")
    it.teardown()


def test_whatever_happens_everything_is_told_once_to_everybody_and_agrees(story: type[Story]) -> None:
    run_state_machine_as_test(
        story,
        settings=of_hypothesis(
            max_examples=STORIES or examples(4),
            stateful_step_count=30,
            derandomize=not STORIES,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink] if STORIES else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
