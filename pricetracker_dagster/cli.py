"""The command ``pricetracker``.

Thin: each command reads its arguments, calls one function and prints. Imports are inside the commands, so that
``--help`` and reading stay quick.
"""

import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from pricetracker_dagster.candles import MEASURES
from pricetracker_dagster.settings import PREFIX, SettingsError, load_settings

if TYPE_CHECKING:
    import pandas as pd

P = ParamSpec("P")
R = TypeVar("R")

_FORMAT = click.option(
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


def _plain_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what a user can mend into one line on stderr and an exit status: 2 for a wrong name, else 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except BrokenPipeError:  # the reader of our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except Exception as error:
            status = _status_of(error)
            if status is None:
                raise
            click.echo(f"Error: {_said(error)}", err=True)
            sys.exit(status)

    return wrapped


def _status_of(error: Exception) -> int | None:
    """Return the exit status of an error that a user can mend; None for one of ours."""
    import duckdb

    from pricetracker_dagster.exchanges.exchange import ExchangeError
    from pricetracker_dagster.exchanges.ohlcvt import OhlcvtError
    from pricetracker_dagster.simulator import PortBusy, ReplayError
    from pricetracker_dagster.store.reading import NotPublished, UnknownMeasure, UnknownMetric

    if isinstance(error, OSError) and not isinstance(error, NotPublished | PortBusy):
        return 1
    if isinstance(error, UnknownMetric | UnknownMeasure):
        return 2
    mendable = (SettingsError, NotPublished, ExchangeError, OhlcvtError, PortBusy, ReplayError, duckdb.Error)
    return 1 if isinstance(error, mendable) else None


def _said(error: Exception) -> str:
    """Return an error's message; DuckDB's in one line, without the statement, which the user has just typed."""
    import duckdb

    if type(error).__module__ == "builtins" and isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    message = str(error)
    return " ".join(message.partition("\n\nLINE ")[0].split()) if isinstance(error, duckdb.Error) else message


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--simulated", is_flag=True, help="Work on the simulator's prices, kept in a data folder of their own.")
@click.version_option(package_name="pricetracker-dagster")
def main(*, simulated: bool) -> None:
    """Track minute prices: fetch them, read them by SQL, see what is missing."""
    if simulated:
        os.environ[f"{PREFIX}SIMULATED"] = "true"


@main.command()
@click.option("--live", is_flag=True, help="Insist on the exchange: never fall back to the simulator.")
@click.option("--simulated", is_flag=True, help="Use the built-in simulator at once.")
@click.option("--host", help="Address of the UI. [default: ui.host, 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the UI. [default: ui.port, 3000, or a free one]")
@click.option("--while", "marker", type=click.Path(path_type=Path), help="Run only as long as this file is there.")
@_plain_errors
def up(*, live: bool, simulated: bool, host: str | None, port: int | None, marker: Path | None) -> None:
    """Run everything: UI, daemon and code server, a tick a minute."""
    from pricetracker_dagster.up import run

    if live and simulated:
        raise click.UsageError("--live and --simulated contradict each other")
    sys.exit(run(live=live, simulated=simulated, host=host, port=port, marker=marker))


@main.command()
@click.option("--minute", type=UtcTime(), help="The closed minute it is for. [default: the newest one]")
@_plain_errors
def tick(minute: datetime | None) -> None:
    """Run one minute_tick through Dagster; exit status 1 where a minute is missing."""
    warnings.filterwarnings("ignore", module="dagster")  # what it says of its parameters is for us, not for users
    from pricetracker_dagster.candles import floor_minute
    from pricetracker_dagster.instance import open_instance
    from pricetracker_dagster.resources import Tracker
    from pricetracker_dagster.tick import run_minute_tick

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
    with open_instance(settings) as instance:
        outcome = run_minute_tick(tracker, instance, minute)
    if not outcome.success:
        click.echo(f"Error: {outcome.message}", err=True)
        sys.exit(1)
    click.echo(f"{minute or newest:%Y-%m-%d %H:%M} stored, published and ranked (run {outcome.run_id})")


@main.command()
@click.option("--from", "first", type=UtcTime(), help="The oldest minute.")
@click.option("--to", "last", type=UtcTime(), help="The newest minute. [default: the newest closed one]")
@click.option("--hours", type=click.IntRange(min=1), help="Instead: the last so many hours.")
@_plain_errors
def backfill(first: datetime | None, last: datetime | None, hours: int | None) -> None:
    """Fetch the minutes of a time range that are missing. Stopped and started again, it goes on where it was."""
    from pricetracker_dagster.candles import MINUTE, floor_minute, newest_closed_minute
    from pricetracker_dagster.collect import backfill as fetch
    from pricetracker_dagster.store.prices import Store
    from pricetracker_dagster.store.publish import publish

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

    with _progress() as progress:
        bar = progress.add_task("minutes", total=None)
        collected = fetch(
            settings,
            first,
            last,
            on_progress=lambda done, total, text: progress.update(bar, completed=done, total=total, description=text),
        )
    publish(Store(settings.folder), [str(metric) for metric in settings.tracked], now=datetime.now(UTC))
    click.echo(f"{collected.inserted} minutes added, {collected.updated} corrected, {len(collected.refused)} refused")
    if collected.missing:
        click.echo(f"Error: {collected.summary()}", err=True)
        sys.exit(1)


@main.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_plain_errors
def import_(files: Sequence[Path]) -> None:
    """Import Kraken's OHLCVT files (XBTUSD_1.csv …). Minutes without trades become no-trade rows."""
    from pricetracker_dagster.exchanges.ohlcvt import read
    from pricetracker_dagster.store.prices import Store
    from pricetracker_dagster.store.publish import publish

    settings = load_settings()
    store = Store(settings.folder)
    refused = 0
    with _progress() as progress:
        say = partial(progress.console.print, soft_wrap=True, markup=False, highlight=False)
        bar = progress.add_task("files", total=len(files))
        for sheet in read(files, fetched_at=datetime.now(UTC)):
            progress.update(bar, description=sheet.path.name)
            upserted = store.upsert(sheet.candles)
            progress.advance(bar)
            say(
                f"{sheet.path.name}: {sheet.metric}: {sheet.candles.num_rows:,} minutes, {sheet.filled:,} of them "
                f"without trades; {upserted.inserted:,} added, {upserted.updated:,} corrected, "
                f"{len(sheet.refused):,} refused"
            )
            for row in sheet.refused[:10]:
                say(f"  refused: {row}")
            refused += len(sheet.refused)
    publish(store, [str(metric) for metric in settings.tracked], now=datetime.now(UTC))
    sys.exit(1 if refused else 0)


@main.command()
@_FORMAT
@_plain_errors
def metrics(shape: str) -> None:
    """Show what has values in the last 24 hours."""
    from pricetracker_dagster.store import reading

    _show(_published(reading.metrics), shape)


@main.command()
@click.argument("metric")
@click.argument("measure")
@_FORMAT
@_plain_errors
def history(metric: str, measure: str, shape: str) -> None:
    """Show one MEASURE of one METRIC over the last 24 hours."""
    from pricetracker_dagster.store import reading

    _show(_published(reading.history, metric, measure), shape)


@main.command()
@click.argument("measure")
@_FORMAT
@_plain_errors
def rank(measure: str, shape: str) -> None:
    """Show the metrics by the standard deviation of a MEASURE over the last 24 hours."""
    from pricetracker_dagster.store import reading

    _show(_published(reading.rank, measure), shape)


@main.command("sql")
@click.argument("statement")
@_FORMAT
@_plain_errors
def sql_(statement: str, shape: str) -> None:
    """Answer an SQL STATEMENT from the published file, e.g. "FROM metric_rank"."""
    import duckdb

    from pricetracker_dagster.store import reading

    if not duckdb.extract_statements(statement):
        raise click.UsageError('the statement is empty: write e.g. "FROM metric_rank"')
    _show(_published(reading.query, statement), shape)


def _listing(command: Callable[P, R]) -> Callable[P, R]:
    """Add what a list of alerts or incidents can be cut down by."""
    command = click.option("--open", "only_open", is_flag=True, help="Only those that are not resolved.")(command)
    return click.option("--since", type=UtcTime(), help="Only those of this minute or later.")(command)


@main.group(invoke_without_command=True)
@_listing
@_FORMAT
@click.pass_context
@_plain_errors
def alerts(ctx: click.Context, *, only_open: bool, since: datetime | None, shape: str) -> None:
    """Show what exceeded a rule, newest first; try the channels; try rules on what is stored."""
    from pricetracker_dagster.store import reading

    if ctx.invoked_subcommand is None:
        _show(_published(reading.alerts, only_open=only_open, since=since), shape)


@main.command()
@_listing
@_FORMAT
@_plain_errors
def incidents(*, only_open: bool, since: datetime | None, shape: str) -> None:
    """Show the times without data, newest first: consecutive missed minutes of one cause."""
    from pricetracker_dagster.store import reading

    _show(_published(reading.incidents, only_open=only_open, since=since), shape)


@alerts.command("test")
@_FORMAT
@_plain_errors
def alerts_test(shape: str) -> None:
    """Send a test message through every channel and say how each took it; exit status 1 where one did not."""
    import pandas as pd

    from pricetracker_dagster.alerts.notify import Message, Outcome, send

    settings = load_settings()
    urls = [channel.get_secret_value() for channel in settings.alerts.channels]
    if not urls:
        raise click.ClickException(
            "no channel is set: name apprise URLs in alerts.channels or PRICETRACKER_ALERTS__CHANNELS"
        )
    message = Message("Test of pricetracker", f"If you read this, alerts reach you. {settings.ui.link}", good=True)
    outcomes = list(send(dict.fromkeys(urls, message)))
    _show(pd.DataFrame(outcomes, columns=list(Outcome._fields)), shape)
    sys.exit(0 if all(outcome.delivered for outcome in outcomes) else 1)


@alerts.command("backtest")
@click.option("--from", "first", type=UtcTime(), required=True, help="The oldest minute.")
@click.option("--to", "last", type=UtcTime(), help="The newest minute. [default: the newest closed one]")
@click.option("--factor", type=click.FloatRange(min=0, min_open=True), help="Instead of each rule's own.")
@click.option("--window", "window_minutes", type=click.IntRange(1, 1440), help="Minutes, instead of each rule's own.")
@click.option("--min-points", type=click.IntRange(min=1), help="Instead of each rule's own.")
@click.option("--min-average", type=click.FloatRange(min=0), help="Instead of each rule's own.")
@click.option("--measure", "measures", multiple=True, type=click.Choice(MEASURES), help="Instead of each rule's own.")
@click.option("--metric", "metrics", multiple=True, help="Or a pattern, instead of each rule's own.")
@click.option("--episodes", is_flag=True, help="Join consecutive minutes.")
@_FORMAT
@_plain_errors
def alerts_backtest(*, first: datetime, last: datetime | None, episodes: bool, shape: str, **instead: Any) -> None:
    """Show what the rules would have said of stored minutes, without recording or sending anything."""
    import pandas as pd

    from pricetracker_dagster.alerts.rules import BROKEN, Episode, joined
    from pricetracker_dagster.alerts.watch import backtest
    from pricetracker_dagster.candles import floor_minute, newest_closed_minute
    from pricetracker_dagster.settings import changed_rules
    from pricetracker_dagster.store.prices import Store

    settings = load_settings()
    first, last = floor_minute(first), floor_minute(last or newest_closed_minute(datetime.now(UTC)))
    if first > last:
        raise click.UsageError(f"--from {first:%Y-%m-%d %H:%M} is after --to {last:%Y-%m-%d %H:%M}")
    rules = changed_rules(settings.rules, {name: value for name, value in instead.items() if value not in (None, ())})
    above = backtest(Store(settings.folder), rules, first, last)
    if episodes:
        _show(pd.DataFrame(joined(above), columns=list(Episode._fields)), shape)
    else:
        _show(pd.DataFrame([row[: len(BROKEN)] for row in above], columns=list(BROKEN)), shape)


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="Where it listens; 0 takes a free port.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--replay",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Tell the OHLCVT files of this folder again, shifted so that their last day is today.",
)
@click.option("--synthetic", type=click.IntRange(min=0), default=0, help="So many invented pairs more.")
@_plain_errors
def simulate(port: int, host: str, replay: Path | None, synthetic: int) -> None:
    """Run a local exchange that speaks Kraken's REST dialect."""
    from pricetracker_dagster.simulator import serve

    serve(port, host=host, replay=replay, synthetic_pairs=synthetic, on_start=click.echo)


