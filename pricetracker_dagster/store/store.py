"""What is stored in a data folder, as one object: prices and records. They are put together here and nowhere else."""

from pathlib import Path

from pricetracker_dagster.files.data_folder import DataFolder
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.prices import PriceTable
from pricetracker_dagster.store.records import Records


class Store:
    """The tables of a data folder. Any number of processes may use one at once.

    To make one costs nothing: nothing is opened or written before it is used.
    """

    def __init__(self, folder: DataFolder, usd_like: tuple[str, ...] = ()) -> None:
        """Name a data folder, which need not exist, and the quotes that count as one where exchanges are compared."""
        self.folder = folder
        self.usd_like = usd_like
        self.prices = PriceTable(folder)
        self.records = Records(folder)

    @property
    def tables(self) -> tuple[Delta, ...]:
        """All of them, the prices first."""
        return (self.prices, *self.records)


def open_store(settings: Settings) -> Store:
    """Return the store in the data folder that the settings name."""
    return Store(settings.data_folder, settings.markets.usd_like)


def store_in(folder: Path) -> Store:
    """Return the store in a folder of this machine, tables included."""
    return Store(DataFolder(folder))
