"""Replacing files as a whole: a reader sees the old content or the new one, never half of either."""

import os
import re
import threading
from contextlib import suppress
from pathlib import Path

_BESIDE = re.compile(r"\..+?\.(\d+)(\.\d+|\.new)?")
"""Names of the temporary files beside those that they are to replace, with the process that writes them."""


def write_text(file: Path, text: str, *, private: bool = False) -> None:
    """Replace a file by a text, in UTF-8. Its folder is created where it does not exist.

    A private one only its owner may read, from the first moment on; else the umask decides.

    Raises:
        OSError: it cannot be written; the old text stays.
    """
    write_bytes(file, text.encode(), private=private)


def write_bytes(file: Path, content: bytes, *, private: bool = False) -> None:
    """Replace a file as write_text() does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # threads and processes that write at once have a file of their own each; the last one to finish wins
    beside = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        beside.unlink(missing_ok=True)  # left by a process of the same number, and perhaps open to others
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(beside, flags, 0o600 if private else 0o666), "wb") as opened:
            opened.write(content)
        beside.replace(file)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Flush a file or folder to the disk, before anything relies on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every disk can
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def left_over(folder: Path) -> list[Path]:
    """Return the temporary files in a folder that ended processes have left."""
    made = ((file, _BESIDE.fullmatch(file.name)) for file in folder.glob(".*"))
    return [file for file, named in made if named and file.is_file() and not _is_alive(int(named[1]))]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True
