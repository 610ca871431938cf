"""What answers from the published file: ``metrics``, ``history``, ``rank``, ``markets``, ``sql``."""

import re
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pricetracker_dagster.cli.output import show_answer
from pricetracker_dagster.cli.parameters import FORMAT, StatementCommand
from pricetracker_dagster.errors import first_line, is_utf8
from pricetracker_dagster.settings import load_settings

if TYPE_CHECKING:
    from pricetracker_dagster.reading.questions import Question


@click.command()
@FORMAT
def metrics(output_format: str) -> None:
    """Show what has values in the last 24 hours."""
    from pricetracker_dagster.reading import questions

    show_published(questions.of_metrics(), output_format)


@click.command()
@click.argument("metric")
@click.argument("measure")
@FORMAT
def history(metric: str, measure: str, output_format: str) -> None:
    """Show one MEASURE of one METRIC over the last 24 hours."""
    from pricetracker_dagster.reading import questions

    show_published(questions.of_history(metric, measure), output_format)


@click.command()
@click.argument("measure")
@FORMAT
def rank(measure: str, output_format: str) -> None:
    """Show the metrics by the standard deviation of a MEASURE over the last 24 hours."""
    from pricetracker_dagster.reading import questions
    from pricetracker_dagster.reading.published import ask

    show_published(questions.of_rank(measure), output_format)
    if output_format == "table":
        rows = ask(load_settings().data_folder.published, questions.of_rank(measure)).to_dicts()
        for (_, metric), (count, most) in questions.fewer_observations(rows).items():
            click.echo(f"  {metric}: {count:,} minutes of 1,440, others have {most:,}: its deviation is over less time")


@click.command()
@click.argument("market", required=False)
@FORMAT
def markets(market: str | None, output_format: str) -> None:
    """Show what exchanges say of a MARKET, e.g. BTC/USD or BTCUSD, or of each, side by side."""
    from pricetracker_dagster.reading import questions

    show_published(questions.of_markets(market), output_format)


@click.command("sql", cls=StatementCommand)
@click.argument("statement")
@click.option("--unlocked", is_flag=True, help="Let it read and write other files, too, and set what the engine does.")
@FORMAT
def sql_(statement: str, output_format: str, *, unlocked: bool) -> None:
    """Answer an SQL STATEMENT from the published file, e.g. "FROM metric_rank"."""
    import duckdb

    from pricetracker_dagster.reading import questions

    if not is_utf8(statement):
        raise click.UsageError("the statement is not in UTF-8: write it so")
    if not duckdb.extract_statements(statement):
        raise click.UsageError('the statement is empty: write e.g. "FROM metric_rank"')
    try:
        show_published(questions.Question(statement), output_format, unlocked=unlocked)
    except duckdb.Error as error:
        if unlocked or not re.search("disabled (by|through) configuration|configuration has been locked", str(error)):
            raise
        reach = "a statement reaches the published tables alone, and sets nothing; with --unlocked it may"
        raise click.ClickException(f"{first_line(error)}: {reach}") from error


def show_published(question: "Question", output_format: str, *, unlocked: bool = False) -> None:
    """Print an answer of the published file; where only a simulated one is, say so instead of showing it as real."""
    from pricetracker_dagster.reading.published import PublishedFile
    from pricetracker_dagster.store.publishing import access
    from pricetracker_dagster.store.store import open_store

    settings = load_settings()
    store = open_store(settings)
    # opens no Delta table: readers go on while one is damaged
    elsewhere = not settings.simulated and not access.has_rows(store.folder.published)
    if elsewhere and access.has_rows(load_settings(simulated=True).data_folder.published):
        error = access.NotPublished(store.folder.published)
        raise click.ClickException(f"{error}. Simulated prices are there: pricetracker --simulated …") from error
    if (old := access.moved_from(store.folder.published)) is not None:
        from pricetracker_dagster.store.publishing.publish import publish

        try:
            publish(store, [str(metric) for metric in settings.tracked], now=datetime.now(UTC))
        except Exception as error:  # the folder cannot be written
            raise access.Moved(access.moved_message(store.folder.published, old)) from error
    with closing(PublishedFile(store.folder.published, unlocked=unlocked)) as file, file.cursor() as connection:
        show_answer(connection, lambda: file.relation(connection, question), output_format)
