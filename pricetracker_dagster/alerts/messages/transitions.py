"""Transitions: each thing that happens to an alert or an incident is a row of the table messages.

Pure. A message belongs to one transition of one fact, has a number of its own, and is owed to the channels that were
set at that moment: what happens a second time is a second message. It is written before the row of the fact, whose
column ``transitions`` says how many there are: one that a crash left beyond that is not sent, and written anew.

What is due by time alone is in reminders.py, who is owed a message in routing.py, its words in wording.py.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pricetracker_dagster.alerts.incidents.model import OPEN
from pricetracker_dagster.alerts.lifecycle.alert import FIRING, RESOLVED
from pricetracker_dagster.alerts.messages.events import ALERT, INCIDENT, base, is_on, message_row
from pricetracker_dagster.alerts.messages.quoting import quoted
from pricetracker_dagster.alerts.messages.reminders import channels_to_escalate_to, channels_to_remind
from pricetracker_dagster.alerts.messages.routing import Recipient, Subject, recipients
from pricetracker_dagster.alerts.messages.wording import Event, alert_message, incident_message
from pricetracker_dagster.alerts.operators.state import OperatorState
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.records import Row

_JOINED_EVERY = MINUTE
"""Metrics that join an incident, or are back, are one message, and not more often than so."""

_CHURN_MOST = 60
"""Of metrics that come and go there are half as many messages each time, down to one in so many minutes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    """What decides which messages there are.

    Attributes:
        settings: the channels, and when a reminder is due.
        now: the current time, UTC.
        earlier: by fact, its recorded messages that count, oldest first.
        operators: silences and acknowledgements.
        outages: by exchange, the id of the open incident of all of it: alerts of its metrics are recorded and not sent.
    """

    settings: Settings
    now: datetime
    earlier: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    operators: OperatorState = field(default_factory=OperatorState)
    outages: Mapping[str, str] = field(default_factory=dict)


def owed(subject: Subject, facts: Iterable[tuple[Row | None, Row]], context: Context) -> tuple[list[Row], list[Row]]:
    """Find the messages that facts make.

    Args:
        subject: ``alert`` or ``incident``.
        facts: each as it was recorded (None: it was not) and as it is now. Of one that is open and has not changed
            there may be a message as well: a reminder, an escalation, the end of what kept it back.
        context: what decides over it.

    Returns:
        Rows of the table messages, and the rows of the facts to record after them.
    """
    messages: list[Row] = []
    changed: list[Row] = []
    for before, after in facts:
        fact = _Fact(subject, before, dict(after), context)
        fact.find_transitions()
        messages += fact.messages
        if fact.row != before:
            changed.append(fact.row)
    return messages, changed


