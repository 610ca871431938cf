"""``pricetracker up``: everything that runs, started together, watched, and ended together.

One code server, shared by the web server and the daemon (``dagster dev``, in the background of a script, heeds no
signal); the simulator where no exchange can be reached. Each is a process group of its own, so that it can be ended
with all it has started.
"""

import ctypes
import errno
import fcntl
import ipaddress
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

import click

from pricetracker_dagster.exchanges import ExchangeError, exchange_time
from pricetracker_dagster.instance import dagster_home
from pricetracker_dagster.settings import (
    CONFIG_VARIABLE,
    PREFIX,
    Settings,
    command,
    config_file,
    host_name,
    http_address,
    load_settings,
)
from pricetracker_dagster.store.prices import Store
from pricetracker_dagster.store.publish import sweep

LOCATION = "pricetracker_dagster"
DEFINITIONS = "pricetracker_dagster.definitions"

_LOAD_HOURS = 24
_LOAD_PATIENCE = 120.0
_READY_PATIENCE = 90.0
_LAST_TICK_PATIENCE = 5.0
_STOP_PATIENCE = 3.0
_RESTART_FIRST, _RESTART_MOST = 1.0, 30.0
_PR_SET_PDEATHSIG = 1
_C = ctypes.CDLL(None)


class CannotStart(click.ClickException):
    """It cannot start. The message says why and the way out."""


@dataclass
class Child:
    """One process that is kept running.

    Attributes:
        name: what it is called in messages; its log is ``<data>/logs/<name>.log``.
        command: how it is started.
        stop_with: the signal that it heeds.
        once: it is done when it has ended.
    """

    name: str
    command: Sequence[str]
    stop_with: signal.Signals = signal.SIGTERM
    once: bool = False
    process: subprocess.Popen[str] | None = None
    pause: float = _RESTART_FIRST
    due: float = 0.0
    started: float = 0.0

    def has_ended(self) -> bool:
        """Say whether it does not run now."""
        return self.process is None or self.process.poll() is not None


@dataclass
class Household:
    """The processes of one data folder.

    Attributes:
        folder: the data folder.
        environment: what they all are given.
    """

    folder: Path
    environment: Mapping[str, str]
    children: list[Child] = field(default_factory=list)

    def start(self, child: Child) -> None:
        """Start a process in a group of its own; it dies with this one even if this one is killed."""
        child.process = subprocess.Popen(  # noqa: S603 - commands of our own making
            child.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, no lock that a thread could hold
        )
        child.started = time.monotonic()
        threading.Thread(target=self._keep_log, args=(child.name, child.process), daemon=True).start()
        if child not in self.children:
            self.children.append(child)

    def restart_the_dead(self) -> None:
        """Start again, after a pause that grows, what has ended by itself."""
        now = time.monotonic()
        for child in self.children:
            if child.process is None:
                if now >= child.due:
                    self.start(child)
            elif (status := child.process.poll()) is not None and not child.once:
                _end_group(child.process, signal.SIGKILL)  # what it may have left behind
                if now - child.started > 60:
                    child.pause = _RESTART_FIRST
                _say(f"{child.name} ended with status {status}; starting it again in {child.pause:.0f} s", error=True)
                child.due = now + child.pause
                child.pause = min(2 * child.pause, _RESTART_MOST)
                child.process = None

    def stop(self) -> None:
        """End everything, gently first; a tick that is at work gets a few seconds to finish."""
        by_name = {child.name: child for child in self.children}
        for name in ("daemon", "load", "ui"):  # nothing new is begun
            if name in by_name:
                _signal(by_name[name])
        code = by_name.get("code")
        if code is not None and code.process is not None:
            _until(lambda: not _runs_of(code), _LAST_TICK_PATIENCE)
            _signal(code)
        if "exchange" in by_name:
            _signal(by_name["exchange"])
        _until(lambda: all(child.has_ended() for child in self.children), _STOP_PATIENCE)
        for child in self.children:
            if child.process is not None:
                _end_group(child.process, signal.SIGKILL)
                child.process.wait()

    def _keep_log(self, name: str, process: subprocess.Popen[str]) -> None:
        """Write a process's output to its log, and what matters of it to the terminal."""
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(logs / f"{name}.log", maxBytes=5_000_000, backupCount=2, encoding="utf-8")
        handler.terminator = ""
        assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
        with process.stdout as lines:
            for line in lines:
                handler.emit(logging.makeLogRecord({"msg": line}))
                if name == "load" or _matters(line):
                    _say(f"{name}: {line.rstrip()}")
        handler.close()


