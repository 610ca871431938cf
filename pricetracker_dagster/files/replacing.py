"""Writing a small file as a whole: whoever reads it meets the old text or the new one, never half of either."""

import os
import threading
from pathlib import Path


def write_text(file: Path, text: str) -> None:
    """Put a text in the place of a file's, in UTF-8. Its folder is made where it is not there yet.

    Raises:
        OSError: it cannot be written; the old text stands.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    # of two threads or processes that write at once each has a file of its own, and the later one stands
    beside = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
