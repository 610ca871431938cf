"""What a user can mend becomes one plain line and an exit status, for every command alike."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from pricetracker_dagster.cli import interrupts
from pricetracker_dagster.errors import mendable
from pricetracker_dagster.process.secrets import masked


def _interrupt_statements() -> None:
    """Interrupt what a database works at, where this process has imported one at all."""
    interrupt = getattr(sys.modules.get("pricetracker_dagster.sql"), "interrupt", None)
    if interrupt is not None:
        interrupt()


@contextmanager
def plain_errors(*, debug: bool = False) -> Iterator[None]:
    """Turn an error that a user can mend into one line on stderr and its exit status; with its traceback to debug."""
    try:
        with interrupts.noted(_interrupt_statements):
            yield
    except (click.ClickException, click.exceptions.Exit):
        raise
    except BrokenPipeError:  # the reader of our output has seen enough
        _print_no_more()
        sys.exit(0)
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, KeyboardInterrupt) or interrupts.asked():  # a library may make another error of it
            click.echo("Interrupted", err=True)
            sys.exit(interrupts.STATUS)
        told = mendable(error)
        if told is None:
            raise
        if isinstance(error, OSError) and _is_of_the_output(error):
            sys.exit(_not_written(error))
        if debug:
            click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
        click.echo(f"Error: {masked(str(told))}", err=True)
        sys.exit(told.exit_status)


class PlainGroup(click.Group):
    """A group of commands whose errors are plain, also where ``--help`` cannot be written."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was called."""
        with plain_errors(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program does, and end with an exit status."""
        if sys.stdout is None:  # closed by whoever started us: whatever we opened next would be printed into
            click.echo("Error: standard output is closed: where nobody reads it, write >/dev/null", err=True)
            sys.exit(1)
        status: Any = 0
        try:
            with interrupts.at_once():
                super().main(*args, **kwargs)
        except SystemExit as ended:
            status = ended.code
        except OSError as error:
            status = _not_written(error)
        try:
            sys.stdout.flush()
        except OSError as error:
            status = status or _not_written(error)
            _print_no_more()
        sys.exit(status)


def _not_written(error: OSError) -> int:
    """Say that standard output cannot be written; return the exit status."""
    _print_no_more()
    if isinstance(error, BrokenPipeError):
        return 0
    click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
    return 1


def _is_of_the_output(error: OSError) -> bool:
    """Say whether an error comes of printing: it names no file."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(frame.f_code is click.echo.__code__ or frame.f_globals["__name__"] == "rich.console" for frame in frames)


def _print_no_more() -> None:
    """Let what is still to be printed go nowhere: Python would complain of it once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
