"""From missed minutes to incidents: one outage, as a person sees it, is one incident.

Pure: missed minutes come in, rows of the table incidents go out. Which minutes are missed is found in missed.py; the
messages about them are in ``messages/``.

Minutes are grouped by their metric and time, not by the cause that was noted. A missed metric belongs to the open
incident in which it is out, or which it left lately. Metrics that are missed anew join an incident only while that one
grows; so a pair that is broken for hours hides no other outage. A metric is back after so many stored minutes in a row,
and an incident is over when no metric is out.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from pricetracker_dagster.alerts.incidents.model import OURS, Missed, ReviewContext, exchange_of
from pricetracker_dagster.alerts.incidents.outage import Outage
from pricetracker_dagster.store.records import Row


def review(missed: Iterable[Missed], recorded: Sequence[Row], context: ReviewContext) -> list[Row]:
    """Bring incidents up to date with what is missed; return the rows that are new or changed.

    Args:
        missed: all that was missed since ``context.oldest``, also what was healed or is recorded already.
        recorded: the rows of the table incidents that are open, or whose minutes are not older than that.
        context: what is tracked, what may still come, and the time.

    One that was over before anybody saw it is opened and resolved at once. ``missing`` of one that began before
    ``context.oldest`` counts the minutes since then alone.
    """
    outages = [Outage.recorded(row, context) for row in recorded]
    new = _assigned(_uncovered(missed, outages, context), outages, context)
    ids, rows = {*context.taken, *(row["id"] for row in recorded)}, []
    for outage in [*outages, *new]:
        row = outage.row_after(ids)
        if row != outage.row:
            ids.add(row["id"])
            rows.append(row)
    return rows


def _uncovered(missed: Iterable[Missed], outages: Sequence[Outage], context: ReviewContext) -> list[Missed]:
    """Assign to each recorded incident its minutes; return those that belong to none."""
    naming: dict[str, list[Outage]] = defaultdict(list)
    for outage in sorted(outages, key=_by_age, reverse=True):
        for metric in outage.row["metrics"]:
            naming[metric].append(outage)
    loose: list[Missed] = []
    for found in sorted(missed, key=lambda each: each.span):
        owners: dict[Outage | None, list[str]] = defaultdict(list)
        for metric in found.metrics:
            owners[_owner(metric, found, naming[metric])].append(metric)
        for owner, metrics in owners.items():
            if owner is not None:
                owner.take(found, metrics, is_new=False)
            else:
                loose.append(replace(found, metrics=metrics))
    for outage in outages:  # what was there when an incident was over, and is gone again, is a new incident
        if not outage.is_open and outage.missing > outage.row["missing"]:
            loose += [part for part in outage.parts if part.absent]
    listed = [replace(found, metrics=_listed(found, context)) for found in loose]
    return [found for found in listed if found.metrics]


def _listed(found: Missed, context: ReviewContext) -> list[str]:
    """Return the metrics that were listed then: earlier minutes belong to no incident, though once they did."""
    return [each for each in found.metrics if each in context.since and found.first >= context.since[each]]


def _owner(metric: str, found: Missed, named: Sequence[Outage]) -> Outage | None:
    """Return in which recorded incident minutes of a metric are, of those that name it, the youngest first."""
    covering = [each for each in named if each.covers(metric, found)]
    if len(covering) > 1:  # a metric may have left one and joined another while both lasted: it stays where it was
        stays = [each for each in covering if each.is_near(metric, found)]
        if stays:
            return max(stays, key=lambda each: each.extents[metric].last)
    return covering[0] if covering else None


def _by_age(outage: Outage) -> tuple[datetime, datetime, str]:
    return outage.first, outage.row["opened_at"], outage.row["id"]


def _assigned(loose: Iterable[Missed], outages: Iterable[Outage], context: ReviewContext) -> list[Outage]:
    """Assign what belongs to no recorded incident; return the new incidents that this makes."""
    living = [outage for outage in outages if outage.is_open]
    naming: dict[str, list[Outage]] = defaultdict(list)
    for outage in living:
        for metric in outage.extents:
            naming[metric].append(outage)
    new = []
    for _, at_once in groupby(sorted(loose, key=lambda each: each.span), lambda each: each.first):
        joining: list[tuple[Missed, str, list[str]]] = []
        for found in at_once:
            owners: dict[Outage | str, list[str]] = defaultdict(list)
            for metric in found.metrics:
                near = [each for each in naming[metric] if each.is_near(metric, found)]
                stays = max(near, key=lambda each: each.extents[metric].last, default=None)
                owners[stays or exchange_of(metric)].append(metric)
            for owner, metrics in owners.items():
                if isinstance(owner, Outage):
                    owner.take(found, metrics, is_new=True)
                else:
                    joining.append((found, owner, metrics))
        for found, exchange, metrics in joining:
            ours = found.causes[0].cause in OURS
            near = [each for each in living if each.lasts(found) and each.grows(found)]
            growing = [each for each in near if ours or exchange in each.exchanges]
            joined = max(growing, key=lambda each: (each.grown_at, each.first), default=None)
            if joined is None:
                joined = Outage({}, context, found.first, found.last, found.first)
                living.append(joined)
                new.append(joined)
            joined.take(found, metrics, is_new=True, joins=True)
            for metric in metrics:
                naming[metric].append(joined)
    return new
