"""Answers in bounded memory, those that were asked for longest ago left out first."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

Headers = list[tuple[bytes, bytes]]


class Key(NamedTuple):
    """What tells answers apart: path, query as it was sent, media type, and whether it is compressed."""

    path: str
    query: bytes
    kind: str
    compressed: bool


class Kept(NamedTuple):
    """An answer: its headers, its body and its status. Only those of 200 are kept in the cache."""

    headers: Headers
    body: bytes
    status: int = 200


class Cache:
    """So many bytes of answers."""

    def __init__(self, most_bytes: int) -> None:
        """Begin without answers."""
        self._most, self._size = most_bytes, 0
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._asked: dict[Key, int] = {}

    def get(self, key: Key) -> Kept | None:
        """Return an answer, if it is kept."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            self._asked[key] += 1
        return found

    def peek(self, key: Key) -> Kept | None:
        """Return an answer likewise, for no reader."""
        return self._kept.get(key)

    def put(self, key: Key, answer: Kept) -> None:
        """Keep an answer, unless it would take more than a quarter of the memory."""
        size = _size(key, answer)
        if size > self._most // 4 or key in self._kept:
            return
        self._kept[key], self._asked[key] = answer, 1
        self._size += size
        while self._size > self._most:
            gone, left_out = self._kept.popitem(last=False)
            del self._asked[gone]
            self._size -= _size(gone, left_out)

    def most_asked(self, count: int) -> Iterator[Key]:
        """Yield the keys that were asked for most often, the first ones first."""
        yield from sorted(self._asked, key=lambda key: -self._asked[key])[:count]

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return self._size


def _size(key: Key, answer: Kept) -> int:
    return len(answer.body) + len(key.query) + len(key.path) + 1000
