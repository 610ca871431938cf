"""Processes that are kept running: started in a group of their own, watched, restarted, and ended together.

Which ones there are, and in which order, is up.py's business.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path

import click

from pricetracker_dagster.files.data_folder import DataFolder
from pricetracker_dagster.process.secrets import masked

_LAST_TICK_PATIENCE = 5.0
_STOP_PATIENCE = 3.0
_RESTART_FIRST, _RESTART_MOST = 1.0, 30.0

LIVES_AFTER = 60.0
"""Seconds after which a process has started for good."""

_STARTS = 4
"""So many times a process may end while starting before all is given up."""

_LAST_LINES = 12
"""So many of its last lines are shown when a process ends by itself."""

RESTART = "@restart "
"""How the watch asks for a restart, on a line of its own: ``@restart daemon``. Lines with an @ are not shown."""

_LOOKS_FOR_FROZEN_EVERY = 3.0
_FROZEN_LOOKS = 4
"""In so many looks in a row a run is found stopped, before it is ended."""

_PR_SET_PDEATHSIG = 1
_C = ctypes.CDLL(None)


class CannotGoOn(click.ClickException):
    """A part ends whenever it is started. The message holds its last lines."""


@dataclass
class ManagedProcess:
    """One process that is kept running.

    Attributes:
        name: what it is called in messages; its log is ``<data>/logs/<name>.log``.
        command: how it is started.
        stop_with: the signal that it heeds.
        once: it is done when it has ended.
        heard: called with each line it writes; says whether the line belongs on the terminal. None: what matters.
        lines: the last ones that it wrote.
    """

    name: str
    command: Sequence[str]
    stop_with: signal.Signals = signal.SIGTERM
    once: bool = False
    heard: Callable[[str], bool] | None = None
    process: subprocess.Popen[str] | None = None
    pause: float = _RESTART_FIRST
    due: float = 0.0
    started: float = 0.0
    starts: int = 0
    has_lived: bool = False
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    reader: threading.Thread | None = None

    def has_ended(self) -> bool:
        """Say whether it does not run now."""
        return self.process is None or self.process.poll() is not None


@dataclass
class Supervisor:
    """The processes of one data folder.

    Attributes:
        folder: the data folder.
        environment: what they all are given.
    """

    folder: Path
    environment: Mapping[str, str]
    children: list[ManagedProcess] = field(default_factory=list)
    _frozen: dict[int, int] = field(default_factory=dict)
    _looked_at: float = 0.0

    def start(self, child: ManagedProcess) -> None:
        """Start a process in a group of its own; it dies with this one even if this one is killed."""
        child.lines.clear()
        child.process = subprocess.Popen(  # noqa: S603 - commands of our own making
            child.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock that a thread could hold
        )
        child.started = time.monotonic()
        child.starts += 1
        child.reader = threading.Thread(target=self._keep_log, args=(child, child.process), daemon=True)
        child.reader.start()
        if child not in self.children:
            self.children.append(child)

    def restart_the_dead(self) -> None:
        """Start again, after a pause that grows, what has ended by itself.

        Raises:
            CannotGoOn: it has ended again and again, and never lived for long.
        """
        now = time.monotonic()
        for child in self.children:
            if child.process is None:
                if now >= child.due:
                    self.start(child)
            elif (status := child.process.poll()) is not None and not child.once:
                end_group(child.process, signal.SIGKILL)  # what it may have left behind
                if now - child.started > LIVES_AFTER:
                    child.pause, child.has_lived = _RESTART_FIRST, True
                if child.reader is not None:
                    child.reader.join(1.0)  # what it wrote last says why
                last = "".join(f"\n  {line}" for line in child.lines)
                if child.starts >= _STARTS and not child.has_lived:
                    raise CannotGoOn(f"{child.name} {_ended(status)} each time it was started; its last lines:{last}")
                say(f"{child.name} {_ended(status)}; starting it again in {child.pause:.0f} s{last}", error=True)
                child.due = now + child.pause
                child.pause = min(2 * child.pause, _RESTART_MOST)
                child.process = None

    def restart(self, name: str) -> None:
        """End one process, with all it has started, and start it at once. One that heeds no signal is killed."""
        child = next((child for child in self.children if child.name == name), None)
        if child is None or child.process is None:
            return
        child.has_lived |= time.monotonic() - child.started > LIVES_AFTER
        child.starts = 0  # it is started because somebody asks, and not because it has ended
        end_group(child.process, child.stop_with)
        until(child.has_ended, _STOP_PATIENCE)
        end_group(child.process, signal.SIGKILL)
        child.process.wait()
        self.start(child)

    def end_frozen_runs(self) -> None:
        """End the runs of the code server that somebody has stopped (SIGSTOP), once they stay so for some ten seconds.

        Dagster cannot: to cancel a run, its code server waits for an answer of that process while it holds the lock
        that every start of a run needs, so that nothing runs for minutes. One that is gone is marked failed, and its
        minute is healed by the next tick. What is counted are our own looks: after a stop of all there were none.
        """
        now = time.monotonic()
        if now - self._looked_at < _LOOKS_FOR_FROZEN_EVERY:
            return
        self._looked_at = now
        code = next((child for child in self.children if child.name == "code"), None)
        stopped = [] if code is None or code.has_ended() else [pid for pid in _run_pids(code) if _is_stopped(pid)]
        self._frozen = {pid: self._frozen.get(pid, 0) + 1 for pid in stopped}
        for pid, looks in self._frozen.items():
            if looks >= _FROZEN_LOOKS:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                say(f"process {pid} of a run was stopped; it is ended, so that others can begin", error=True)

    def wait_for(self, condition: Callable[[], bool], patience: float) -> bool:
        """Wait until a condition holds, and keep running what runs meanwhile; False where it does not come."""
        return until(condition, patience, meanwhile=self.restart_the_dead)

    def stop(self) -> None:
        """End everything, gently first; a tick that is at work gets a few seconds to finish."""
        by_name = {child.name: child for child in self.children}
        for name in ("watch", "daemon", "load", "ui"):  # nothing new is begun
            if name in by_name:
                _signal(by_name[name])
        code = by_name.get("code")
        if code is not None and code.process is not None:
            until(lambda: not _runs_of(code), _LAST_TICK_PATIENCE)
            _signal(code)
        if "exchange" in by_name:
            _signal(by_name["exchange"])
        until(lambda: all(child.has_ended() for child in self.children), _STOP_PATIENCE)
        for child in self.children:
            if child.process is not None:
                end_group(child.process, signal.SIGKILL)
                child.process.wait()

    def _keep_log(self, child: ManagedProcess, process: subprocess.Popen[str]) -> None:
        """Write a process's output to its log, and what matters of it to the terminal."""
        logs = DataFolder(self.folder).logs
        logs.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(logs / f"{child.name}.log", maxBytes=5_000_000, backupCount=2, encoding="utf-8")
        handler.terminator = ""
        assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
        with process.stdout as lines:
            for each in lines:
                line = masked(each)  # what Dagster's own processes say passes here alone
                handler.emit(logging.makeLogRecord({"msg": line}))
                if line.strip():
                    child.lines.append(line.rstrip()[:500])
                if (child.heard or _matters)(line):
                    say(f"{child.name}: {line.rstrip()}")
        handler.close()


