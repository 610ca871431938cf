"""What runs on: everything together (``up``), the simulator alone (``simulate``)."""

import sys
from pathlib import Path

import click

from pricetracker_dagster.cli.errors import plain_errors


@click.command()
@click.option("--live", is_flag=True, help="Insist on the exchange: never fall back to the simulator.")
@click.option("--simulated", is_flag=True, help="Use the built-in simulator at once.")
@click.option("--host", help="Address of the UI. [default: ui.host, 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the UI. [default: ui.port, 3000, or a free one]")
@click.option("--while", "marker", type=click.Path(path_type=Path), help="Run only as long as this file is there.")
@plain_errors
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
@plain_errors
def simulate(port: int, host: str, replay: Path | None, synthetic: int) -> None:
    """Run a local exchange that speaks Kraken's REST dialect."""
    from pricetracker_dagster.simulator import serve

    serve(port, host=host, replay=replay, synthetic_pairs=synthetic, on_start=click.echo)
