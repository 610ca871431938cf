"""The ways out of this process that other people's code takes: logs, tracebacks, warnings. No secret leaves by them.

Each way is guarded where a text comes to be, so that it does not matter who prints, stores or sends it: a record of the
log where records are made, an error where a traceback is put into words, which Dagster keeps of what fails, too.
"""

import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from typing import Any

from pricetracker_dagster.process.secrets import keep_proxies, masked

_lock = threading.Lock()
_installed = False


def guard() -> None:
    """Guard the ways out of this process, once; the proxies that its environment names now are kept as secrets."""
    global _installed  # noqa: PLW0603 - a process has one way out of each kind
    keep_proxies(os.environ)
    with _lock:
        if _installed:
            return
        _installed = True
        logging.setLogRecordFactory(_masking(logging.getLogRecordFactory()))
        told = traceback.TracebackException
        for kind, name in ((told, "format"), (told, "format_exception_only"), (traceback.StackSummary, "format")):
            setattr(kind, name, _masked_lines(getattr(kind, name)))
        warnings.formatwarning = _masked_text(warnings.formatwarning)
        # Python's own, which are written in C and use none of the above; others' stay
        if sys.excepthook is sys.__excepthook__:
            sys.excepthook = _tell
        if threading.excepthook is threading.__excepthook__:
            threading.excepthook = _tell_of_thread
        if sys.unraisablehook is sys.__unraisablehook__:
            sys.unraisablehook = _tell_unraisable


def apprise_log() -> logging.Logger:
    """Return apprise's logger, cut off from ours for good: what it says may name a URL and its secrets."""
    log = logging.getLogger("apprise")
    log.propagate = False
    log.setLevel(logging.WARNING)
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)  # which names paths when it debugs
    return log


def _masking(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    """Return a factory of log records that makes them as before, without secrets in their text."""

    @wraps(make)
    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        said = None
        with suppress(Exception):  # a mistake of the caller; logging would show the arguments as they are
            said = record.getMessage()
        shown = masked(f"{record.msg} {record.args}" if said is None else said)
        if shown != said:
            record.msg, record.args = shown, ()
        if record.stack_info:
            record.stack_info = masked(record.stack_info)
        return record

    return made


def _masked_lines(say: Callable[..., Iterable[str]]) -> Callable[..., Iterable[str]]:
    @wraps(say)
    def said(*args: Any, **kwargs: Any) -> Iterable[str]:
        lines = say(*args, **kwargs)
        return list(map(masked, lines)) if isinstance(lines, list) else map(masked, lines)

    return said


def _masked_text(say: Callable[..., str]) -> Callable[..., str]:
    @wraps(say)
    def said(*args: Any, **kwargs: Any) -> str:
        return masked(say(*args, **kwargs))

    return said


def _tell(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if sys.stderr is not None:
        traceback.print_exception(kind, error, trace)


def _tell_of_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_type is SystemExit or sys.stderr is None:
        return
    name = told.thread.name if told.thread else threading.get_ident()
    print(f"Exception in thread {name}:", file=sys.stderr)
    traceback.print_exception(told.exc_type, told.exc_value, told.exc_traceback)


def _tell_unraisable(told: "sys.UnraisableHookArgs") -> None:
    if sys.stderr is None:
        return
    print(masked(f"{told.err_msg or 'Exception ignored in'}: {told.object!r}"), file=sys.stderr)
    traceback.print_exception(told.exc_type, told.exc_value, told.exc_traceback)
