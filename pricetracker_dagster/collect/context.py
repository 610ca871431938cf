"""What the parts of one tick share."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.collect.result import Collected
from pricetracker_dagster.collect.turns import Turns
from pricetracker_dagster.exchanges.base import Exchange
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.store import Store


@dataclass
class Context:
    """What the parts of one tick share.

    It is changed only by the thread that runs the tick, but for ``settled_at`` and ``markets``.

    Attributes:
        settings: what is tracked and how it is asked for.
        store: what is stored.
        collected: the account of what the tick did.
        turns: whose turn it is.
        deadline: after which nobody is asked any more.
        now: returns the time of this machine's clock, UTC.
        exchanges: those that could be opened, by name.
        heals: names of those of which older gaps have their turn, since each metric was asked for.
        settled_at: when the minute is complete for history(), on the monotonic clock.
        markets: base and quote of metrics, as their exchanges tell them.
    """

    settings: Settings
    store: Store
    collected: Collected
    turns: Turns
    deadline: Deadline
    now: Callable[[], datetime]
    exchanges: dict[str, Exchange] = field(default_factory=dict)
    heals: set[str] = field(default_factory=set)
    settled_at: float = 0.0
    markets: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def minute(self) -> datetime:
        """The tick's own minute, UTC."""
        return self.collected.minute

    @property
    def horizon(self) -> datetime:
        """The oldest minute that a tick looks at, UTC: what keep_days removes is no gap."""
        oldest = self.minute - timedelta(days=self.settings.collect.heal_days)
        return max(oldest, self.settings.kept_since(self.minute) or oldest)


def by_exchange(metrics: Iterable[Metric]) -> dict[str, list[Metric]]:
    """Part metrics by their exchange."""
    groups: dict[str, list[Metric]] = {}
    for metric in metrics:
        groups.setdefault(metric.exchange, []).append(metric)
    return groups


def unix(moment: datetime) -> int:
    """Return a moment in whole Unix seconds."""
    return int(moment.timestamp())
