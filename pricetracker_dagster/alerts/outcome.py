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
    """What one look did.

    Attributes:
        cursor: where the next look at the prices begins.
        judged: how many (rule, metric, measure, minute) were judged.
        not_judged: how many were not, by the reason; of the newest minute only.
        alerts: rows of the table alerts that are new or changed.
        incidents: rows of the table incidents that are new or changed.
        attempts: rows of the table deliveries that were added.
        troubles: what went wrong with one rule, metric or step, which the others did not wait for, in plain words.
    """

    cursor: str | None = None
    judged: int = 0
    not_judged: Mapping[str, int] = field(default_factory=dict)
    alerts: Sequence[Row] = ()
    incidents: Sequence[Row] = ()
    attempts: Sequence[Row] = ()
    troubles: list[str] = field(default_factory=list)

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
