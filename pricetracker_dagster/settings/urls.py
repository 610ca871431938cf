"""Addresses as settings hold them: URLs to which requests are sent, hosts to listen on."""

import ipaddress
import re
from contextlib import suppress
from urllib.parse import urlsplit

from pricetracker_dagster.process.secret_forms import without_login


def http_url(text: str, example: str) -> str:
    """Return a URL without a trailing slash; raise ValueError where no request can be sent to it."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port above 65535, brackets that do not close
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError(f"not a URL: write e.g. {example}")
    return text.rstrip("/")


def public_url(text: str) -> str:
    """Return how people reach a server, for links: without a login, which no reader of a message is to see.

    Raises:
        ValueError: it is no URL. An empty text stays so: people reach it by host and port.
    """
    return http_url(without_login(text)[0], "https://prices.example.org") if text else text


def link(url: str, host: str, port: int) -> str:
    """Return a server's address as links name it, without a trailing slash: its public URL, else host and port."""
    return url.rstrip("/") or http_address(host, port)


def http_address(host: str, port: int) -> str:
    """Return the URL of a server: an IPv6 address stands in brackets there."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def host_name(text: str) -> str:
    """Return a host to listen on, an IP address or a name.

    Raises:
        ValueError: it is neither. What a resolver would take for one (``0``, an empty text: every address) is refused.
    """
    remedy = 'write an address or a name, e.g. "127.0.0.1"; "0.0.0.0" is every address of this machine'
    if not text.strip():
        raise ValueError(f"empty: {remedy}")
    with suppress(ValueError):
        return str(ipaddress.ip_address(text))
    if text.startswith("[") and text.endswith("]"):
        raise ValueError(f'not a host: write it without brackets, "{text[1:-1]}"')
    labels = text.split(".")
    if re.search(r"[:/]", text):
        raise ValueError(f"not a host: no scheme, port or path belongs there; {remedy}")
    if not all(re.fullmatch(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", label) for label in labels):
        raise ValueError(f"not a host: {remedy}")
    if re.fullmatch(r"\d+|0[xX][0-9a-fA-F]*", labels[-1]):  # a number in one of the forms that inet_aton() takes
        raise ValueError(f"not an IP address: {remedy}")
    return text
