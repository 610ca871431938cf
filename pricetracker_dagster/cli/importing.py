"""What brings recorded files into the store: ``import``."""

import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pricetracker_dagster.cli.errors import plain_errors
from pricetracker_dagster.cli.output import progress_bar
from pricetracker_dagster.cli.storing import publish_stored, told_of_doubts
from pricetracker_dagster.settings import command, load_settings

if TYPE_CHECKING:
    from pricetracker_dagster.collect.recorded import ImportedFile

_LISTED = 10


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@plain_errors
def import_(files: Sequence[Path]) -> None:
    """Import Kraken's OHLCVT files (XBTUSD_1.csv …). Minutes without trades become no-trade rows.

    A file that cannot be imported fails alone, with exit status 1.
    """
    from pricetracker_dagster.collect.recorded import FailedFile, import_file
    from pricetracker_dagster.store.store import open_store

    settings = load_settings()
    prices = open_store(settings).prices
    imported: list[ImportedFile] = []
    with progress_bar() as progress:
        say = partial(progress.console.print, soft_wrap=True, markup=False, highlight=False)
        bar = progress.add_task("files", total=len(files))
        longest = timedelta(hours=settings.collect.fill_hours)
        for path in files:
            progress.update(bar, description=path.name)
            outcome = import_file(prices, path, longest=longest)
            progress.advance(bar)
            if isinstance(outcome, FailedFile):
                if outcome.traceback:
                    click.echo(outcome.traceback, err=True)
                click.echo(f"Error: {outcome.reason}", err=True)
            else:
                imported.append(outcome)
                _tell(outcome, say)
        doubted = [str(each.read.path) for each in imported if each.upserted.doubts]
        again = f"{command(simulated=settings.simulated)} {shlex.join(['import', *doubted])}"
        for line in told_of_doubts([doubt for each in imported for doubt in each.upserted.doubts], again):
            say(line)
    publish_stored(settings)
    sys.exit(1 if len(imported) < len(files) or any(each.rejected for each in imported) else 0)


def _tell(imported: "ImportedFile", say: Callable[[str], object]) -> None:
    """Say of a file what was stored, and what was not."""
    read, upserted = imported.read, imported.upserted
    say(
        f"{read.path.name}: {read.metric}: {read.candles.num_rows:,} minutes, {read.filled:,} of them without trades; "
        f"{upserted.inserted:,} added, {upserted.updated:,} corrected, {len(imported.rejected):,} rejected"
    )
    for row in imported.rejected[:_LISTED]:
        say(f"  rejected: {row}")
    for gap in read.silences[:_LISTED]:
        say(f"  no line for {gap}: longer than collect.fill_hours, so it is not filled but stays a gap")