def say(label: str, text: str = "", *, error: bool = False) -> None:
    """Say something on the terminal."""
    line = f"{label:<10}{text}" if label and text else label or text
    click.echo(masked(line), err=error)


def python(module: str, *arguments: str) -> list[str]:
    """Return how a module is run, by the interpreter that runs this."""
    return [sys.executable, "-m", module, *arguments]


def until(condition: Callable[[], bool], patience: float, meanwhile: Callable[[], object] = lambda: None) -> bool:
    """Wait until a condition holds, doing something meanwhile; False where it does not within so many seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        meanwhile()
        time.sleep(0.1)
    return True


def end_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to a process and all it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Ask Linux to send this process a signal when its parent ends. Elsewhere there is no such thing."""
    if sys.platform == "linux":
        _C.prctl(_PR_SET_PDEATHSIG, int(number))


def _ended(status: int) -> str:
    if status < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _signal(child: ManagedProcess) -> None:
    if child.process is not None:
        end_group(child.process, child.stop_with)


def _runs_of(code: ManagedProcess) -> bool:
    """Say whether the code server has runs at work."""
    return next(_run_pids(code), None) is not None


def _run_pids(code: ManagedProcess) -> Iterator[int]:
    """Yield the processes of the code server's group beside itself that execute a run."""
    assert code.process is not None  # noqa: S101 - the caller has checked
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid = int(stat.parent.name)
            in_group = pid != code.process.pid and os.getpgid(pid) == code.process.pid
            if in_group and b"spawn_main" in (stat.parent / "cmdline").read_bytes():
                yield pid


def _is_stopped(pid: int) -> bool:
    with suppress(OSError, IndexError):
        # the name before it may hold anything
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "T"
    return False


def _matters(line: str) -> bool:
    """Say whether a line of a log belongs on the terminal: what failed and why, but not each step of it."""
    failed = (" - ERROR - " in line or " - CRITICAL - " in line) and " - STEP_FAILURE - " not in line
    return failed or "SettingsError: " in line
