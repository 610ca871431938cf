"""What publishing costs: each minute beside pandas, the ranking beside VictoriaMetrics, 10,000 metrics, a year.

A realistic minute: 24 hours are stored, the day before joined and this hour as a small file a minute; then each minute
is upserted, outside of the timing, published by a process of its own, and ranked by pandas from the same Parquet files.
Answers are compared. Publishing does more than pandas: it also lists what is available and missed, and writes and swaps
the file.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from deltalake import write_deltalake

from benchmarks.rows import Row, absent, alone, bounded, faster, share
from benchmarks.series_servers import ranked, ranking_path, victoria_metrics
from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.publishing.kept import Kept
from pricetracker_dagster.store.publishing.kept_files import KeptFiles
from pricetracker_dagster.store.publishing.kept_hours import MEASURES as MINUTES
from pricetracker_dagster.store.publishing.kept_hours import KeptHour, PastHours
from pricetracker_dagster.store.publishing.kept_parts import part_of
from pricetracker_dagster.store.publishing.partials import Partials
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.publishing.ranking import measured
from pricetracker_dagster.store.store import Store, store_in
from pricetracker_dagster.store.writing import PROPERTIES

ROUNDS = 9
AS_OF = datetime(2026, 3, 3, 12, 4, tzinfo=UTC)
MEASURES = ["price", "volume", "change_absolute", "change_percentage"]

_SMALL = 40
"""Minutes of this hour that lie in files of their own when the first one is measured."""


def measure() -> Iterator[Row]:
    """Measure publications of 1,000 and 10,000 metrics, the ranking, a history, and whether a year makes it slower."""
    with tempfile.TemporaryDirectory() as folder:
        thousand = yield from of_a_thousand(Path(folder))
        yield from of_ten_thousand(Path(folder), thousand)
        yield from flatness(Path(folder))


def of_a_thousand(folder: Path) -> Generator[Row, None, float]:
    """Publish and rank 1,000 metrics, in turn with pandas and VictoriaMetrics. Return the seconds of a publication."""
    store, metrics, as_of = filled(folder / "1000", 1000)
    ours, theirs = [], []
    with publisher(store) as published_at:
        for number in range(ROUNDS + 1):
            as_of += MINUTE
            store.prices.upsert(random_walks(metrics, pd.date_range(end=as_of, periods=1, freq="min", unit="us")))
            files = store.prices.files()
            seconds, _ = published_at(as_of)
            pandas = timed(lambda: ranked_by_pandas(files, as_of))  # noqa: B023 - called at once
            if number:  # the first one reads all
                ours.append(seconds)
                theirs.append(pandas)
    with duckdb.connect(str(store.folder.published), read_only=True) as connection:
        answer = connection.sql("SELECT measure, rank, metric, stddev FROM metric_rank ORDER BY ALL").df()
        of_one = "SELECT minute, measure, value FROM history_24h WHERE metric = 'KRAKEN:M00500USD'"
        assert connection.sql(of_one).to_arrow_table().num_rows == 4 * 1440
        history = [timed(lambda: connection.sql(of_one).to_arrow_table()) for _ in range(30)]
    expected = ranked_by_pandas(files, as_of).sort_values(["measure", "rank"], ignore_index=True)
    pd.testing.assert_frame_equal(answer, expected[list(answer.columns)], rtol=1e-9)
    name = "publish and rank 1,000 metrics"
    yield faster(name, "ms", milliseconds(ours), milliseconds(theirs), "pandas", at_least=5)
    yield bounded("history_24h of one of 1,000 metrics", "ms", milliseconds(history), at_most=5)
    yield beside_victoria_metrics(store, folder, as_of)
    return statistics.median(ours)


def beside_victoria_metrics(store: Store, folder: Path, as_of: datetime) -> Row:
    """Merge partials to four rankings, in turn with VictoriaMetrics' query of one."""
    name, goal = "rank four measures of 1,000 metrics from partials", ">= 1 x"
    past = KeptFiles(store.folder.kept_hours)
    with (
        sql.attached(store.folder.published) as connection,
        victoria_metrics(folder / "vm", store.prices.files()) as port,
    ):
        ours, theirs = [], []
        for _ in range(3 * ROUNDS):
            ours.append(timed(lambda: ranking_of(connection, past, as_of)))
            if port is not None:
                theirs.append(timed(lambda: ranked(port, ranking_path(as_of))))
        if port is None:
            return absent(name, "ms", milliseconds(ours), goal, "apt-get install victoria-metrics")
        told = dict(ranked(port, ranking_path(as_of)))
        prices = "SELECT metric, stddev * sqrt((observations - 1) / observations) FROM measured WHERE place = 1"
        mine = dict(connection.execute(prices).fetchall())
        assert told.keys() == mine.keys()
        assert np.allclose([told[key] for key in mine], list(mine.values()), rtol=1e-6)
    return faster(name, "ms", milliseconds(ours), milliseconds(theirs), "VictoriaMetrics, one measure", at_least=1)


