"""What asks the exchanges for minutes and stores them: ``tick``, ``backfill``."""

import sys
from datetime import UTC, datetime, timedelta
from functools import partial

import click

from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, floor_minute, newest_closed_minute
from pricetracker_dagster.cli.errors import plain_errors
from pricetracker_dagster.cli.output import progress_bar, without_dagsters_warnings
from pricetracker_dagster.cli.parameters import UtcTime, minute_range
from pricetracker_dagster.cli.storing import publish_stored, told_of_doubts
from pricetracker_dagster.settings import backfill_command, load_settings


@click.command()
@click.option("--minute", type=UtcTime(), help="The closed minute it is for. [default: the newest one]")
@plain_errors
def tick(minute: datetime | None) -> None:
    """Run one minute_tick through Dagster; exit status 1 where a minute is missing."""
    without_dagsters_warnings()
    from pricetracker_dagster.instance.home import open_instance
    from pricetracker_dagster.local.tick_by_hand import run_minute_tick
    from pricetracker_dagster.resources import Tracker

    settings = load_settings()
    tracker = Tracker()
    newest = tracker.newest_closed_minute()
    if minute is not None:
        _check_closed(minute, newest)
    with open_instance(settings, warn=partial(click.echo, err=True)) as instance:
        outcome = run_minute_tick(tracker, instance, minute)
    for trouble in outcome.troubles:
        click.echo(f"Warning: {trouble}", err=True)
    if not outcome.success:
        click.echo(f"Error: {outcome.message}", err=True)
        sys.exit(1)
    click.echo(f"{minute or newest:%Y-%m-%d %H:%M} stored, published and ranked (run {outcome.run_id})")


def _check_closed(minute: datetime, newest: datetime) -> None:
    if floor_minute(minute) != minute:
        raise click.BadParameter(f"{minute.isoformat()} is not a whole minute", param_hint="--minute")
    if minute > newest:
        raise click.BadParameter(
            f"{minute:%Y-%m-%d %H:%M} is not over yet; the newest closed minute is {newest:%Y-%m-%d %H:%M}",
            param_hint="--minute",
        )


@click.command()
@click.option("--from", "first", type=UtcTime(), help="The oldest minute.")
@click.option("--to", "last", type=UtcTime(), help="The newest minute. [default: the newest closed one]")
@click.option("--hours", type=click.IntRange(min=1), help="Instead: the last so many hours.")
@click.option("--refetch", is_flag=True, help="Ask for stored minutes too, and correct what differs.")
@plain_errors
def backfill(*, first: datetime | None, last: datetime | None, hours: int | None, refetch: bool) -> None:
    """Fetch the minutes of a time range that are missing. Stopped and started again, it goes on where it was."""
    from pricetracker_dagster.collect.backfill import backfill as fetch

    settings = load_settings()
    asked = _range_asked(first, last, hours)
    with progress_bar() as progress:
        bar = progress.add_task("minutes", total=None)
        collected = fetch(
            settings,
            *asked,
            refetch=refetch,
            on_progress=lambda done, total, text: progress.update(bar, completed=done, total=total, description=text),
        )
    publish_stored(settings)
    for mistake in dict.fromkeys(collected.tracebacks):
        click.echo(mistake, err=True)
    click.echo(f"{collected.inserted} minutes added, {collected.updated} corrected, {len(collected.rejected)} rejected")
    again = backfill_command(*asked, simulated=settings.simulated, refetch=True)
    for line in told_of_doubts([*collected.doubts.values()], again):
        click.echo(line)
    if collected.missing:
        click.echo(f"Error: {collected.summary()}", err=True)
        sys.exit(1)


def _range_asked(first: datetime | None, last: datetime | None, hours: int | None) -> MinuteRange:
    """Return the minutes that the options of a backfill name.

    Raises:
        click.UsageError: they contradict each other, or name none that are over.
    """
    if (hours is None) == (first is None) or (hours is not None and last is not None):
        raise click.UsageError("say either --from ISO [--to ISO] or --hours N")
    newest = newest_closed_minute(datetime.now(UTC))
    if hours is not None:
        return MinuteRange(newest - timedelta(hours=hours) + MINUTE, newest)
    assert first is not None  # noqa: S101 - one of the two was given
    asked = minute_range(first, last or newest)
    if asked.last > newest:
        raise click.UsageError(
            f"--to {asked.last:%Y-%m-%d %H:%M} is not over yet; the newest closed minute is {newest:%H:%M}"
        )
    return asked
