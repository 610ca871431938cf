"""Compares what is published with all rows of the 24 hours, once an hour: what kept partials have made of them."""

from datetime import datetime

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.candles.measures import define_measures
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.store.live_files import patterns
from pricetracker_dagster.store.publishing.file import CurrentFile, current_file
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import Store

_SHOWN = 5


def compare_in_full(store: Store, now: datetime) -> list[str]:
    """Rank the published 24 hours from all their rows, say where that differs, and publish anew where it does.

    Nobody waits for it: what was published names the files that it was made from, and these never change.

    Returns:
        A line for people where it differed; none where all is well, or nothing is published.
    """
    current = current_file(store.folder.published)
    if current is None or current.published.as_of is None or not current.is_of(store.folder):
        return []
    with store.prices.read():
        differing = _differing(current, current.published.as_of)
    if not differing:
        return []
    publish(store, current.tracked, now=now, in_full=True)
    told = "; ".join(
        f"{measure} of {metric}: stddev {published} instead of {in_full}"
        for metric, measure, published, in_full in differing[:_SHOWN]
    )
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    return [f"the published ranking differed from all rows of its 24 hours and was published anew: {told}{more}"]


def _differing(current: CurrentFile, as_of: datetime) -> list[tuple[str, str, float | None, float | None]]:
    with sql.attached(current.published.path) as connection:
        try:
            files = [file for (file,) in connection.execute(sql.load("store/publishing/sql/kept_files.sql")).fetchall()]
        except duckdb.CatalogException:  # of an earlier version: it was made from all rows
            return []
        if not files:
            return []
        define_measures(connection)
        values = {"files": patterns(files), "first": as_of - DAY + MINUTE, "last": as_of}
        return connection.execute(sql.load("store/publishing/sql/full_pass.sql"), values).fetchall()
