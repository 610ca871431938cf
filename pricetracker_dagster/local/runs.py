"""The runs that a code server has at work, as processes of its group; those that were stopped are ended."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pricetracker_dagster.local.process_groups import Process
from pricetracker_dagster.local.supervisor import ManagedProcess
from pricetracker_dagster.local.terminal import say

_FROZEN_LOOKS = 4
"""In so many looks in a row a run is found stopped, before it is ended."""


def has_runs(code: ManagedProcess) -> bool:
    """Say whether a code server has runs at work."""
    return code.process is not None and next(_run_pids(code.process), None) is not None


class FrozenRuns:
    """Ends runs of a code server whose process was stopped (SIGSTOP), once it has been so for some ten seconds.

    Dagster cannot: to cancel a run, its code server waits for an answer of that process while it holds the lock that
    every start of a run needs, so that nothing runs for minutes. One that is gone is marked failed, and its minute is
    healed by the next tick. We count our own looks, not seconds: where all was stopped, ourselves too, there were none.
    """

    def __init__(self, code: ManagedProcess, every: float = 3.0) -> None:
        """Look at the runs of a code server at most every so many seconds."""
        self._code = code
        self._every = every
        self._looked_at = 0.0
        self._looks: dict[int, int] = {}

    def end(self) -> None:
        """Look, unless it was done just now, and end what was found stopped each time."""
        now = time.monotonic()
        if now - self._looked_at < self._every:
            return
        self._looked_at = now
        code = self._code.process
        stopped = [] if code is None or self._code.has_ended() else [pid for pid in _run_pids(code) if _is_stopped(pid)]
        self._looks = {pid: self._looks.get(pid, 0) + 1 for pid in stopped}
        for pid, looks in self._looks.items():
            if looks >= _FROZEN_LOOKS:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                say(f"process {pid} of a run was stopped; it is ended, so that others can begin", error=True)


def _run_pids(code: Process) -> Iterator[int]:
    """Yield the processes of the code server's group, other than itself, that execute a run."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid = int(stat.parent.name)
            if os.getpgid(pid) == code.pid and is_run(pid, code.pid):
                yield pid


def is_run(pid: int, code: int) -> bool:
    """Say whether a process that a code server has started executes a run: by itself, or forked by a warm process.

    Raises:
        OSError: it is gone.
    """
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    # what is forked has the command of the process that it was forked from first
    forked = b"multiprocessing.forkserver" in command or b" api grpc " in command.replace(b"\0", b" ")
    return b"spawn_main" in command or (forked and code not in (pid, _state(pid)[1]))


def _is_stopped(pid: int) -> bool:
    with suppress(OSError):
        return _state(pid)[0] == "T"
    return False


def _state(pid: int) -> tuple[str, int]:
    """Return how a process is, and its parent. Raises OSError where it is gone."""
    # the name before may hold anything
    state, parent, *_ = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return state, int(parent)
