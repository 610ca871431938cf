"""One tree of errors that a user can mend: each says in one plain line what is wrong, and with which status it ends.

Commands, and whatever else tells a user of an error, read both here. What is raised besides is a mistake of ours, and
is shown as one.
"""

import difflib
from collections.abc import Sequence

from pricetracker_dagster.process.secrets import masked


class PricetrackerError(Exception):
    """Something a user can mend. The message names the thing, the value and the way out."""

    exit_status = 1
    """The status of a command that ends with it: 2 for a wrong name, else 1."""

    def __init__(self, *said: object) -> None:
        """Keep the message without secrets: whoever stores, sends or prints it need not think of that."""
        super().__init__(*(masked(each) if isinstance(each, str) else each for each in said))


class UnknownName(PricetrackerError, LookupError):
    """What a user has named is not there; the message says what is."""

    exit_status = 2


_OF_OTHERS = ("duckdb", "_duckdb", "deltalake", "_internal", "sqlalchemy", "sqlite3", "pyarrow")
"""Packages whose errors are about files and databases, not about our code."""


def mendable(error: Exception) -> PricetrackerError | None:
    """Return an error as one that a user can mend: ours as it is, others that are about files and databases.

    Returns:
        None where it is a mistake of ours.
    """
    if isinstance(error, PricetrackerError):
        return error
    package, said = type(error).__module__.partition(".")[0], str(error)
    if isinstance(error, OSError):
        if package == "builtins" and error.strerror:
            said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        return PricetrackerError(said)
    if package not in _OF_OTHERS:
        return None
    # in one line, without the statement, which the user has just typed
    said = " ".join(said.partition("\n\nLINE ")[0].partition("\n[SQL: ")[0].split())
    return PricetrackerError(said if package.endswith("duckdb") else f"{plain(said, 300)} (--debug shows where)")


def first_line(error: BaseException) -> str:
    """Return what an error says first, without secrets; libraries add lines for programmers. Else its kind."""
    lines = masked(str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def plain(text: object, most: int = 120) -> str:
    """Return foreign text as a message may show it: one line, printable, not long, without secrets."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    shown = masked(str(text))[: 4 * most]  # in this order: of a secret that is cut the rest would be known as none
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in shown).split())
    return line if len(line) <= most else f"{line[:most]} …"


def in_one_line(text: object) -> str:
    """Return a text as a message may show it, in one line: what cannot be printed is written as an escape."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text))


def is_utf8(text: object) -> bool:
    """Say whether a text, e.g. a path, can be written in UTF-8: names of files need not be in it."""
    try:
        str(text).encode()
    except UnicodeEncodeError:
        return False
    return True


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return how a message goes on after naming an unknown word: with the nearest known one, or with them all."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    if not known:
        return "; there is none yet"
    return f"; there is {', '.join(known[:20])}{' …' if len(known) > 20 else ''}"
