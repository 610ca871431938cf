"""What a run prints goes into its log, and by ``tail`` on to where it would have gone.

Dagster starts a Python interpreter beside each of the two, which ends it where the run is killed: a tenth of what a
tick costs. On Linux a process can be told to end with the one that started it.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster._core.execution import compute_logs

from pricetracker_dagster.process.parent import die_with_parent


def without_watchers() -> None:
    """Let the runs of this process, and of those forked from it, do without these interpreters."""
    if sys.platform == "linux" and hasattr(compute_logs, "execute_posix_tail"):
        patched: Any = compute_logs
        patched.execute_posix_tail = _tail


@contextmanager
def _tail(path: str, stream: Any) -> Iterator[tuple[int, None]]:
    """Let a log be followed by ``tail``; yield its process."""
    command = ["tail", "-F", "-c", "+0", path]
    with subprocess.Popen(  # noqa: S603 - the command is Dagster's
        command,
        stdout=stream if compute_logs._fileno(stream) else None,  # type: ignore[no-untyped-call]
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock that a thread could hold
    ) as process:
        try:
            yield process.pid, None
        finally:
            process.terminate()
