"""What is kept of past hours: an Arrow stream a file beside the published one, none of which is ever changed.

In the published file they would be copied each minute, though a minute changes nothing in them: of 10,000 metrics some
60 MB. The name of a file says of which hour it is and from which Parquet files, which never change either: so nothing
has to be swapped with the published file, and what is lost or damaged is worked out anew. What is in them is kept.py's.
"""

import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from pricetracker_dagster.files.replacing import write_bytes
from pricetracker_dagster.store.publishing.kept_parts import Unusable, stream_of, understood

_VERSION = "1"
"""Part of each name. A change of what is in the files raises it."""

_CHECK = 4
"""Bytes of the checksum with which a file begins: it may have been cut short, or lain on the disk for long."""

_Read = TypeVar("_Read")


class KeptFiles:
    """The files of one data folder. Only the process that publishes uses them."""

    def __init__(self, folder: Path) -> None:
        """Use the files in a folder, which need not exist."""
        self._folder = folder
        self._written: set[str] = set()
        self._cleared = False

    def has(self, name: str) -> bool:
        """Say whether there is such a file."""
        return (name in self._written or not self._cleared) and (self._folder / name).exists()

    def read(self, name: str, read: Callable[[pa.RecordBatch], _Read]) -> _Read | None:
        """Return what a file holds; None where it is not there, damaged or of something else."""
        if self.has(name):
            with suppress(OSError, Unusable):
                content = memoryview((self._folder / name).read_bytes())
                if zlib.crc32(content[_CHECK:]).to_bytes(_CHECK, "big") == content[:_CHECK]:
                    return understood(content[_CHECK:], read)
        return None

    def write(self, name: str, batch: pa.RecordBatch) -> None:
        """Keep a batch. Where it cannot be written it is worked out again the next time."""
        content = stream_of(batch)
        with suppress(OSError):
            write_bytes(self._folder / name, zlib.crc32(content).to_bytes(_CHECK, "big") + content, private=True)
            self._written.add(name)

    def keep_only(self, prefixes: Iterable[str]) -> None:
        """Delete the files whose names begin otherwise, if any was written: else there are none."""
        if self._written:
            self._delete_but(tuple(prefixes))

    def clear(self) -> None:
        """Delete all of them, and use none that cannot be deleted."""
        self._cleared = True
        self._delete_but(())

    def _delete_but(self, prefixes: tuple[str, ...]) -> None:
        for file in self._folder.glob("*"):
            if not file.name.startswith(prefixes):
                with suppress(OSError):  # another user's, or put there by somebody else
                    file.unlink()


def prefix_of(hour: int, files: Iterable[str]) -> str:
    """Return how the names of what is kept of an hour, counted since 1970 (UTC), of some Parquet files begin."""
    return f"{hour}-{sha256(chr(0).join((_VERSION, *sorted(files))).encode()).hexdigest()[:32]}"
