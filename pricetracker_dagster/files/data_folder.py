"""Where everything of a data folder lies: the only place that knows the names of its files and folders.

Here belong names and locations. What is in a file, and how it is read and written, belongs to its owner.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from pricetracker_dagster.errors import PricetrackerError


class TableName(StrEnum):
    """The Delta tables: each is a folder of that name."""

    MINUTE_PRICES = "minute_prices"
    ALERTS = "alerts"
    MESSAGES = "messages"
    DELIVERIES = "deliveries"
    INCIDENTS = "incidents"
    CAUSES = "causes"
    SILENCES = "silences"
    ACKNOWLEDGEMENTS = "acknowledgements"


class StateFile(StrEnum):
    """The files in the folder ``state``: small facts of which any may be lost, and locks."""

    CLOCK = "clock.json"
    DAGSTER_YAML = "dagster_yaml.json"
    DOUBTS = "doubts.json"
    DOUBTS_BY_DAY = "doubts_by_day.json"
    KEEP_DAYS = "keep_days.json"
    LAST_SETTINGS = "last_settings.json"
    MARKETS = "markets.json"
    PUBLISHED_VERSIONS = "published_versions.json"
    SIMULATOR_URL = "simulator.url"
    SIZES = "sizes.json"
    STORED_DAYS = "stored_days.json"
    TOLD_UNRECORDED = "told_unrecorded.json"
    TRACKED = "tracked.json"
    TURNS = "turns.json"
    ALERTS_LOCK = "alerts.lock"
    DESK_LOCK = "desk.lock"
    PUBLISH_LOCK = "publish.lock"
    REPAIR_LOCK = "repair.lock"
    TICK_LOCK = "tick.lock"
    UP_LOCK = "up.lock"


@dataclass(frozen=True)
class DataFolder:
    """The two roots of a data folder. Nothing in it need exist.

    Attributes:
        path: the local folder of state, logs, the published file and Dagster's instance.
        tables_url: where the tables are, as Delta Lake takes it; None: in the same folder.
        storage_options: how the tables are reached there, as Delta Lake takes them.
    """

    path: Path
    tables_url: str | None = None
    storage_options: Mapping[str, str] = field(default_factory=dict, hash=False)

    def table(self, name: str) -> "TableLocation":
        """Return the location of a table."""
        return TableLocation(self, name)

    @property
    def published(self) -> Path:
        """The DuckDB file for readers."""
        return self.path / "pricetracker.duckdb"

    @property
    def state(self) -> Path:
        """The folder of small working files that processes share: locks, the allowance of requests."""
        return self.path / "state"

    @property
    def kept_hours(self) -> Path:
        """The folder of what the publisher has worked out of past hours. All of it may be lost."""
        return self.state / "kept_hours"

    @property
    def dagster_home(self) -> Path:
        """The folder of Dagster's instance."""
        return self.path / "dagster"

    @property
    def logs(self) -> Path:
        """The folder of what the processes of ``pricetracker up`` print."""
        return self.path / "logs"

    @property
    def set_aside(self) -> Path:
        """The folder to which a repair moves what it takes out of use."""
        return self.path / "set-aside"


@dataclass(frozen=True)
class TableLocation:
    """Where one Delta table is: its name, and the data folder to which it belongs, whose locks protect it."""

    folder: DataFolder
    name: str

    @property
    def url(self) -> str:
        """Its address, as Delta Lake takes it: of a local table, the path of its folder."""
        root = self.folder.tables_url
        return str(self.folder.path / self.name) if root is None else f"{root.rstrip('/')}/{self.name}"

    @property
    def storage_options(self) -> dict[str, str] | None:
        """How it is reached, as Delta Lake takes them."""
        return dict(self.folder.storage_options) or None

    @cached_property
    def local_path(self) -> Path | None:
        """Its folder on this machine; None where it is elsewhere."""
        return None if "://" in self.url else Path(self.url)

    @property
    def path(self) -> Path:
        """Its folder on this machine, for what needs its files.

        Raises:
            PricetrackerError: it is elsewhere.
        """
        if self.local_path is None:
            raise PricetrackerError(f"{self.url} is not on this machine: its files cannot be looked at here")
        return self.local_path


def is_same_folder(one: Path | str, other: Path | str) -> bool:
    """Say whether two paths lead to the same folder, by whichever links. One that is not there is no other's."""
    return Path(one).resolve() == Path(other).resolve()


def allowance_file(state: Path, exchange: str) -> Path:
    """Return the file in which processes share the allowance of requests to an exchange."""
    return state / f"{exchange.lower()}.pace"


def pairs_file(state: Path, exchange: str) -> Path:
    """Return the file that keeps an exchange's list of pairs."""
    return state / f"{exchange.lower()}_pairs.json"
