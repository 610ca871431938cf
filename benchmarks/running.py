"""Runs benchmarks, each in a process of its own: one that fails, hangs or leaves processes behind costs no other.

A benchmark is a module of this folder with a function ``measure()`` that can be called without arguments.
"""

import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from benchmarks.results import Figure, of_row
from benchmarks.rows import Row, as_line

HERE = Path(__file__).parent
LIMIT, LIMIT_ON_REQUEST = 600.0, 7200.0
"""Seconds after which a benchmark is ended: on a quiet machine each takes less than two minutes, but for those that run
only where they are named."""


def benchmarks(folder: Path = HERE) -> dict[str, bool]:
    """Return the names of the benchmarks in order, each with whether it runs only when it is asked for by name."""
    found = {}
    for file in sorted(folder.glob("*.py")):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        if any(isinstance(node, ast.FunctionDef) and node.name == "measure" and _needs_nothing(node) for node in body):
            found[file.stem] = any(_assigns(node, "ON_REQUEST") for node in body)
    return found


def figures(name: str, limit: float = LIMIT) -> Iterator[Figure]:
    """Run one benchmark and yield its figures; the last one says why, where it failed.

    Args:
        name: its module.
        limit: seconds it may take.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows, errors = Path(folder) / "rows", Path(folder) / "errors"
        rows.touch()
        command = [sys.executable, "-c", "from benchmarks.running import child; child()", name, str(rows)]
        with errors.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=HERE.parent, env=_environment(), stderr=file, start_new_session=True
            )
        try:
            failed = _failure(process, limit)
        finally:
            with suppress(ProcessLookupError):  # what it has started ends with it
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for line in rows.read_text(encoding="utf-8").splitlines():
            yield of_row(name, Row(*json.loads(line)))
        if failed:
            said = errors.read_text(encoding="utf-8", errors="replace").strip()
            print(said[-4000:], file=sys.stderr, flush=True)
            yield Figure(name, name, failed=f"{failed}: {said.splitlines()[-1]}" if said else failed)


def child() -> None:
    """Run one benchmark in this process; each row becomes a line on the screen and one of a file."""
    name, file = sys.argv[1:]
    with Path(file).open("a", encoding="utf-8") as lines:
        for row in import_module(f"benchmarks.{name}").measure():
            print(as_line(row), flush=True)
            lines.write(json.dumps(row, allow_nan=False) + "\n")
            lines.flush()


def all_figures(names: Sequence[str], limit: float | None = None) -> Iterator[Figure]:
    """Run benchmarks one after the other, and say how long each took. Without a limit each has the one of its kind."""
    known = benchmarks(HERE)
    for name in names:
        print(f"== {name}", flush=True)
        began = time.monotonic()
        yield from figures(name, limit or (LIMIT_ON_REQUEST if known[name] else LIMIT))
        print(f"   {time.monotonic() - began:.0f} s", flush=True)


def _failure(process: subprocess.Popen[bytes], limit: float) -> str:
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        return f"ended after {limit:.0f} s"
    return f"exit status {status}" if status else ""


def _environment() -> dict[str, str]:
    """Return an environment without the settings of who measures: nobody's data folder takes part."""
    own = ("PRICETRACKER_", "DAGSTER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)} | {
        "PYTHONWARNINGS": "ignore"
    }


def _needs_nothing(node: ast.FunctionDef) -> bool:
    arguments = node.args
    return len(arguments.args) == len(arguments.defaults) and all(each is not None for each in arguments.kw_defaults)


def _assigns(node: ast.stmt, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)