def run(*, live: bool, simulated: bool, host: str | None, port: int | None, marker: Path | None = None) -> int:
    """Run everything until SIGINT or SIGTERM.

    Args:
        live: fail where the exchange cannot be reached, instead of running on the simulator.
        simulated: run on the simulator without asking the exchange.
        host: address of the UI; None: as the settings say.
        port: port of the UI; None: as the settings say, or the next free one.
        marker: run only as long as this file is there; it is removed at the end.

    Returns:
        The exit status.

    Raises:
        SettingsError: the settings cannot be used.
        CannotStart: the exchange is needed and not there, a port is taken, or it runs already.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # explicit, since a shell starts its background jobs with SIGINT ignored
        signal.signal(number, lambda *_: stop.set())
    if marker is not None:
        threading.Thread(target=_stop_without, args=(marker, stop), daemon=True).start()
    if "MAKELEVEL" in os.environ:
        _die_with_parent(signal.SIGTERM)  # `make` may be ended without telling us
    settings = load_settings()
    if live and settings.simulated:
        raise CannotStart("--live (LIVE=1) and the setting simulated = true contradict each other")
    if simulated or settings.simulated or not _exchange_answers(settings, live=live):
        settings = load_settings(simulated=True)
    host = _ui_host(host or settings.ui.host)
    with _only_one(settings) as lock:
        ui_port = _ui_port(host, port, settings.ui.port)
        lock.write(f"process {os.getpid()}, {http_address(host, ui_port)}\n")
        lock.flush()
        household = Household(settings.folder, _environment(settings))
        try:
            _start_all(household, settings, host, ui_port, stop)
            while not stop.wait(0.5):
                household.restart_the_dead()
        finally:
            _say("stopping …")
            household.stop()
            sweep(Store(settings.folder))
            settings.simulator_file.unlink(missing_ok=True)
            if marker is not None:
                marker.unlink(missing_ok=True)
            _say("stopped")
    return 0


def _start_all(household: Household, settings: Settings, host: str, ui_port: int, stop: threading.Event) -> None:
    home = dagster_home(settings)
    if settings.simulated:
        _say("", "*" * 78)
        _say("", "THE PRICES ARE INVENTED: metrics are called SIMULATED:…, in a folder of their own")
        _say("", "*" * 78)
        exchange_port = _free_port("127.0.0.1")
        url = f"http://127.0.0.1:{exchange_port}"
        household.environment = {**household.environment, f"{PREFIX}EXCHANGES__SIMULATED__URL": url}
        settings.simulator_file.write_text(url, encoding="utf-8")  # for commands that are not our children
        household.start(
            Child("exchange", _python("pricetracker_dagster.cli", "simulate", "--port", str(exchange_port)))
        )
        _until(lambda: _listens("127.0.0.1", exchange_port) or stop.is_set(), _READY_PATIENCE)
    if Store(settings.folder).rows() == 0:
        _load(household, stop)
    if stop.is_set():
        return
    # as it is now: messages link to it
    household.environment = {
        **household.environment,
        f"{PREFIX}UI__HOST": host,
        f"{PREFIX}UI__PORT": str(ui_port),
    }
    code_port = _free_port("127.0.0.1")
    workspace = home / "workspace.yaml"
    workspace.write_text(
        f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {code_port}, location_name: {LOCATION}}}\n",
        encoding="utf-8",
    )
    serve = ("api", "grpc", "--module-name", DEFINITIONS, "--location-name", LOCATION, "--host", "127.0.0.1")
    household.start(Child("code", _python("dagster", *serve, "--port", str(code_port), "--log-level", "warning")))
    _until(lambda: _listens("127.0.0.1", code_port) or stop.is_set(), _READY_PATIENCE)
    household.start(
        Child("ui", _python("dagster_webserver", "--workspace", str(workspace), "--host", host, "--port", str(ui_port)))
    )
    household.start(
        Child("daemon", _python("dagster._daemon", "run", "--workspace", str(workspace)), stop_with=signal.SIGINT)
    )
    if _until(lambda: _listens(host, ui_port) or stop.is_set(), _READY_PATIENCE) and not stop.is_set():
        _say("the UI", http_address(host, ui_port))
        _say("the data", str(settings.folder))
        _say("by SQL", f'{command(simulated=settings.simulated)} sql "FROM metric_rank"')
        _say("to stop", "Ctrl-C")


def _load(household: Household, stop: threading.Event) -> None:
    """Load the last hours into an empty store; what takes too long goes on beside everything else."""
    _say("", f"the store is empty: loading the last {_LOAD_HOURS} hours first …")
    backfill = _python("pricetracker_dagster.cli", "backfill", "--hours", str(_LOAD_HOURS))
    load = Child("load", backfill, stop_with=signal.SIGINT, once=True)
    household.start(load)
    if not _until(lambda: load.has_ended() or stop.is_set(), _LOAD_PATIENCE):
        _say("", "this takes a while: it goes on in the background, ticks come first")


def _exchange_answers(settings: Settings, *, live: bool) -> bool:
    """Ask the exchange for its time; say plainly where it cannot be reached."""
    try:
        for name, moment in exchange_time(settings).items():
            _say("", f"{name} answers; its time is {moment:%Y-%m-%d %H:%M:%S} UTC")
    except ExchangeError as error:
        if live:
            raise CannotStart(f"{error}. Without --live (LIVE=1) it would run on the built-in simulator") from error
        _say("", f"the exchange cannot be reached: {error}", error=True)
        _say("", "running on the built-in simulator instead", error=True)
        return False
    return True


def _environment(settings: Settings) -> dict[str, str]:
    environment = {
        **os.environ,
        CONFIG_VARIABLE: str(config_file()),
        "DAGSTER_HOME": str(dagster_home(settings)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
    }
    if settings.simulated:
        environment[f"{PREFIX}SIMULATED"] = "true"
    return environment


@contextmanager
def _only_one(settings: Settings) -> Iterator[TextIO]:
    """Hold the data folder's lock.

    Raises:
        CannotStart: another ``up`` holds it.
    """
    settings.state.mkdir(parents=True, exist_ok=True)
    with (settings.state / "up.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(f"it runs already on {settings.folder}: {lock.read().strip()}") from None
        lock.truncate(0)
        yield lock
        lock.truncate(0)


def _ui_host(host: str) -> str:
    """Return where the UI is to listen; say plainly that others reach it where that is beyond this machine.

    Raises:
        CannotStart: it is no host, or none of this machine.
    """
    try:
        host = host_name(host)
        addresses = {address[4][0] for address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)}
    except ValueError as error:
        raise CannotStart(f'--host "{host}": {error}') from None
    except OSError as error:  # gaierror: no such name
        raise CannotStart(f'host "{host}" (--host, ui.host) is not known here: {error.strerror}') from None
    if not all(ipaddress.ip_address(address).is_loopback for address in addresses):
        _say(
            "",
            f"Warning: the UI listens on {host}: whoever reaches that address can use it, since it has no login. "
            "Keep it on 127.0.0.1 (--host, ui.host) and put a reverse proxy before it",
            error=True,
        )
    return host


def _ui_port(host: str, asked: int | None, usual: int) -> int:
    """Return the port of the UI: the one asked for, else the usual one or the next that is free.

    Raises:
        CannotStart: the port asked for is taken.
    """
    if asked is not None:
        if not _is_free(host, asked):
            raise CannotStart(f"port {asked} on {host} is taken: choose another with --port")
        return asked
    for port in range(usual, min(usual + 100, 65536)):
        if _is_free(host, port):
            if port != usual:
                _say("", f"port {usual} is taken; the UI takes {port}")
            return port
    raise CannotStart(f"no port from {usual} to {usual + 99} on {host} is free: choose one with --port")


def _is_free(host: str, port: int) -> bool:
    """Say whether a port can be listened on.

    Raises:
        CannotStart: none can, whichever port it is.
    """
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise CannotStart(f"nothing can listen on {host}, port {port}: {error.strerror}; name another host") from error
    return True


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _listens(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _until(condition: Callable[[], bool], patience: float) -> bool:
    """Wait until a condition holds; False where it does not within so many seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _signal(child: Child) -> None:
    if child.process is not None:
        _end_group(child.process, child.stop_with)


def _end_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _runs_of(code: Child) -> bool:
    """Say whether the code server has runs at work: processes of its group beside itself that execute one."""
    assert code.process is not None  # noqa: S101 - the caller has checked
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid = int(stat.parent.name)
            if pid != code.process.pid and os.getpgid(pid) == code.process.pid:
                return b"spawn_main" in (stat.parent / "cmdline").read_bytes()
    return False


def _matters(line: str) -> bool:
    """Say whether a line of a log belongs on the terminal: what failed and why, but not each step of it."""
    failed = (" - ERROR - " in line or " - CRITICAL - " in line) and " - STEP_FAILURE - " not in line
    return failed or "SettingsError: " in line


def _stop_without(marker: Path, stop: threading.Event) -> None:
    while marker.exists():
        if stop.wait(0.2):
            return
    stop.set()


def _die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Ask Linux to send this process a signal when its parent ends. Elsewhere there is no such thing."""
    if sys.platform == "linux":
        _C.prctl(_PR_SET_PDEATHSIG, int(number))


def _say(label: str, text: str = "", *, error: bool = False) -> None:
    line = f"{label:<10}{text}" if label and text else label or text
    click.echo(line, err=error)
