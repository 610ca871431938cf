"""Where prices are served over HTTP, and by how many processes. What they answer is none of this room's business.

Several processes share the listening socket and nothing else: the system hands each connection to one that is free,
and those that wait are not lost with one that dies.
"""

import os
import socket
import threading
from collections.abc import Callable

from pricetracker_dagster.local.addresses import Address, CannotStart, free_or_asked, reach
from pricetracker_dagster.local.process_groups import python
from pricetracker_dagster.local.supervisor import ManagedProcess, Supervisor
from pricetracker_dagster.settings.http import HttpSettings

READY = "@ready"
"""How a process that answers says so, on a line of its own."""

_WAITING = 1024
"""Connections that may wait to be taken."""


def serving_address(http: HttpSettings, host: str | None, port: int | None) -> tuple[Address, str]:
    """Return where prices are to be served, and a note for the user.

    Args:
        http: the settings.
        host: the host that was asked for; None: as the settings say.
        port: the port that was asked for; None: as the settings say, or the next free one.

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
    return Address(host, taken), said


def listen(address: Address) -> socket.socket:
    """Return a socket that listens.

    Raises:
        CannotStart: it cannot, e.g. since another process has taken the port meanwhile.
    """
    family, _, _, _, place = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    try:
        return socket.create_server(place[:2], family=family, backlog=_WAITING)
    except OSError as error:
        raise CannotStart(f"nothing can listen on {address.host}, port {address.port}: {error.strerror}") from error


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
    starting = threading.Semaphore(0)

    def heard(line: str) -> bool:
        if line.strip() == READY:
            starting.release()
        return line.strip() not in ("", READY)

    supervisor = Supervisor(None, {**os.environ, "PYTHONUNBUFFERED": "1"})
    command = python("pricetracker_dagster.cli", "serve", "--descriptor", str(listening.fileno()))
    try:
        for number in range(count):
            worker = ManagedProcess(f"worker {number + 1}", command, heard=heard, descriptors=[listening.fileno()])
            supervisor.start(worker)
        while not stop.wait(0.2):
            supervisor.restart_the_dead()
            while count and starting.acquire(blocking=False):
                count -= 1
                if not count:
                    on_ready()
    finally:
        supervisor.stop()
