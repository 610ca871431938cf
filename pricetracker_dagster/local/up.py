"""``pricetracker up``: everything that runs, started together, watched, and ended together.

One code server, shared by the web server and the daemon (``dagster dev``, in the background of a script, heeds no
signal); the simulator where no exchange can be reached; and the watch, which notices when one of them stands still.
Each is a process group of its own, so that it can be ended with all it has started.
"""

import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.exchanges.base import ExchangeError
from pricetracker_dagster.exchanges.registry import exchange_time
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded, locked, said_by_holder
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.instance.home import check_dagster_yaml, dagster_home
from pricetracker_dagster.local.addresses import (
    LOOPBACK,
    CannotStart,
    free_port,
    listens,
    ui_host,
    ui_port,
)
from pricetracker_dagster.local.supervisor import RESTART, ManagedProcess, Supervisor, die_with_parent, python, say
from pricetracker_dagster.process.proxies import keep_loopback_off_proxies
from pricetracker_dagster.settings import (
    CONFIG_VARIABLE,
    PREFIX,
    Settings,
    command,
    config_file,
    http_address,
    load_settings,
)
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.publish import publish_if_moved, sweep
from pricetracker_dagster.store.store import open_store

LOCATION = "pricetracker_dagster"
DEFINITIONS = "pricetracker_dagster.definitions"

_LOAD_HOURS = 24
_LOAD_PATIENCE = 120.0
_READY_PATIENCE = 90.0
_LOOKS_EVERY = 10
_SILENT_AFTER = 120.0


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
        CannotGoOn: a part ends each time it is started.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # explicit, since a shell starts its background jobs with SIGINT ignored
        signal.signal(number, lambda *_: stop.set())
    if marker is not None:
        threading.Thread(target=_stop_without, args=(marker, stop), daemon=True).start()
    if "MAKELEVEL" in os.environ:
        die_with_parent(signal.SIGTERM)  # `make` may be ended without telling us
    settings = load_settings()
    if live and settings.simulated:
        raise CannotStart("--live (LIVE=1) and the setting simulated = true contradict each other")
    if simulated or settings.simulated or not _exchange_answers(settings, live=live):
        settings = load_settings(simulated=True)
    host, warning = ui_host(host or settings.ui.host)
    if warning:
        say("", warning, error=True)
    with _only_one(settings) as lock:
        free, said = ui_port(host, port, settings.ui.port)
        if said:
            say("", said)
        lock.write(f"process {os.getpid()}, {http_address(host, free)}\n")
        lock.flush()
        check_dagster_yaml(settings, lambda line: say("", line, error=True))
        with suppress(PricetrackerError):  # ticks and readers tell of it
            publish_if_moved(open_store(settings), [str(metric) for metric in settings.tracked], now=datetime.now(UTC))
        supervisor = Supervisor(settings.folder, _environment(settings))
        guard = Guard()
        try:
            _start_all(supervisor, settings, host, free, stop)
            supervisor.start(guard.child())
            while not stop.wait(0.5):
                supervisor.restart_the_dead()
                supervisor.end_frozen_runs()
                guard.heed(supervisor)
        finally:
            say("stopping …")
            supervisor.stop()
            sweep(open_store(settings))
            settings.simulator_file.unlink(missing_ok=True)
            if marker is not None:
                marker.unlink(missing_ok=True)
            say("stopped")
    return 0


class Guard:
    """The watch as a process of ours: what it asks for is done, and its own silence is noticed."""

    def __init__(self) -> None:
        """Nothing is asked for yet."""
        self._asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._heard_at = self._heeded_at = time.monotonic()

    def child(self) -> ManagedProcess:
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
            say(f"watch has said nothing for {_SILENT_AFTER:.0f} s; starting it anew", error=True)
            supervisor.restart("watch")

    def _hear(self, line: str) -> bool:
        self._heard_at = time.monotonic()
        if line.startswith(RESTART):
            self._asked.put(line.removeprefix(RESTART).strip())
        return not line.startswith("@")


