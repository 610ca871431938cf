"""The hourly upkeep of the store as a whole: what is too old goes, the ranking is compared, tables are maintained.

Here belongs the order, and that one trouble does not stop the rest. What is removed is decided in retention.py, how
tables are compacted and cleaned in maintenance.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from deltalake.exceptions import CommitFailedError

from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.maintenance import Maintained, maintain
from pricetracker_dagster.store.publishing.full_pass import compare_in_full
from pricetracker_dagster.store.retention import Removal, remove_old_prices, remove_old_records
from pricetracker_dagster.store.store import Store

T = TypeVar("T")


@dataclass(frozen=True)
class Kept:
    """What an upkeep did.

    Attributes:
        removal: the minute prices that ``keep_days`` removes; None: none.
        records: how many rows of which small tables were removed.
        maintained: what was compacted and cleaned.
        troubles: what went wrong, without the rest being stopped, in plain words.
    """

    removal: Removal | None
    records: Mapping[str, int]
    maintained: Maintained
    troubles: tuple[str, ...]


def keep_store(store: Store, settings: Settings, now: datetime) -> Kept:
    """Remove what is too old at ``now``, UTC, and maintain the tables. Safe beside writers and readers."""
    troubles: list[str] = []

    def tried(work: Callable[[Store, Settings, datetime], T], otherwise: T) -> T:
        try:
            return work(store, settings, now)
        except StoreError as error:
            troubles.append(str(error))
        except CommitFailedError:
            troubles.append(
                "another process changed a table from which old rows were to go: the next hour removes them"
            )
        return otherwise

    removal = tried(remove_old_prices, None)
    records: Mapping[str, int] = tried(remove_old_records, dict[str, int]())
    differed = tried(lambda store, _, now: compare_in_full(store, now), list[str]())
    maintained = maintain(store, now=now)
    return Kept(removal, records, maintained, (*troubles, *differed, *maintained.troubles))
