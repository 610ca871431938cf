"""What brings minutes into the store: ``tick``, ``backfill``, ``import``."""

import shlex
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pricetracker_dagster.cli.errors import plain_errors
from pricetracker_dagster.cli.output import progress_bar, without_dagsters_warnings
from pricetracker_dagster.cli.parameters import UtcTime
from pricetracker_dagster.settings import command, load_settings

if TYPE_CHECKING:
    from pricetracker_dagster.store.doubts import Doubt

_DOUBTS_SHOWN = 10


@click.command()
@click.option("--minute", type=UtcTime(), help="The closed minute it is for. [default: the newest one]")
@plain_errors
def tick(minute: datetime | None) -> None:
    """Run one minute_tick through Dagster; exit status 1 where a minute is missing."""
    without_dagsters_warnings()
    from pricetracker_dagster.candles.minutes import floor_minute
    from pricetracker_dagster.instance.home import open_instance
    from pricetracker_dagster.instance.tick_by_hand import run_minute_tick
    from pricetracker_dagster.resources import Tracker

    settings = load_settings()
    tracker = Tracker()
    newest = tracker.newest_closed_minute()
    if minute is not None:
        if floor_minute(minute) != minute:
            raise click.BadParameter(f"{minute.isoformat()} is not a whole minute", param_hint="--minute")
        if minute > newest:
            raise click.BadParameter(
                f"{minute:%Y-%m-%d %H:%M} is not over yet; the newest closed minute is {newest:%Y-%m-%d %H:%M}",
                param_hint="--minute",
            )
    with open_instance(settings, warn=partial(click.echo, err=True)) as instance:
        outcome = run_minute_tick(tracker, instance, minute)
    for trouble in outcome.troubles:
        click.echo(f"Warning: {trouble}", err=True)
    if not outcome.success:
        click.echo(f"Error: {outcome.message}", err=True)
        sys.exit(1)
    click.echo(f"{minute or newest:%Y-%m-%d %H:%M} stored, published and ranked (run {outcome.run_id})")


@click.command()
@click.option("--from", "first", type=UtcTime(), help="The oldest minute.")
@click.option("--to", "last", type=UtcTime(), help="The newest minute. [default: the newest closed one]")
@click.option("--hours", type=click.IntRange(min=1), help="Instead: the last so many hours.")
@click.option("--refetch", is_flag=True, help="Ask for stored minutes too, and correct what differs.")
@plain_errors
def backfill(*, first: datetime | None, last: datetime | None, hours: int | None, refetch: bool) -> None:
    """Fetch the minutes of a time range that are missing. Stopped and started again, it goes on where it was."""
    from pricetracker_dagster.candles.minutes import MINUTE, floor_minute, newest_closed_minute
    from pricetracker_dagster.collect.backfill import backfill as fetch
    from pricetracker_dagster.store.publish import publish
    from pricetracker_dagster.store.store import open_store

    settings = load_settings()
    newest = newest_closed_minute(datetime.now(UTC))
    if (hours is None) == (first is None) or (hours is not None and last is not None):
        raise click.UsageError("say either --from ISO [--to ISO] or --hours N")
    if hours is not None:
        last = newest
        first = newest - timedelta(hours=hours) + MINUTE
    assert first is not None  # noqa: S101 - one of the two was given
    first, last = floor_minute(first), floor_minute(last or newest)
    if last > newest:
        raise click.UsageError(
            f"--to {last:%Y-%m-%d %H:%M} is not over yet; the newest closed minute is {newest:%H:%M}"
        )
    if first > last:
        raise click.UsageError(f"--from {first:%Y-%m-%d %H:%M} is after --to {last:%Y-%m-%d %H:%M}")

    with progress_bar() as progress:
        bar = progress.add_task("minutes", total=None)
        collected = fetch(
            settings,
            first,
            last,
            refetch=refetch,
            on_progress=lambda done, total, text: progress.update(bar, completed=done, total=total, description=text),
        )
    published = publish(open_store(settings), [str(metric) for metric in settings.tracked], now=datetime.now(UTC))
    for trouble in published.troubles:
        click.echo(f"Warning: {trouble}", err=True)
    for mistake in dict.fromkeys(collected.tracebacks):
        click.echo(mistake, err=True)
    click.echo(f"{collected.inserted} minutes added, {collected.updated} corrected, {len(collected.rejected)} rejected")
    again = f"{command(simulated=settings.simulated)} backfill --refetch --from {_iso(first)} --to {_iso(last)}"
    for line in said_of_doubts([*collected.doubts.values()], again):
        click.echo(line)
    if collected.missing:
        click.echo(f"Error: {collected.summary()}", err=True)
        sys.exit(1)


