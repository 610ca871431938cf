"""Random faults of every kind over a simulated day; at the end every minute is stored with its final value.

A seed is a story: at each step the clock of the exchange goes on by a minute or by two hours, something goes wrong or
right again (the exchange's answers, this machine's clock, files, proxies), and a tick and the sensors do their work.
One story is told always. ``RANDOM_FAULTS_SEEDS=17`` tells that one alone, ``RANDOM_FAULTS_SEEDS=1-100`` a hundred.
"""

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from benchmarks.drill_faults import CLOCKS, FAULTS, OF_ALL_PAIRS, PROXIES, SMALL_FILES, TABLES
from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.alerts.watch import watch_minutes, watch_prices
from pricetracker_dagster.candles.minutes import MINUTE, minutes_between, newest_closed_minute
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.collect.result import Collected
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.files.data_folder import allowance_file
from pricetracker_dagster.settings import Settings, load_settings
from pricetracker_dagster.simulator.faults import KINDS
from pricetracker_dagster.simulator.market import KNOWN_PAIRS, Pair, candle
from pricetracker_dagster.store.live_files import patterns
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.repairing import repair
from tests.integration.conftest import Bench
from tests.webhook import Webhook

ALWAYS = (4,)
"""The story of every run of the suite: more of them take minutes."""

MIDNIGHT = datetime(2026, 3, 3, 0, 0, 5, tzinfo=UTC)
PAIRS = {"SIMULATED:BTCUSD": "XBTUSD", "SIMULATED:ETHUSD": "ETHUSD", "SIMULATED:GRTETH": "GRTETH"}
NOT_DRAWN = ("burst", "banned", "refused_here")
"""Kinds that are no fault of an answer: in a burst the market is another one, the others concern the address."""

BUDGET = 0.5
"""Seconds of a tick on a bad day: what hangs is waited for that long."""


def seeds() -> list[int]:
    first, _, last = os.environ.get("RANDOM_FAULTS_SEEDS", "").partition("-")
    return list(range(int(first), int(last or first) + 1)) if first else list(ALWAYS)


