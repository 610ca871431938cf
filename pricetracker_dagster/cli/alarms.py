"""What was raised, and the channels: ``alerts``, ``alerts test``, ``alerts backtest``, ``incidents``."""

import sys
from datetime import UTC, datetime
from typing import Any, get_args

import click

from pricetracker_dagster.candles.metric import MEASURES
from pricetracker_dagster.cli.output import show
from pricetracker_dagster.cli.parameters import FORMAT, UtcTime, listing, minute_range
from pricetracker_dagster.cli.reading import show_published
from pricetracker_dagster.settings import RuleKind, load_settings


@click.group(invoke_without_command=True)
@listing
@FORMAT
@click.pass_context
def alerts(ctx: click.Context, *, only_open: bool, since: datetime | None, output_format: str) -> None:
    """Show what exceeded a rule, newest first; try the channels; try rules on what is stored."""
    from pricetracker_dagster.reading import questions

    if ctx.invoked_subcommand is None:
        show_published(questions.of_alerts(only_open=only_open, since=since), output_format)


@click.command()
@listing
@FORMAT
def incidents(*, only_open: bool, since: datetime | None, output_format: str) -> None:
    """Show the outages, newest first: minutes missed near each other in time, and what stands still."""
    from pricetracker_dagster.reading import questions

    show_published(questions.of_incidents(only_open=only_open, since=since), output_format)


@alerts.command("test")
@FORMAT
def alerts_test(output_format: str) -> None:
    """Send a test message through every channel and say how each took it; exit status 1 where one did not."""
    from pricetracker_dagster.alerts.delivery.channels import Message, Outcome, send
    from pricetracker_dagster.alerts.messages import routing

    settings = load_settings()
    urls = list(routing.urls(settings).values())
    if not urls:
        raise click.ClickException(
            "no channel is set: name apprise URLs in alerts.channels or PRICETRACKER_ALERTS__CHANNELS"
        )
    message = Message("Test of pricetracker", f"If you read this, alerts reach you. {settings.ui.link}", good=True)
    outcomes = list(send({url: [message] for url in urls}))
    columns = [name for name in Outcome._fields if name not in ("part", "retry_after")]
    show(columns, ([getattr(outcome, name) for name in columns] for outcome in outcomes), output_format)
    sys.exit(0 if all(outcome.delivered for outcome in outcomes) else 1)


@alerts.command("backtest")
@click.option("--from", "first", type=UtcTime(), required=True, help="The oldest minute.")
@click.option("--to", "last", type=UtcTime(), help="The newest minute. [default: the newest closed one]")
@click.option("--kind", type=click.Choice(get_args(RuleKind)), help="Only rules of it; one if none is set.")
@click.option("--factor", type=click.FloatRange(min=0, min_open=True), help="Instead of each rule's own.")
@click.option("--window", "window_minutes", type=click.IntRange(1, 1440), help="Minutes, instead of each rule's own.")
@click.option("--min-points", type=click.IntRange(min=1), help="Instead of each rule's own.")
@click.option("--min-average", type=click.FloatRange(min=0), help="Instead of each rule's own.")
@click.option("--measure", "measures", multiple=True, type=click.Choice(MEASURES), help="Instead of each rule's own.")
@click.option("--metric", "metrics", multiple=True, help="Or a pattern, instead of each rule's own.")
@click.option("--basis-points", type=click.FloatRange(min=0.01), help="Instead of each rule's own.")
@click.option("--others", type=click.IntRange(min=1), help="Instead of each rule's own.")
@click.option("--for-minutes", type=click.IntRange(1, 1440), help="Instead of each rule's own.")
@click.option("--episodes", is_flag=True, help="Join consecutive minutes.")
@FORMAT
def alerts_backtest(
    *, first: datetime, last: datetime | None, kind: RuleKind | None, episodes: bool, output_format: str, **instead: Any
) -> None:
    """Show what the rules would have said of stored minutes, without recording or sending anything."""
    from pricetracker_dagster.alerts.backtest import BROKEN, Episode, backtest, joined
    from pricetracker_dagster.candles.minutes import newest_closed_minute
    from pricetracker_dagster.settings import changed_rules, rules_of_kind
    from pricetracker_dagster.store.store import open_store

    settings = load_settings()
    asked = minute_range(first, last or newest_closed_minute(datetime.now(UTC)))
    rules = rules_of_kind(settings.rules, kind)
    rules = changed_rules(rules, {name: value for name, value in instead.items() if value not in (None, ())})
    above = backtest(open_store(settings), rules, *asked)
    if episodes:
        show(Episode._fields, joined(above), output_format)
    else:
        show(BROKEN, (row[: len(BROKEN)] for row in above), output_format)