def _start_all(supervisor: Supervisor, settings: Settings, host: str, port: int, stop: threading.Event) -> None:
    home = dagster_home(settings)
    if settings.simulated:
        say("", "*" * 78)
        say("", "THE PRICES ARE INVENTED: metrics are called SIMULATED:…, in a folder of their own")
        say("", "*" * 78)
        exchange_port = free_port()
        url = http_address(LOOPBACK, exchange_port)
        supervisor.environment = {**supervisor.environment, f"{PREFIX}EXCHANGES__SIMULATED__URL": url}
        write_text(settings.simulator_file, url)  # for commands that are not our children
        supervisor.start(
            ManagedProcess("exchange", python("pricetracker_dagster.cli", "simulate", "--port", str(exchange_port)))
        )
        supervisor.wait_for(lambda: listens(LOOPBACK, exchange_port) or stop.is_set(), _READY_PATIENCE)
    try:
        if open_store(settings).prices.rows() == 0:
            _load(supervisor, stop)
    except StoreError as error:  # ticks say it each minute; readers go on, and it can be mended beside
        say("", str(error), error=True)
    if stop.is_set():
        return
    # as it is now: messages link to it
    supervisor.environment = {
        **supervisor.environment,
        f"{PREFIX}UI__HOST": host,
        f"{PREFIX}UI__PORT": str(port),
    }
    code_port = free_port()
    workspace = home / "workspace.yaml"
    write_text(
        workspace, f"load_from:\n  - grpc_server: {{host: {LOOPBACK}, port: {code_port}, location_name: {LOCATION}}}\n"
    )
    # what lies in the folder that somebody happens to stand in is not ours to import
    serve = ("api", "grpc", "--module-name", DEFINITIONS, "--location-name", LOCATION, "--empty-working-directory")
    supervisor.start(
        ManagedProcess(
            "code",
            python("dagster", *serve, "--host", LOOPBACK, "--port", str(code_port), "--log-level", "warning"),
        )
    )
    supervisor.wait_for(lambda: listens(LOOPBACK, code_port) or stop.is_set(), _READY_PATIENCE)
    supervisor.start(
        ManagedProcess(
            "ui", python("dagster_webserver", "--workspace", str(workspace), "--host", host, "--port", str(port))
        )
    )
    supervisor.start(
        ManagedProcess(
            "daemon", python("dagster._daemon", "run", "--workspace", str(workspace)), stop_with=signal.SIGINT
        )
    )
    if supervisor.wait_for(lambda: listens(host, port) or stop.is_set(), _READY_PATIENCE) and not stop.is_set():
        say("the UI", http_address(host, port))
        say("the data", str(settings.folder))
        say("by SQL", f'{command(simulated=settings.simulated)} sql "FROM metric_rank"')
        say("to stop", "Ctrl-C")
    elif not stop.is_set():
        say("", f"the UI does not answer at {http_address(host, port)} yet; its log: {settings.folder}/logs/ui.log")


def _load(supervisor: Supervisor, stop: threading.Event) -> None:
    """Load the last hours into an empty store; what takes too long goes on beside everything else."""
    say("", f"the store is empty: loading the last {_LOAD_HOURS} hours first …")
    backfill = python("pricetracker_dagster.cli", "backfill", "--hours", str(_LOAD_HOURS))
    load = ManagedProcess("load", backfill, stop_with=signal.SIGINT, once=True, heard=lambda _: True)
    supervisor.start(load)
    if not supervisor.wait_for(lambda: load.has_ended() or stop.is_set(), _LOAD_PATIENCE):
        say("", "this takes a while: it goes on in the background, ticks come first")


def _exchange_answers(settings: Settings, *, live: bool) -> bool:
    """Ask the exchange for its time; say plainly where it cannot be reached."""
    try:
        for name, moment in exchange_time(settings).items():
            say("", f"{name} answers; its time is {moment:%Y-%m-%d %H:%M:%S} UTC")
    except ExchangeError as error:
        if live:
            raise CannotStart(f"{error}. Without --live (LIVE=1) it would run on the built-in simulator") from error
        say("", f"the exchange cannot be reached: {error}", error=True)
        say("", "running on the built-in simulator instead", error=True)
        return False
    return True


def _environment(settings: Settings) -> dict[str, str]:
    environment = {
        **os.environ,
        CONFIG_VARIABLE: str(config_file()),
        "DAGSTER_HOME": str(dagster_home(settings)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "PYTHONSAFEPATH": "1",  # a random.py in the working folder is somebody else's
    }
    keep_loopback_off_proxies(environment)
    if settings.simulated:
        environment[f"{PREFIX}SIMULATED"] = "true"
    return environment


@contextmanager
def _only_one(settings: Settings) -> Iterator[TextIO]:
    """Hold the data folder's lock.

    Raises:
        CannotStart: another ``up`` holds it.
    """
    file = settings.state / StateFile.UP_LOCK
    with ExitStack() as held:
        try:
            lock = held.enter_context(locked(file, Deadline.after(0)))
        except DeadlineExceeded:
            raise CannotStart(f"it runs already on {settings.folder}: {said_by_holder(file) or ''}") from None
        lock.truncate(0)
        yield lock
        lock.truncate(0)


def _stop_without(marker: Path, stop: threading.Event) -> None:
    while marker.exists():
        if stop.wait(0.2):
            return
    stop.set()
