"""What follows for every command that stores minutes: they are published, and what is doubted is told."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from pricetracker_dagster.settings import Settings

if TYPE_CHECKING:
    from pricetracker_dagster.store.doubts import Doubt

_LISTED = 10


def publish_stored(settings: Settings) -> None:
    """Publish what was stored; warn of what readers do not see."""
    from pricetracker_dagster.store.publish import publish
    from pricetracker_dagster.store.store import open_store

    published = publish(open_store(settings), [str(metric) for metric in settings.tracked], now=datetime.now(UTC))
    for trouble in published.troubles:
        click.echo(f"Warning: {trouble}", err=True)


def told_of_doubts(doubts: "Sequence[Doubt]", again: str) -> list[str]:
    """Say of answers that take trades away that they are not stored, and how they can be.

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