@dataclass
class Story:
    """One day: an exchange, a data folder, and what happens to them.

    Attributes:
        told: what happened, a line each, for whoever has to find out why it failed.
        to_be_told: minutes that somebody has to be told of: nobody asked for them, or they were not stored in time.
        excused: minutes of which a tick has said itself that it could not note why they are missing.
    """

    bench: Bench
    webhook: Webhook
    seed: int
    patch: pytest.MonkeyPatch
    shift: timedelta = timedelta(0)
    budget: float = BUDGET
    steps: int = 0
    on: list[int] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    to_be_told: set[datetime] = field(default_factory=set)
    excused: set[datetime] = field(default_factory=set)
    said: set[datetime] = field(default_factory=set)

    @property
    def machine(self) -> datetime:
        """The time by this machine's clock, which may be wrong."""
        return self.bench.now + self.shift

    @property
    def settings(self) -> Settings:
        settings = load_settings()
        return settings.model_copy(
            update={"collect": settings.collect.model_copy(update={"budget_seconds": self.budget})}
        )

    def say(self, what: object) -> None:
        self.told.append(f"{self.bench.now:%d %H:%M} {what}")

    def go_on(self, minutes: int) -> None:
        """Let time pass in which nothing runs. More than the grace of it is a stillness, of which is to be told."""
        skipped = minutes_between(self.bench.minute + MINUTE, self.bench.minute + (minutes - 1) * MINUTE)
        self.bench.now += minutes * MINUTE
        self.steps += 1
        self.grow_old(minutes)
        if len(skipped) > self.settings.alerts.missed_grace_minutes:
            self.to_be_told.update(skipped)

    def grow_old(self, minutes: int) -> None:
        """Let the kept list of pairs grow old with the story, and a ban: their age is told by the real clock."""
        allowance_file(self.bench.store.folder.state, "SIMULATED").unlink(missing_ok=True)
        pairs = self.bench.store.folder.state / "simulated_pairs.json"
        with suppress(OSError, ValueError, KeyError, TypeError):  # torn
            kept = json.loads(pairs.read_text())
            asked_at = datetime.fromisoformat(kept["asked_at"]) - minutes * MINUTE
            pairs.write_text(json.dumps({**kept, "asked_at": asked_at.isoformat()}))

    def tick(self) -> None:
        """What a minute does: collect, publish, watch. What cannot be done is said as one error, never as another."""
        settings, minute = self.settings, newest_closed_minute(self.machine)
        metrics = [str(metric) for metric in settings.tracked]
        posted = len(self.webhook.posted)

        def collect() -> None:
            collected = collect_minute(settings, minute, now=lambda: self.machine)
            self.account(collected)

        for step in (
            collect,
            lambda: publish(self.bench.store, metrics, now=self.machine, minute=minute),
            lambda: self.look(watch_prices(settings, self.machine, None)),
            lambda: self.look(watch_minutes(settings, self.machine)),
        ):
            try:
                step()
            except PricetrackerError as error:
                self.say(str(error).splitlines()[0])
        for message in self.webhook.posted[posted:]:
            self.hear(message.lines)

    def account(self, collected: Collected) -> None:
        """Note what a tick has to tell of."""
        self.to_be_told.discard(collected.minute)  # by a clock that is behind it is in time
        assert not collected.tracebacks, "\n".join(collected.tracebacks)
        done = f"{collected.inserted} added, {collected.updated} corrected, {len(collected.doubts)} doubted"
        self.say(f"the tick for {collected.minute:%d %H:%M}: {done}")
        for reason in sorted({*collected.reasons.values(), *collected.troubles}):
            self.say(f"the tick for {collected.minute:%d %H:%M}: {reason}")
        if not self.shift and collected.missing:
            self.to_be_told.add(collected.minute)
        if any("not noted" in trouble for trouble in collected.troubles):
            self.excused |= self.to_be_told

    def look(self, watched: SensorOutcome) -> None:
        """Note what a sensor could not do."""
        for trouble in watched.troubles:
            self.say(trouble)

    def hear(self, lines: list[str]) -> None:
        """Take down of which minutes, over by now, a message speaks."""
        for line in lines:
            for first, last in re.findall(
                r"(\d{4}-\d\d-\d\d \d\d:\d\d)(?: to ((?:\d{4}-\d\d-\d\d )?\d\d:\d\d))?", line
            ):
                begin = _moment(first)
                end = _moment(last if len(last) > 5 else f"{first[:10]} {last}") if last else begin
                self.said.update(minutes_between(begin, min(end, self.bench.minute)))

    def go_wrong(self) -> None:
        """Let something go wrong and something else right again."""
        chance = random.Random(f"{self.seed} {self.steps}")  # noqa: S311 - a story to be told again
        for fault in [each for each in self.on if chance.random() < 0.6]:
            self.bench.exchange.faults.remove(fault)
            self.on.remove(fault)
        if chance.random() < 0.5:
            what = dict(chance.choice(FAULTS))
            if chance.random() < 0.6 and what["kind"] not in OF_ALL_PAIRS:
                what["pair"] = chance.choice(list(PAIRS.values()))
            self.on.append(self.bench.exchange.faults.add(**what).id)
            self.say(f"on: {what}")
        self.shift = chance.choice([*[timedelta(0)] * 2 * len(CLOCKS), *CLOCKS])
        if self.shift:
            self.say(f"this machine's clock is wrong by {self.shift}")
        for name in PROXIES:
            self.patch.delenv(name, raising=False)
        for name in ("no_proxy", "NO_PROXY"):
            self.patch.setenv(name, "")
        if chance.random() < 0.3:  # one that answers nothing: loopback must not care
            for name in PROXIES:
                self.patch.setenv(name, "http://127.0.0.1:9")
        if chance.random() < 0.2:
            self.tear(chance)

    def tear(self, chance: random.Random) -> None:
        """Cut a file short, as a power loss does."""
        folder, state = self.bench.store.folder.path, self.bench.store.folder.state
        commits = sorted((folder / chance.choice(TABLES) / "_delta_log").glob("*.json"))[-1:]
        small = [file for name in SMALL_FILES if (file := state / name).exists()]
        files = commits if chance.random() < 0.4 else [*small, self.bench.store.folder.published]
        if files and (file := chance.choice(files)).exists():
            whole = file.read_bytes()
            file.chmod(0o644)
            file.write_bytes(whole[: chance.randrange(len(whole) + 1)])
            self.say(f"torn: {file.relative_to(folder)}, {file.stat().st_size} of {len(whole)} bytes are left")

    def mend(self) -> None:
        """What a person does who has read what ticks say: ``pricetracker repair --yes``."""
        metrics = [*PAIRS]
        done = repair.repair(
            self.bench.store, self.machine, metrics, lambda: publish(self.bench.store, metrics, now=self.machine)
        )
        for line in done.done:
            self.say(f"repair: {line}")
        assert not done.left, done.left


def expected(bench: Bench, metric: str, first: datetime, last: datetime) -> dict[int, tuple[str, ...]]:
    """Return what the market says of each minute, added up from its trades here and not by any answer."""
    market = bench.exchange.market
    [pair] = [pair for pair in KNOWN_PAIRS if pair.altname == PAIRS[metric]]
    found = {}
    for minute in range(int(first.timestamp()), int(last.timestamp()) + 60, 60):
        trades = market.trades(pair, minute)
        of_it = candle(pair, minute, trades, None if trades else market.close_before(pair, minute))
        assert of_it is not None
        found[minute] = _shown(pair, of_it.open, of_it.high, of_it.low, of_it.close, of_it.volume, of_it.trades)
    return found


