"""The parts of ``pricetracker up``, in the order in which they are started.

Web server and daemon share a code server: ``dagster dev``, in the background of a script, heeds no signal.
"""

import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.instance.warm_starts import OFF
from pricetracker_dagster.local.addresses import LOOPBACK, Address, free_port, listens
from pricetracker_dagster.local.process_groups import python
from pricetracker_dagster.local.runs import has_runs
from pricetracker_dagster.local.serving import Listening, server_process
from pricetracker_dagster.local.supervisor import ManagedProcess, Supervisor
from pricetracker_dagster.local.terminal import matters, say
from pricetracker_dagster.settings import PREFIX, Settings, command, http_address

LOCATION = "pricetracker_dagster"

_LOAD_PATIENCE = 120.0
_READY_PATIENCE = 90.0


def start_exchange(supervisor: Supervisor, settings: Settings, stop: threading.Event) -> None:
    """Start the simulator, whose prices are followed."""
    invented = "THE PRICES ARE INVENTED: metrics are called SIMULATED…, in a folder of their own"
    say("", "\n".join(["*" * 78, invented, "*" * 78]))
    port = free_port()
    url = http_address(LOOPBACK, port)
    supervisor.environment = {**supervisor.environment, f"{PREFIX}EXCHANGES__SIMULATED__URL": url}
    write_text(settings.simulator_file, url)  # for commands that are not our children
    simulate = python("pricetracker_dagster.cli", "simulate", "--port", str(port))
    supervisor.start(ManagedProcess("exchange", simulate))
    supervisor.wait_for(lambda: listens(LOOPBACK, port) or stop.is_set(), _READY_PATIENCE)


def start_first_load(supervisor: Supervisor, stop: threading.Event) -> None:
    """Load the last hours into an empty store; a load that takes too long goes on in the background."""
    say("", "the store is empty: loading the last 24 hours first …")
    backfill = python("pricetracker_dagster.cli", "backfill", "--hours", "24")
    load = ManagedProcess("load", backfill, stop_with=signal.SIGINT, once=True, heard=lambda _: True)
    supervisor.start(load)
    if not supervisor.wait_for(lambda: load.has_ended() or stop.is_set(), _LOAD_PATIENCE):
        say("", "this takes a while: it goes on in the background, ticks come first")


def start_code_server(supervisor: Supervisor, workspace: Path, stop: threading.Event, *, warm: bool) -> ManagedProcess:
    """Start the code server, and write the workspace in which web server and daemon find it.

    Args:
        supervisor: is to keep it running.
        workspace: the file.
        stop: set when the end is asked for.
        warm: its runs are to be forked from a process that has imported what they need.
    """
    port = free_port()
    server = f"{{host: {LOOPBACK}, port: {port}, location_name: {LOCATION}}}"
    write_text(workspace, f"load_from:\n  - grpc_server: {server}\n")
    # modules in the present working folder are not ours to import
    definitions = f"{LOCATION}.definitions"
    serve = ("api", "grpc", "--module-name", definitions, "--location-name", LOCATION, "--empty-working-directory")
    listen = ("--host", LOOPBACK, "--port", str(port), "--log-level", "warning")
    starts = (f"{LOCATION}.instance.warm_starts", f"{LOCATION}.local.preload") if warm else ("dagster",)
    command = python(*starts, *serve, *listen)
    code = supervisor.start(ManagedProcess("code", command, is_busy=has_runs, heard=matters_of_code))
    supervisor.wait_for(lambda: listens(LOOPBACK, port) or stop.is_set(), _READY_PATIENCE)
    return code


def dagsters(module: str, *arguments: str) -> list[str]:
    """Return how a module of Dagster is run that asks its storages again and again."""
    return python(f"{LOCATION}.instance.once", module, *arguments)


def matters_of_code(line: str) -> bool:
    """Say whether a line of the code server belongs on the terminal."""
    return matters(line) or line.startswith(OFF)


class Shown(NamedTuple):
    """Something that people open in a browser: its name, its part, its URL, and whether it answers yet."""

    name: str
    part: str
    url: str
    answers: Callable[[], bool]


def start_ui(supervisor: Supervisor, workspace: Path, address: Address) -> Shown:
    """Start the web server of the UI."""
    listen = ("--host", address.host, "--port", str(address.port))
    supervisor.start(ManagedProcess("ui", dagsters("dagster_webserver", "--workspace", str(workspace), *listen)))
    return Shown("the UI", "ui", address.url, lambda: listens(*address))


def start_serve(supervisor: Supervisor, served: Listening) -> Shown:
    """Start the server of the HTTP API and the page. Prices are tracked without it, too."""
    process, answers = server_process("serve", served.socket, shows=matters)
    process.is_needed = False
    supervisor.start(process)
    return Shown("prices", "serve", served.address.url, answers.is_set)


def start_daemon(supervisor: Supervisor, workspace: Path) -> None:
    """Start Dagster's daemon: schedule, sensors, queue, monitoring of runs."""
    daemon = dagsters("dagster._daemon", "run", "--workspace", str(workspace))
    supervisor.start(ManagedProcess("daemon", daemon, stop_with=signal.SIGINT))


def say_where(supervisor: Supervisor, settings: Settings, shown: Sequence[Shown], stop: threading.Event) -> None:
    """Say where everything is, once that answers."""
    for each in shown:
        if not supervisor.wait_for(lambda: each.answers() or stop.is_set(), _READY_PATIENCE):  # noqa: B023 - called here
            say("", f"no answer at {each.url} yet; its log: {settings.data_folder.logs}/{each.part}.log")
        elif not stop.is_set():
            say(each.name, each.url)
    if not stop.is_set():
        say("the data", str(settings.folder))
        say("by SQL", f'{command(simulated=settings.simulated)} sql "FROM metric_rank"')
        say("to stop", "Ctrl-C")
