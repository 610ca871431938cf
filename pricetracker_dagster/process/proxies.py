"""Requests to this machine itself go through no proxy; all others as the environment says."""

import ipaddress
from collections.abc import MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import requests

_OFF_PROXIES = ("127.0.0.1", "localhost", "::1")


def keep_loopback_off_proxies(environment: MutableMapping[str, str]) -> None:
    """Add this machine's own addresses to those that are reached without a proxy; what is listed already stays.

    ``no_proxy`` is what most programs read, ``NO_PROXY`` the others; gRPC, by which Dagster's processes talk, reads
    ``no_grpc_proxy`` and takes neither ``*`` nor upper case. Where only one of the first two is set, the other gets
    its value, since the one that a program reads first hides the other.
    """
    lower, upper = environment.get("no_proxy", ""), environment.get("NO_PROXY", "")
    environment["no_proxy"] = _with_loopback(lower or upper)
    environment["NO_PROXY"] = _with_loopback(upper or lower)
    own = environment.get("no_grpc_proxy", "") or lower or upper
    environment["no_grpc_proxy"] = _with_loopback("" if own.strip() == "*" else own)


def _with_loopback(listed: str) -> str:
    if listed.strip() == "*":  # nothing goes through a proxy; with other names beside it, it would mean nothing
        return listed
    there = {name.strip() for name in listed.split(",")}
    return ",".join([*([listed] if listed.strip() else []), *(name for name in _OFF_PROXIES if name not in there)])


def is_loopback(url: str) -> bool:
    """Say whether a URL leads to this machine's own loopback."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def open_session(url: str) -> "requests.Session":
    """Return a session for a URL, without the proxies of the environment where it leads to loopback.

    It follows no redirect, and does not parse where one points: that may be no text or no URL at all.
    """
    import requests

    session = requests.Session()
    vars(session)["get_redirect_target"] = lambda _: None
    session.trust_env = not is_loopback(url)
    return session
