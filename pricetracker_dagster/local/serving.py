"""Where prices are served over HTTP, and by how many processes. What they answer is none of this room's business.

The socket is opened before the processes that answer on it, and they share nothing else: the system hands each
connection to one that is free, and those that wait are not lost while one is started anew.
"""

import os
import socket
import threading
from collections.abc import Callable
from typing import NamedTuple

from pricetracker_dagster.local.addresses import Address, CannotStart, free_or_asked, reach
from pricetracker_dagster.local.process_groups import python
from pricetracker_dagster.local.supervisor import ManagedProcess, Supervisor
from pricetracker_dagster.settings.http import HttpSettings

READY = "@ready"
"""How a process that answers says so, on a line of its own."""

_PATIENCE = 90.0
_WAITING = 1024
"""Connections that may wait to be taken."""


class Listening(NamedTuple):
    """A socket that listens, and the address by which it is reached."""

    socket: socket.socket
    address: Address


def listen(http: HttpSettings, host: str | None = None, port: int | None = None) -> tuple[Listening, str]:
    """Listen where prices are to be served.

    Args:
        http: the settings.
        host: the host that was asked for; None: as the settings say.
        port: the port that was asked for; None: as the settings say, or the next free one.

    Returns:
        What listens, and a note for the user.

    Raises:
        CannotStart: it is no host, others reach it and would all be let in, or nothing can listen there.
    """
    host, is_here = reach(host or http.host, "http.host")
    if not is_here and not http.token.get_secret_value() and not http.public:
        raise CannotStart(
            f"{host} (--host, http.host) is reached from other machines, and nobody would be asked who they are: set "
            "http.token (PRICETRACKER_HTTP__TOKEN, at least 16 characters), or http.public = true where everybody may "
            "read, or stay on 127.0.0.1"
        )
    taken, said = free_or_asked(host, port, http.port, "the server of prices")
    family, _, _, _, place = socket.getaddrinfo(host, taken, type=socket.SOCK_STREAM)[0]
    try:
        opened = socket.create_server(place[:2], family=family, backlog=_WAITING)
    except OSError as error:  # another process was quicker
        raise CannotStart(f"nothing can listen on {host}, port {taken}: {error.strerror}") from error
    return Listening(opened, Address(host, taken)), said


def server_process(
    name: str, listening: socket.socket, *more: str, shows: Callable[[str], bool]
) -> tuple[ManagedProcess, threading.Event]:
    """Return a process that answers on a socket, and what is set once it does.

    Args:
        name: what it is called.
        listening: the socket.
        more: arguments of the command.
        shows: says of a line that it prints whether it belongs on the terminal.
    """
    answers = threading.Event()

    def heard(line: str) -> bool:
        if line.strip() == READY:
            answers.set()
            return False
        return shows(line)

    command = python("pricetracker_dagster.cli", "serve", "--descriptor", str(listening.fileno()), *more)
    return ManagedProcess(name, command, heard=heard, descriptors=[listening.fileno()]), answers


def keep_workers(listening: socket.socket, count: int, stop: threading.Event, on_ready: Callable[[], None]) -> None:
    """Run so many processes that answer on a socket, and replace those that die, until the end is asked for.

    Args:
        listening: the socket.
        count: how many.
        stop: set when the end is asked for.
        on_ready: called once, when all of them answer.

    Raises:
        CannotGoOn: one ends each time it is started.
    """
    supervisor = Supervisor(None, {**os.environ, "PYTHONUNBUFFERED": "1"})
    workers = [
        server_process(f"worker {number}", listening, "--worker", number, shows=lambda line: bool(line.strip()))
        for number in map(str, range(1, count + 1))
    ]
    try:
        for worker, _ in workers:
            supervisor.start(worker)
        if supervisor.wait_for(lambda: stop.is_set() or all(answers.is_set() for _, answers in workers), _PATIENCE):
            on_ready()
        while not stop.wait(0.2):
            supervisor.restart_the_dead()
    finally:
        supervisor.stop()
