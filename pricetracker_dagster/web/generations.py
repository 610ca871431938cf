"""The published file that is answered from, and its successor: noticed within a second, taken over when it is ready.

Here belongs when one file takes the place of another. What is kept of its answers is in kept.py.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from pricetracker_dagster.errors import first_line
from pricetracker_dagster.reading.published import PublishedFile, identity
from pricetracker_dagster.web.cache import Cache, Kept, Key
from pricetracker_dagster.web.negotiation import ARROW, CSV, JSON

LOOK_EVERY = 0.25
"""Seconds between two looks at which file is there: one ``stat``, however many requests come."""

_PREPARE_SECONDS = 0.4
"""How long a new file is held back for its answers to be ready: it is in force within a second."""

_LOOK_AGAIN = 5.0
"""Seconds after which a file that could not be read is tried again, though it is the same."""

_FORMS = {JSON: "", CSV: "-csv", ARROW: "-arrow"}

_log = logging.getLogger(__name__)


class Generation:
    """One published file and the answers from it: those that are kept, and those that are being worked out."""

    def __init__(self, file: PublishedFile, cache: Cache) -> None:
        """Begin without answers."""
        self.file, self.cache = file, cache
        # a tag a form: a table as CSV is no substitute for the same as JSON
        self.tags = {kind: f'"{file.identity}{end}"'.encode() for kind, end in _FORMS.items()}
        self.pending: dict[Key, asyncio.Future[Kept | None]] = {}
        self._users, self._over = 1, False

    def __enter__(self) -> "Generation":
        """Keep the file open as long as somebody asks it."""
        self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        """Close it after the last one."""
        self._users -= 1
        if not self._users:
            asyncio.get_running_loop().run_in_executor(None, self.file.close)

    def etag(self, kind: str) -> bytes:
        """Return the weak entity tag of the answers in a form."""
        return b"W/" + self.tags[kind]

    def end(self) -> None:
        """Close the file once nobody asks it any more."""
        if not self._over:
            self._over = True
            self.__exit__()


class Generations:
    """Follows the newest published file."""

    def __init__(
        self, published: Path, cache_bytes: int, prepare: Callable[[Generation, Generation], Awaitable[None]]
    ) -> None:
        """Follow a path.

        Args:
            published: where the file is, now or later.
            cache_bytes: memory for the answers of one file.
            prepare: called with the file in force and its successor, about when that takes its place.
        """
        self.published = published
        self.current: Generation | None = None
        self.trouble = ""
        self._cache_bytes, self._prepare = cache_bytes, prepare
        self._task: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._unreadable: tuple[str | None, float] = (None, 0.0)

    async def start(self) -> None:
        """Open the file that is there, and begin to look for the next."""
        await self._look()
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def stop(self) -> None:
        """Look no more; close the file."""
        for task in (self._task, self._preparing):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if self.current is not None:
            self.current.end()
            self.current = None

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self._look()

    async def _look(self) -> None:
        """Take over a new file; where it cannot be read, go on with the one before and look again."""
        found = None
        try:
            found = identity(self.published)
            if found is None or (self.current is not None and self.current.file.identity == found):
                return
            unreadable, since = self._unreadable
            if found == unreadable and time.monotonic() - since < _LOOK_AGAIN:
                return
            await self._take_over(await asyncio.get_running_loop().run_in_executor(None, PublishedFile, self.published))
        except Exception as error:  # damaged, of another version, not to be read by this user
            self._unreadable = found, time.monotonic()
            if (trouble := first_line(error)) != self.trouble:
                _log.warning("the published file cannot be taken over: %s", trouble)
            self.trouble = trouble

    async def _take_over(self, file: PublishedFile) -> None:
        following, before = Generation(file, Cache(self._cache_bytes)), self.current
        if before is not None:
            self._preparing = asyncio.create_task(self._prepared(before, following))
            # what is not ready then becomes so: a query that has begun cannot be taken back
            await asyncio.wait({self._preparing}, timeout=_PREPARE_SECONDS)
        self.current, self.trouble = following, ""
        if before is not None:
            before.end()

    async def _prepared(self, before: Generation, following: Generation) -> None:
        try:
            with following:
                await self._prepare(before, following)
        except Exception:
            _log.exception("what was asked for most cannot be worked out before it is asked for again")
