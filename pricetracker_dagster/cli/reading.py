"""What answers from the published file: ``metrics``, ``history``, ``rank``, ``sql``."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pricetracker_dagster.cli.errors import plain_errors
from pricetracker_dagster.cli.output import show
from pricetracker_dagster.cli.parameters import FORMAT
from pricetracker_dagster.settings import load_settings

if TYPE_CHECKING:
    import pandas as pd


@click.command()
@FORMAT
@plain_errors
def metrics(shape: str) -> None:
    """Show what has values in the last 24 hours."""
    from pricetracker_dagster.store import reading

    show(published(reading.metrics), shape)


@click.command()
@click.argument("metric")
@click.argument("measure")
@FORMAT
@plain_errors
def history(metric: str, measure: str, shape: str) -> None:
    """Show one MEASURE of one METRIC over the last 24 hours."""
    from pricetracker_dagster.store import reading

    show(published(reading.history, metric, measure), shape)


@click.command()
@click.argument("measure")
@FORMAT
@plain_errors
def rank(measure: str, shape: str) -> None:
    """Show the metrics by the standard deviation of a MEASURE over the last 24 hours."""
    from pricetracker_dagster.store import reading

    show(published(reading.rank, measure), shape)
    if shape == "table":
        _tell_who_has_fewer(measure)


def _tell_who_has_fewer(measure: str) -> None:
    """Say below a ranking whose deviation is over fewer minutes than that of the others."""
    from pricetracker_dagster.store.prices import Store
    from pricetracker_dagster.store.ranking import fewer_observations, ranking

    rows = ranking(Store(load_settings().folder).published)
    for (of, metric), (count, most) in fewer_observations(rows).items():
        if of == measure:
            click.echo(f"  {metric}: {count:,} minutes of 1,440, others have {most:,}: its deviation is over less time")


@click.command("sql")
@click.argument("statement")
@FORMAT
@plain_errors
def sql_(statement: str, shape: str) -> None:
    """Answer an SQL STATEMENT from the published file, e.g. "FROM metric_rank"."""
    import duckdb

    from pricetracker_dagster.store import reading

    if not duckdb.extract_statements(statement):
        raise click.UsageError('the statement is empty: write e.g. "FROM metric_rank"')
    show(published(reading.query, statement), shape)


def published(read: "Callable[..., pd.DataFrame]", *args: str, **kwargs: Any) -> "pd.DataFrame":
    """Read from the published file; where there is only a simulated one, say so instead of showing it as real."""
    from pricetracker_dagster.store.prices import Store
    from pricetracker_dagster.store.reading import NotPublished

    settings = load_settings()
    store = Store(settings.folder)
    if not settings.simulated and not store.rows() and Store(load_settings(simulated=True).folder).rows():
        error = NotPublished(store.published)
        raise click.ClickException(f"{error}. Simulated prices are there: pricetracker --simulated …") from error
    return read(store.published, *args, **kwargs)
