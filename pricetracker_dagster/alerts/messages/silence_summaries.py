"""The end of a silence: what of it still lasts, and what was over meanwhile, as one row of the table messages. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from pricetracker_dagster.alerts.messages.events import SUMMARY, is_end, is_on, message_row
from pricetracker_dagster.alerts.messages.routing import recipients, urls
from pricetracker_dagster.alerts.messages.transitions import Context
from pricetracker_dagster.alerts.messages.wording import silence_message
from pricetracker_dagster.alerts.operators.state import end_of
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.store.records import Row

_LOOKED_AT_WITHIN = 60 * MINUTE
"""So long the summary of a silence waits for a sensor that does not run."""


def kept_back(ended: Iterable[Row], messages: Sequence[Row]) -> list[tuple[Row, list[Row]]]:
    """Return the silences of whose end nothing is recorded yet, each with the messages that it has kept back, if any.

    Args:
        ended: rows of the table silences that have ended of late.
        messages: those that were kept back of late, and the summaries.
    """
    done = {message["fact"] for message in messages if message["subject"] == SUMMARY}
    names = {f"silence {silence['id']}": silence for silence in ended}
    kept = {name: [message for message in messages if message["held_by"] == name] for name in names}
    return [(names[name], of_it) for name, of_it in kept.items() if of_it and name not in done]


def summaries(kept_by: Iterable[tuple[Row, Sequence[Row]]], facts: Mapping[str, Row], context: Context) -> list[Row]:
    """Say of silences that have ended what of that which they kept back is still on; ``facts`` holds it by id.

    It waits until everything that was kept back has been looked at since, so that it states what is true of each.
    """
    found = []
    for silence, kept in kept_by:
        name = f"silence {silence['id']}"
        subjects = {message["fact"]: message["subject"] for message in kept if message["fact"] in facts}
        on = {fact: facts[fact] for fact in subjects if is_on(facts[fact])}
        is_seen = all(row["held_by"] != name for row in on.values())
        if not is_seen and context.now - end_of(silence) < _LOOKED_AT_WITHIN:
            continue
        others = [row["held_by"] for row in on.values() if row["held_by"] not in (None, name)]
        ends = [message for message in kept if is_end(message["event"]) and message["fact"] not in on]
        gone = list(dict.fromkeys(message["headline"].lstrip("✓✗▲ ") for message in ends))
        channels: list[str] = []
        for fact, subject in subjects.items():
            channels += [each.channel for each in recipients(context.settings, facts[fact], subject, context.now)]
            channels += [channel for message in context.earlier.get(fact, ()) for channel in message["channels"]]
        worded = silence_message(str(silence["id"]), len(on) - len(others), gone, len(kept), others)
        whom = channels or urls(context.settings)
        found.append(message_row(name, SUMMARY, "ended", 1, context.now, whom, worded))
    return found
