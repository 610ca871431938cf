"""``pricetracker up``: everything that runs on one machine, started together (parts.py), watched, and ended together.

Each part is a process group of its own, so that it can be ended with all it has started (supervisor.py).
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded, locked, said_by_holder
from pricetracker_dagster.local import parts
from pricetracker_dagster.local.addresses import Address, CannotStart, free_or_asked, ui_host
from pricetracker_dagster.local.apart import apart, make_ready, sweep, why_no_answer
from pricetracker_dagster.local.forked import preloaded
from pricetracker_dagster.local.runs import FrozenRuns
from pricetracker_dagster.local.serving import Listening, listen
from pricetracker_dagster.local.supervisor import Supervisor
from pricetracker_dagster.local.terminal import say
from pricetracker_dagster.local.watchdog import Watchdog
from pricetracker_dagster.process.parent import die_with_parent
from pricetracker_dagster.process.proxies import keep_loopback_off_proxies
from pricetracker_dagster.settings import CONFIG_VARIABLE, PREFIX, Settings, config_file, load_settings


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
        InstanceError: Dagster's instance cannot be opened by a dagster.yaml of the user's.
        CannotStart: the exchange is needed and not there, a port is taken, or it runs already.
        CannotGoOn: a part ends each time it is started.
    """
    stop = _stop_event(marker)
    settings = _settings_in_force(live=live, simulated=simulated)
    host, warning = ui_host(host or settings.ui.host)
    if warning:
        say("", warning, error=True)
    with only_one(settings) as lock:
        free, said = free_or_asked(host, port, settings.ui.port, "the UI")
        if said:
            say("", said)
        ui = Address(host, free)
        lock.write(f"process {os.getpid()}, {ui.url}\n")
        lock.flush()
        is_empty = apart(make_ready, simulated=settings.simulated)
        supervisor = Supervisor(settings.data_folder.logs, _environment(settings))
        served = _listen(settings)
        try:
            _run_parts(supervisor, settings, ui, served, stop, is_empty=is_empty)
        finally:
            say("stopping …")
            supervisor.stop()
            if served is not None:
                served.socket.close()
            apart(sweep, simulated=settings.simulated)
            settings.simulator_file.unlink(missing_ok=True)
            if marker is not None:
                marker.unlink(missing_ok=True)
            say("stopped")
    return 0


def _listen(settings: Settings) -> Listening | None:
    """Listen where prices are to be served over HTTP; where that cannot be, say why: ticks go on without it."""
    try:
        served, said = listen(settings.http)
    except CannotStart as error:
        say("", f"prices are not served over HTTP: {error}", error=True)
        return None
    if said:
        say("", said)
    return served


def _run_parts(
    supervisor: Supervisor,
    settings: Settings,
    ui: Address,
    served: Listening | None,
    stop: threading.Event,
    *,
    is_empty: bool,
) -> None:
    """Start all parts and keep them running until the end is asked for."""
    workspace = settings.data_folder.dagster_home / "workspace.yaml"
    if settings.warm_starts:
        supervisor.preloaded = preloaded(supervisor.environment, stop)
    if settings.simulated:
        parts.start_exchange(supervisor, settings, stop)
    if is_empty:
        parts.start_first_load(supervisor, stop)
    if stop.is_set():
        return
    # as it is now: messages link to it
    link = {f"{PREFIX}UI__HOST": ui.host, f"{PREFIX}UI__PORT": str(ui.port)}
    if served is not None:
        host, port = served.address
        link |= {f"{PREFIX}HTTP__HOST": host, f"{PREFIX}HTTP__PORT": str(port)}
    supervisor.environment = {**supervisor.environment, **link}
    code = parts.start_code_server(supervisor, workspace, stop, warm=settings.warm_starts)
    shown = [parts.start_ui(supervisor, workspace, ui)]
    parts.start_daemon(supervisor, workspace)
    if served is not None:
        shown.append(parts.start_serve(supervisor, served))
    parts.say_where(supervisor, settings, shown, stop)
    watchdog, frozen = Watchdog(), FrozenRuns(code)
    supervisor.start(watchdog.process())
    supervisor.fork_no_more()
    while not stop.wait(0.5):
        supervisor.restart_the_dead()
        frozen.end()
        watchdog.heed(supervisor)


def _stop_event(marker: Path | None) -> threading.Event:
    """Return what is set when the end is asked for: by a signal, or with the file that goes."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # explicit, since a shell starts its background jobs with SIGINT ignored
        signal.signal(number, lambda *_: stop.set())
    if marker is not None:
        threading.Thread(target=_stop_without, args=(marker, stop), daemon=True).start()
    if "MAKELEVEL" in os.environ:
        die_with_parent(signal.SIGTERM)  # `make` may be ended without telling us
    return stop


def _stop_without(marker: Path, stop: threading.Event) -> None:
    while marker.exists() and not stop.wait(0.2):
        pass
    stop.set()


def _settings_in_force(*, live: bool, simulated: bool) -> Settings:
    """Return the settings: those of the simulator where that is asked for, or the exchange does not answer."""
    settings = load_settings()
    if live and settings.simulated:
        raise CannotStart("--live (LIVE=1) and the setting simulated = true contradict each other")
    if simulated or settings.simulated or not _exchange_answers(live=live):
        return load_settings(simulated=True)
    return settings


def _exchange_answers(*, live: bool) -> bool:
    """Ask the exchange for its time; say plainly where it cannot be reached."""
    why_not = apart(why_no_answer)
    if why_not and live:
        raise CannotStart(f"{why_not}. Without --live (LIVE=1) it would run on the built-in simulator")
    if why_not:
        say("", f"the exchange cannot be reached: {why_not}", error=True)
        say("", "running on the built-in simulator instead", error=True)
    return not why_not


def _environment(settings: Settings) -> dict[str, str]:
    environment = {
        **os.environ,
        CONFIG_VARIABLE: str(config_file()),
        "DAGSTER_HOME": str(settings.data_folder.dagster_home),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "PYTHONSAFEPATH": "1",  # a random.py in the working folder is not to be imported
    }
    keep_loopback_off_proxies(environment)
    if settings.simulated:
        environment[f"{PREFIX}SIMULATED"] = "true"
    return environment


@contextmanager
def only_one(settings: Settings) -> Iterator[TextIO]:
    """Hold the data folder's lock; raise CannotStart where another ``up`` holds it."""
    file = settings.state / StateFile.UP_LOCK
    with ExitStack() as held:
        try:
            lock = held.enter_context(locked(file, Deadline.after(0)))
        except DeadlineExceeded:
            raise CannotStart(f"it runs already on {settings.folder}: {said_by_holder(file) or ''}") from None
        lock.truncate(0)
        yield lock
        lock.truncate(0)
