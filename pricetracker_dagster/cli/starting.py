"""What a user starts with: ``init``, then everything together (``up``); the simulator alone (``simulate``)."""

import sys
from pathlib import Path

import click

from pricetracker_dagster.errors import PricetrackerError, in_one_line, is_utf8


@click.command()
@click.option("--force", is_flag=True, help="Replace a settings file that is there already.")
def init(*, force: bool) -> None:
    """Write a pricetracker.toml with every setting, its meaning and its default into the working folder."""
    from pricetracker_dagster.settings import CONFIG_VARIABLE, SettingsError, config_file
    from pricetracker_dagster.settings.source import NAME, working_directory
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
        raise PricetrackerError(f"{path} is there already: --force replaces it") from None
    try:
        used = config_file()
    except SettingsError as error:  # report at once why the new file is not used
        raise click.ClickException(f"{path} is written, but it is not used: {error}") from error
    if used == path:
        click.echo(f"{path} is written; change what you like, then: pricetracker up")
    else:
        click.echo(
            f"{path} is written, but commands use {used}, which {CONFIG_VARIABLE} names: "
            f"unset it, or set it to {path}; then change what you like, and: pricetracker up"
        )


@click.command()
@click.option("--live", is_flag=True, help="Insist on the exchange: never fall back to the simulator.")
@click.option("--simulated", is_flag=True, help="Use the built-in simulator at once.")
@click.option("--host", help="Address of the UI. [default: ui.host, 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the UI. [default: ui.port, 3000, or a free one]")
@click.option("--while", "marker", type=click.Path(path_type=Path), help="Run only as long as this file is there.")
def up(*, live: bool, simulated: bool, host: str | None, port: int | None, marker: Path | None) -> None:
    """Run everything: UI, daemon and code server, a tick a minute."""
    from pricetracker_dagster.local.up import run

    if live and simulated:
        raise click.UsageError("--live and --simulated contradict each other")
    sys.exit(run(live=live, simulated=simulated, host=host, port=port, marker=marker))


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="Where it listens; 0 takes a free port.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--replay",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Tell the OHLCVT files of this folder again, shifted so that their last day is today.",
)
@click.option("--synthetic", type=click.IntRange(min=0), default=0, help="So many invented pairs more.")
def simulate(port: int, host: str, replay: Path | None, synthetic: int) -> None:
    """Run a local exchange that speaks the REST dialects of Kraken, Coinbase and Binance."""
    from pricetracker_dagster.simulator import serve

    serve(port, host=host, replay=replay, synthetic_pairs=synthetic, on_start=click.echo)
