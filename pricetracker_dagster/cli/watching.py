"""What tells whether all is well: ``watch``, ``status``."""

import signal
import sys
import threading

import click

from pricetracker_dagster.cli.errors import plain_errors
from pricetracker_dagster.cli.output import as_iso, without_dagsters_warnings
from pricetracker_dagster.process.secrets import masked
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.settings.last_good import SettingsKeeper


@click.command()
@click.option("--every", type=click.IntRange(5, 3600), metavar="SECONDS", help="Look again and again, until stopped.")
@click.option("--asks-up", is_flag=True, hidden=True)
@plain_errors
def watch(*, every: int | None, asks_up: bool) -> None:
    """Say what stands still, record it as an incident and tell the channels; exit status 1 where anything does.

    It looks at the newest stored minute, at Dagster's daemon, schedule and sensors, at free disk and at the clock, and
    needs none of them to run. Let cron run it each minute where `pricetracker up`, which does the same, is not used.
    """
    without_dagsters_warnings()
    from pricetracker_dagster.local.supervisor import RESTART
    from pricetracker_dagster.local.watching import Watch

    # where they cannot be read that is told, by the last that could be
    settings, _ = SettingsKeeper(load_settings).load_or_last_good()
    if not settings.folder.exists():
        raise click.ClickException(f"{settings.folder} is not there: nothing has run yet; start `pricetracker up`")

    def say(line: str) -> None:
        click.echo(masked(line))
        sys.stdout.flush()

    looker = Watch(say, (lambda part: say(f"{RESTART}{part}")) if asks_up else None)
    if every is None:
        look = looker.once()
        assert look is not None  # noqa: S101 - the settings were loaded above
        for verdict in look.still.values():
            if verdict.reason not in {row["reason"] for row in look.changed}:
                say(f"still: {verdict.reason}")
        if look.well:
            say("all is well")
        sys.exit(0 if look.well else 1)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    looker.forever(every, stop.wait)


@click.command()
@click.option("--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@plain_errors
def status(output_format: str) -> None:
    """Show how all is on one screen; exit status 0 only if all is well. It makes nothing and needs nothing to run."""
    without_dagsters_warnings()
    import json
    from datetime import UTC, datetime

    from pricetracker_dagster.alerts.status import lines
    from pricetracker_dagster.alerts.status import status as look
    from pricetracker_dagster.local.watching import read_work

    settings = load_settings()
    now = datetime.now(UTC)
    found = look(settings, now, lambda: read_work(settings, now))
    if output_format == "json":
        click.echo(masked(json.dumps(found, default=as_iso)))
    else:
        click.echo(masked("\n".join(lines(found))))
    sys.exit(0 if found["well"] else 1)
