"""What answers from the published file: ``metrics``, ``history``, ``rank``, ``sql``."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pricetracker_dagster.cli.output import show_answer
from pricetracker_dagster.cli.parameters import FORMAT, StatementCommand
from pricetracker_dagster.errors import is_utf8
from pricetracker_dagster.settings import load_settings

if TYPE_CHECKING:
    from pricetracker_dagster.store.reading import Question


@click.command()
@FORMAT
def metrics(output_format: str) -> None:
    """Show what has values in the last 24 hours."""
    from pricetracker_dagster.store import reading

    show_published(lambda _: reading.of_metrics(), output_format)


@click.command()
@click.argument("metric")
@click.argument("measure")
@FORMAT
def history(metric: str, measure: str, output_format: str) -> None:
    """Show one MEASURE of one METRIC over the last 24 hours."""
    from pricetracker_dagster.store import reading

    show_published(lambda published: reading.of_history(published, metric, measure), output_format)


@click.command()
@click.argument("measure")
@FORMAT
def rank(measure: str, output_format: str) -> None:
    """Show the metrics by the standard deviation of a MEASURE over the last 24 hours."""
    from pricetracker_dagster.store import reading

    show_published(lambda _: reading.of_rank(measure), output_format)
    if output_format == "table":
        rows = reading.rank(load_settings().data_folder.published, measure).to_dicts()
        for (_, metric), (count, most) in reading.fewer_observations(rows).items():
            click.echo(f"  {metric}: {count:,} minutes of 1,440, others have {most:,}: its deviation is over less time")


@click.command("sql", cls=StatementCommand)
@click.argument("statement")
@FORMAT
def sql_(statement: str, output_format: str) -> None:
    """Answer an SQL STATEMENT from the published file, e.g. "FROM metric_rank"."""
    import duckdb

    from pricetracker_dagster.store import reading

    if not is_utf8(statement):
        raise click.UsageError("the statement is not in UTF-8: write it so")
    if not duckdb.extract_statements(statement):
        raise click.UsageError('the statement is empty: write e.g. "FROM metric_rank"')
    show_published(lambda _: reading.Question(statement), output_format)


def show_published(ask: "Callable[[Path], Question]", output_format: str) -> None:
    """Print an answer of the published file; where only a simulated one is, say so instead of showing it as real."""
    from pricetracker_dagster.store import published_access as access
    from pricetracker_dagster.store.store import open_store

    settings = load_settings()
    store = open_store(settings)
    # opens no Delta table: readers go on while one is damaged
    elsewhere = not settings.simulated and not access.has_rows(store.folder.published)
    if elsewhere and access.has_rows(load_settings(simulated=True).data_folder.published):
        error = access.NotPublished(store.folder.published)
        raise click.ClickException(f"{error}. Simulated prices are there: pricetracker --simulated …") from error
    if (old := access.moved_from(store.folder.published)) is not None:
        from pricetracker_dagster.store.publish import publish

        try:
            publish(store, [str(metric) for metric in settings.tracked], now=datetime.now(UTC))
        except Exception as error:  # the folder cannot be written
            raise access.Moved(access.moved_message(store.folder.published, old)) from error
    question = ask(store.folder.published)
    parameters = dict(question.parameters) or None
    with access.connect(store.folder.published) as connection:
        show_answer(connection, lambda: connection.sql(question.statement, params=parameters), output_format)
