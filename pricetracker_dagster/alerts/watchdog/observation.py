"""What one look of the watchdog sees: signs of life, and the state of store, disk and clock."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
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


@dataclass
class Observation:
    """What one look saw.

    Attributes:
        now: when it looked, UTC.
        signs: of daemon, schedule and sensors.
        ahead: the newest time in the future that Dagster has stored.
        newest: the newest stored minute, UTC.
        covered: whether an open incident explains why there is none newer.
        recovered: when daemon, schedule and sensors last came back, UTC: minutes take a while longer.
        published: the newest minute that the published file covers, UTC; None: nothing is published.
        unpublished: why it could not be published anew; empty: it was not tried, or it worked.
        behind: whether an incident about stale publication is open.
        damaged: which tables are damaged and how, a line each; None: it could not be seen.
        mended: when damaged tables or the settings were last mended, UTC: what failed over them takes a while longer.
        free: free bytes where the data lie.
        clocks: by exchange, so many seconds this machine's clock is ahead of its.
        unreadable: why the settings cannot be read; empty: they can; None: not known.
        failing: the names of sensors that have an open incident of their own, because they raise errors.
        since: from when on the watch has looked without a break, UTC; what is older may be so because nothing ran.
            None: it looks once, and takes what it sees as it is.
    """

    now: datetime
    signs: Sequence[Sign] = ()
    ahead: datetime | None = None
    newest: datetime | None = None
    covered: bool = False
    recovered: datetime | None = None
    published: datetime | None = None
    unpublished: str = ""
    behind: bool = False
    damaged: Sequence[str] | None = None
    mended: datetime | None = None
    free: int | None = None
    clocks: Mapping[str, float] = field(default_factory=dict)
    unreadable: str | None = None
    failing: Collection[str] = ()
    since: datetime | None = None
