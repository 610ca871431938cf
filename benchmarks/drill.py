"""A week in fast motion under random faults: what the exchange says, clocks, torn files, and whatever runs is killed.

``python -m benchmarks.drill`` tells a week of a seed of its own, ``--seed 17 --days 2`` two days of that one; a seed
that fails is printed and tells the same again, but for the moment within a step at which a process is killed. Each
tick, look, backfill, upkeep and repair is a process, some run at once, and two readers never cease. After each
step the published file and the keys are checked. Each day ends calm: then every minute has to be there with its final
value, whatever went wrong told, every outage over, and the disk tidy. Exit status 1: something was not so.

The real daemon is put to the test by ``python -m benchmarks.drill_of_up``.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from benchmarks.drill_story import Broken, Story

LONGEST = 2**31


def main() -> int:
    """Tell a story and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--seed", type=int, default=random.randrange(LONGEST))  # noqa: S311 - a story
    asked = parser.parse_args()
    again = f"python -m benchmarks.drill --days {asked.days:g} --seed {asked.seed}"
    print(again, flush=True)
    with tempfile.TemporaryDirectory() as folder, Story(Path(folder), asked.seed, tell=print) as story:
        try:
            story.go(asked.days)
        except Broken as broken:
            print(f"{broken}\nIt tells itself again by: {again}")
            return 1
        print(story.summary())
    return 0


if __name__ == "__main__":
    sys.exit(main())
