"""A recorded day in fast motion: every message that two channels are sent, one of which is down for an hour.

``python -m benchmarks.replay`` puts the minutes of six pairs of Kraken of 9 March 2023 into a fresh store, one after
the other, and has the alarms look after each as the sensors do, by the default rules; ``--files FOLDER`` and ``--day
2023-03-07`` take others. Minutes without trades are stored as such, as live ones are. What is **made**, since the
record holds no time in which the exchange was out: from 03:20 to 03:39 UTC none of the pairs can be had, by errors that
alternate; at 03:40 all of it comes at once. From 14:00 to 15:00 UTC the channel ``/second`` answers 500.

Printed are all messages that ``/second`` took and, of ``/first``, those that it was sent otherwise; then the counts.
"""

import argparse
import lzma
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.hook import Answer, Hook, Post
from pricetracker_dagster.alerts import watch
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange
from pricetracker_dagster.exchanges.kraken import ohlcvt
from pricetracker_dagster.settings import Settings, load_settings
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.store import open_store

RECORDED = Path(__file__).parents[1] / "tests" / "data" / "kraken_ohlcvt.csv.xz"
DAY_OF_IT = datetime(2023, 3, 9, tzinfo=UTC)
RUN_UP = timedelta(hours=1)

OUT_FROM, OUT_FOR = timedelta(hours=3, minutes=20), 20
"""When the exchange is out, by the time of day; and for how many minutes."""

DOWN_FROM, DOWN_FOR = timedelta(hours=14), timedelta(hours=1)
"""When the second channel is down, by the time of day; and for how long."""

ERRORS = (
    ("exchange error", "OHLC {pair}: HTTP 502 Bad Gateway"),
    ("exchange error", "OHLC {pair}: EService:Unavailable"),
    ("exchange maintenance", "SystemStatus: maintenance"),
)

FIRST, SECOND = "/first", "/second"


