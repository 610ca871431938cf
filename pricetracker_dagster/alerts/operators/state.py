"""What people have silenced and acknowledged, and which alerts and incidents that covers.

Pure, but for OperatorState.read(), which reads the two tables. How a person writes it down is in actions.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pricetracker_dagster.alerts.future_records import AHEAD
from pricetracker_dagster.candles.metric import matches
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.records import Records, Row


@dataclass(frozen=True)
class OperatorState:
    """The rows of the tables silences and acknowledgements.

    One further in the future than AHEAD was written by a clock that was ahead: it does not count until
    future_records.py has corrected it. ``troubles`` says in plain words why a table could not be read.
    """

    silences: Sequence[Row] = ()
    acknowledgements: Sequence[Row] = ()
    troubles: tuple[str, ...] = ()

    @classmethod
    def read(cls, records: Records, now: datetime) -> "OperatorState":
        """Read the tables at ``now``, UTC; of one that is damaged nothing is known."""
        troubles: list[str] = []

        def readable(rows: Callable[[], list[Row]], but: str) -> tuple[Row, ...]:
            try:
                return tuple(row for row in rows() if row["made_at"] <= now + AHEAD)
            except StoreError as error:
                troubles.append(f"{but}: {error}")
                return ()

        silences = readable(records.silences.rows, "silences cannot be read, so nothing is kept back")
        acknowledgements = readable(records.acknowledgements.rows, "acknowledgements cannot be read")
        return cls(silences, acknowledgements, tuple(troubles))

    def silence_of(self, row: Row, subject: Literal["alert", "incident"], now: datetime) -> str | None:
        """Return the id of a silence in force that covers an alert or an incident: of several the last to end.

        An incident is covered where each of its metrics is, of which those count that are out now, by silences of no
        rule; then it is the one that ends first. One without metrics, of what stands still, is never covered.
        """
        is_alert = subject == "alert"
        rules = {None, row["rule"]} if is_alert else {None}
        metrics: Sequence[str] = [row["metric"]] if is_alert else row["out"] or row["metrics"] or ()
        in_force = [each for each in self.silences if is_in_force(each, now) and each["rule"] in rules]
        of_each = [[each for each in in_force if matches(metric, each["metrics"])] for metric in metrics]
        if not of_each or not all(of_each):
            return None
        last_to_end = [max(silences, key=lambda each: (end_of(each), each["id"])) for silences in of_each]
        return str(min(last_to_end, key=end_of)["id"])

    def acknowledgement_of(self, row: Row) -> Row | None:
        """Return the newest acknowledgement of an alert or an incident since it began, None where there is none."""
        began = row.get("fired_at") or row.get("opened_at")
        own = [
            each
            for each in self.acknowledgements
            if each["fact"] == row["id"] and (began is None or each["made_at"] >= began)
        ]
        return max(own, key=lambda each: (each["made_at"], each["who"]), default=None)

    def ended_since(self, since: datetime, now: datetime) -> list[Row]:
        """Return the silences that ended, by time or by hand, after ``since`` and not after ``now``; oldest first."""
        return sorted((each for each in self.silences if since < end_of(each) <= now), key=end_of)


def end_of(silence: Row) -> datetime:
    """Return when a silence ends or has ended, UTC: by hand, else by time."""
    ended: datetime | None = silence["ended_at"]
    until: datetime = silence["until"]
    return until if ended is None else min(ended, until)


def is_in_force(silence: Row, now: datetime) -> bool:
    """Say whether a silence keeps messages back now."""
    return bool(silence["made_at"] <= now + AHEAD and now < end_of(silence))