def _published(read: "Callable[..., pd.DataFrame]", *args: str, **kwargs: Any) -> "pd.DataFrame":
    """Read from the published file; where there is only a simulated one, say so instead of showing it as real."""
    from pricetracker_dagster.store.prices import Store
    from pricetracker_dagster.store.reading import NotPublished

    settings = load_settings()
    store = Store(settings.folder)
    if not settings.simulated and not store.rows() and Store(load_settings(simulated=True).folder).rows():
        error = NotPublished(store.published)
        raise click.ClickException(f"{error}. Simulated prices are there: pricetracker --simulated …") from error
    return read(store.published, *args, **kwargs)


def _show(frame: "pd.DataFrame", shape: str) -> None:
    """Print a frame. Times are ISO 8601, those with a zone in UTC; in csv and json numbers keep their digits."""
    for name in frame.select_dtypes("object").columns:
        frame[name] = frame[name].map(_without_numpy, na_action="ignore")
    for name in frame.select_dtypes("datetimetz").columns:
        frame[name] = frame[name].dt.tz_convert("UTC").map(_as_iso, na_action="ignore")
    if shape == "csv":
        click.echo(frame.to_csv(index=False), nl=False)
    elif shape == "json":
        rows = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
        click.echo(json.dumps(_as_json(rows)))  # not to_json(), which keeps 15 digits of 17
    else:
        _show_table(frame)


def _as_iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _without_numpy(value: Any) -> Any:
    """Return a list as Python's own, which every format knows how to write."""
    return value.tolist() if hasattr(value, "tolist") else value


def _as_json(value: Any) -> Any:
    """Return what JSON has a way to write: no NaN, no infinity, no type of numpy, pandas or SQL."""
    value = _without_numpy(value)
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, int | str):
        return value
    return _as_iso(value) if isinstance(value, datetime) else str(value)


def _show_table(frame: "pd.DataFrame") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for name, dtype in frame.dtypes.items():
        table.add_column(Text(str(name)), justify="right" if dtype.kind in "iuf" else "left", no_wrap=True)
    absent = frame.isna()
    for row, gaps in zip(frame.itertuples(index=False), absent.itertuples(index=False), strict=True):
        table.add_row(*(Text("" if gap else _cell(value)) for value, gap in zip(row, gaps, strict=True)))
    # whole lines, nothing cut off, also where the window is narrower
    console = Console(width=Console(width=10_000).measure(table).maximum)
    with console.capture() as printed:  # rich has its own idea of a closed pipe
        console.print(table)
    click.echo(printed.get(), nl=False)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _progress() -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, disable=not sys.stdout.isatty())


if __name__ == "__main__":
    main()