def main() -> None:
    """Replay a day and print what was sent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, help="folder of OHLCVT files")
    parser.add_argument("--day", type=lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC), default=DAY_OF_IT)
    parser.add_argument("--hours", type=int, default=24, help="so many hours of the day alone")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Hook() as hook:
        folder = Path(name)
        minutes = recorded(asked.files or unpacked(folder / "files"), asked.day)
        down = MinuteRange(asked.day + DOWN_FROM, asked.day + DOWN_FROM + DOWN_FOR)
        hook.answers[SECOND] = lambda now: Answer(500 if down.first <= now < down.last else 200)
        settings = configured(folder, sorted({metric for rows in minutes.values() for metric in pairs_of(rows)}), hook)
        took = replay(settings, minutes, hook, asked.day, asked.hours * 60)
        show(hook, down)
        records = open_store(settings).records
        print(f"{len(records.alerts.rows())} alerts, {len(records.incidents.rows())} incidents,", end=" ")
        print(f"{len(records.messages.rows())} rows in messages, {len(records.deliveries.rows())} in deliveries")
        for what, seconds in took.items():
            print(f"{what}: {len(seconds)} looks, median {statistics.median(seconds) * 1000:.0f} ms", end=", ")
            print(f"most {max(seconds) * 1000:.0f} ms")


def unpacked(folder: Path) -> Path:
    """Write the files that the tests bring along as the exchange names them."""
    folder.mkdir()
    files: dict[str, list[str]] = {}
    with lzma.open(RECORDED, "rt", encoding="ascii") as lines:
        for line in lines:
            pair, _, rest = line.partition(",")
            files.setdefault(pair, []).append(rest)
    for pair, own in files.items():
        (folder / f"{pair}_1.csv").write_text("".join(own), encoding="ascii")
    return folder


def recorded(folder: Path, day: datetime) -> dict[datetime, pa.Table]:
    """Return the candles of a day and the hour before it, by minute; minutes without trades are among them."""
    sheets = ohlcvt.read(sorted(folder.glob("*_1.csv")), fetched_at=day + DAY)
    rows = pa.concat_tables([sheet.candles for sheet in sheets])
    found = {}
    for i in range(int((DAY + RUN_UP) / MINUTE)):
        minute = day - RUN_UP + i * MINUTE
        found[minute] = rows.filter(pc.equal(rows["minute"], pa.scalar(minute, rows.schema.field("minute").type)))
    return found


def pairs_of(rows: pa.Table) -> list[str]:
    """Return whose candles these are."""
    return [str(metric) for metric in rows["metric"].to_pylist()]


def configured(folder: Path, metrics: Sequence[str], hook: Hook) -> Settings:
    """Write settings: the metrics and two channels, all else by default."""
    file = folder / "pricetracker.toml"
    channels = ", ".join(f'"{hook.channel(path)}"' for path in (FIRST, SECOND))
    file.write_text(f"metrics = {[*metrics]}\n[alerts]\nchannels = [{channels}]\n")
    os.environ["PRICETRACKER_CONFIG"] = str(file)
    return load_settings()


def replay(
    settings: Settings, minutes: Mapping[datetime, pa.Table], hook: Hook, day: datetime, length: int
) -> dict[str, list[float]]:
    """Store minute by minute and look after each; return how long the looks took, in seconds."""
    store = open_store(settings)
    records = store.records
    store.prices.upsert(pa.concat_tables([rows for minute, rows in minutes.items() if minute < day]))
    hook.now = day + timedelta(seconds=5)
    watch.watch_minutes(settings, hook.now)
    cursor = watch.watch_prices(settings, hook.now, None).cursor
    took: dict[str, list[float]] = {"watch_prices": [], "watch_minutes": []}
    out = MinuteRange(day + OUT_FROM, day + OUT_FROM + (OUT_FOR - 1) * MINUTE)
    kept_back: list[pa.Table] = []
    with patch.object(watch, "publish"):  # it has a benchmark of its own
        for i in range(length):
            minute = day + i * MINUTE
            hook.now = minute + MINUTE + timedelta(seconds=5)
            if out.first <= minute <= out.last:
                records.causes.upsert([*noted(minute, pairs_of(minutes[minute]), i, hook.now)])
                kept_back.append(minutes[minute])
            else:
                store.prices.upsert(pa.concat_tables([*kept_back, minutes[minute]]))
                kept_back = []
            began = time.perf_counter()
            cursor = watch.watch_prices(settings, hook.now, cursor).cursor
            took["watch_prices"].append(time.perf_counter() - began)
            hook.now += timedelta(seconds=5)
            began = time.perf_counter()
            watch.watch_minutes(settings, hook.now)
            took["watch_minutes"].append(time.perf_counter() - began)
            if i % 120 == 119:
                maintain(store)  # once a day in the real thing, between 1,440 commits of slower minutes
    return took


def noted(minute: datetime, metrics: Sequence[str], turn: int, now: datetime) -> Iterator[dict[str, object]]:
    """Yield what a tick that could have nothing notes of it."""
    cause, reason = ERRORS[turn % len(ERRORS)]
    for metric in metrics:
        said = reason.format(pair=metric.partition(":")[2])
        yield {"metric": metric, "minute": minute, "cause": cause, "reason": said, "noted_at": now}


def show(hook: Hook, down: MinuteRange) -> None:
    """Print the messages and the counts."""
    said = {(post.title, *post.lines) for post in hook.to(SECOND) if post.taken}
    for post in hook.posts:
        is_same = post.path == FIRST and (post.title, *post.lines) in said
        if post.taken and not is_same:
            print(as_text(post))
    for path in (FIRST, SECOND):
        taken = [post for post in hook.to(path) if post.taken]
        refused = [post for post in hook.to(path) if not post.taken]
        lines = sum(len(post.lines) for post in taken)
        print(f"{path}: {len(taken)} messages, {lines} lines, {sum(post.size for post in taken):,} bytes", end="; ")
        print(f"{len(refused)} requests refused, {sum(post.size for post in refused):,} bytes")
    waited = [post for post in hook.to(SECOND) if post.taken and post.at >= down.last]
    if waited:
        print(f"{SECOND} was told again at {waited[0].at:%H:%M:%S}, {len(waited[0].lines)} lines at once")


def as_text(post: Post) -> str:
    """Return a message as a person sees it."""
    return "\n".join([f"{post.at:%H:%M:%S} {post.path} {post.title}", *(f"    {line}" for line in post.lines)])


if __name__ == "__main__":
    main()
