"""What importing an OHLCVT file costs, beside pandas, which reads the same CSV and writes the same rows as Parquet.

The file is generated: four years of one pair's minutes, a tenth of them without trades and so absent in it. Importing
judges each line, fills what is absent, stores a file a UTC day, as the table is laid out, and commits them together.
pandas writes the lines, without what is absent, into a file a day or into one file. Arrow alone, by two threads, reads
them and writes a file a day with our encodings: no import that stores such files can be quicker than that.

Nothing is deleted before the end: ext4 takes ten times as long to make a file where many were deleted in the last
minutes, and so would whoever comes next.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from benchmarks.rows import Row, alone, bounded, faster
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.collect.recorded import import_file
from pricetracker_dagster.store.store import Store, store_in
from pricetracker_dagster.store.writing import COUNTED, STEADY

ROUNDS = 3
DAYS = 4 * 365
NOW = datetime(2026, 3, 3, 12, 5, tzinfo=UTC)
COLUMNS = ["unix", "open", "high", "low", "close", "volume", "trades"]


def measure() -> Iterator[Row]:
    """Measure both in turn, by the clock and in CPU, the second import, memory of a file of one year and of four."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "XBTUSD_1.csv"
        lines = generate(file)
        ours, again, whole, by_day, arrow = [], [], [], [], []
        for number in range(ROUNDS):
            store = store_in(Path(folder) / f"store {number}")
            ours.append(timed(partial(imported, file, store)))
            by_day.append(timed(partial(with_pandas, file, Path(folder) / f"pandas {number}", by_day=True)))
            arrow.append(timed(partial(with_arrow, file, Path(folder) / f"arrow {number}")))
            again.append(timed(partial(imported, file, store)))
            whole.append(timed(partial(with_pandas, file, Path(folder) / "peer.parquet", by_day=False)))
            if number == 0:
                compare(store, Path(folder) / "peer.parquet")
                compare(store, *(Path(folder) / f"arrow {number}").glob("*/*.parquet"))
        memory = [peak(folder, days) for days in (365, DAYS)]
    (wall, cpu), (wall_again, cpu_again), (wall_whole, cpu_whole), (wall_day, cpu_day), (wall_arrow, cpu_arrow) = (
        [statistics.median(each[i] for each in rounds) for i in (0, 1)]
        for rounds in (ours, again, whole, by_day, arrow)
    )
    yield bounded("import into an empty store", "lines/s", lines / wall, at_least=1_000_000)
    yield bounded("import into an empty store, two cores busy with it", "lines/s", 2 * lines / cpu)
    yield faster("import of four years of one pair", "s", wall, wall_day, "pandas to Parquet, a file a day", 5)
    yield faster("import of four years of one pair, CPU", "s of CPU", cpu, cpu_day, "pandas to Parquet, a file a day")
    yield faster("import of four years of one pair", "s", wall, wall_whole, "pandas to one Parquet file")
    yield faster("import of four years of one pair, CPU", "s of CPU", cpu, cpu_whole, "pandas to one Parquet file")
    yield faster("import of four years of one pair", "s", wall, wall_arrow, "Arrow alone to such files")
    yield faster("import of four years of one pair, CPU", "s of CPU", cpu, cpu_arrow, "Arrow alone to such files")
    yield faster("Arrow alone to such files", "s", wall_arrow, wall_day, "pandas to Parquet, a file a day")
    yield faster("import again what is stored", "s", wall_again, wall, "the first import", 2)
    yield faster("import again what is stored, CPU", "s of CPU", cpu_again, cpu, "the first import")
    yield bounded("memory of an import of four years", "MB", memory[1])
    yield bounded("memory of an import of one year", "MB", memory[0])


def generate(file: Path) -> int:
    """Write years of one pair's minutes; return how many lines."""
    random = np.random.default_rng(1)
    unix = 1_577_836_800 + 60 * np.arange(DAYS * 1440)
    close = np.exp(random.normal(0, 0.001, len(unix)).cumsum()) * 20_000
    begin = np.concatenate([close[:1], close[:-1]])
    rows = pd.DataFrame(
        {
            "unix": unix,
            "open": begin.round(1),
            "high": np.maximum(begin, close).round(1),
            "low": np.minimum(begin, close).round(1),
            "close": close.round(1),
            "volume": random.exponential(2, len(unix)).round(8),
            "trades": random.integers(1, 99, len(unix)),
        }
    )
    rows = rows[(random.random(len(unix)) >= 0.1) | (rows.index == 0) | (rows.index == len(unix) - 1)]
    rows.to_csv(file, header=False, index=False)
    return len(rows)


