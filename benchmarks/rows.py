"""What a benchmark says: one row a figure, beside its peer and its goal.

Each benchmark yields its rows from ``measure()``. ``python -m benchmarks`` runs all of them and writes the page,
``python -m benchmarks.NAME`` runs one and prints its rows. A module that assigns ``ON_REQUEST`` runs only where it is
named.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Row(NamedTuple):
    """One figure.

    Attributes:
        name: what was measured, e.g. ``publish and rank 1,000 metrics``.
        unit: of both figures, e.g. ``ms``, ``s of CPU``, ``lines/s``, ``MB``.
        ours: our figure, the median of its rounds.
        peer: the figure of what it is compared with, in the same run and unit; None: there is none.
        ratio: what the goal compares, as faster() and share() have it; None: the goal is about ours alone.
        goal: the goal in words, e.g. ``>= 5 x pandas``; empty: none.
        held: whether the goal was held; None: there is none, or the peer is absent.
        peer_name: what the peer is; where it is absent, how to install it.
    """

    name: str
    unit: str
    ours: float
    peer: float | None
    ratio: float | None
    goal: str
    held: bool | None
    peer_name: str


def faster(name: str, unit: str, ours: float, peer: float, peer_name: str, at_least: float | None = None) -> Row:
    """Return the row of a cost: the ratio is peer over ours, and more is better."""
    ratio = peer / ours
    goal = "" if at_least is None else f">= {shown(at_least)} x"
    return Row(name, unit, ours, peer, ratio, goal, None if at_least is None else ratio >= at_least, peer_name)


def share(name: str, unit: str, ours: float, peer: float, peer_name: str, at_most: float | None = None) -> Row:
    """Return the row of a cost: the ratio is ours over peer, and less is better."""
    ratio = ours / peer
    goal = "" if at_most is None else f"<= {shown(at_most)} x"
    return Row(name, unit, ours, peer, ratio, goal, None if at_most is None else ratio <= at_most, peer_name)


def bounded(name: str, unit: str, ours: float, *, at_most: float | None = None, at_least: float | None = None) -> Row:
    """Return the row of a figure without a peer."""
    row = Row(name, unit, ours, None, None, "", None, "")
    if at_most is not None:
        return row._replace(goal=f"<= {shown(at_most)} {unit}", held=ours <= at_most)
    if at_least is not None:
        return row._replace(goal=f">= {shown(at_least)} {unit}", held=ours >= at_least)
    return row


def within(row: Row, at_most: float) -> Row:
    """Return a row that has a peer, with a goal for our figure alone."""
    return row._replace(goal=f"<= {shown(at_most)} {row.unit}", held=row.ours <= at_most)


def absent(name: str, unit: str, ours: float, goal: str, how_to_install: str) -> Row:
    """Return the row of a figure whose peer is not on this machine."""
    return Row(name, unit, ours, None, None, goal, None, f"absent: {how_to_install}")


def alone(measure: Callable[[], Iterable[Row]]) -> None:
    """Print the rows of one benchmark as they come."""
    for row in measure():
        print(as_line(row), flush=True)


def as_line(row: Row) -> str:
    """Return a row as one line of text."""
    parts = [f"{row.name}: {shown(row.ours)} {row.unit}"]
    if row.peer is not None:
        parts.append(f"{row.peer_name} {shown(row.peer)}")
    elif row.peer_name:
        parts.append(row.peer_name)
    if row.ratio is not None:
        parts.append(f"ratio {shown(row.ratio)}")
    if row.goal:
        parts.append(f"goal {row.goal}: {'not compared' if row.held is None else 'held' if row.held else 'MISSED'}")
    return ", ".join(parts)


def shown(value: float | None) -> str:
    """Return a figure with three digits, or all before the point."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
