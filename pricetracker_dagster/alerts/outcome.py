"""What one look of the alarms did, for a sensor to report."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pricetracker_dagster.errors import plain
from pricetracker_dagster.store.records import Row

_log = logging.getLogger(__name__)


@dataclass
class SensorOutcome:
    """What one look did."""

    cursor: str | None = None
    """Where the next look at the prices begins."""
    judged: int = 0
    """How many (rule, metric, measure, minute) were judged."""
    not_judged: Mapping[str, int] = field(default_factory=dict)
    """How many were not, by the reason; of the newest minute only."""
    alerts: Sequence[Row] = ()
    """Rows of the table alerts that are new or changed."""
    incidents: Sequence[Row] = ()
    """Rows of the table incidents that are new or changed."""
    attempts: Sequence[Row] = ()
    """Rows of the table deliveries that were added."""
    troubles: list[str] = field(default_factory=list)
    """What went wrong with one rule, metric or step, which the others did not wait for, in plain words."""

    @contextmanager
    def catching(self, what: str) -> Iterator[None]:
        """Note whatever goes wrong in the block as a trouble, and let it go no further."""
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:
            _log.exception("%s", what)
            self.troubles.append(f"{what}: {plain(f'{type(error).__name__}: {error}', 300)}")