class _Fact:
    """One fact, and what happens to it."""

    def __init__(self, subject: Subject, before: Row | None, row: Row, context: Context) -> None:
        self.subject, self.before, self.row, self.context = subject, before, row, context
        self.earlier = [*context.earlier.get(row["id"], ())]
        self.messages: list[Row] = []
        row["transitions"] = row.get("transitions") or 0

    def find_transitions(self) -> None:
        """Find what happened, in its order."""
        held = self._kept_back_by()
        if self.subject == ALERT:
            self._alert_transitions(held)
        else:
            self._incident_transitions(held)
        is_open = is_on(self.row)
        if is_open and not self.messages and self._is_sent():
            self._due_by_time(held)
        if is_open:
            self.row["held_by"] = held

    def _is_sent(self) -> bool:
        return self.subject == INCIDENT or bool(self.row["sent"])

    def _alert_transitions(self, held: str | None) -> None:
        before, row = self.before, self.row
        if not row["sent"]:
            return
        was_over = before is not None and before["state"] == RESOLVED
        fires = before is None or not before["sent"] or before["fired_at"] != row["fired_at"]
        if fires or (was_over and row["state"] == FIRING):
            again = any(base(message["event"]) == "firing" for message in self.earlier)
            self._add("firing", held, "again" if again else "firing")
        if row["state"] == RESOLVED and (fires or not was_over):
            self._end(held)

    def _incident_transitions(self, held: str | None) -> None:
        before, row = self.before, self.row
        out = row.get("out") or []
        if before is None and row["count"] != 0:
            self._add("opened", held)
            row["told_out"] = out
        elif row["state"] == OPEN:
            self._joined_or_back(held, out)
        if row.get("flaps") and not (before or {}).get("flaps"):
            self._add("flapping", held)
        if row["state"] == RESOLVED and (before is None or before["state"] != RESOLVED):
            self._end(held)

    def _joined_or_back(self, held: str | None, out: Sequence[str]) -> None:
        """Add which metrics have joined, or that most of those that were out are back."""
        known = self.row.get("told_out")
        if known is None:  # of an earlier version, which sent all at once
            known = self.row["told_out"] = self.row["metrics"]
        joined = sorted({*out} - {*known})
        back = sorted({*known} - {*out})
        last = max(
            (message["recorded_at"] for message in self.earlier if base(message["event"]) != "reminder"), default=None
        )
        are_new = not set((self.before or {}).get("metrics", ())).issuperset(joined)
        backs = sum(base(message["event"]) == "back" for message in self.earlier)
        pause = _JOINED_EVERY if are_new else min(2 ** max(0, backs - 1), _CHURN_MOST) * _JOINED_EVERY
        if last is not None and self.context.now - last < pause:
            return
        if joined:
            self._add("joined", held, metrics=joined)
            self.row["told_out"] = sorted({*known, *joined})
        elif out and 2 * len(back) >= len(known):
            self._add("back", held, metrics=back)
            self.row["told_out"] = list(out)

    def _end(self, held: str | None) -> None:
        """Add the end, for the channels that were sent anything of it; where all was kept back none is owed the end."""
        of_this = [*self.earlier, *self.messages]
        starts = [i for i, message in enumerate(of_this) if base(message["event"]) in ("firing", "opened")]
        since = of_this[starts[-1] :] if starts else of_this
        reached = {channel for message in since for channel in message["channels"]}
        if not reached and since:
            held = held or self.row.get("held_by") or (self.before or {}).get("held_by")
            self._add("resolved", held, channels=())
        else:
            set_now = [recipient.channel for recipient in self._recipients()]
            also = sorted(channel for channel in reached if channel not in set_now)  # whom it was escalated to
            self._add("resolved", held, channels=(*set_now, *also))
        self.row["held_by"] = held

    def _due_by_time(self, held: str | None) -> None:
        """Add what is due although nothing has changed."""
        was_held = (self.before or {}).get("held_by")
        if held:
            return
        if was_held:
            by = was_held if was_held.startswith("silence ") else f"an outage of {self.row['metric'].partition(':')[0]}"
            self._add("still", None, note=f"kept back until now by {by}")
            return
        noted = self.context.operators.acknowledgement_of(self.row)
        if noted is not None:
            return
        now, began, own = self.context.now, self._began(), self._recipients()
        due = channels_to_remind(own, self.earlier, began, now)
        if due:
            self._add("reminder", None, channels=due)
        lasted, due = channels_to_escalate_to(own, self.earlier, began, now)
        if due:
            minutes = int(lasted / MINUTE)
            self._add("escalated", None, channels=due, note=f"nobody has acknowledged it for {minutes} minutes")

    def _began(self) -> datetime:
        began = self.row["fired_at"] if self.subject == ALERT else self.row["opened_at"]
        return began if began is not None else self.context.now

    def _kept_back_by(self) -> str | None:
        """Return what keeps messages back now."""
        silence = self.context.operators.silence_of(self.row, self.subject, self.context.now)
        if silence is not None:
            return f"silence {silence}"
        if self.subject == ALERT:
            outage = self.context.outages.get(self.row["metric"].partition(":")[0])
            return None if outage is None else f"incident {outage}"
        return None

    def _recipients(self) -> Sequence[Recipient]:
        return recipients(self.context.settings, self.row, self.subject, self.context.now)

    def _add(
        self,
        event: str,
        held: str | None,
        worded_as: str | None = None,
        *,
        channels: Iterable[str] | None = None,
        metrics: Sequence[str] = (),
        note: str = "",
    ) -> None:
        """Add a message: its event is numbered where it happens a second time."""
        times = 1 + sum(base(message["event"]) == event for message in [*self.earlier, *self.messages])
        named = f"{event} {times}" if times > 1 or event == "reminder" else event
        if held:
            channels = ()
        elif channels is None:
            channels = [recipient.channel for recipient in self._recipients()]
        what = Event(worded_as or event, metrics, self._acknowledged(), note)
        self.row["transitions"] += 1
        number = self.row["transitions"]
        worded = self._worded(what)
        self.messages.append(
            message_row(self.row["id"], self.subject, named, number, self.context.now, channels, worded, held)
        )

    def _worded(self, what: Event) -> tuple[str, str]:
        """Put it into words; where that fails, the message says so."""
        try:
            return (alert_message if self.subject == ALERT else incident_message)(self.row, what)
        except Exception as error:
            _log.exception("%s %s cannot be put into words", self.subject, self.row["id"])
            mistake = f"a mistake of pricetracker while putting it into words: {type(error).__name__}: {error}"
            return f"✗ {self.subject}", " ".join(f"✗ {self.subject} {self.row['id']}: {mistake}".split())

    def _acknowledged(self) -> str:
        noted = self.context.operators.acknowledgement_of(self.row)
        if noted is None:
            return ""
        note = f": {quoted(noted['note'])}" if noted.get("note") else ""
        return f"acknowledged by {quoted(noted['who'])} at {noted['made_at']:%Y-%m-%d %H:%M} UTC{note}"
