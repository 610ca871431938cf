"""What a user can mend becomes one plain line and an exit status, for every command alike."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from pricetracker_dagster.errors import PricetrackerError

P = ParamSpec("P")
R = TypeVar("R")


def plain_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what a user can mend into one line on stderr and an exit status: 2 for a wrong name, else 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except BrokenPipeError:  # the reader of our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except Exception as error:
            status = _status_of(error)
            if status is None:
                raise
            click.echo(f"Error: {_said(error)}", err=True)
            sys.exit(status)

    return wrapped


def _status_of(error: Exception) -> int | None:
    """Return the exit status of an error that a user can mend; None for one of ours."""
    import duckdb

    if isinstance(error, PricetrackerError):
        return error.exit_status
    return 1 if isinstance(error, OSError | duckdb.Error) else None


def _said(error: Exception) -> str:
    """Return an error's message; DuckDB's in one line, without the statement, which the user has just typed."""
    import duckdb

    if type(error).__module__ == "builtins" and isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    message = str(error)
    return " ".join(message.partition("\n\nLINE ")[0].split()) if isinstance(error, duckdb.Error) else message