def with_pandas(file: Path, to: Path, *, by_day: bool) -> None:
    """Read the CSV and write the lines with the columns of our table as Parquet."""
    rows = pd.read_csv(file, names=COLUMNS)
    rows = rows.assign(
        metric="KRAKEN:BTCUSD",
        minute=pd.to_datetime(rows.pop("unix"), unit="s", utc=True),
        fetched_at=pd.Timestamp(NOW),
    )
    if by_day:
        rows["date"] = rows["minute"].dt.tz_localize(None).astype("date32[day][pyarrow]")  # dt.date takes 0.3 s more
        rows.to_parquet(to, compression="zstd", partition_cols=["date"], max_partitions=DAYS + 1)
    else:
        rows.to_parquet(to, compression="zstd")


def with_arrow(file: Path, to: Path) -> None:
    """Read the CSV and write a file a day with the columns and encodings of our table; nothing is judged or filled."""
    types = {name: pa.int64() if name in ("unix", "trades") else pa.float64() for name in COLUMNS}
    lines = pc.read_csv(
        file, pc.ReadOptions(column_names=COLUMNS), convert_options=pc.ConvertOptions(column_types=types)
    ).combine_chunks()
    unix = lines.column("unix").to_numpy()
    cells = {
        "metric": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(unix), np.int32)), ["KRAKEN:BTCUSD"]),
        "minute": pa.array(unix * 1_000_000),
        "fetched_at": pa.array(np.full(len(unix), round(NOW.timestamp() * 1_000_000))),
    }
    rows = pa.table([cells[name] if name in cells else lines[name] for name in SCHEMA.names], SCHEMA.names)
    rows = rows.cast(SCHEMA)
    cuts = [0, *(np.flatnonzero(np.diff(unix // 86_400)) + 1).tolist(), len(unix)]

    def write(begin: int, end: int) -> None:
        folder = to / f"date={datetime.fromtimestamp(int(unix[begin]), UTC):%Y-%m-%d}"
        folder.mkdir(parents=True)
        pq.write_table(
            rows.slice(begin, end - begin),
            folder / "part.parquet",
            compression="zstd",
            compression_level=1,
            use_dictionary=[*COUNTED],
            column_encoding=dict.fromkeys(STEADY, "DELTA_BINARY_PACKED"),
            store_schema=False,
        )

    with ThreadPoolExecutor(2) as pool:
        for written in [pool.submit(write, begin, end) for begin, end in pairwise(cuts)]:
            written.result()


def imported(file: Path, store: Store) -> None:
    """Do what ``pricetracker import`` does."""
    import_file(store.prices, file, now=NOW)


def compare(store: Store, *peer: Path) -> None:
    """Raise where a line is not stored as a peer has it, or where that has none."""
    [differing] = duckdb.execute(
        """
        SELECT count(*), (SELECT count(*) FROM read_parquet($peer))
        FROM read_parquet($peer) AS p ANTI JOIN read_parquet($ours, hive_partitioning = false) AS o
        ON o.minute = p.minute AND o.open = p.open AND o.high = p.high AND o.low = p.low AND o.close = p.close
            AND o.volume = p.volume AND o.trades = p.trades
        """,
        {"peer": [*map(str, peer)], "ours": store.prices.files()},
    ).fetchall()
    if differing[0] or not differing[1]:
        raise AssertionError(f"{differing[0]} of {differing[1]} lines are stored otherwise than the peer reads them")


def peak(folder: str, days: int) -> float:
    """Return the most memory, MB, that a process needed to import so many days."""
    command = [sys.executable, "-m", "benchmarks.import_csv", folder, str(days)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak_here(folder: Path, days: int) -> float:
    """Import the first days of the file of a folder; return the most memory that this process has needed, MB."""
    file = folder / str(days) / "XBTUSD_1.csv"
    file.parent.mkdir()
    until = 1_577_836_800 + 86_400 * days
    with (folder / "XBTUSD_1.csv").open() as every, file.open("w") as some:
        for line in every:
            if int(line.partition(",")[0]) >= until:
                break
            some.write(line)
    imported(file, store_in(file.parent / "store"))
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # getrusage() has what the process before had
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return how many seconds it takes, and how many of CPU."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - used


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(peak_here(Path(sys.argv[1]), int(sys.argv[2])))
    else:
        alone(measure)
