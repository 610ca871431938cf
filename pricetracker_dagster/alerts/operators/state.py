"""The desk: what people have silenced and acknowledged, and what that means for an alert or an incident.

Pure, but for Desk.of(), which reads the two tables. What is not sent for it, and what is said at its end, is the
business of transitions.py; how a person writes it down, of cli/desk.py.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Literal

from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.records import Records, Row

AHEAD = timedelta(seconds=10)
"""What was written so long after ``now`` was asked for is of the present; what lies later, a clock that was ahead
has written: it is as if it were not there until yet_to_come.py has put it right."""


@dataclass(frozen=True)
class Desk:
    """What people have written down.

    Attributes:
        silences: rows of the table silences.
        acknowledgements: rows of the table acknowledgements.
        troubles: why one of them could not be read, in plain words: then nothing is kept back for it.
    """

    silences: Sequence[Row] = ()
    acknowledgements: Sequence[Row] = ()
    troubles: tuple[str, ...] = ()

    @classmethod
    def of(cls, records: Records, now: datetime) -> "Desk":
        """Read the tables; of one that is damaged nothing is known.

        Args:
            records: the tables.
            now: the current time, UTC.
        """
        troubles: list[str] = []

        def read(rows: Callable[[], list[Row]], but: str) -> tuple[Row, ...]:
            try:
                return tuple(row for row in rows() if row["made_at"] <= now + AHEAD)
            except StoreError as error:
                troubles.append(f"{but}: {error}")
                return ()

        silences = read(records.silences.rows, "what is silenced cannot be read, and is sent")
        acknowledgements = read(records.acknowledgements.rows, "what is acknowledged cannot be read")
        return cls(silences, acknowledgements, tuple(troubles))

    def silence_of(self, row: Row, subject: Literal["alert", "incident"], now: datetime) -> str | None:
        """Return the id of a silence in force that covers an alert or an incident: of several the last to end.

        An incident is covered where each of its metrics is, of which those count that are out now, by silences of no
        rule; then it is the one that ends first. One without metrics, of what stands still, is never covered.

        Args:
            row: a row of the table alerts or incidents.
            subject: which of the two.
            now: the current time, UTC.
        """
        in_force = [each for each in self.silences if is_in_force(each, now)]
        if subject == "alert":
            covering = _last_to_end(
                each
                for each in in_force
                if each["rule"] in (None, row["rule"]) and fnmatchcase(row["metric"], each["metrics"])
            )
            return None if covering is None else str(covering["id"])
        every_rule = [each for each in in_force if each["rule"] is None]
        of_each = [
            _last_to_end(each for each in every_rule if fnmatchcase(metric, each["metrics"]))
            for metric in row["out"] or row["metrics"] or ()
        ]
        found = [each for each in of_each if each is not None]
        if not found or len(found) < len(of_each):
            return None
        return str(min(found, key=end_of)["id"])

    def acknowledgement_of(self, row: Row, since: datetime | None = None) -> Row | None:
        """Return the newest acknowledgement of an alert or an incident, None where nobody has acknowledged it.

        Args:
            row: a row of the table alerts or incidents.
            since: when it last began, UTC, where it began anew after it was over; by default when it was recorded.
        """
        began = since or row.get("fired_at") or row.get("opened_at")
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


def _last_to_end(silences: Iterable[Row]) -> Row | None:
    return max(silences, key=lambda each: (end_of(each), each["id"]), default=None)
