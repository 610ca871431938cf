"""The words of a message: a headline of a few words and a line, for each event of an alert or an incident. Pure."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pricetracker_dagster.alerts.incidents.standstill import CAUSES, incident_name
from pricetracker_dagster.alerts.incidents.whole_exchange import is_of_a_market
from pricetracker_dagster.alerts.lifecycle.alert import kind_of
from pricetracker_dagster.alerts.messages.quoting import quoted
from pricetracker_dagster.alerts.messages.routing import Subject
from pricetracker_dagster.candles.digits import shown
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange
from pricetracker_dagster.exchanges.base import Banned, Maintenance, RefusedHere
from pricetracker_dagster.settings import DIVERGENCE
from pricetracker_dagster.settings.exchanges import SIMULATED
from pricetracker_dagster.store.records import Row

_METRICS, _CAUSES = 5, 3
"""Most metrics (where more than one would not be) and most causes named in one line."""

_ESCALATED = "not acknowledged"


class Event(NamedTuple):
    """What happens to a fact, beside what its row says."""

    event: str
    """``firing``, ``again``, ``resolved``, ``still``, ``reminder``, ``escalated``; of an incident also ``opened``,
    ``joined``, ``back`` and ``flapping``."""
    metrics: Sequence[str] = ()
    """Whom it is about: who has joined, or is back."""
    acknowledged: str = ""
    """By whom and when, in words; empty: by nobody."""
    held: str = ""
    """What kept it back until now, in words."""


def worded(subject: Subject, row: Row, what: Event) -> tuple[str, str]:
    """Return headline and line of what happens to an alert or an incident."""
    return alert_message(row, what) if subject == "alert" else incident_message(row, what)


def alert_message(row: Row, what: Event) -> tuple[str, str]:
    """Return headline and line of an alert."""
    if kind_of(row) == DIVERGENCE:
        return _of_divergence(row, what)
    name = f"{row['metric']} {row['measure']}"
    peak = f"peak {shown(row['peak'])} = {row['peak_ratio']:.2f}× at {row['peak_minute']:%H:%M}"
    if what.event == "firing":
        compared = f"{shown(row['value'])} = {row['ratio']:.2f}× its average {shown(row['average'])}"
        when = f"at {_utc(row['minute'])} ({row['rule']}: above {row['factor']:g}×)"
        return f"▲ {name} {row['ratio']:.2f}×", f"▲ {name} {compared} {when}"
    if what.event == "resolved":
        lasted = _many((row["last_minute"] - row["minute"]) // MINUTE + 1, "minute")
        over = f"{row['ended_because']}: it lasted {lasted} from {_utc(row['minute'])}"
        return f"✓ {name} resolved", f"✓ {name} {over}, {peak} ({row['rule']}){_noted(what)}"
    # not "still above": it fires until it was below for a while
    how = {"again": "fires again", "escalated": _ESCALATED}.get(what.event, "still fires")
    above = f"first above at {_utc(row['minute'])}, last at {row['last_minute']:%H:%M}"
    return f"▲ {name} {how}", f"▲ {name} {how}: {above}, {peak} ({row['rule']}){_noted(what)}"


def _of_divergence(row: Row, what: Event) -> tuple[str, str]:
    """Return headline and line of a price that differs from that of others."""
    name = f"{row['metric']} price"
    most = f"at most {row['peak_ratio']:.1f} basis points, at {row['peak_minute']:%H:%M} with {shown(row['peak'])}"
    rule = f"({row['rule']}: more than {row['factor']:g} basis points)"
    if what.event == "firing":
        side = "above" if row["value"] > row["average"] else "below"
        median = f"{shown(row['average'])}, the median of {_many(row['others'], 'other')}"
        apart = f"{row['ratio']:.1f} basis points {side}"
        line = f"▲ {name} diverges: {shown(row['value'])} is {apart} {median}, since {_utc(row['minute'])} {rule}"
        return f"▲ {name} {apart} the others", line
    if what.event == "resolved":
        lasted = _many((row["last_minute"] - row["minute"]) // MINUTE + 1, "minute")
        over = f"{row['ended_because']}: it diverged for {lasted} from {_utc(row['minute'])}"
        return f"✓ {name} no longer diverges", f"✓ {name} {over}, {most} {rule}{_noted(what)}"
    how = {"again": "diverges again", "escalated": _ESCALATED}.get(what.event, "still diverges")
    since = f"since {_utc(row['minute'])}, last seen at {row['last_minute']:%H:%M}"
    return f"▲ {name} {how}", f"▲ {name} {how}: {since}, {most} {rule}{_noted(what)}"


def incident_message(row: Row, what: Event) -> tuple[str, str]:
    """Return headline and line of an incident."""
    if row["cause"] in CAUSES:
        return _of_standstill(row, what)
    out = row.get("out") or ()
    minutes = _range(row)
    if what.event == "resolved":
        return _end_of_outage(row, minutes, what)
    is_whole = is_of_whole_exchange(row)
    who = f"{_whole(row) if is_whole else ''}{_named(out or row['metrics'])}"
    why = f"{_causes(row)}: {quoted(row['reason'])}{_way_out(row)}"
    if what.event == "opened":
        head = f"✗ {row['exchange']} is out" if is_whole else "✗ minutes missed"
        return f"{head}: {row['cause']}", f"✗ missed: {minutes} of {who}: {why}"
    if what.event == "joined":
        more = _named(what.metrics)
        count = what.metrics[0] if len(what.metrics) == 1 else f"{len(what.metrics)} metrics"
        return f"✗ {count} more out", f"✗ more missed: {more}; out now: {who}, since {minutes}: {why}"
    if what.event == "back":
        back = f"✓ {len(row['metrics']) - len(out)} of {len(row['metrics'])} are back"
        return back, f"{back}; still missed: {who}: {why}"
    if what.event == "flapping":
        span = _many(int((row["last"] - row["first"]) // MINUTE) + 1, "minute")
        share = f"{row['count']} of {span} from {_utc(row['first'])} were missed"
        return "✗ minutes come and go", f"✗ minutes come and go: {share}, of {who}: {why}{_noted(what)}"
    still = f"✗ still missed: {minutes} of {who}: {why}{_noted(what)}"
    return f"{_cross(what)}minutes still missed: {row['cause']}", still


def silence_message(
    name: str, still: int, gone: Sequence[str], kept: int, others: Sequence[str] = ()
) -> tuple[str, str]:
    """Return headline and line of the end of a silence: what still fires, and what came and went in it.

    Args:
        name: its id.
        still: how many facts last and are sent from now on.
        gone: what was over meanwhile, in a few words each.
        kept: how many messages it has kept back.
        others: what keeps facts back that are on as well, for each of them: ``silence s2``, or an incident.
    """
    by = dict.fromkeys(each if each.startswith("silence ") else "an outage of an exchange" for each in others)
    on = [f"{still} still on, see {'its line' if still == 1 else 'their lines'}"] if still else []
    on += [f"{len(others)} still on and kept back by {_named([*by])}"] if others else []
    lasting = ", ".join(on) or "nothing that it kept back is still on"
    over = f"; over meanwhile: {_named(gone)}" if gone else ""
    ended = f"silence {name} has ended"
    return ended, f"{ended}: {lasting}{over}; it kept back {_many(kept, 'message')}"


def is_of_whole_exchange(row: Row) -> bool:
    """Say whether an exchange is out as a whole now: most of those that were out in its incident still are."""
    return row.get("exchange") is not None and 2 * len(row.get("out") or ()) > len(row["metrics"])


def _whole(row: Row) -> str:
    return f"{row['exchange']} as a whole, {_many(len(row['metrics']), 'metric')}: "


def _end_of_outage(row: Row, minutes: str, what: Event) -> tuple[str, str]:
    if not row["count"]:
        none = "✓ no minutes missed"
        return none, f"{none}: {minutes} is yet to come: it was recorded by a clock that was ahead"
    span = f"{minutes} of {_whole(row) if row.get('exchange') else ''}{_named(row['metrics'])}: {_causes(row)}"
    if row["missing"]:
        lost = _many(row["missing"], "minute")
        stay = "stay" if row["missing"] > 1 else "stays"
        return f"✗ {lost} missed for good", f"✗ over, but {lost} {stay} missing: {span}{_noted(what)}"
    headline = f"✓ {row['exchange']} is back" if row.get("exchange") else "✓ missed minutes healed"
    return headline, f"✓ over, all minutes are stored: {span}{_noted(what)}"


def _of_standstill(row: Row, what: Event) -> tuple[str, str]:
    """Return headline and line of an incident that is about no missed minute: what stands still, or a wrong clock."""
    name = incident_name(row)
    if what.event == "resolved":
        took = _many(max(1, round((row["resolved_at"] - row["first"]) / MINUTE)), "minute")
        over = f"it lasted {took} from {_utc(row['first'])}: {quoted(row['reason'])}"
        return f"✓ {name} over", f"✓ {name} over: {over}{_noted(what)}"
    if what.event == "flapping":
        again = "it is over when it has not come again for a while"
        return f"✗ {name} comes and goes", f"✗ {name} comes and goes: {again}{_noted(what)}"
    stands = name if what.event == "opened" else f"still {name}"
    since = f"since {_utc(row['first'])}: {quoted(row['reason'])}{_noted(what)}"
    return f"{_cross(what)}{stands}", f"✗ {stands} {since}"


def _cross(what: Event) -> str:
    """Return how the headline of what is on begins."""
    return f"✗ {_ESCALATED}: " if what.event == "escalated" else "✗ "


def _causes(row: Row) -> str:
    """Name the causes, with how many minutes of metrics each was noted of where they are several."""
    try:
        counts = json.loads(row.get("causes") or "{}")
    except ValueError:
        counts = {}
    if not isinstance(counts, dict) or len(counts) < 2:
        return str(row["cause"])
    named = [f"{cause} ({count})" for cause, count in list(counts.items())[:_CAUSES]]
    return ", ".join(named) + (f" and {len(counts) - _CAUSES} more causes" if len(counts) > _CAUSES else "")


def _way_out(row: Row) -> str:
    """Say what can be done where an exchange answers nothing to us; empty where its own words say all there is."""
    name = row.get("exchange")
    if name is None:
        return ""
    if row["cause"] == Banned.cause:
        table = (SIMULATED if name.startswith(SIMULATED) else name).lower()
        rate = f"exchanges.{table}.requests_per_second"
        return f"; it is asked again when the ban is over; if it comes again, lower {rate}"
    if row["cause"] == RefusedHere.cause:
        return "; it gives nothing to this address: remove its metrics, or follow their pairs elsewhere"
    if row["cause"] == Maintenance.cause and not is_of_a_market(row["reason"]):
        return "; its minutes are fetched when that is over"
    return ""


def _noted(what: Event) -> str:
    notes = [note for note in (what.held, what.acknowledged) if note]
    return f"; {'; '.join(notes)}" if notes else ""


def _named(metrics: Sequence[str]) -> str:
    if len(metrics) <= _METRICS + 1:  # "and 1 more" is no shorter than its name
        return ", ".join(metrics)
    return f"{', '.join(metrics[:_METRICS])} and {len(metrics) - _METRICS} more"


def _range(row: Row) -> str:
    minutes, opens, length = str(MinuteRange(row["first"], row["last"])).partition(" (")
    return f"{minutes} UTC{opens}{length}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def _utc(minute: datetime) -> str:
    return f"{minute:%Y-%m-%d %H:%M} UTC"
