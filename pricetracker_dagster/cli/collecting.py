"""What stores minutes, then publishes them: ``tick``, ``backfill`` from the exchanges, ``import`` from files."""

import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, floor_minute, newest_closed_minute
from pricetracker_dagster.cli.output import progress_bar, without_dagsters_warnings
from pricetracker_dagster.cli.parameters import UtcTime, minute_range
from pricetracker_dagster.settings import Settings, backfill_command, command, load_settings

if TYPE_CHECKING:
    from rich.progress import Progress

    from pricetracker_dagster.collect.recorded import Imported
    from pricetracker_dagster.store.doubts import Doubt

_LISTED = 10


@click.command()
@click.option("--minute", type=UtcTime(), help="The closed minute it is for. [default: the newest one]")
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
    _publish(settings)
    for mistake in dict.fromkeys(collected.tracebacks):
        click.echo(mistake, err=True)
    click.echo(f"{collected.inserted} minutes added, {collected.updated} corrected, {len(collected.rejected)} rejected")
    again = backfill_command(*asked, simulated=settings.simulated, refetch=True)
    for line in _of_doubts([*collected.doubts.values()], again):
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


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(files: Sequence[Path]) -> None:
    """Import Kraken's OHLCVT files (XBTUSD_1.csv …). Minutes without trades become no-trade rows.

    A file that cannot be imported fails alone, with exit status 1.
    """
    from pricetracker_dagster.collect.recorded import import_file
    from pricetracker_dagster.store.store import open_store

    settings = load_settings()
    prices = open_store(settings).prices
    imported: list[Imported] = []
    with progress_bar() as progress:
        say = partial(progress.console.print, soft_wrap=True, markup=False, highlight=False)
        told = _Progress(progress, sum(path.stat().st_size for path in files))
        longest = timedelta(hours=settings.collect.fill_hours)
        for path in files:
            told.begin(path)
            try:
                imported.append(import_file(prices, path, longest=longest, on_progress=told.advance))
            except Exception as error:
                _tell_failure(path, error)
            else:
                _tell(imported[-1], say)
        doubts = [(file.path, doubt) for file in imported if file.upserted for doubt in file.upserted.doubts]
        doubted = dict.fromkeys(str(path) for path, _ in doubts)
        again = f"{command(simulated=settings.simulated)} {shlex.join(['import', *doubted])}"
        for line in _of_doubts([doubt for _, doubt in doubts], again):
            say(line)
    _publish(settings)
    sys.exit(1 if any(file.rejected for file in imported) or len(imported) < len(files) else 0)


class _Progress:
    """Tells how many minutes of all files are read; how many there are is judged by the bytes of those read."""

    def __init__(self, progress: "Progress", size: int) -> None:
        self._progress, self._size = progress, size
        self._bar = progress.add_task("minutes", total=None)
        self._minutes = self._bytes = 0
        self._end = 0

    def begin(self, path: Path) -> None:
        """Go on with a file; of those before nothing is left."""
        self._bytes, self._end = self._end, self._end + path.stat().st_size
        self._progress.update(self._bar, description=path.name)

    def advance(self, minutes: int, size: int) -> None:
        """Add what was read of the file."""
        self._minutes += minutes
        self._bytes += size
        total = self._minutes * self._size // max(self._bytes, 1)
        self._progress.update(self._bar, completed=self._minutes, total=max(total, self._minutes))


def _tell_failure(path: Path, error: Exception) -> None:
    """Say why a file could not be stored; of a mistake of ours also where."""
    from pricetracker_dagster.collect.result import in_plain_words
    from pricetracker_dagster.store.records import MISTAKE

    reason, cause = in_plain_words(error)
    if cause == MISTAKE:
        click.echo("".join(traceback.format_exception(error)), err=True)
    click.echo(f"Error: {reason if str(path) in reason else f'{path}: {reason}'}", err=True)


def _tell(file: "Imported", say: Callable[[str], object]) -> None:
    """Say of a file what was stored, and what was not: no valid candles, or of minutes that are not closed."""
    assert file.upserted is not None  # noqa: S101 - it was imported
    say(
        f"{file.path.name}: {file.metric}: {file.minutes:,} minutes, {file.filled:,} of them without trades; "
        f"{file.upserted.inserted:,} added, {file.upserted.updated:,} corrected, {len(file.rejected):,} rejected"
    )
    for row in file.rejected[:_LISTED]:
        say(f"  rejected: {row}")
    for gap in file.silences[:_LISTED]:
        say(f"  no line for {gap}: longer than collect.fill_hours, so it is not filled but stays a gap")


def _publish(settings: Settings) -> None:
    """Publish what was stored, and print what went wrong with it as warnings."""
    from pricetracker_dagster.store.publishing.publish import publish
    from pricetracker_dagster.store.store import open_store

    published = publish(open_store(settings), [str(metric) for metric in settings.tracked], now=datetime.now(UTC))
    for trouble in published.troubles:
        click.echo(f"Warning: {trouble}", err=True)


def _of_doubts(doubts: "Sequence[Doubt]", again: str) -> list[str]:
    """Return lines which say that answers that take trades away are not stored yet, and how to store them.

    ``again`` is the command that does.
    """
    from pricetracker_dagster.store.doubts import CONFIRMED_AFTER

    if not doubts:
        return []
    after = (max(doubt.first_seen for doubt in doubts) + CONFIRMED_AFTER + timedelta(seconds=1)).astimezone(UTC)
    rows = "row is" if len(doubts) == 1 else "rows are"
    why = "fewer trades or less volume than stored is believed only when said twice, a minute apart"
    lines = [f"{len(doubts):,} {rows} not stored yet: {why}"]
    lines += [f"  {doubt}" for doubt in doubts[:_LISTED]]
    if len(doubts) > _LISTED:
        lines.append(f"  … and {len(doubts) - _LISTED:,} more")
    return [*lines, f"to store what is said again, run this again from {after:%H:%M:%S} UTC on: {again}"]
