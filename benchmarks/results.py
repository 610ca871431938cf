"""What a run of the benchmarks has found: its rows, kept as JSON, as a table of text, and beside an earlier run.

What the figures are belongs to each benchmark, how the page looks to ``benchmarks.report``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.rows import Row, shown

NOISE = 1.1
"""Two runs of the same program differ by a tenth on a machine that is shared: less is no change."""


@dataclass(frozen=True)
class Figure:
    """A row, and which benchmark it comes from.

    Attributes:
        benchmark: the module that measured it.
        failed: why there is no figure; empty: there is one. Others as Row has them.
    """

    benchmark: str
    name: str
    unit: str = ""
    ours: float | None = None
    peer: float | None = None
    ratio: float | None = None
    goal: str = ""
    held: bool | None = None
    peer_name: str = ""
    failed: str = ""

    @property
    def verdict(self) -> str:
        """What came of the goal, in a word."""
        if self.failed:
            return "failed"
        if not self.goal:
            return ""
        return "not compared" if self.held is None else "held" if self.held else "MISSED"

    @property
    def goal_is_of_the_ratio(self) -> bool:
        """Whether the goal bounds the ratio, as ``>= 5 x pandas`` does, and not our figure."""
        return self.ratio is not None and re.match(r"[<>]=?\s*[\d.,]+\s*[x×]", self.goal) is not None


@dataclass(frozen=True)
class Run:
    """All that one run has found.

    Attributes:
        at: when it ended, e.g. ``2026-11-27 02:40 UTC``.
        commit: of which commit, with ``+`` where files differ from it.
        machine: what it ran on, by name.
        versions: of what took part, by name.
        rows: the figures.
    """

    at: str
    commit: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    rows: Sequence[Figure]


class Change(NamedTuple):
    """How a figure differs from that of an earlier run.

    Attributes:
        now: the figure.
        before: the earlier one.
        gain: how many times better it is; below 1: worse.
        by: what was compared, ``ratio`` or ``figure``.
    """

    now: Figure
    before: Figure
    gain: float
    by: str

    @property
    def said(self) -> str:
        """The change in words: a quarter less time is 1.33 times better."""
        if 1 / NOISE < self.gain < NOISE:
            return "as before"
        return f"{self.gain:.2f} x better" if self.gain > 1 else f"{1 / self.gain:.2f} x worse"


def of_row(benchmark: str, row: Row) -> Figure:
    """Return a row as a figure."""
    return Figure(benchmark, *row)


def write(run: Run, file: Path) -> None:
    """Write a run as JSON, with the keys of Run and Figure."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(run), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read(file: Path) -> Run:
    """Read what was written, also by a version with more or fewer keys.

    Raises:
        ValueError: it is no such file.
    """
    found: Any = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not isinstance(found.get("rows"), list):
        raise ValueError(f"{file} is no results.json of the benchmarks: it has no rows")
    known = {each.name for each in fields(Figure)}
    rows = [
        Figure(**{"benchmark": "", "name": ""} | {name: value for name, value in row.items() if name in known})
        for row in found["rows"]
    ]
    parts = {name: found.get(name, "") for name in ("at", "commit")}
    return Run(**parts, machine=found.get("machine", {}), versions=found.get("versions", {}), rows=rows)


def changes(now: Sequence[Figure], before: Sequence[Figure]) -> list[Change]:
    """Return how the figures of two runs differ, by name and unit.

    Where both have a ratio to the same peer, that is compared: a machine that was busier was so for the peer too.
    """
    earlier = {(row.benchmark, row.name, row.unit): row for row in before if row.ours is not None}
    found = []
    for row in now:
        old = earlier.get((row.benchmark, row.name, row.unit))
        if old is None or not row.ours or not old.ours:
            continue
        if row.ratio and old.ratio and row.peer_name == old.peer_name:
            gain = row.ratio / old.ratio
            found.append(Change(row, old, gain if _more_is_better(row) else 1 / gain, "ratio"))
        else:
            gain = row.ours / old.ours
            found.append(Change(row, old, gain if _is_a_rate(row) else 1 / gain, "figure"))
    return found


def missing(now: Sequence[Figure], before: Sequence[Figure]) -> list[Figure]:
    """Return the earlier figures that this run does not have."""
    have = {(row.benchmark, row.name, row.unit) for row in now if row.ours is not None}
    return [row for row in before if row.ours is not None and (row.benchmark, row.name, row.unit) not in have]


def as_table(rows: Sequence[Figure]) -> str:
    """Return the rows as lines of text in columns."""
    lines = [("what", "ours", "beside", "ratio", "goal", "")]
    for row in rows:
        if row.failed:
            lines.append((row.name, "failed", row.failed, "", row.goal, "FAILED"))
            continue
        ratio = "" if row.ratio is None else shown(row.ratio)
        lines.append((row.name, f"{shown(row.ours)} {row.unit}", beside(row), ratio, row.goal, row.verdict))
    widths = [max(len(line[i]) for line in lines) for i in range(6)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_changes(found: Sequence[Change]) -> str:
    """Return what became better or worse as lines of text, the largest change first."""
    told = sorted((each for each in found if each.said != "as before"), key=lambda each: -abs(_size(each)))
    lines = [
        f"{each.said}: {each.now.name}: {shown(each.before.ours)} then, {shown(each.now.ours)} {each.now.unit} now"
        + (f" (ratio {shown(each.before.ratio)} then, {shown(each.now.ratio)} now)" if each.by == "ratio" else "")
        for each in told
    ]
    return "\n".join([*lines, f"{len(found) - len(told)} of {len(found)} figures are as before"])


def beside(row: Figure) -> str:
    """Return the peer and its figure in words."""
    return row.peer_name if row.peer is None else f"{row.peer_name} {shown(row.peer)}"


def summary(rows: Sequence[Figure]) -> str:
    """Return how many goals were held."""
    counts = {word: sum(row.verdict == word for row in rows) for word in ("held", "MISSED", "not compared", "failed")}
    return (
        f"{counts['held']} goals held, {counts['MISSED']} missed, {counts['not compared']} not compared, "
        f"{counts['failed']} benchmarks failed"
    )


def _size(change: Change) -> float:
    return max(change.gain, 1 / change.gain)


def _is_a_rate(row: Figure) -> bool:
    return "/s" in row.unit or "a second" in row.unit


def _more_is_better(row: Figure) -> bool:
    """Say whether a larger ratio is better: by the goal, else by which of the two stands above the line."""
    if row.goal_is_of_the_ratio:
        return row.goal.startswith(">")
    assert row.ours is not None
    if not row.peer or row.ratio is None:
        return _is_a_rate(row)
    is_ours_above = abs(row.ratio - row.ours / row.peer) <= abs(row.ratio - row.peer / row.ours)
    return is_ours_above == _is_a_rate(row)
