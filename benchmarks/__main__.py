"""All figures beside their peers and goals: one command, one table, one page.

``python -m benchmarks`` runs every benchmark, each in a process of its own, and writes ``results.json`` and
``report.html`` into ``benchmarks/out``; what changed since the results that lie there is told. ``python -m benchmarks
publish serve`` runs these alone and writes into ``benchmarks/out/some``. Exit status 1: a benchmark failed. A goal that
is missed is told and fails nothing: figures of a busy machine are no mistake of the program.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import commit, machine, versions
from benchmarks.report import page
from benchmarks.results import Run, as_changes, as_table, changes, missing, read, summary, write
from benchmarks.running import all_figures, benchmarks

OUT = Path(__file__).parent / "out"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    known = benchmarks()
    always = [name for name, only_on_request in known.items() if not only_on_request]
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="an earlier results.json")
    parser.add_argument("--out", type=Path, help="the folder to write into")
    parser.add_argument("--limit", type=float, help="seconds after which one is ended")
    asked = parser.parse_args(arguments)
    for name in asked.names:
        if name not in known:
            parser.error(f'there is no benchmark "{name}": there are {", ".join(known)}')
    out: Path = asked.out or (OUT / "some" if asked.names else OUT)
    earlier = asked.compare or out / "results.json"
    before = read(earlier) if asked.compare or earlier.exists() else None  # read before it is written over

    rows = list(all_figures(asked.names or always, asked.limit))
    run = Run(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", commit(), machine(), versions(), rows)
    write(run, out / "results.json")
    (out / "report.html").write_text(page(run, before), encoding="utf-8")
    print(f"\n{as_table(rows)}\n\n{summary(rows)}")
    if not asked.names and len(always) < len(known):
        print(f"only on request: {', '.join(name for name in known if name not in always)}")
    if before is not None:
        print(f"\nbeside {before.commit} of {before.at}:\n{as_changes(changes(rows, before.rows))}")
        for row in missing(rows, before.rows) if not asked.names else ():
            print(f"not measured this time: {row.name}")
    print(f"\n{out / 'results.json'}\n{out / 'report.html'}")
    return 1 if any(row.failed for row in rows) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what runs is ended on the way out
    sys.exit(main())
