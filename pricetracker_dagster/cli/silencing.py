"""Silences and acknowledgements: ``silence``, ``silences``, ``acknowledge``."""

import getpass
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from pricetracker_dagster.cli.output import show, without_dagsters_warnings
from pricetracker_dagster.cli.parameters import FORMAT, UtcTime
from pricetracker_dagster.errors import first_line, plain
from pricetracker_dagster.settings import Settings, command, load_settings, metric_pattern

if TYPE_CHECKING:
    from pricetracker_dagster.store.records import Row
    from pricetracker_dagster.store.schema import Table

_LONGEST = timedelta(days=366)
_MOST = 500
"""Characters of a reason or a note that are kept."""


class _Duration(click.ParamType[timedelta]):
    """A time span in days, hours and minutes: 30m, 2h, 1h30m, 1d."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        found = re.fullmatch(r"(?:(\d{1,6})d)?\s*(?:(\d{1,6})h)?\s*(?:(\d{1,6})m)?", value.strip().lower(), re.ASCII)
        if found is None or not any(found.groups()):
            self.fail(f"{value!r} is not a duration: write e.g. 30m, 2h, 1h30m or 1d", param, ctx)
        days, hours, minutes = (int(number or 0) for number in found.groups())
        span = timedelta(days=days, hours=hours, minutes=minutes)
        if not span:
            self.fail(f"{value!r} is no time at all: write e.g. 30m or 2h", param, ctx)
        if span > _LONGEST:
            self.fail(f"{value!r} is more than a year: what is not wanted at all belongs out of the rules", param, ctx)
        return span


class _Pattern(click.ParamType[str]):
    """A metric, or a pattern of metrics."""

    name = "METRICS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return metric_pattern(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


BY = click.option("--by", "who", metavar="NAME", help="Who does it. [default: the user who is logged in]")


@click.command()
@click.argument("metrics", type=_Pattern(), required=False)
@click.option("--for", "span", type=_Duration(), help="How long: 30m, 2h, 1h30m, 1d.")
@click.option("--until", type=UtcTime(), help="Until when, instead of how long.")
@click.option("--rule", metavar="NAME", help="Only alerts of this rule; else all of them, and incidents.")
@click.option("--reason", help="Why.")
@BY
@click.option("--end", "own", metavar="ID", help="End the silence of this id instead of making one.")
def silence(
    *,
    metrics: str | None,
    span: timedelta | None,
    until: datetime | None,
    rule: str | None,
    reason: str | None,
    who: str | None,
    own: str | None,
) -> None:
    """Keep messages about METRICS (one, or a pattern such as 'KRAKEN:*') back for a while, or end that.

    Alerts and incidents are recorded and shown all the same. At its end a message names what still lasts.
    """
    from pricetracker_dagster.alerts.operators import actions
    from pricetracker_dagster.store.schema import SILENCES

    settings, now = load_settings(), datetime.now(UTC)
    if own is not None:
        if any(each is not None for each in (metrics, span, until, rule, reason)):
            raise click.UsageError("--end ends a silence that is there: say nothing beside it but --by")
        row = actions.end_silence(settings, own, now, who=_name(who))
        click.echo(f"{own} is ended: messages about {_about(row)} are sent again.")
    else:
        if metrics is None:
            raise click.UsageError("whose messages? Write e.g. pricetracker silence 'KRAKEN:*' --for 2h")
        if (span is None) == (until is None):
            raise click.UsageError("for how long? Write either --for 2h or --until 2026-11-24T18:00Z")
        now = now.replace(microsecond=0)
        until = until or now + (span or timedelta())
        if until <= now:
            raise click.UsageError(f"--until {until:%Y-%m-%d %H:%M:%S} UTC is over: it is {now:%Y-%m-%d %H:%M:%S} UTC")
        if until - now > _LONGEST:
            raise click.UsageError(f"--until {until:%Y-%m-%d} is more than a year ahead")
        row = actions.silence(settings, metrics, until, now, rule=rule, reason=_text(reason), who=_name(who))
        warning = actions.not_tracked(metrics, [str(metric) for metric in settings.tracked])
        if warning is not None:
            click.echo(f"Warning: {warning}", err=True)
        click.echo(f"{row['id']}: messages about {_about(row)} are kept back until {until:%Y-%m-%d %H:%M:%S} UTC.")
        click.echo(f"To end it before: {command(simulated=settings.simulated)} silence --end {row['id']}")
    show_everywhere(settings, SILENCES, row)


@click.command()
@click.option("--all", "every", is_flag=True, help="Those that are over, too.")
@FORMAT
def silences(*, every: bool, output_format: str) -> None:
    """Show whose messages are kept back, newest first."""
    from pricetracker_dagster.alerts.operators.state import end_of
    from pricetracker_dagster.store.schema import SILENCES
    from pricetracker_dagster.store.store import open_store

    now = datetime.now(UTC)
    # not from the published file: who has just silenced something sees it, also where nothing can be published
    rows = [row for row in open_store(load_settings()).records.silences.rows() if every or end_of(row) > now]
    rows.sort(key=lambda row: (row["made_at"], len(row["id"]), row["id"]), reverse=True)
    show(SILENCES.names, ([row[name] for name in SILENCES.names] for row in rows), output_format)


@click.command()
@click.argument("own", metavar="ID")
@click.option("--note", help="What there is to say about it.")
@BY
def acknowledge(own: str, *, note: str | None, who: str | None) -> None:
    """Say that somebody looks after an alert or an incident: no more reminders of it until it is over.

    ID is as `alerts --open` and `incidents --open` show it, or a beginning that no other open one has.
    """
    from pricetracker_dagster.alerts.operators import actions
    from pricetracker_dagster.store.schema import ACKNOWLEDGEMENTS

    settings, now = load_settings(), datetime.now(UTC)
    row, fact = actions.acknowledge(settings, own, now, who=_name(who), note=_text(note))
    click.echo(f"{fact['id']} is acknowledged by {row['who']}: no more reminders of it until it is over.")
    show_everywhere(settings, ACKNOWLEDGEMENTS, row)


def _about(row: "Row") -> str:
    return str(row["metrics"]) + ("" if row["rule"] is None else f" by the rule {row['rule']}")


def _text(text: str | None) -> str | None:
    return None if text is None else plain(text, _MOST) or None


def _name(who: str | None) -> str:
    """Return who does it: as was given, else the user who is logged in."""
    if who is not None:
        name = plain(who, 100)
        if not name:
            raise click.UsageError("--by is empty: write a name, or leave it away")
        return name
    try:
        return plain(getpass.getuser(), 100)
    except (KeyError, OSError):  # a container's user that has no name
        return f"user {os.getuid()}"


def show_everywhere(settings: Settings, table: "Table", row: "Row") -> None:
    """Publish anew, and let the UI know; where that cannot be, what was written down holds all the same."""
    from pricetracker_dagster.store.publishing.publish import publish
    from pricetracker_dagster.store.store import open_store

    sys.stdout.flush()  # it is done, whatever becomes of the rest
    try:
        publish(open_store(settings), [str(metric) for metric in settings.tracked], now=datetime.now(UTC))
    except Exception as error:
        click.echo(f"Not published yet, the next tick does: {first_line(error)}", err=True)
    without_dagsters_warnings()
    from pricetracker_dagster.assets.alerts import written_down
    from pricetracker_dagster.instance.home import is_kept, open_instance

    if not is_kept(settings.data_folder.dagster_home):
        return
    try:
        with open_instance(settings) as instance:
            instance.report_runless_asset_event(written_down(table, [row], simulated=settings.simulated))
    except Exception as error:
        click.echo(f"Not shown in the Dagster UI: {first_line(error)}", err=True)
