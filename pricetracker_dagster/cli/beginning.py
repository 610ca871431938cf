"""What a new user runs first: ``init``."""

import click

from pricetracker_dagster.cli.errors import plain_errors
from pricetracker_dagster.errors import PricetrackerError, in_one_line, is_utf8


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
    from pricetracker_dagster.settings.source import (
        CONFIG_VARIABLE,
        NAME,
        SettingsError,
        config_file,
        working_directory,
    )
    from pricetracker_dagster.settings.template import template

    here = working_directory()
    if here is None:
        raise click.ClickException("the working folder is gone: change into another one (cd), then: pricetracker init")
    if not is_utf8(here):
        raise click.ClickException(f"{in_one_line(here)} is not in UTF-8: change into a folder whose path is")
    path = here / NAME
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise AlreadyThere(path) from None
    try:
        used = config_file()
    except SettingsError as error:  # report at once why the new file is not used
        raise click.ClickException(f"{path} is written, but it is not used: {error}") from error
    if used != path:
        click.echo(
            f"{path} is written, but commands use {used}, which {CONFIG_VARIABLE} names: "
            f"unset it, or set it to {path}; then change what you like, and: pricetracker up"
        )
    else:
        click.echo(f"{path} is written; change what you like, then: pricetracker up")
