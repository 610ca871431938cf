"""Minutes that no tick tried to store in time: noted as causes, since once they are healed nothing tells of them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, overlaps
from pricetracker_dagster.collect.context import Context


def note_stop(context: Context, gaps: Mapping[str, Sequence[MinuteRange]], since: Mapping[str, datetime]) -> None:
    """Note the minutes that no tick has tried to store.

    Of a long stop the last day is noted, which is looked at, and the first: by a clock that is days ahead, a stop of
    minutes is days long, and what was missed indeed is its beginning.
    """
    late = context.minute - max(1, context.settings.alerts.missed_grace_minutes) * MINUTE
    missed = {}
    for metric, of_metric in gaps.items():
        last_day = MinuteRange(max(since[metric], context.minute - DAY + MINUTE), context.minute - MINUTE)
        parts = []
        for gap in of_metric:
            begin = max(gap.first, since[metric])
            first_day = MinuteRange(begin, min(begin + DAY, last_day.first) - MINUTE)
            parts += overlaps(gap, [first_day, last_day])
        # what reaches back beyond the grace was one stop: its last minutes had no tick of their own either
        missed[metric] = [part for part in parts if part.first <= late]
    context.store.records.note_not_run(missed, datetime.now(UTC))


def note_late_minute(context: Context, stored: Iterable[str], gaps: Mapping[str, Sequence[MinuteRange]]) -> None:
    """Note the tick's own minute where it came after all, but too late: the tick was stopped in its middle."""
    now, minute = context.now(), context.minute
    if now <= minute + (1 + context.settings.alerts.missed_grace_minutes) * MINUTE:
        return
    own = MinuteRange(minute, minute)
    late = {metric: [own] for metric in stored if any(overlaps(own, [gap]) for gap in gaps.get(metric, ()))}
    context.store.records.note_not_run(late, now, f"its tick asked for it only at {now:%H:%M:%S}")
