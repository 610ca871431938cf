"""What every command that stores minutes does next: publish them, and report which rows are doubted."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from pricetracker_dagster.settings import Settings

if TYPE_CHECKING:
    from pricetracker_dagster.store.doubts import Doubt

_LISTED = 10


def publish_stored(settings: Settings) -> None:
    """Publish what was stored, and print what went wrong with it as warnings."""
    from pricetracker_dagster.store.publish import publish
    from pricetracker_dagster.store.store import open_store

    published = publish(open_store(settings), [str(metric) for metric in settings.tracked], now=datetime.now(UTC))
    for trouble in published.troubles:
        click.echo(f"Warning: {trouble}", err=True)


def told_of_doubts(doubts: "Sequence[Doubt]", again: str) -> list[str]:
    """Return lines which say that answers that take trades away are not stored yet, and how to store them.

    Args:
        doubts: what is doubted.
        again: the command that asks again.
    """
    from pricetracker_dagster.store.doubts import CONFIRMED_AFTER

    if not doubts:
        return []
    after = (max(doubt.first_seen for doubt in doubts) + CONFIRMED_AFTER + timedelta(seconds=1)).astimezone(UTC)
    rows = "row is" if len(doubts) == 1 else "rows are"
    why = "fewer trades or less volume than stored is believed only when said twice, a minute apart"
    lines = [f"{len(doubts):,} {rows} not stored yet: {why}"]
    lines += [f"  {doubt}" for doubt in doubts[:_LISTED]]
    if len(doubts) > _LISTED:
        lines.append(f"  … and {len(doubts) - _LISTED:,} more")
    return [*lines, f"to store what is said again, run this again from {after:%H:%M:%S} UTC on: {again}"]
