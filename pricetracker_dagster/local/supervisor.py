"""The supervisor: processes in groups of their own, started, watched, restarted, and ended together."""

import logging
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path

from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.local.forked import Preloaded
from pricetracker_dagster.local.process_groups import Process, end_group, how_ended, until
from pricetracker_dagster.local.terminal import matters, say
from pricetracker_dagster.process.parent import die_with_parent
from pricetracker_dagster.process.secrets import masked

STARTS = 4
"""So many times a process may end while starting before all is given up."""

_LAST_TICK_PATIENCE = 5.0
_STOP_PATIENCE = 3.0

_LAST_LINES = 12
"""So many of its last lines are shown when a process ends by itself."""


class CannotGoOn(PricetrackerError):
    """A process ends whenever it is started. The message holds its last lines."""


@dataclass
class ManagedProcess:
    """One process that is kept running.

    Attributes:
        name: what it is called in messages; its log is ``<data>/logs/<name>.log``.
        command: how it is started.
        stop_with: the signal that it heeds.
        once: it is done when it has ended.
        is_busy: asked before it is ended: for a few seconds it may finish what it is at.
        heard: called with each line it writes; says whether the line belongs on the terminal. None: what matters.
        is_needed: where it ends each time it is started, all is given up; else only it is, but for a try now and then.
        descriptors: what it is handed open, by number.
        pause: seconds until it is started again after it has ended.
        lines: the last ones that it wrote.
    """

    name: str
    command: Sequence[str]
    stop_with: signal.Signals = signal.SIGTERM
    once: bool = False
    is_busy: Callable[["ManagedProcess"], bool] = lambda _: False
    heard: Callable[[str], bool] = matters
    is_needed: bool = True
    descriptors: Sequence[int] = ()
    process: Process | None = None
    pause: float = 1.0
    due: float = 0.0
    started: float = 0.0
    starts: int = 0
    has_lived: bool = False
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    reader: threading.Thread | None = None

    def has_ended(self) -> bool:
        """Say whether it does not run now."""
        return self.process is None or self.process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it and all it has started a signal, where it was started."""
        if self.process is not None:
            end_group(self.process, number)

    def end_gently(self) -> None:
        """Ask it to end, after a few seconds for what it is busy with."""
        until(lambda: not self.is_busy(self), _LAST_TICK_PATIENCE)
        self.signal(self.stop_with)

    def keep_log(self, logs: Path | None, process: Process) -> None:
        """Write what a process of it prints to its log, and what matters of it to the terminal."""
        handler: logging.Handler = logging.NullHandler()
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
            log = logs / f"{self.name}.log"
            handler = RotatingFileHandler(log, maxBytes=5_000_000, backupCount=2, encoding="utf-8")
            handler.terminator = ""
        assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
        with process.stdout as lines:
            for each in lines:
                line = masked(each)  # what Dagster's own processes say passes here alone
                handler.emit(logging.makeLogRecord({"msg": line}))
                if line.strip():
                    self.lines.append(line.rstrip()[:500])
                if self.heard(line):
                    say(f"{self.name}: {line.rstrip()}")
        handler.close()


@dataclass
class Supervisor:
    """Keeps managed processes running.

    Attributes:
        logs: the folder of their logs; None: what they say is for the terminal alone.
        environment: what they all are given.
        first_pause: seconds until one that ended is started again; doubled each time it ends at once again.
        most_pause: seconds above which it is not doubled any more.
        lives_after: seconds after which a process has started for good.
        preloaded: from which processes are forked when they are started for the first time; None: each is started in a
            new interpreter, as it is later.
        parts: the processes, in the order in which they were started.
    """

    logs: Path | None
    environment: Mapping[str, str]
    first_pause: float = 1.0
    most_pause: float = 30.0
    lives_after: float = 60.0
    preloaded: Preloaded | None = None
    parts: list[ManagedProcess] = field(default_factory=list)

    def start(self, part: ManagedProcess) -> ManagedProcess:
        """Start a process in a group of its own; it dies with this one even if this one is killed."""
        part.lines.clear()
        part.process = self._forked(part) or self._spawned(part)
        part.started = time.monotonic()
        part.starts += 1
        part.reader = threading.Thread(target=part.keep_log, args=(self.logs, part.process), daemon=True)
        part.reader.start()
        if part not in self.parts:
            self.parts.append(part)
        return part

    def _forked(self, part: ManagedProcess) -> Process | None:
        if self.preloaded is None or part in self.parts:  # code that was changed since is to be taken
            return None
        return self.preloaded.fork(part.command, self.environment, part.descriptors)

    def _spawned(self, part: ManagedProcess) -> Process:
        return subprocess.Popen(  # noqa: S603 - commands of our own making
            part.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=part.descriptors,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock that a thread could hold
        )

    def fork_no_more(self) -> None:
        """End the process from which others were forked; they live on."""
        if self.preloaded is not None:
            self.preloaded.close()
            self.preloaded = None

    def restart_the_dead(self) -> None:
        """Start again, after a pause that grows, what has ended by itself.

        Raises:
            CannotGoOn: it has ended again and again, and never lived for long.
        """
        now = time.monotonic()
        for part in self.parts:
            if part.process is None:
                if now >= part.due:
                    self.start(part)
            elif (status := part.process.poll()) is not None and not part.once:
                part.signal(signal.SIGKILL)  # what it may have left behind
                if now - part.started > self.lives_after:
                    part.pause, part.has_lived = self.first_pause, True
                if part.reader is not None:
                    part.reader.join(1.0)  # what it wrote last says why
                last = "".join(f"\n  {line}" for line in part.lines)
                how = how_ended(status)
                if part.is_needed and part.starts >= STARTS and not part.has_lived:
                    raise CannotGoOn(f"{part.name} {how} each time it was started; its last lines:{last}")
                say(f"{part.name} {how}; starting it again in {part.pause:.0f} s{last}", error=True)
                part.due = now + part.pause
                part.pause = min(2 * part.pause, self.most_pause)
                part.process = None

    def restart(self, name: str) -> None:
        """End one process, with all it has started, and start it at once. One that heeds no signal is killed."""
        part = next((part for part in self.parts if part.name == name), None)
        if part is None or part.process is None:
            return
        part.has_lived |= time.monotonic() - part.started > self.lives_after
        part.starts = 0  # it is started on request, not since it has ended
        part.signal(part.stop_with)
        until(part.has_ended, _STOP_PATIENCE)
        part.signal(signal.SIGKILL)
        part.process.wait()
        self.start(part)

    def wait_for(self, condition: Callable[[], bool], patience: float) -> bool:
        """Wait until a condition holds, and keep running what runs meanwhile; False where it does not come."""
        return until(condition, patience, meanwhile=self.restart_the_dead)

    def stop(self) -> None:
        """End everything, gently first, what was started last before the others."""
        self.fork_no_more()
        for part in reversed(self.parts):
            part.end_gently()
        until(lambda: all(part.has_ended() for part in self.parts), _STOP_PATIENCE)
        for part in self.parts:
            part.signal(signal.SIGKILL)
            if part.process is not None:
                part.process.wait()