def said_of_doubts(doubts: "Sequence[Doubt]", again: str) -> list[str]:
    """Say of answers that take trades away that they are not stored, and how they come to be.

    Args:
        doubts: what is doubted.
        again: the command that asks again.
    """
    from pricetracker_dagster.store.doubts import CONFIRMED_AFTER

    if not doubts:
        return []
    after = (max(doubt.first_seen for doubt in doubts) + CONFIRMED_AFTER + timedelta(seconds=1)).astimezone(UTC)
    rows = "row is" if len(doubts) == 1 else "rows are"
    why = "fewer trades or less volume than stored is believed only when said twice, a minute apart"
    lines = [f"{len(doubts):,} {rows} not stored yet: {why}"]
    lines += [f"  {doubt}" for doubt in doubts[:_DOUBTS_SHOWN]]
    if len(doubts) > _DOUBTS_SHOWN:
        lines.append(f"  … and {len(doubts) - _DOUBTS_SHOWN:,} more")
    return [*lines, f"to store what is said again, run this again from {after:%H:%M:%S} UTC on: {again}"]


def _iso(minute: datetime) -> str:
    return f"{minute:%Y-%m-%dT%H:%MZ}"


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@plain_errors
def import_(files: Sequence[Path]) -> None:
    """Import Kraken's OHLCVT files (XBTUSD_1.csv …). Minutes without trades become no-trade rows.

    A file that cannot be imported fails alone, with exit status 1.
    """
    from pricetracker_dagster.collect.result import in_plain_words
    from pricetracker_dagster.exchanges.kraken.ohlcvt import read
    from pricetracker_dagster.store.publish import publish
    from pricetracker_dagster.store.records import MISTAKE
    from pricetracker_dagster.store.store import open_store

    settings = load_settings()
    store = open_store(settings)
    longest = timedelta(hours=settings.collect.fill_hours)
    rejected = failed = 0
    doubts: list[Doubt] = []
    doubted: list[Path] = []
    with progress_bar() as progress:
        say = partial(progress.console.print, soft_wrap=True, markup=False, highlight=False)
        bar = progress.add_task("files", total=len(files))
        for path in files:
            progress.update(bar, description=path.name)
            try:
                [sheet] = read([path], fetched_at=datetime.now(UTC), longest=longest)
                upserted = store.prices.upsert(sheet.candles, derived=sheet.derived)
            except Exception as error:
                failed += 1
                reason, cause = in_plain_words(error)
                if cause == MISTAKE:
                    click.echo("".join(traceback.format_exception(error)), err=True)
                click.echo(f"Error: {reason if str(path) in reason else f'{path}: {reason}'}", err=True)
                continue
            finally:
                progress.advance(bar)
            say(
                f"{sheet.path.name}: {sheet.metric}: {sheet.candles.num_rows:,} minutes, {sheet.filled:,} of them "
                f"without trades; {upserted.inserted:,} added, {upserted.updated:,} corrected, "
                f"{len(sheet.rejected) + len(upserted.rejected):,} rejected"
            )
            doubts += upserted.doubts
            doubted += [path] if upserted.doubts else []
            for row in [*sheet.rejected, *upserted.rejected][:10]:
                say(f"  rejected: {row}")
            for gap in sheet.silences[:10]:
                say(f"  no line for {gap}: longer than collect.fill_hours, so it is not filled but stays a gap")
            rejected += len(sheet.rejected) + len(upserted.rejected)
        again = shlex.join(["import", *map(str, doubted)])
        for line in said_of_doubts(doubts, f"{command(simulated=settings.simulated)} {again}"):
            say(line)
    published = publish(store, [str(metric) for metric in settings.tracked], now=datetime.now(UTC))
    for trouble in published.troubles:
        click.echo(f"Warning: {trouble}", err=True)
    sys.exit(1 if rejected or failed else 0)
