"""The watchdog of ``up``: runs ``pricetracker watch`` as a process, does what it asks for, notices its own silence."""

import queue
import time

from pricetracker_dagster.local.process_groups import python
from pricetracker_dagster.local.supervisor import ManagedProcess, Supervisor
from pricetracker_dagster.local.terminal import say

RESTART = "@restart "
"""How the watch asks for a restart, on a line of its own: ``@restart daemon``. Lines with an @ are not shown."""

LOOKED = "@looked"
"""How the watch says that it has looked, so that its own silence is noticed."""

_LOOKS_EVERY = 20
_SILENT_AFTER = 120.0


class Watchdog:
    """The watch as a managed process."""

    def __init__(self) -> None:
        """Nothing is asked for yet."""
        self._asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._heard_at = self._heeded_at = time.monotonic()

    def process(self) -> ManagedProcess:
        """Return the process."""
        command = python("pricetracker_dagster.cli", "watch", "--every", str(_LOOKS_EVERY), "--asks-up")
        return ManagedProcess("watch", command, heard=self._hear)

    def heed(self, supervisor: Supervisor) -> None:
        """Restart what the watch has asked for; the watch itself where it says nothing any more."""
        now = time.monotonic()
        if now - self._heeded_at > _SILENT_AFTER / 2:
            self._heard_at = now  # we were stopped ourselves, and it probably with us
        self._heeded_at = now
        while not self._asked.empty():
            supervisor.restart(self._asked.get())
        if now - self._heard_at > _SILENT_AFTER:
            self._heard_at = now
            say(f"watch has said nothing for {_SILENT_AFTER:.0f} s; restarting it", error=True)
            supervisor.restart("watch")

    def _hear(self, line: str) -> bool:
        self._heard_at = time.monotonic()
        if line.startswith(RESTART):
            self._asked.put(line.removeprefix(RESTART).strip())
        return not line.startswith("@")