def stored(bench: Bench, metric: str) -> dict[int, tuple[str, ...]]:
    """Return the rows of a metric as they lie on disk."""
    [pair] = [pair for pair in KNOWN_PAIRS if pair.altname == PAIRS[metric]]
    rows = duckdb.execute(
        "SELECT epoch(minute)::BIGINT, open, high, low, close, volume, trades FROM read_parquet($files)"
        " WHERE metric = $metric",
        {"files": patterns(bench.store.prices.files()), "metric": metric},
    ).fetchall()
    assert len({row[0] for row in rows}) == len(rows), "a minute is doubled"
    return {row[0]: _shown(pair, *row[1:]) for row in rows}


def differing(bench: Bench, first: datetime) -> dict[str, tuple[object, object]]:
    """Return the minutes that are not stored as they should be: what is, and what should be."""
    found: dict[str, tuple[object, object]] = {}
    for metric in PAIRS:
        mine = stored(bench, metric)
        for minute, values in expected(bench, metric, first, bench.minute).items():
            if mine.get(minute) != values:
                found[f"{metric} {datetime.fromtimestamp(minute, UTC):%d %H:%M}"] = mine.get(minute), values
        later = [minute for minute in mine if minute > bench.minute.timestamp()]
        found |= {f"{metric} {minute}, which is yet to come": (mine[minute], None) for minute in later}
    return found


def _shown(pair: Pair, *values: Any) -> tuple[str, ...]:
    *prices, volume, trades = values
    return (*(str(pair.price(Decimal(repr(float(price))))) for price in prices), f"{float(volume):.8f}", str(trades))


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


@contextmanager
def _told_how(story: Story) -> Iterator[None]:
    """Let whatever fails be followed by the story and the way to tell it again."""
    try:
        yield
    except BaseException as error:
        story.told.append(f"This was RANDOM_FAULTS_SEEDS={story.seed}, which tells it again.")
        error.add_note("\n".join(story.told))
        raise


def test_every_kind_of_fault_is_drawn() -> None:
    assert {fault["kind"] for fault in FAULTS} == {*KINDS} - {*NOT_DRAWN}


@pytest.mark.parametrize("seed", seeds())
def test_after_a_day_of_random_faults_every_minute_is_stored_with_its_final_value(
    start: Callable[..., Bench], webhook: Webhook, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    extra = f'[alerts]\nchannels = ["{webhook.channel()}"]\n'
    bench = start("BTCUSD", "ETHUSD", "GRTETH", now=MIDNIGHT, extra=extra)
    archive = [
        ("KRAKEN:BTCUSD", int(MIDNIGHT.timestamp()) // 60 * 60 - 86_400 * day - 60 * i, 10, 11, 9, 10.5, 1.5, i)
        for day in (0, 40)
        for i in range(1, 50)
    ]
    bench.store.prices.upsert(validate_rows(archive, MIDNIGHT).kept)
    story = Story(bench, webhook, seed, monkeypatch, budget=20)
    began = bench.minute
    with _told_how(story):
        story.tick()
        story.budget = BUDGET
        leaps = random.Random(seed)  # noqa: S311 - a story to be told again
        while bench.now < MIDNIGHT + timedelta(hours=24):
            story.go_on(leaps.choice([1, 1, 2, 60, 130, 180, 240]))
            story.go_wrong()
            story.tick()
            if leaps.random() < 0.3:
                story.mend()
        bench.exchange.faults.clear()
        story.shift = timedelta(0)
        for minutes in (
            1,
            1,
            1,
            *[20] * 6,
            *[1] * 7,
        ):  # what is missing still is asked for again after a pause of up to 64 minutes; then outages end
            story.go_on(minutes)
            if story.budget == BUDGET:
                story.budget = 20
                story.mend()
            story.tick()
        assert differing(bench, began) == {}
        kept = duckdb.execute(
            "SELECT epoch(minute)::BIGINT, trades FROM read_parquet($files) WHERE metric = 'KRAKEN:BTCUSD' ORDER BY 1",
            {"files": patterns(bench.store.prices.files())},
        ).fetchall()
        assert kept == sorted((row[1], row[7]) for row in archive), "an archive of another metric changed"
        assert publish(bench.store, [*PAIRS], now=bench.now).as_of == bench.minute
        untold = sorted(story.to_be_told - story.said - story.excused)
        assert untold == [], f"nobody was told of {[f'{minute:%d %H:%M}' for minute in untold]}"
