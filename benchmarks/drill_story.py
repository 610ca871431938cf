"""The story of the drill: what happens from step to step, who was told what, and what has to hold."""

import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from benchmarks.drill_faults import CLOCKS, FAULTS, OF_ALL_PAIRS, PROXIES, torn
from benchmarks.drill_holds import burst_without_alert, disk, doubled, outages_left, unalerted
from benchmarks.drill_market import PAIRS, differing
from benchmarks.drill_processes import Reader, Running, Told
from benchmarks.drill_published import as_of, faults_of
from benchmarks.hook import Hook
from pricetracker_dagster.candles.minutes import MINUTE, minutes_between
from pricetracker_dagster.files.data_folder import allowance_file
from pricetracker_dagster.settings import CONFIG_VARIABLE, load_settings
from pricetracker_dagster.simulator import Simulator
from pricetracker_dagster.store.store import open_store

MIDNIGHT = datetime(2026, 3, 3, 0, 0, 5, tzinfo=UTC)
BUDGET, CALM_BUDGET = 2.0, 20.0
"""Seconds of a tick on a bad day, in which what hangs is waited for; and on a calm one."""

LEAPS = (1, 1, 1, 2, 5, 30, 60, 130, 180)
"""Minutes from a tick to the next: the daemon was killed, or the machine was off."""

CALM = (1, 1, 1, *[20] * 6, *[1] * 7)
"""What is missing still is asked for again after a pause of up to 64 minutes; then outages end."""


_LASTS = 0.4
"""Seconds that a process takes, as long as none of its kind has ended; within what it takes it may be killed."""


class Broken(AssertionError):
    """Something does not hold. The message has the story."""


