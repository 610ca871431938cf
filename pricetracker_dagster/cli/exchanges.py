"""What metrics may name: ``exchanges``."""

import click

from pricetracker_dagster.cli.output import show
from pricetracker_dagster.cli.parameters import FORMAT
from pricetracker_dagster.settings import load_settings


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@FORMAT
def exchanges(names: tuple[str, ...], output_format: str) -> None:
    """Show the exchanges that metrics may name, and how they answer; those that are named are asked for their pairs.

    REACH is how many minutes back one answer has candles, BACK how far they go at all. A pair is written BASEQUOTE, or
    BASE/QUOTE, e.g. COINBASE:BTCUSD, OKX:BTC/USDT.
    """
    from pricetracker_dagster.exchanges.overview import COLUMNS, overview

    show(COLUMNS, overview(load_settings(), [name.upper() for name in names]), output_format)
