"""What printing a large answer costs: a million rows as CSV and as JSON, beside the same through pandas.

Each runs in a process of its own, with its output thrown away. pandas is given the lead of the simplest
code: no zone, no list, no NaN is treated.
"""

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from benchmarks.rows import Row, alone, faster, within

ROWS = 1_000_000
ROUNDS = 3

STATEMENT = f"""SELECT 'KRAKEN:BTCUSD' AS metric, TIMESTAMPTZ '2026-01-01 00:00Z' + INTERVAL (range) MINUTE AS minute,
    random() AS open, random() AS high, random() AS low, random() AS close, random() AS volume, range AS trades,
    now() AS fetched_at FROM range({ROWS})"""  # noqa: S608 - a number of ours

ASK = f"import sys, duckdb; connection = duckdb.connect(); statement = {STATEMENT!r}\n"
OURS = (
    "from pricetracker_dagster.cli.output import show_answer\n"
    "show_answer(connection, lambda: connection.sql(statement), sys.argv[1])"
)
PANDAS = (
    "frame = connection.execute(statement).df()\n"
    "frame.to_csv(sys.stdout, index=False) if sys.argv[1] == 'csv' else frame.to_json(sys.stdout, orient='records')"
)


def measure() -> Iterator[Row]:
    """Print rows both ways."""
    for kind in ("csv", "json"):
        theirs, their_memory = cost(PANDAS, kind)  # once: it takes up to a minute
        turns = [cost(OURS, kind) for _ in range(ROUNDS)]
        ours, memory = median(seconds for seconds, _ in turns), max(most for _, most in turns)
        what = f"print {ROWS:,} rows as {kind.upper()}"
        yield within(faster(what, "s", ours, theirs, "pandas"), 3)
        yield within(faster(f"{what}, most memory", "MiB", memory, their_memory, "pandas"), 250)


def cost(code: str, output_format: str) -> tuple[float, float]:
    """Return seconds and peak memory in MiB of a program, with those of starting Python."""
    program = (
        "import resource, subprocess, sys, time\n"
        "begin = time.monotonic()\n"
        "subprocess.run([sys.executable, '-W', 'ignore', '-c', *sys.argv[1:]], stdout=subprocess.DEVNULL, check=True)\n"
        "print(time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    told = subprocess.check_output([sys.executable, "-c", program, ASK + code, output_format], text=True)
    seconds, memory = map(float, told.split())
    return seconds, memory


if __name__ == "__main__":
    alone(measure)