class Story:
    """A folder, an exchange whose clock is turned, a channel, readers, and processes that come and go."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        tell: Callable[[str], object] = lambda _: None,
        *,
        readers: int = 2,
        calm: Sequence[int] = CALM,
    ) -> None:
        """Write the settings; start nothing yet."""
        self.now, self.shift, self.seed = MIDNIGHT, timedelta(0), seed
        self.hook, self.exchange = Hook(), Simulator(clock=lambda: self.now)
        file = folder / "pricetracker.toml"
        metrics = [metric.replace("SIMULATED", "KRAKEN") for metric in PAIRS]
        file.write_text(
            f'simulated = true\ndata = "{folder / "data"}"\nmetrics = {metrics}\n'
            f'[alerts]\nchannels = ["{self.hook.channel("/told")}"]\n',
            encoding="utf-8",
        )
        self.environment = {
            CONFIG_VARIABLE: str(file),
            "PRICETRACKER_EXCHANGES__SIMULATED__URL": self.exchange.url,
            **dict.fromkeys(("no_proxy", "NO_PROXY"), ""),
        }
        with patch.dict(os.environ, self.environment):
            self.settings = load_settings()
            self.store = open_store(self.settings)
        self.budget, self.cursor = CALM_BUDGET, None
        self.on: list[int] = []
        self.bursts: dict[tuple[str, int], int] = {}
        self.told: list[str] = []
        self.to_be_told: set[datetime] = set()
        self.excused: set[datetime] = set()
        self.said: set[datetime] = set()
        self.readers: list[Reader] = []
        self.counts: Counter[str] = Counter()
        self._lasts: dict[str, float] = {}
        self._tell, self._readers, self._calm, self._heard, self._steps = tell, readers, calm, 0, 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start exchange, channel and, once there is something to read, readers."""
        self._stack.enter_context(self.exchange)
        self._stack.enter_context(self.hook)
        return self

    def __exit__(self, *_: object) -> None:
        """End all of it."""
        self._stack.close()

    @property
    def minute(self) -> datetime:
        """The newest closed minute."""
        return self.now.replace(second=0) - MINUTE

    def go(self, days: float) -> None:
        """Tell so many days.

        Raises:
            Broken: something does not hold.
        """
        began = self.minute
        self._step(0)
        self.readers = [Reader(self.store.folder.published) for _ in range(self._readers)]
        for reader in self.readers:
            self._stack.callback(reader.end)
        end = MIDNIGHT + timedelta(days=days)
        while self.now < end:
            dusk = min(end, self.now + timedelta(days=1))
            self.budget = BUDGET
            while self.now < dusk:
                chance = self._chance()
                self._go_on(chance.choice(LEAPS))
                self._go_wrong(chance)
                self._step(1, chance)
            self._calm_down()
            self._check_the_day(began)

    def summary(self) -> str:
        """Say what has happened."""
        happened = ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
        return f"{(self.now - MIDNIGHT) / timedelta(days=1):.1f} days: {happened}; everything holds"

    def _chance(self) -> random.Random:
        return random.Random(f"{self.seed} {self._steps}")  # noqa: S311 - a story to be told again

    def _say(self, what: object) -> None:
        self.told.append(f"{self.now:%d %H:%M} {what}")

    def _go_on(self, minutes: int) -> None:
        """Let time pass in which nothing runs. More than the grace of it is a stillness, of which is to be told."""
        skipped = minutes_between(self.minute + MINUTE, self.minute + (minutes - 1) * MINUTE)
        self.now += minutes * MINUTE
        self._steps += 1
        self.hook.now = self.now
        self._let_pairs_grow_old(minutes)
        if len(skipped) > self.settings.alerts.missed_grace_minutes:
            self.to_be_told.update(skipped)

    def _let_pairs_grow_old(self, minutes: int) -> None:
        """The age of the kept list of pairs, and of a ban, is told by the real clock."""
        allowance_file(self.store.folder.state, "SIMULATED").unlink(missing_ok=True)
        pairs = self.store.folder.state / "simulated_pairs.json"
        with suppress(OSError, ValueError, KeyError, TypeError):  # torn
            kept = json.loads(pairs.read_text())
            asked_at = datetime.fromisoformat(kept["asked_at"]) - minutes * MINUTE
            pairs.write_text(json.dumps({**kept, "asked_at": asked_at.isoformat()}))

    def _go_wrong(self, chance: random.Random) -> None:
        for fault in [each for each in self.on if chance.random() < 0.6]:
            self.exchange.faults.remove(fault)
            self.on.remove(fault)
        if chance.random() < 0.5:
            what = dict(chance.choice(FAULTS))
            if chance.random() < 0.6 and what["kind"] not in OF_ALL_PAIRS:
                what["pair"] = chance.choice(list(PAIRS.values()))
            self.on.append(self.exchange.faults.add(**what).id)
            self.counts["faults"] += 1
            self._say(f"on: {what}")
        if chance.random() < 0.1:
            self._burst(chance.choice(["XBTUSD", "ETHUSD"]))
        self.shift = chance.choice([*[timedelta(0)] * 2 * len(CLOCKS), *CLOCKS])
        if self.shift:
            self.counts["wrong clocks"] += 1
            self._say(f"this machine's clock is wrong by {self.shift}")
        without = {name: value for name, value in self.environment.items() if name not in PROXIES}
        proxies = dict.fromkeys(PROXIES, "http://127.0.0.1:9") if chance.random() < 0.3 else {}
        self.environment = without | proxies  # one that answers nothing: loopback must not care
        if chance.random() < 0.2 and (what_was := torn(self.store.folder, chance)) is not None:
            self.counts["torn files"] += 1
            self._say(what_was)

    def _burst(self, pair: str) -> None:
        """Let much be traded in the newest minute; the market stays so."""
        unix = int(self.minute.timestamp())
        self.bursts[pair, unix] = 5000
        self.exchange.faults.add("burst", pair=pair, factor=5000, since=unix, until=unix)
        self.counts["bursts"] += 1
        self._say(f"a burst of {pair}")

    def _step(self, badness: float, chance: random.Random | None = None) -> None:
        """Let a minute's processes do their work, some of them be killed, and check what has to hold."""
        chance = chance or self._chance()
        actions: list[tuple[str, dict[str, Any]]] = [("tick", {})]
        if chance.random() < 0.2 * badness:
            backfills = [
                {"minutes": chance.choice((30, 400)), "refetch": chance.random() < 0.5}
                for _ in range(chance.choice((1, 2)))
            ]
            actions += [("backfill", asked) for asked in backfills]
            # what a person fetches first, no tick finds missing
            first = self.minute + self.shift - max(asked["minutes"] for asked in backfills) * MINUTE
            self.excused |= {minute for minute in self.to_be_told if minute >= first}
        actions += [(name, {}) for name in ("upkeep", "publish", "repair") if chance.random() < 0.15 * badness]
        self._run(actions, badness, chance)
        self._run([("watch", {"cursor": self.cursor})], badness, chance)
        if chance.random() < 0.15 * badness:
            self._run([("repair", {})], badness, chance)
        self._hear()
        self._check_the_step()

    def _run(self, actions: list[tuple[str, dict[str, Any]]], badness: float, chance: random.Random) -> None:
        """Run processes at once; some are killed, at times all of them."""
        machine = self.now + self.shift
        running = [Running(name, self.environment, machine, budget=self.budget, **asked) for name, asked in actions]
        is_power_loss = chance.random() < 0.04 * badness
        killed = [each for each in running if is_power_loss or chance.random() < 0.15 * badness]
        moment = chance.random()
        for each in killed:
            delay = moment * self._lasts.get(each.action, _LASTS)
            if each.kill(delay):
                self.counts[f"killed: {each.action}"] += 1
                self._say(f"killed: {each.action} after {delay:.2f} s")
            moment = 0 if is_power_loss else chance.random()
        for each in running:
            self.counts[each.action] += 1
            try:
                told = each.ended()
            except TimeoutError as error:
                raise self._broken([str(error)]) from error
            if told is not None:
                self._lasts[each.action] = each.seconds
                self._account(each.action, told)

    def _account(self, action: str, told: Told) -> None:
        if told.get("mistake"):
            raise self._broken([f"a mistake in {action}: {told['mistake']}"])
        for line in told.get("said", ()):
            self._say(f"{action}: {line}")
        if action == "watch":
            self.cursor = told["cursor"]
        if action == "tick":
            self.to_be_told.discard(told["minute"])  # by a clock that is behind it is in time
            if not self.shift and told["missing"]:
                self.to_be_told.add(told["minute"])
            if told["missing"] is None or told["not_noted"]:
                self.excused |= self.to_be_told

    def _hear(self) -> None:
        """Take down of which minutes, over by now, the messages speak."""
        span = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d)(?: to ((?:\d{4}-\d\d-\d\d )?\d\d:\d\d))?")
        for line in [line for post in self.hook.posts[self._heard :] for line in post.lines]:
            for first, last in span.findall(line):
                begin = _moment(first)
                end = _moment(last if len(last) > 5 else f"{first[:10]} {last}") if last else begin
                self.said.update(minutes_between(begin, min(end, self.minute)))
        self._heard = len(self.hook.posts)

    def _calm_down(self) -> None:
        """Let everything be right again for some hours; a person repairs what is torn."""
        self.exchange.faults.clear()
        self.on = []
        for (pair, unix), factor in self.bursts.items():
            self.exchange.faults.add("burst", pair=pair, factor=factor, since=unix, until=unix)
        self.shift, self.budget = timedelta(0), CALM_BUDGET
        self.environment = {name: value for name, value in self.environment.items() if name not in PROXIES}
        for i, minutes in enumerate(self._calm):
            self._go_on(minutes)
            if i == 0:
                self._run([("repair", {})], 0, self._chance())
            self._step(0)
        self._run([("upkeep", {})], 0, self._chance())

    def _check_the_step(self) -> None:
        wrong = [fault for reader in self.readers for fault in reader.faults()]
        wrong += faults_of(self.store.folder.published)
        wrong += doubled(self.store)
        if wrong:
            raise self._broken(wrong)

    def _check_the_day(self, began: datetime) -> None:
        last = self.minute
        wrong = differing(self.exchange, self.store, max(began, last - timedelta(days=2)), last, self.bursts)
        if as_of(self.store.folder.published) != last:
            wrong.append(f"the published file is of {as_of(self.store.folder.published)}, not of {last}")
        untold = sorted(self.to_be_told - self.said - self.excused)
        wrong += [f"nobody was told of {minute:%d %H:%M}" for minute in untold]
        wrong += unalerted(self.store, self.settings, began + timedelta(hours=2), last)
        wrong += burst_without_alert(self.store, self.bursts)
        wrong += outages_left(self.store)
        wrong += disk(self.store, (self.now - MIDNIGHT) / timedelta(days=1))
        if wrong:
            raise self._broken(wrong)
        facts = f"{len(self.store.records.alerts.rows())} alerts, {len(self.store.records.incidents.rows())} incidents"
        self._tell(f"{self.summary()}; {facts}; {sum(reader.rounds for reader in self.readers):,} rounds of readers")

    def _broken(self, wrong: list[str]) -> Broken:
        more = [f"… and {len(wrong) - 20} more"] if len(wrong) > 20 else []
        return Broken("\n".join([*self.told[-80:], f"{self.now:%d %H:%M} this does not hold:", *wrong[:20], *more]))


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
