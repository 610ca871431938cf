"""What one look of the watchdog sees: signs of life, what Dagster does, and the state of store, disk and clock."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple


class Sign(NamedTuple):
    """A part's newest sign of life, ``at`` a time, UTC; None: there never was one.

    ``name`` is what the part is called in messages, ``trouble`` what is known of why there is none; ``is_off``: a
    person has switched it off, which no restart changes.
    """

    name: str
    at: datetime | None
    trouble: str = ""
    is_off: bool = False


class Tick(NamedTuple):
    """A tick that is over, however it ended: how long its run took, and when that ended, UTC."""

    seconds: float
    ended_at: datetime


class Work(NamedTuple):
    """What Dagster does and has done of late."""

    signs: Sequence[Sign] = ()
    """Signs of life of daemon, schedule and sensors."""
    ahead: datetime | None = None
    """The newest time in the future that it has stored."""
    in_progress: Mapping[str, int] = MappingProxyType({})
    """Runs that are not over, by job."""
    last_tick: Tick | None = None


@dataclass
class Observation:
    """What one look saw at ``now``, UTC."""

    now: datetime
    signs: Sequence[Sign] = ()
    """Of daemon, schedule and sensors."""
    ahead: datetime | None = None
    """The newest time in the future that Dagster has stored."""
    newest: datetime | None = None
    """The newest stored minute, UTC."""
    covered: bool = False
    """Whether an open incident explains why there is none newer."""
    recovered: datetime | None = None
    """When daemon, schedule and sensors last came back, UTC: minutes take a while longer."""
    published: datetime | None = None
    """The newest minute that the published file covers, UTC; None: nothing is published."""
    unpublished: str = ""
    """Why it could not be published anew; empty: it was not tried, or it worked."""
    behind: bool = False
    """Whether an incident about stale publication is open."""
    damaged: Sequence[str] | None = None
    """Which tables are damaged and how, a line each; None: it could not be seen."""
    mended: datetime | None = None
    """When damaged tables or the settings were last mended, UTC: what failed over them takes a while longer."""
    free: int | None = None
    """Free bytes where the data lie."""
    clocks: Mapping[str, float] = field(default_factory=dict)
    """By exchange, so many seconds this machine's clock is ahead of its."""
    unreadable: str | None = None
    """Why the settings cannot be read; empty: they can; None: not known."""
    failing: Collection[str] = ()
    """The names of sensors that have an open incident of their own, because they raise errors."""
    since: datetime | None = None
    """From when on the watch has looked without a break, UTC; what is older may be so because nothing ran. None: it
    looks once, and takes what it sees as it is."""
