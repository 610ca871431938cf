"""From missed minutes to incidents: one outage, as a person sees it, is one incident.

Pure: missed minutes come in, rows of the table incidents go out. Which minutes are missed is found in missed.py; the
messages about them are in ``messages/``.

Minutes are grouped by their metric and time, not by the cause that was noted. A missed metric belongs to the open
incident in which it is out, or which it left lately. Metrics that are missed anew join an incident only while that one
grows; so a pair that is broken for hours hides no other outage. A metric is back after so many stored minutes in a row,
and an incident is over when no metric is out.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from pricetracker_dagster.alerts.incidents.model import OURS, Missed, ReviewContext, exchange_of
from pricetracker_dagster.alerts.incidents.outage import Outage
from pricetracker_dagster.store.records import Row


def review(missed: Iterable[Missed], recorded: Sequence[Row], context: ReviewContext) -> list[Row]:
    """Bring incidents up to date with what is missed.

    Args:
        missed: all that was missed since ``context.oldest``, also what was healed or is recorded already.
        recorded: the rows of the table incidents that are open, or whose minutes are not older than that.
        context: what is tracked, what may still come, and the time.

    Returns:
        The rows that are new or changed. One that was over before anybody saw it is opened and resolved at once.
        ``missing`` of one that began before ``context.oldest`` counts the minutes since then alone.
    """
    outages = [Outage.recorded(row, context) for row in recorded]
    new = _assigned(_missing_again(_uncovered(missed, outages, context), outages, context), outages, context)
    ids, rows = {*context.taken, *(row["id"] for row in recorded)}, []
    for outage in [*outages, *new]:
        row = outage.row_after(context, ids)
        if row is not None and row != outage.row:
            ids.add(row["id"])
            rows.append(row)
    return rows


def _uncovered(missed: Iterable[Missed], outages: Sequence[Outage], context: ReviewContext) -> list[Missed]:
    """Assign to each recorded incident its minutes; return those that belong to none."""
    naming: dict[str, list[Outage]] = {}
    for outage in outages:
        for metric in outage.row["metrics"] if outage.row else ():
            naming.setdefault(metric, []).append(outage)
    for named in naming.values():
        named.sort(key=_by_age, reverse=True)
    loose: list[Missed] = []
    for found in sorted(missed, key=lambda each: (each.first, each.last)):
        owners: dict[Outage | None, list[str]] = {}
        for metric in found.metrics:
            owner = _owner(metric, found, naming.get(metric, ()), context.resolve_after)
            owners.setdefault(owner, []).append(metric)
        for owner, metrics in owners.items():
            if owner is not None:
                owner.take(found, metrics, is_new=False)
            else:
                loose += _expected(found, metrics, context)
    return loose


def _owner(metric: str, found: Missed, named: Sequence[Outage], resolve_after: timedelta) -> Outage | None:
    """Return in which recorded incident minutes of a metric are, of those that name it, the youngest first."""
    covering = [each for each in named if each.covers(metric, found, resolve_after)]
    if len(covering) > 1:  # a metric may have left one and joined another while both lasted: it stays where it was
        stays = [each for each in covering if each.is_near(metric, found, resolve_after)]
        if stays:
            return max(stays, key=lambda each: each.extents[metric].last)
    return covering[0] if covering else None


def _missing_again(loose: Sequence[Missed], outages: Iterable[Outage], context: ReviewContext) -> list[Missed]:
    """Add the minutes that were there when an incident was over, and are gone again: that is a new incident."""
    again = list(loose)
    for outage in outages:
        if outage.row is not None and not outage.is_open and outage.missing > outage.row["missing"]:
            for part in outage.parts:
                if part.missed.absent:
                    again += _expected(part.missed, part.metrics, context)
    return again


def _expected(found: Missed, metrics: Iterable[str], context: ReviewContext) -> list[Missed]:
    """Return the minutes of metrics that were listed then: earlier ones belong to no incident, though once they did."""
    listed = [each for each in metrics if each in context.since and found.first >= context.since[each]]
    return [Missed(found.first, found.last, listed, found.causes, found.absent)] if listed else []


def _by_age(outage: Outage) -> tuple[datetime, datetime, str]:
    row = outage.row or {}
    return outage.first, row["opened_at"], row["id"]


def _assigned(loose: Iterable[Missed], outages: Iterable[Outage], context: ReviewContext) -> list[Outage]:
    """Assign what belongs to no recorded incident; return the new incidents that this makes."""
    after = context.resolve_after
    living = [outage for outage in outages if outage.is_open]
    naming: dict[str, list[Outage]] = {}
    for outage in living:
        for metric in outage.extents:
            naming.setdefault(metric, []).append(outage)
    new = []
    ordered = sorted(loose, key=lambda each: (each.first, each.last))
    for _, at_once in groupby(ordered, lambda each: each.first):
        rest: list[tuple[Missed, str, bool, list[str]]] = []
        for found in at_once:
            staying: dict[Outage, list[str]] = {}
            joining: dict[str, list[str]] = {}
            for metric in found.metrics:
                near = [each for each in naming.get(metric, ()) if each.is_near(metric, found, after)]
                if near:
                    staying.setdefault(max(near, key=lambda each: each.extents[metric].last), []).append(metric)
                else:
                    joining.setdefault(exchange_of(metric), []).append(metric)
            for outage, metrics in staying.items():
                outage.take(found, metrics, is_new=True)
            ours = found.causes[0].cause in OURS
            rest += [(found, exchange, ours, metrics) for exchange, metrics in joining.items()]
        for found, exchange, ours, metrics in rest:
            growing = [
                each
                for each in living
                if each.lasts(found, after) and each.grows(found, after) and (ours or exchange in each.exchanges)
            ]
            if growing:
                outage = max(growing, key=lambda each: (each.grown_at, each.first))
            else:
                outage = Outage(None, found.first, found.last, found.first)
                living.append(outage)
                new.append(outage)
            outage.take(found, metrics, is_new=True, joins=True)
            for metric in metrics:
                naming.setdefault(metric, []).append(outage)
    return new
