"""What processes cost, as /proc tells it: CPU and memory of one and of all that it has started."""

import os
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class Cpu(NamedTuple):
    """Seconds of CPU, user and system: a process's own, and those of its children that are over."""

    own: float
    children: float


def cpu(pid: int) -> Cpu:
    """Return what a process and its ended children have used; nothing where it is gone."""
    fields = _fields(pid)
    if fields is None:
        return Cpu(0.0, 0.0)
    user, system, of_children, of_children_system = (int(each) / _TICKS for each in fields[11:15])
    return Cpu(user + system, of_children + of_children_system)


def tree(root: int) -> list[int]:
    """Return a process and all that descend from it."""
    parents = {pid: int(fields[1]) for pid in _pids() if (fields := _fields(pid)) is not None}
    found = [root]
    for pid in found:  # grows
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def named(root: int, part: str) -> int:
    """Return the first process of a tree whose command holds some text: what is forked from it has that, too."""
    return next(pid for pid in tree(root) if part in command(pid))


def command(pid: int) -> str:
    """Return a process's command line; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def pss(pid: int) -> float:
    """Return the memory of a process in MB (10^6 bytes): what it shares counts in parts (PSS)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:"))


def _pids() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _fields(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on: the name before may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
