"""What is told: a row of the table messages for each thing that happens to an alert or an incident.

Pure. A message belongs to one transition of one fact, has a number of its own, and is owed to the channels that were
set at that moment: whatever happens a second time is told a second time. It is written before the row of the fact,
whose column ``transitions`` says how many there are: one that a crash left beyond that is not sent, and written anew.

Who is told is in routing.py, what a person has silenced or acknowledged in desk.py, the words in words.py.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pricetracker_dagster.alerts.incidents.model import OPEN
from pricetracker_dagster.alerts.lifecycle.alert import FIRING, RESOLVED
from pricetracker_dagster.alerts.messages.quoting import quoted
from pricetracker_dagster.alerts.messages.routing import Recipient, Subject, recipients
from pricetracker_dagster.alerts.messages.wording import Event, alert_message, incident_message
from pricetracker_dagster.alerts.operators.state import OperatorState
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.records import Row

ALERT: Subject = "alert"


INCIDENT: Subject = "incident"


_JOINED_EVERY = MINUTE
"""Who joins an incident, or is back, is told together, and not more often than so."""


_CHURN_MOST = 60
"""Who comes and goes is told half as often each time, down to once in so many minutes."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    """What decides over what is told.

    Attributes:
        settings: the channels, and when a reminder is due.
        now: the current time, UTC.
        told: by fact, the messages that are recorded of it and count, oldest first.
        desk: silences and acknowledgements.
        outages: by exchange, the id of the open incident of all of it: what spikes there is recorded and not sent.
    """

    settings: Settings
    now: datetime
    told: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    desk: OperatorState = field(default_factory=OperatorState)
    outages: Mapping[str, str] = field(default_factory=dict)


def base(event: str) -> str:
    """Return what happened, without how often: ``resolved`` of ``resolved 2``."""
    return event.partition(" ")[0]


def is_end(event: str) -> bool:
    """Say whether an event is the end of an alert or an incident."""
    return base(event) == "resolved"


def is_on(row: Row) -> bool:
    """Say whether an alert fires, or an incident is open."""
    return row["state"] in (FIRING, OPEN)


def owed(subject: Subject, facts: Iterable[tuple[Row | None, Row]], context: Context) -> tuple[list[Row], list[Row]]:
    """Find what is to be told of facts.

    Args:
        subject: ``alert`` or ``incident``.
        facts: each as it was recorded (None: it was not) and as it is now. Of one that is open and has not changed
            there may be something to tell as well: a reminder, an escalation, the end of what kept it back.
        context: what decides over it.

    Returns:
        Rows of the table messages, and the rows of the facts to record after them.
    """
    messages: list[Row] = []
    changed: list[Row] = []
    for before, after in facts:
        story = _Story(subject, before, dict(after), context)
        story.tell()
        messages += story.messages
        if story.row != before:
            changed.append(story.row)
    return messages, changed


class _Story:
    """One fact, and what happens to it."""

    def __init__(self, subject: Subject, before: Row | None, row: Row, context: Context) -> None:
        self.subject, self.before, self.row, self.context = subject, before, row, context
        self.told = [*context.told.get(row["id"], ())]
        self.messages: list[Row] = []
        row["transitions"] = row.get("transitions") or 0

    def tell(self) -> None:
        """Find what happened, in its order."""
        held = self._held()
        if self.subject == ALERT:
            self._of_alert(held)
        else:
            self._of_incident(held)
        is_open = is_on(self.row)
        if is_open and not self.messages and self._is_told_of():
            self._of_time(held)
        if is_open:
            self.row["held_by"] = held

    def _is_told_of(self) -> bool:
        return self.subject == INCIDENT or bool(self.row["sent"])

    def _of_alert(self, held: str | None) -> None:
        before, row = self.before, self.row
        if not row["sent"]:
            return
        was_over = before is not None and before["state"] == RESOLVED
        fires = before is None or not before["sent"] or before["fired_at"] != row["fired_at"]
        if fires or (was_over and row["state"] == FIRING):
            again = any(base(message["event"]) == "firing" for message in self.told)
            self._add("firing", held, "again" if again else "firing")
        if row["state"] == RESOLVED and (fires or not was_over):
            self._end(held)

    def _of_incident(self, held: str | None) -> None:
        before, row = self.before, self.row
        out = row.get("out") or []
        if before is None and row["count"] != 0:
            self._add("opened", held)
            row["told_out"] = out
        elif row["state"] == OPEN:
            self._of_who_is_out(held, out)
        if row.get("flaps") and not (before or {}).get("flaps"):
            self._add("flapping", held)
        if row["state"] == RESOLVED and (before is None or before["state"] != RESOLVED):
            self._end(held)

    def _of_who_is_out(self, held: str | None, out: Sequence[str]) -> None:
        """Tell who has joined, and once most of those who are out are back."""
        told = self.row.get("told_out")
        if told is None:  # of an earlier version, which told all at once
            told = self.row["told_out"] = self.row["metrics"]
        joined = sorted({*out} - {*told})
        back = sorted({*told} - {*out})
        last = max(
            (message["recorded_at"] for message in self.told if base(message["event"]) != "reminder"), default=None
        )
        are_new = not set((self.before or {}).get("metrics", ())).issuperset(joined)
        backs = sum(base(message["event"]) == "back" for message in self.told)
        pause = _JOINED_EVERY if are_new else min(2 ** max(0, backs - 1), _CHURN_MOST) * _JOINED_EVERY
        if last is not None and self.context.now - last < pause:
            return
        if joined:
            self._add("joined", held, metrics=joined)
            self.row["told_out"] = sorted({*told, *joined})
        elif out and 2 * len(back) >= len(told):
            self._add("back", held, metrics=back)
            self.row["told_out"] = list(out)

    def _end(self, held: str | None) -> None:
        """Tell the end to whom anything of it was told; where it was kept back all the time there is nothing to end."""
        of_this = [*self.told, *self.messages]
        starts = [i for i, message in enumerate(of_this) if base(message["event"]) in ("firing", "opened")]
        since = of_this[starts[-1] :] if starts else of_this
        heard = {channel for message in since for channel in message["channels"]}
        if not heard and since:
            held = held or self.row.get("held_by") or (self.before or {}).get("held_by")
            self._add("resolved", held, channels=())
        else:
            set_now = [recipient.channel for recipient in self._recipients()]
            also = sorted(channel for channel in heard if channel not in set_now)  # whom it was escalated to
            self._add("resolved", held, channels=(*set_now, *also))
        self.row["held_by"] = held

    def _of_time(self, held: str | None) -> None:
        """Tell what is due although nothing has changed."""
        was_held = (self.before or {}).get("held_by")
        if held:
            return
        if was_held:
            by = was_held if was_held.startswith("silence ") else f"an outage of {self.row['metric'].partition(':')[0]}"
            self._add("still", None, note=f"kept back until now by {by}")
            return
        noted = self.context.desk.acknowledgement_of(self.row)
        if noted is not None:
            return
        everybody = self._recipients()
        due = [recipient.channel for recipient in everybody if self._reminder_is_due(recipient)]
        if due:
            self._add("reminder", None, channels=due)
        self._escalate(everybody)

    def _reminder_is_due(self, recipient: Recipient) -> bool:
        if not recipient.repeat_minutes:
            return False
        own = [message["recorded_at"] for message in self.told if recipient.channel in message["channels"]]
        since = self._began() if not self.told else max(own or [message["recorded_at"] for message in self.told])
        return self.context.now - since >= recipient.repeat_minutes * MINUTE

    def _escalate(self, everybody: Collection[Recipient]) -> None:
        told = [
            m["recorded_at"] for m in self.told if m["channels"] and base(m["event"]) in ("firing", "opened", "still")
        ]
        # what was kept back nobody could acknowledge: it counts from when it was told
        lasted = self.context.now - max([self._began(), *told])
        reached = {
            channel
            for message in self.told
            if base(message["event"]) == "escalated" and message["recorded_at"] >= self._began()
            for channel in message["channels"]
        }
        due = {
            channel: None
            for recipient in everybody
            for channel, after in recipient.escalations.items()
            if lasted >= after * MINUTE and channel not in reached
        }
        if due:
            took = int(lasted / MINUTE)
            self._add("escalated", None, channels=tuple(due), note=f"nobody has acknowledged it for {took} minutes")

    def _began(self) -> datetime:
        began = self.row["fired_at"] if self.subject == ALERT else self.row["opened_at"]
        return began if began is not None else self.context.now

    def _held(self) -> str | None:
        """Return what keeps messages back now."""
        silence = self.context.desk.silence_of(self.row, self.subject, self.context.now)
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
        said_as: str | None = None,
        *,
        channels: Iterable[str] | None = None,
        metrics: Sequence[str] = (),
        note: str = "",
    ) -> None:
        """Add a message: its event is numbered where it happens a second time."""
        times = 1 + sum(base(message["event"]) == event for message in [*self.told, *self.messages])
        named = f"{event} {times}" if times > 1 or event == "reminder" else event
        if held:
            channels = ()
        elif channels is None:
            channels = [recipient.channel for recipient in self._recipients()]
        happening = Event(said_as or event, metrics, self._acknowledged(), note)
        self.row["transitions"] += 1
        headline, text = self._worded(happening)
        self.messages.append(
            {
                "id": f"{self.row['id']}#{self.row['transitions']}",
                "fact": self.row["id"],
                "subject": self.subject,
                "event": named,
                "number": self.row["transitions"],
                "recorded_at": self.context.now,
                "channels": list(dict.fromkeys(channels)),
                "headline": headline,
                "text": text,
                "held_by": held,
            }
        )

    def _worded(self, happening: Event) -> tuple[str, str]:
        """Put it into words; where that fails, say that there is something to look at."""
        try:
            return (alert_message if self.subject == ALERT else incident_message)(self.row, happening)
        except Exception as error:
            _log.exception("%s %s cannot be told", self.subject, self.row["id"])
            mistake = f"a mistake of pricetracker while telling it: {type(error).__name__}: {error}"
            return f"✗ {self.subject}", " ".join(f"✗ {self.subject} {self.row['id']}: {mistake}".split())

    def _acknowledged(self) -> str:
        noted = self.context.desk.acknowledgement_of(self.row)
        if noted is None:
            return ""
        note = f": {quoted(noted['note'])}" if noted.get("note") else ""
        return f"acknowledged by {quoted(noted['who'])} at {noted['made_at']:%Y-%m-%d %H:%M} UTC{note}"
