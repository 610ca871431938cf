"""How often a client may ask. Memory is bounded: one number is kept of a client, and of only so many clients."""

import ipaddress

_MOST = 10_000
"""Clients that are remembered. Who has not asked for a while is forgotten first: that is as if it had never asked."""


class Limit:
    """So many requests a second for each client, and a burst of them at once (generic cell rate algorithm)."""

    def __init__(self, per_second: float, burst: float) -> None:
        """Set the rate; 0: no limit."""
        self._each = 1 / per_second if per_second else 0.0
        self._ahead = burst * self._each
        self._due: dict[str, float] = {}

    def wait(self, client: str, now: float, *, counts: bool = True) -> float:
        """Count a request, unless there were too many.

        Args:
            client: its address.
            now: seconds of a clock that cannot be set.
            counts: False: only say what would be.

        Returns:
            Seconds until it may be sent again; 0 where it is within the limit.
        """
        if not self._each:
            return 0.0
        client = _prefix(client)
        due = max(self._due.get(client, now), now) + self._each
        if (excess := due - now - self._ahead) > 1e-9:
            return excess
        if not counts:
            return 0.0
        if client not in self._due and len(self._due) >= _MOST:
            self._forget(now)
        self._due[client] = due
        return 0.0

    def fine(self, client: str, now: float, requests: float) -> None:
        """Count so many requests more for one that was counted, though not more than the burst."""
        client = _prefix(client)
        if client in self._due:
            self._due[client] = min(self._due[client] + requests * self._each, now + self._ahead)

    def _forget(self, now: float) -> None:
        """Make room: for those who may ask as if they never had, else for a tenth, whoever came first."""
        self._due = {client: due for client, due in self._due.items() if due > now}
        for client in list(self._due)[: max(0, len(self._due) - _MOST * 9 // 10)]:
            del self._due[client]


def _prefix(client: str) -> str:
    """Return whom an address belongs to: in IPv6, one client has a whole /64 of them."""
    if ":" not in client:
        return client
    try:
        address = ipaddress.IPv6Address(client.partition("%")[0])
    except ValueError:
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
