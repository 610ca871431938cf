"""Writing to standard output at once, and the error where it cannot be written."""

import sys

from pricetracker_dagster.errors import PricetrackerError


class OutputFailed(PricetrackerError, OSError):
    """What was to be printed could not be written."""


def write(*chunks: "bytes | memoryview") -> None:
    """Write to standard output at once.

    Raises:
        BrokenPipeError: the reader has seen enough.
        OutputFailed: it cannot be written for another reason.
    """
    try:
        sys.stdout.flush()
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"the output cannot be written: {error.strerror}") from error
