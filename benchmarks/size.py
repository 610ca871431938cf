"""What a stored candle takes on disk once its day is compacted, beside other ways to keep the same.

Thirty hours of six pairs as the exchange recorded them, minutes without trades filled, as they are imported. All keep
the same minutes with six numbers each. Feather keeps our columns; zipped CSV and Prometheus' blocks lack when a row was
obtained. Each is read back or counted.
"""

import io
import lzma
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from benchmarks.rows import Row, absent, share
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.collect.recorded import import_file
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.store import Store, store_in

RECORDED = Path(__file__).parent.parent / "tests" / "data" / "kraken_ohlcvt.csv.xz"
NOW = datetime(2023, 3, 10, 8, 30, tzinfo=UTC)
NUMBERS = ("open", "high", "low", "close", "volume", "trades")


def measure() -> Iterator[Row]:
    """Measure bytes a candle: live Parquet files, and the peers' files as they are."""
    with tempfile.TemporaryDirectory() as folder:
        store = stored(Path(folder))
        files = store.prices.files()
        days = [pq.ParquetFile(file).read().select(SCHEMA.names) for file in files]
        candles = sum(day.num_rows for day in days)
        ours = sum(Path(file).stat().st_size for file in files) / candles
        yield share("a stored candle", "bytes", ours, of_feather(days) / candles, "Feather, zstd", 0.999)
        yield share("a stored candle", "bytes", ours, of_csv(days) / candles, "zipped CSV of the same minutes", 0.999)
        if shutil.which("promtool") is None:
            yield absent("a stored candle", "bytes", ours, "<= 0.999 x", "Prometheus: apt-get install prometheus")
            return
        size, samples = of_prometheus(days, Path(folder))
        if samples != candles * len(NUMBERS):
            raise AssertionError(f"Prometheus keeps {samples} samples of {candles * len(NUMBERS)}")
        yield share("a stored candle", "bytes", ours, size / candles, "Prometheus' blocks of six series", 0.999)


def stored(folder: Path) -> Store:
    """Import what was recorded, and compact it."""
    files: dict[str, list[str]] = {}
    with lzma.open(RECORDED, "rt", encoding="ascii") as lines:
        for line in lines:
            name, _, rest = line.partition(",")
            files.setdefault(name, []).append(rest)
    store = store_in(folder / "store")
    for name, own in files.items():
        path = folder / f"{name}_1.csv"
        path.write_text("".join(own), encoding="ascii")
        import_file(store.prices, path, now=NOW)
    maintain(store)
    return store


def of_feather(days: list[pa.Table]) -> int:
    """Return how long the days are as Feather files."""
    size = 0
    for day in days:
        file = io.BytesIO()
        feather.write_feather(day, file, compression="zstd")
        file.seek(0)
        if not feather.read_table(file).equals(day):
            raise AssertionError("Feather gives back something else")
        size += len(file.getvalue())
    return size


def of_csv(days: list[pa.Table]) -> int:
    """Return how long a zip file is of a CSV a pair and day, in the exchange's own format."""
    file = io.BytesIO()
    numbers = ", ".join(NUMBERS)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for n, day in enumerate(days):
            with duckdb.connect() as connection:
                connection.register("day", day)
                for (metric,) in connection.execute("SELECT DISTINCT metric FROM day ORDER BY ALL").fetchall():
                    rows = connection.execute(
                        f"SELECT epoch(minute)::BIGINT, {numbers} FROM day WHERE metric = ? ORDER BY minute",  # noqa: S608
                        [metric],
                    ).fetchall()
                    text = "".join(",".join(f"{cell:.15g}" for cell in row) + "\n" for row in rows)
                    archive.writestr(f"{n}/{metric}.csv", text)
    return len(file.getvalue())


def of_prometheus(days: list[pa.Table], folder: Path) -> tuple[int, int]:
    """Return how long Prometheus' blocks are, all their files, and how many samples they have."""
    candles = pa.concat_tables(days).sort_by([("metric", "ascending"), ("minute", "ascending")])
    metrics = candles.column("metric").to_pylist()
    times = [int(minute.timestamp()) for minute in candles.column("minute").to_pylist()]
    text = folder / "samples.txt"
    with text.open("w", encoding="ascii") as file:
        for name in NUMBERS:
            file.write(f"# TYPE {name} gauge\n")
            rows = zip(metrics, candles.column(name).to_pylist(), times, strict=True)
            file.writelines(f'{name}{{metric="{metric}"}} {value!r} {unix}\n' for metric, value, unix in rows)
        file.write("# EOF\n")
    blocks = folder / "blocks"
    made = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h", str(text), str(blocks)]
    subprocess.run(made, check=True, capture_output=True)
    made = ["promtool", "tsdb", "list", str(blocks)]
    listed = subprocess.run(made, check=True, capture_output=True, text=True)
    samples = sum(int(line.split()[4]) for line in listed.stdout.splitlines()[1:])
    return sum(path.stat().st_size for path in blocks.rglob("*") if path.is_file()), samples


if __name__ == "__main__":
    from benchmarks.rows import alone

    alone(measure)
