"""What finds and mends what is damaged: ``repair``."""

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pricetracker_dagster.cli.output import show
from pricetracker_dagster.cli.parameters import FORMAT
from pricetracker_dagster.reading.values import as_json
from pricetracker_dagster.settings import Settings, backfill_command, command, load_settings

if TYPE_CHECKING:
    from pricetracker_dagster.store.repairing.repair import Again, Repair

_LISTED = 20


@click.command()
@click.option("--yes", is_flag=True, help="Mend it. Nothing is deleted: what is taken out is kept in data/set-aside.")
@FORMAT
def repair(*, yes: bool, output_format: str) -> None:
    """Show what is damaged in the data folder, and with --yes mend it; exit status 1 where anything is wrong still.

    It looks at the commits, checkpoints and data files of every table, at rows of the future, at Dagster's own
    databases and at what killed processes have left, and lists the minutes that are to be fetched again. Every row that
    can be read is kept. Ticks wait meanwhile.
    """
    from pricetracker_dagster.store.publishing.publish import publish
    from pricetracker_dagster.store.repairing import repair as work
    from pricetracker_dagster.store.repairing.findings import look
    from pricetracker_dagster.store.store import open_store

    settings = load_settings()
    store, now = open_store(settings), datetime.now(UTC)
    folder = store.folder.path
    if not folder.exists():
        raise click.ClickException(f"{folder} is not there: nothing has run yet, and nothing is to be repaired")
    tracked = [str(metric) for metric in settings.tracked]
    if yes:
        done = work.repair(store, now, tracked, lambda: publish(store, tracked, now=datetime.now(UTC)))
    else:
        found = look(store, now)
        done = work.Repair(found=found, left=found)
    if not done.left:
        done.again += _filled(settings, now)
    if output_format == "json":
        click.echo(json.dumps(_as_json(done, settings), indent=1))
    else:
        _tell(done, output_format, settings)
    sys.exit(1 if done.left else 0)


def _tell(done: "Repair", output_format: str, settings: Settings) -> None:
    """Print what was found, what was done and what is to be done."""
    from pricetracker_dagster.candles.minutes import MinuteRange, minutes_in
    from pricetracker_dagster.store.repairing.repair import FILLED

    if done.found or output_format == "csv":
        rows = ((found.part, found.file, found.what, found.remedy) for found in done.found)
        show(("part", "file", "what", "remedy"), rows, output_format)
    if output_format == "csv":
        return
    for line in done.done:
        click.echo(f"done: {line}")
    if done.set_aside:
        click.echo(f"set aside: {done.set_aside}")
    if not done.found:
        click.echo(f"nothing is damaged in {settings.folder}")
    for which, way in _ways(done.again, settings):
        own = [again for again in done.again if again.why == which]
        if which == FILLED:  # mostly the exchange says the same of them
            count = minutes_in(MinuteRange(again.first, again.last) for again in own)
            told = "1 stored minute has" if count == 1 else f"{count:,} stored minutes have"
            them = "it" if count == 1 else "them"
            click.echo(f"{told} no trades, and the exchange can still be asked about {them}:")
        else:
            click.echo(f"to fetch again, {which}:")
            for again in own[:_LISTED]:
                click.echo(f"  {again.metric} {again.first:%Y-%m-%d %H:%M} to {again.last:%Y-%m-%d %H:%M}")
            if len(own) > _LISTED:
                click.echo(f"  and {len(own) - _LISTED} more stretches")
        click.echo(f"  {way}")
    if done.left and done.left == done.found and not done.done:
        click.echo(f"nothing was changed; to mend it: {command(simulated=settings.simulated)} repair --yes", err=True)
    elif done.left:
        for found in done.left:
            click.echo(f"Error: still wrong: {found.file or found.part} {found.what}; {found.remedy}", err=True)


def _ways(again: "list[Again]", settings: Settings) -> list[tuple[str, str]]:
    """Return for each kind of minutes to fetch again the command that does it."""
    from pricetracker_dagster.store.repairing.repair import MISSING

    ways = []
    for why in dict.fromkeys(each.why for each in again):
        own = [each for each in again if each.why == why]
        first, last = min(each.first for each in own), max(each.last for each in own)
        ways.append((why, backfill_command(first, last, simulated=settings.simulated, refetch=why != MISSING)))
    return ways


def _filled(settings: Settings, now: datetime) -> "list[Again]":
    """Return the minutes without trades that every exchange can still be asked for by the way of its candles."""
    from pricetracker_dagster.candles.minutes import newest_closed_minute
    from pricetracker_dagster.exchanges.registry import reach_of
    from pricetracker_dagster.store.repairing.repair import filled
    from pricetracker_dagster.store.store import open_store

    latest = newest_closed_minute(now)
    earliest = {str(metric): latest - reach_of(metric.exchange) for metric in settings.tracked}
    return filled(open_store(settings), earliest, latest)


def _as_json(done: "Repair", settings: Settings) -> dict[str, object]:
    return {
        "well": not done.left,
        "found": [vars(found) for found in done.found],
        "done": done.done,
        "left": [vars(found) for found in done.left],
        "set_aside": None if done.set_aside is None else str(done.set_aside),
        "fetch_again": [as_json(vars(again)) for again in done.again],
        "commands": [way for _, way in _ways(done.again, settings)],
    }
