"""Hosts and ports of what listens on this machine."""

import errno
import ipaddress
import socket
from contextlib import suppress
from typing import NamedTuple

from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.settings import host_name, http_address

LOOPBACK = "127.0.0.1"

_PROBED = 100
"""How many ports are tried from the usual one on."""


class Address(NamedTuple):
    """Where something listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Its URL."""
        return http_address(self.host, self.port)


class CannotStart(PricetrackerError):
    """It cannot start. The message says why and the way out."""


def reach(host: str, setting: str) -> tuple[str, bool]:
    """Return where something is to listen, and whether that is on this machine's own loopback.

    Raises:
        CannotStart: it is no host, or not known here; the setting is named.
    """
    try:
        host = host_name(host)
        addresses = {address[4][0] for address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)}
    except ValueError as error:
        raise CannotStart(f'--host "{host}": {error}') from None
    except OSError as error:  # gaierror: no such name
        raise CannotStart(f'host "{host}" (--host, {setting}) is not known here: {error.strerror}') from None
    return host, all(ipaddress.ip_address(address).is_loopback for address in addresses)


def ui_host(host: str) -> tuple[str, str]:
    """Return where the UI is to listen, and a warning where that is beyond this machine.

    Raises:
        CannotStart: it is no host, or not known here.
    """
    host, is_here = reach(host, "ui.host")
    if is_here:
        return host, ""
    return host, (
        f"Warning: the UI listens on {host}: whoever reaches that address can use it, since it has no login. "
        "Keep it on 127.0.0.1 (--host, ui.host) and put a reverse proxy before it"
    )


def free_or_asked(host: str, asked: int | None, usual: int, who: str) -> tuple[int, str]:
    """Return a port to listen on, and a note for the user: the port asked for, else the usual or the next free one.

    Raises:
        CannotStart: nothing can listen on that host, or the port asked for is taken.
    """
    if asked is not None:
        if not is_free(host, asked):
            raise CannotStart(f"port {asked} on {host} is taken: choose another with --port")
        return asked, ""
    last = min(usual + _PROBED, 65536) - 1
    for port in range(usual, last + 1):
        if is_free(host, port):
            return port, "" if port == usual else f"port {usual} is taken; {who} takes {port}"
    raise CannotStart(f"no port from {usual} to {last} on {host} is free: choose one with --port")


def is_free(host: str, port: int) -> bool:
    """Say whether a port can be listened on; raise CannotStart where none can, whichever it is."""
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


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def listens(host: str, port: int) -> bool:
    """Say whether something listens there. An address that stands for all of them is tried on loopback."""
    reached = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    with suppress(OSError), socket.create_connection((reached, port), timeout=1):
        return True
    return False
