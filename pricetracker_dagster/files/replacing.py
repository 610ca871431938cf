"""Writing a file as a whole: whoever reads it meets the old content or the new one, never half of either."""

import os
import re
import threading
from contextlib import suppress
from pathlib import Path

_BESIDE = re.compile(r"\..+?\.(\d+)(\.\d+|\.new)?")
"""Names of files that are made beside the one that they replace, with the process that makes them."""


def write_text(file: Path, text: str, *, private: bool = False) -> None:
    """Put a text in the place of a file's, in UTF-8. Its folder is made where it is not there yet.

    Args:
        file: which file.
        text: what it holds from now on.
        private: nobody but its owner may read it, at no time; else the umask decides.

    Raises:
        OSError: it cannot be written; the old text stands.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    # of two threads or processes that write at once each has a file of its own, and the later one stands
    beside = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        beside.unlink(missing_ok=True)  # left by a process of the same number, and perhaps open to others
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(beside, flags, 0o600 if private else 0o666), "w", encoding="utf-8") as opened:
            opened.write(text)
        beside.replace(file)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Have the disk keep what was written into a file or folder, before anything relies on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every disk can
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def left_over(folder: Path) -> list[Path]:
    """Return the files in a folder that processes which are no more have left beside those they were to replace."""
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
