"""Under which names a server is asked that lets everybody on this machine read.

A page of any site may give its own name this machine's address (DNS rebinding), and a browser then lets it read what is
served here. Its requests bear that name as ``Host``, so only the names that are ours are answered.
"""

import re
from urllib.parse import urlsplit

from pricetracker_dagster.settings.http import HttpSettings

_HOST = re.compile(rb"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{0,5})?")
_MOST = 100


class Hosts:
    """The names under which a server may be asked."""

    def __init__(self, http: HttpSettings) -> None:
        """Take them from the settings: this machine's own names, the configured host and that of the URL."""
        own = f"[{http.host}]" if ":" in http.host else http.host
        names = {"localhost", "127.0.0.1", "[::1]", own.lower()}
        if http.url and (host := urlsplit(http.url).hostname):
            names.add(f"[{host}]" if ":" in host else host)
        self._names = names
        self._known: set[bytes] = set()

    def have(self, host: bytes) -> bool:
        """Say whether the value of a header ``Host`` names this server, at whichever port."""
        if host in self._known:
            return True
        found = _HOST.fullmatch(host)
        if found is None or found["name"].decode().lower().removesuffix(".") not in self._names:
            return False
        if len(self._known) < _MOST:
            self._known.add(host)
        return True