def ranking_of(connection: duckdb.DuckDBPyConnection, past: KeptFiles, as_of: datetime) -> None:
    """Rank as a publication does, from what is kept."""
    since = as_of - DAY + MINUTE
    first, newest = (int(moment.timestamp()) // 3600 for moment in (since, as_of))
    middle, end = (part_of(connection, "attached", hour, Partials.read) for hour in (None, newest))
    [(files,)] = connection.execute("SELECT files FROM kept_3.hours WHERE hour = $hour", {"hour": first}).fetchall()
    begin = PastHours(connection, past).beginning(KeptHour(first, since, MINUTES, dict.fromkeys(files, 0)))
    assert begin
    assert end
    merged = Kept(middle, {first: begin, newest: end}).merged()
    assert merged
    connection.register("measured", measured(merged))
    connection.execute("SELECT place, rank, metric, stddev FROM measured").fetchall()


def of_ten_thousand(folder: Path, thousand: float) -> Iterator[Row]:
    """Publish 10,000 metrics."""
    store, metrics, as_of = filled(folder / "10000", 10_000, small=3)
    times = []
    with publisher(store) as published_at:
        for number in range(4):
            as_of += MINUTE
            store.prices.upsert(random_walks(metrics, pd.date_range(end=as_of, periods=1, freq="min", unit="us")))
            seconds, megabytes = published_at(as_of)
            if number:
                times.append(seconds)
    seconds = statistics.median(times)
    yield share("publish 10,000 metrics", "ms", seconds * 1000, thousand * 1000, "1,000 metrics", at_most=6)
    yield bounded("memory of a process that publishes 10,000 metrics", "MB", megabytes, at_most=500)


def flatness(folder: Path) -> Iterator[Row]:
    """Publish 3 metrics with a month and with a year of history, in turn."""
    stores, as_of, metrics = {}, AS_OF, ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"]
    for days in (30, 365):
        stores[days] = store_in(folder / f"{days} days")
        minutes = pd.date_range(end=AS_OF - 30 * MINUTE, periods=days * 1440, freq="min", unit="us")
        stores[days].prices.upsert(random_walks(metrics, minutes))
        maintain(stores[days])
        for minute in range(29, -1, -1):  # and what half an hour of ticks adds
            tick = pd.date_range(end=AS_OF - minute * MINUTE, periods=1, freq="min", unit="us")
            stores[days].prices.upsert(random_walks(metrics, tick))
    times: dict[int, list[float]] = {30: [], 365: []}
    for number in range(ROUNDS + 1):
        as_of += MINUTE
        for days, store in stores.items():
            store.prices.upsert(random_walks(metrics, pd.date_range(end=as_of, periods=1, freq="min", unit="us")))
            done = publish(store, None, now=as_of + timedelta(seconds=63))
            assert done.built
            if number:
                times[days].append(done.seconds)
    month, year = map(milliseconds, times.values())
    yield share("publish 3 metrics after 365 days", "ms", year, month, "after 30 days", at_most=1.15)


def of_kraken(number: int) -> str:
    """Return the name of a metric."""
    return f"KRAKEN:M{number:05}USD"


def filled(
    folder: Path, count: int, small: int = _SMALL, named: Callable[[int], str] = of_kraken
) -> tuple[Store, list[str], datetime]:
    """Store 24 hours of so many metrics, written as a joined day is, and so many minutes as ticks do."""
    store, metrics = store_in(folder), [named(number) for number in range(count)]
    table = store.prices.open_or_create()
    hour = AS_OF.replace(minute=0) + timedelta(hours=1)
    minutes = pd.date_range(end=hour - MINUTE, periods=1500, freq="min", unit="us")
    for first in range(0, count, 1000):
        rows = random_walks(metrics[first : first + 1000], minutes)
        dates = pa.array(
            np.tile(minutes.tz_localize(None).to_numpy().astype("datetime64[D]"), rows.num_rows // len(minutes))
        )
        write_deltalake(
            table, rows.append_column("date", dates), mode="append", writer_properties=PROPERTIES, partition_by=["date"]
        )
    for minute in range(small):
        tick = pd.date_range(end=hour + minute * MINUTE, periods=1, freq="min", unit="us")
        store.prices.upsert(random_walks(metrics, tick))
    return store, metrics, hour + (small - 1) * MINUTE


@contextmanager
def publisher(store: Store) -> Iterator[Callable[[datetime], tuple[float, float]]]:
    """Run a process that publishes up to a minute; it answers in which time (s), and what memory it has had (MB)."""
    command = [sys.executable, "-m", "benchmarks.publish", str(store.folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        asked, answers = process.stdin, process.stdout
        assert asked and answers  # noqa: PT018

        def published_at(as_of: datetime) -> tuple[float, float]:
            print(as_of.isoformat(), file=asked, flush=True)
            seconds, megabytes = answers.readline().split()
            return float(seconds), float(megabytes)

        yield published_at
        asked.close()


def publish_as_asked(folder: Path) -> None:
    """Be that process."""
    store = store_in(folder)
    for line in sys.stdin:
        as_of = datetime.fromisoformat(line.strip())
        done = publish(store, None, now=as_of + timedelta(seconds=63))
        assert done.built
        assert done.as_of == as_of
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        print(done.seconds, int(peak.split()[1]) / 1000, flush=True)


def milliseconds(seconds: list[float]) -> float:
    """Return the median."""
    return statistics.median(seconds) * 1000


def in_turn(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Return the median seconds of each, after one run of each that does not count."""
    one()
    other()
    pairs = [(timed(one), timed(other)) for _ in range(ROUNDS)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ranked_by_pandas(files: list[str], as_of: datetime) -> pd.DataFrame:
    """Return the four rankings of the last 24 hours, as pandas computes them."""
    rows = pd.concat(pd.read_parquet(file, columns=["metric", "minute", "open", "close", "volume"]) for file in files)
    rows = rows[(rows["minute"] > as_of - DAY) & (rows["minute"] <= as_of)]
    change = rows["close"] - rows["open"]
    measured = pd.DataFrame(
        {
            "price": rows["close"],
            "volume": rows["volume"],
            "change_absolute": change,
            "change_percentage": change / rows["open"].where(rows["open"] != 0) * 100,
        }
    )
    groups = measured.groupby(rows["metric"])
    rankings = []
    for measure in MEASURES:
        ranking = groups[measure].agg(stddev="std", mean="mean", observations="count").reset_index()
        ranking = ranking.sort_values(["stddev", "metric"], ascending=[False, True], ignore_index=True)
        rankings.append(ranking.assign(measure=measure, rank=np.arange(1, len(ranking) + 1)))
    return pd.concat(rankings, ignore_index=True)


def random_walks(metrics: list[str], minutes: pd.DatetimeIndex) -> pa.Table:
    """Make up candles: every metric in every minute."""
    random = np.random.default_rng(1)
    shape = (len(metrics), len(minutes))
    close = np.exp(random.normal(0, 0.001, shape).cumsum(axis=1)) * random.uniform(0.1, 50_000, (len(metrics), 1))
    begin = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    return pa.table(
        [
            pa.array(metrics).take(pa.array(np.repeat(np.arange(len(metrics)), len(minutes)))),
            pa.array(np.tile(minutes.to_numpy(), len(metrics)), SCHEMA.field("minute").type),
            begin.ravel(),
            np.maximum(begin, close).ravel(),
            np.minimum(begin, close).ravel(),
            close.ravel(),
            random.exponential(2, shape).round(8).ravel(),
            random.integers(1, 99, shape).ravel(),
            pa.array([AS_OF] * (shape[0] * shape[1]), SCHEMA.field("fetched_at").type),
        ],
        schema=SCHEMA,
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        publish_as_asked(Path(sys.argv[1]))
    else:
        alone(measure)
