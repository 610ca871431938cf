"""Arguments and options that several commands take."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")

FORMAT = click.option(
    "--format", "shape", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)


class UtcTime(click.ParamType[datetime]):
    """A time in ISO 8601; without a time zone it is UTC."""

    name = "ISO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse the text.

        Raises:
            click.BadParameter: it is no such time.
        """
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time: write e.g. 2026-11-24T12:04Z", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def listing(command: Callable[P, R]) -> Callable[P, R]:
    """Add what a list of alerts or incidents can be cut down by."""
    command = click.option("--open", "only_open", is_flag=True, help="Only those that are not resolved.")(command)
    return click.option("--since", type=UtcTime(), help="Only those of this minute or later.")(command)
