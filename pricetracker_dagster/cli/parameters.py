"""Arguments and options that several commands take."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

import click

from pricetracker_dagster.candles.minutes import MinuteRange, floor_minute

P = ParamSpec("P")
R = TypeVar("R")

FORMAT = click.option(
    "--format", "output_format", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)


class UtcTime(click.ParamType[datetime]):
    """A time in ISO 8601; without a time zone it is UTC."""

    name = "ISO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse the text, or fail by click.BadParameter."""
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time: write e.g. 2026-11-24T12:04Z", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def minute_range(first: datetime, last: datetime) -> MinuteRange:
    """Return the whole minutes from ``--from`` to ``--to``.

    Raises:
        click.UsageError: there are none.
    """
    asked = MinuteRange(floor_minute(first), floor_minute(last))
    if asked.first > asked.last:
        raise click.UsageError(f"--from {asked.first:%Y-%m-%d %H:%M} is after --to {asked.last:%Y-%m-%d %H:%M}")
    return asked


def listing(command: Callable[P, R]) -> Callable[P, R]:
    """Add what a list of alerts or incidents can be cut down by."""
    command = click.option("--open", "only_open", is_flag=True, help="Only those that are not resolved.")(command)
    return click.option("--since", type=UtcTime(), help="Only those of this minute or later.")(command)


class StatementCommand(click.Command):
    """A command that takes an SQL statement, which may begin with a comment: ``-- newest`` is no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put what begins like an option and holds white space, as no option does, behind the options."""
        separator = args.index("--") if "--" in args else len(args)
        before, after = args[:separator], args[separator + 1 :]
        statements = [word for word in before if re.match(r"--([^=]*\s|.*\n)", word)]
        if statements:
            args = [*(word for word in before if word not in statements), "--", *statements, *after]
        return super().parse_args(ctx, args)
