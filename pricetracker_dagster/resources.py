"""What assets, sensors and jobs need from outside: the settings in force, the clock, the store they lead to.

The only module below the definitions that knows both Dagster's side and ours; it holds no logic of its own.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import dagster as dg

from pricetracker_dagster.candles.minutes import newest_closed_minute
from pricetracker_dagster.settings import Settings, load_settings
from pricetracker_dagster.settings.last_good import SettingsKeeper
from pricetracker_dagster.store.delta import opened_once
from pricetracker_dagster.store.store import Store, open_store


class Tracker:
    """The tracker as a resource. Tests give it settings and a clock of their own.

    Args:
        load: returns the settings; called at each use, so that a changed file takes effect at the next run.
        now: returns the current time, UTC; by default that of this machine's clock.
    """

    def __init__(self, load: Callable[[], Settings] = load_settings, now: Callable[[], datetime] | None = None) -> None:
        """Load nothing yet: a mistake in the settings fails a run with its message, not the whole code location."""
        self._keeper = SettingsKeeper(load)
        self.now = now or (lambda: datetime.now(UTC))

    def settings(self) -> Settings:
        """Return the settings in force, or raise SettingsError where they cannot be used."""
        return self._keeper.load()

    def settings_for_alarms(self) -> tuple[Settings, str | None]:
        """Return the settings in force, or the last that could be read and what is wrong with those of now."""
        return self._keeper.load_or_last_good()

    def of(self, settings: Settings) -> "Tracker":
        """Return the tracker whose settings are these, whatever becomes of the file."""
        tracker = Tracker(now=self.now)
        tracker._keeper = SettingsKeeper(lambda: settings, keeps=False)
        return tracker

    def store(self) -> Store:
        """Return the store in the data folder that the settings name."""
        return open_store(self.settings())

    def newest_closed_minute(self) -> datetime:
        """Return the newest minute that is over by this machine's clock, UTC."""
        return newest_closed_minute(self.now())


def at_work(tracker: Tracker) -> dg.ResourceDefinition:
    """Return a tracker as a run is given it, whose steps open each Delta table once among them."""

    def tables_opened_once(_: dg.InitResourceContext) -> Iterator[Tracker]:
        with opened_once():
            yield tracker

    return dg.ResourceDefinition(tables_opened_once, description="settings, clock, store")
