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
from pricetracker_dagster.alerts.messages.wording import Event, worded
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
    """What decides at ``now`` (UTC) which messages there are."""

    settings: Settings
    now: datetime
    earlier: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """By fact, its recorded messages that count, oldest first."""
    operators: OperatorState = field(default_factory=OperatorState)
    outages: Mapping[str, str] = field(default_factory=dict)
    """By exchange, the id of the open incident of all of it: alerts of its metrics are recorded and not sent."""


def owed(subject: Subject, facts: Iterable[tuple[Row | None, Row]], context: Context) -> tuple[list[Row], list[Row]]:
    """Find the messages that facts make, each as it was recorded (None: it was not) and as it is now.

    Of one that is open and has not changed there may be a message as well: a reminder, an escalation, the end of what
    kept it back.

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
    """One fact, what happens to it, and what keeps messages about it back now."""

    def __init__(self, subject: Subject, before: Row | None, row: Row, context: Context) -> None:
        self.subject, self.row, self.context = subject, row, context
        self.is_new, self.before = before is None, before or {}
        self.earlier = [*context.earlier.get(row["id"], ())]
        self.messages: list[Row] = []
        self.held = self._kept_back_by()
        row["transitions"] = row.get("transitions") or 0

    def find_transitions(self) -> None:
        """Find what happened, in its order."""
        if self.subject == ALERT:
            self._alert_transitions()
        else:
            self._incident_transitions()
        if is_on(self.row):
            if not self.messages and (self.subject == INCIDENT or self.row["sent"]):
                self._due_by_time()
            self.row["held_by"] = self.held

    def _alert_transitions(self) -> None:
        before, row = self.before, self.row
        if not row["sent"]:
            return
        was_over = before.get("state") == RESOLVED
        fires = self.is_new or not before["sent"] or before["fired_at"] != row["fired_at"]
        if fires or (was_over and row["state"] == FIRING):
            again = any(base(message["event"]) == "firing" for message in self.earlier)
            self._add("firing", worded_as="again" if again else "firing")
        if row["state"] == RESOLVED and (fires or not was_over):
            self._end()

    def _incident_transitions(self) -> None:
        row, out = self.row, self.row.get("out") or []
        if self.is_new and row["count"] != 0:
            self._add("opened")
            row["told_out"] = out
        elif row["state"] == OPEN:
            self._joined_or_back(out)
        if row.get("flaps") and not self.before.get("flaps"):
            self._add("flapping")
        if row["state"] == RESOLVED and self.before.get("state") != RESOLVED:
            self._end()

    def _joined_or_back(self, out: Sequence[str]) -> None:
        """Add which metrics have joined, or that most of those that were out are back."""
        known = self.row.get("told_out")
        if known is None:  # of an earlier version, which sent all at once
            known = self.row["told_out"] = self.row["metrics"]
        joined = sorted({*out} - {*known})
        back = sorted({*known} - {*out})
        events = [(base(message["event"]), message["recorded_at"]) for message in self.earlier]
        last = max((at for event, at in events if event != "reminder"), default=None)
        backs = sum(event == "back" for event, _ in events)
        are_new = not {*joined} <= {*self.before.get("metrics", ())}
        pause = _JOINED_EVERY if are_new else min(2 ** max(0, backs - 1), _CHURN_MOST) * _JOINED_EVERY
        if last is not None and self.context.now - last < pause:
            return
        if joined:
            self._add("joined", metrics=joined)
            self.row["told_out"] = sorted({*known, *joined})
        elif out and 2 * len(back) >= len(known):
            self._add("back", metrics=back)
            self.row["told_out"] = list(out)

    def _end(self) -> None:
        """Add the end, for the channels that were sent anything of it; where all was kept back none is owed the end."""
        of_this = [*self.earlier, *self.messages]
        starts = [i for i, message in enumerate(of_this) if base(message["event"]) in ("firing", "opened")]
        since = of_this[starts[-1] :] if starts else of_this
        reached = {channel for message in since for channel in message["channels"]}
        if not reached and since:
            self.held = self.held or self.row.get("held_by") or self.before.get("held_by")
            self._add("resolved", channels=())
        else:
            if reached and (self.held or "").startswith("incident "):  # no message after it says what was over in it
                self.held = None
            set_now = [recipient.channel for recipient in self._recipients()]
            also = sorted(reached.difference(set_now))  # whom it was escalated to
            self._add("resolved", channels=(*set_now, *also))
        self.row["held_by"] = self.held

    def _due_by_time(self) -> None:
        """Add what is due although nothing has changed."""
        was_held = self.before.get("held_by")
        if self.held:
            return
        if was_held:
            by = was_held if was_held.startswith("silence ") else f"an outage of {self.row['metric'].partition(':')[0]}"
            self._add("still", note=f"kept back until now by {by}")
            return
        if self.context.operators.acknowledgement_of(self.row) is not None:
            return
        now, own = self.context.now, self._recipients()
        began = self.row["fired_at" if self.subject == ALERT else "opened_at"] or now
        due = channels_to_remind(own, self.earlier, began, now)
        if due:
            self._add("reminder", channels=due)
        lasted, due = channels_to_escalate_to(own, self.earlier, began, now)
        if due:
            self._add("escalated", channels=due, note=f"nobody has acknowledged it for {int(lasted / MINUTE)} minutes")

    def _kept_back_by(self) -> str | None:
        silence = self.context.operators.silence_of(self.row, self.subject, self.context.now)
        if silence is not None:
            return f"silence {silence}"
        outage = self.context.outages.get(self.row["metric"].partition(":")[0]) if self.subject == ALERT else None
        return None if outage is None else f"incident {outage}"

    def _recipients(self) -> Sequence[Recipient]:
        return recipients(self.context.settings, self.row, self.subject, self.context.now)

    def _add(
        self,
        event: str,
        *,
        worded_as: str | None = None,
        channels: Iterable[str] | None = None,
        metrics: Sequence[str] = (),
        note: str = "",
    ) -> None:
        """Add a message: its event is numbered where it happens a second time."""
        times = 1 + sum(base(message["event"]) == event for message in [*self.earlier, *self.messages])
        named = f"{event} {times}" if times > 1 or event == "reminder" else event
        if self.held:
            channels = ()
        elif channels is None:
            channels = [recipient.channel for recipient in self._recipients()]
        self.row["transitions"] += 1
        words = self._worded(Event(worded_as or event, metrics, self._acknowledged(), note))
        number, at = self.row["transitions"], self.context.now
        message = message_row(self.row["id"], self.subject, named, number, at, channels, words)
        self.messages.append({**message, "held_by": self.held})

    def _worded(self, what: Event) -> tuple[str, str]:
        """Put it into words; where that fails, the message says so."""
        try:
            return worded(self.subject, self.row, what)
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
