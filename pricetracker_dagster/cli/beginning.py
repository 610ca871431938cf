"""What a new user runs first: ``init``."""

from pathlib import Path

import click

from pricetracker_dagster.cli.errors import plain_errors
from pricetracker_dagster.errors import PricetrackerError


class AlreadyThere(PricetrackerError, FileExistsError):
    """There is a settings file already."""

    def __str__(self) -> str:
        """Say which."""
        return f"{self.args[0]} is there already: --force replaces it"


@click.command()
@click.option("--force", is_flag=True, help="Replace a settings file that is there already.")
@plain_errors
def init(*, force: bool) -> None:
    """Write a pricetracker.toml with every setting, its meaning and its default into the working folder."""
    from pricetracker_dagster.settings.source import NAME
    from pricetracker_dagster.settings.template import template

    path = Path.cwd() / NAME
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise AlreadyThere(path) from None
    click.echo(f"{path} is written; change what you like, then: pricetracker up")
