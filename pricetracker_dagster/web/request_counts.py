"""How many requests were answered, by path and status: counted where the answer leaves, whoever gave it."""

from collections.abc import Iterator, Set

from starlette.types import ASGIApp, Message, Receive, Scope, Send

OTHER = "other"
"""What counts for the path where there is none: one that a client has made up is never kept."""


class RequestCounts:
    """Counts of one process. Only its event loop counts, so there is no lock."""

    def __init__(self, worker: str = "") -> None:
        """Begin at none.

        Args:
            worker: which of several processes this is; empty: there is one.
        """
        self.worker = worker
        self.paths: Set[str] = frozenset()
        """What there is; no path has a parameter."""
        self._counts: dict[tuple[str, int], int] = {}

    def count(self, path: str, status: int) -> None:
        """Count an answer."""
        key = path if path in self.paths else OTHER, status
        self._counts[key] = self._counts.get(key, 0) + 1

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        """Yield path, status and how often."""
        for (path, status), times in sorted(self._counts.items()):
            yield path, status, times

    def counted(self, app: ASGIApp) -> ASGIApp:
        """Return an application whose answers are counted."""

        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self.count(scope["path"], message["status"])
                await send(message)

            await app(scope, receive, noting)

        return counting
