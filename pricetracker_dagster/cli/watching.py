"""The command ``watch``: look at what stands still, once or again and again."""

import signal
import sys
import threading

import click

from pricetracker_dagster.cli.output import without_dagsters_warnings
from pricetracker_dagster.process.secrets import masked
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.settings.last_good import SettingsKeeper


@click.command()
@click.option("--every", type=click.IntRange(5, 3600), metavar="SECONDS", help="Look again and again, until stopped.")
@click.option("--asks-up", is_flag=True, hidden=True)
def watch(*, every: int | None, asks_up: bool) -> None:
    """Say what stands still, record it as an incident and tell the channels; exit status 1 where anything does.

    It looks at the newest stored minute, at Dagster's daemon, schedule and sensors, at free disk and at the clock, and
    needs none of them to run. Let cron run it each minute where `pricetracker up`, which does the same, is not used.
    """
    without_dagsters_warnings()
    from pricetracker_dagster.local.watchdog import RESTART
    from pricetracker_dagster.local.watching import Watch

    # while they cannot be read, the watch reports that by means of the last ones that could be
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
