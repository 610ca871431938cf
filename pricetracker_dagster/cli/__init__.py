"""The command ``pricetracker``: one thin module a group of commands; errors and output in one place.

Each command reads its arguments, calls one function and prints. Imports are inside the commands, so that ``--help``
and reading stay quick.
"""

import os

from pricetracker_dagster.cli import interrupts

with interrupts.at_once():  # a second and more
    import click

    from pricetracker_dagster.cli.alarms import alerts, incidents
    from pricetracker_dagster.cli.collecting import backfill, import_, tick
    from pricetracker_dagster.cli.errors import PlainGroup
    from pricetracker_dagster.cli.exchanges import exchanges
    from pricetracker_dagster.cli.reading import history, markets, metrics, rank, sql_
    from pricetracker_dagster.cli.repairing import repair
    from pricetracker_dagster.cli.serving import serve
    from pricetracker_dagster.cli.silencing import acknowledge, silence, silences
    from pricetracker_dagster.cli.starting import init, simulate, up
    from pricetracker_dagster.cli.status_screen import status
    from pricetracker_dagster.cli.watching import watch
    from pricetracker_dagster.process.proxies import keep_loopback_off_proxies
    from pricetracker_dagster.settings import PREFIX

_WORK = (init, up, simulate, tick, backfill, import_, repair, watch, serve)
_READ = (metrics, history, rank, markets, sql_, status, exchanges)
_ALARMS = (alerts, incidents, silence, silences, acknowledge)


@click.group(cls=PlainGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--simulated", is_flag=True, help="Work on the simulator's prices, kept in a data folder of their own.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error, too.")
@click.version_option(package_name="pricetracker-dagster")
def main(*, simulated: bool, debug: bool) -> None:
    """Track minute prices: fetch them, read them by SQL, see what is missing."""
    del debug  # errors.py looks at it
    keep_loopback_off_proxies(os.environ)
    if simulated:
        os.environ[f"{PREFIX}SIMULATED"] = "true"


for _command in (*_WORK, *_READ, *_ALARMS):
    main.add_command(_command)
