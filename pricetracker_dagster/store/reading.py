"""What is asked of the published file: the questions themselves, and their answers as pandas DataFrames for Python.

Each function that answers opens the file read-only, asks and closes it, so it always answers from the newest one and
stands in nobody's way. Timestamps are UTC. DataFrames are not for ticks, since pandas is imported for them; the command
line streams the answers to the same questions without it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pricetracker_dagster import sql
from pricetracker_dagster.candles.pair_names import own_name
from pricetracker_dagster.candles.schema import MEASURES
from pricetracker_dagster.errors import PricetrackerError, did_you_mean, plain
from pricetracker_dagster.files.folders import is_same_folder
from pricetracker_dagster.store import damage, errors

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_SQL = Path(__file__).parent / "sql"


class NotPublished(PricetrackerError, FileNotFoundError):
    """There is no published file yet."""

    def __str__(self) -> str:
        """Say which file and what makes one."""
        return f"nothing is published at {self.args[0]} yet: run `pricetracker up` or `pricetracker tick` first"


class PublishedDamaged(PricetrackerError):
    """The published file, or a file that its views read, is damaged or gone."""


class Moved(PricetrackerError):
    """The data folder lies elsewhere than when it was published, so the views read files of the old place."""


class UnknownMetric(PricetrackerError, LookupError):
    """The metric has no value in the last 24 hours."""

    exit_status = 2


class UnknownMeasure(PricetrackerError, LookupError):
    """There is no such measure."""

    exit_status = 2


class Question(NamedTuple):
    """A statement and the values of its parameters, to be answered from the published file."""

    statement: str
    parameters: Mapping[str, Any] = {}


def of_metrics() -> Question:
    """Ask what has values in the last 24 hours: the columns of available_metrics."""
    return Question(sql.load(_SQL / "read_metrics.sql"))


def of_history(published: Path, metric: str, measure: str) -> Question:
    """Ask for one measure of one metric over the last 24 hours: metric, measure, minute, value, oldest first.

    Raises:
        NotPublished: there is no file yet.
        UnknownMetric: the metric has no value there; the message says which have.
        UnknownMeasure: there is no such measure; the message says which there are.
    """
    _check_measure(measure)
    with connect(published) as connection:
        rows = connection.execute(of_metrics().statement).fetchall()
        names = [column[0] for column in connection.description or ()]
    known = list(dict.fromkeys(row[names.index("metric")] for row in rows))
    if metric not in known:
        ours = own_name(metric)
        hint = f"; did you mean {ours}?" if ours in known else did_you_mean(metric, known)
        raise UnknownMetric(f"no values of {metric} in the last 24 hours{hint}")
    return Question(sql.load(_SQL / "read_history.sql"), {"metric": metric, "measure": measure})


def of_rank(measure: str) -> Question:
    """Ask for the metrics by standard deviation of one measure: the columns of metric_rank, rank 1 first.

    Raises:
        UnknownMeasure: there is no such measure; the message says which there are.
    """
    _check_measure(measure)
    return Question(sql.load(_SQL / "read_rank.sql"), {"measure": measure})


def of_alerts(*, only_open: bool = False, since: datetime | None = None) -> Question:
    """Ask for the alerts, newest first; see alerts()."""
    return Question(sql.load(_SQL / "read_alerts.sql"), {"only_open": only_open, "since": since})


def of_incidents(*, only_open: bool = False, since: datetime | None = None) -> Question:
    """Ask for the incidents, newest first; see incidents()."""
    return Question(sql.load(_SQL / "read_incidents.sql"), {"only_open": only_open, "since": since})


@contextmanager
def connect(published: Path) -> "Iterator[duckdb.DuckDBPyConnection]":
    """Open the published file to read, apart from everything else in this process.

    Raises:
        NotPublished: there is no file yet.
        PublishedDamaged: it cannot be opened, or what its views read is gone.
        StoreError: it, or what its views read, is there and cannot be read by this user.
    """
    if not published.exists():
        raise NotPublished(published)
    import duckdb

    try:
        connection = sql.connect_to(published)
    except duckdb.Error as error:
        with errors.access(published.parent, ""), published.open("rb"):
            why = plain(error, 200)
        raise PublishedDamaged(
            f"{published} cannot be read: {why}. Nothing is lost by that: the next tick publishes it anew, "
            f"`{errors.repair_command(published.parent)} --yes` at once"
        ) from error
    with connection:
        try:
            yield connection
        except duckdb.Error as error:
            found = _what_is_gone(connection, error, published)
            if found is None:
                raise
            raise PublishedDamaged(found) from error


def moved_from(published: Path) -> str | None:
    """Return the data folder of which a published file was made, where that is not the folder it lies in.

    None also where there is no file, or none that can be read.
    """
    if not published.exists():
        return None
    import duckdb

    try:
        with sql.connect_to(published) as connection:
            folder = _made_of(connection)
    except duckdb.Error:
        return None
    return None if folder is None or is_same_folder(folder, published.parent) else folder


def _made_of(connection: "duckdb.DuckDBPyConnection") -> str | None:
    """Return of which data folder a published file was made; None where nothing tells."""
    import duckdb

    try:
        row = connection.execute(sql.load(_SQL / "published_in.sql")).fetchone()
        return None if row is None else str(row[0])
    except duckdb.Error:  # an earlier version did not say it: its views do
        files = sorted(_files_of_views(connection))
        place = next((parent for file in files for parent in file.parents if parent.name == "minute_prices"), None)
        return None if place is None else str(place.parent)


def _files_of_views(connection: "duckdb.DuckDBPyConnection") -> set[Path]:
    views = connection.execute(sql.load(_SQL / "views.sql")).fetchall()
    return {Path(sql.named_by(path)) for (paths,) in views for path in paths or ()}


def covered(published: Path) -> datetime | None:
    """Return ``as_of``, the newest minute that a published file covers, UTC; None where nothing is published.

    Raises:
        duckdb.Error: it cannot be read.
    """
    if not published.exists():
        return None
    with sql.connect_to(published) as connection:
        row = connection.execute(sql.load(_SQL / "as_of.sql")).fetchone()
    return None if row is None or row[0] is None else datetime.fromtimestamp(row[0], UTC)


def said_of_move(published: Path, old: str) -> str:
    """Say that a data folder was moved, and the way out."""
    program = f"pricetracker{errors.simulated_option(published.parent)}"
    return (
        f"the data folder was moved or copied from {old} to {published.parent}, and what is published reads the files "
        f"there still: run `{program} tick`, which publishes anew"
    )


def has_rows(published: Path) -> bool:
    """Say whether a published file is there and holds any minute; of one that is damaged nobody knows, so it may."""
    try:
        with connect(published) as connection:
            return connection.execute(sql.load(_SQL / "has_rows.sql")).fetchone() == (True,)
    except NotPublished:
        return False
    except Exception:  # told when it is read
        return True


def _what_is_gone(connection: "duckdb.DuckDBPyConnection", error: "duckdb.Error", published: Path) -> str | None:
    """Return in plain words which file of the views is damaged or gone, where an error is about that; else None."""
    import duckdb

    try:
        files = _files_of_views(connection)
        old = _made_of(connection)
    except duckdb.Error:
        return None
    named = [file for file in files if str(file) in str(error) or sql.only(file) in str(error)]
    about_files = type(error) in (duckdb.Error, duckdb.IOException, duckdb.InvalidInputException)
    for file in sorted(named or (files if about_files else ())):
        problem: str | None = "cannot be read"
        moved = old is not None and not is_same_folder(old, published.parent)
        with suppress(OSError) if moved else errors.access(published.parent, ""):
            problem = damage.unreadable(file)
        if problem and old is not None and moved:
            return said_of_move(published, old)
        if problem:
            command = errors.repair_command(published.parent)
            return (
                f"{file}, from which the published views read, {problem}. Run `{command}`: it shows what is wrong; "
                "with --yes it mends it and publishes anew"
            )
    return None


def metrics(published: Path) -> "pd.DataFrame":
    """Return what has values in the last 24 hours: the columns of available_metrics.

    Raises:
        NotPublished: there is no file yet.
    """
    return query(published, *of_metrics())


def history(published: Path, metric: str, measure: str) -> "pd.DataFrame":
    """Return one measure of one metric over the last 24 hours: metric, measure, minute, value, oldest first.

    Raises:
        NotPublished: there is no file yet.
        UnknownMetric: the metric has no value there; the message says which have.
        UnknownMeasure: there is no such measure; the message says which there are.
    """
    return query(published, *of_history(published, metric, measure))


def rank(published: Path, measure: str) -> "pd.DataFrame":
    """Return the metrics by standard deviation of one measure: the columns of metric_rank, rank 1 first.

    Raises:
        NotPublished: there is no file yet.
        UnknownMeasure: there is no such measure; the message says which there are.
    """
    return query(published, *of_rank(measure))


def alerts(published: Path, *, only_open: bool = False, since: datetime | None = None) -> "pd.DataFrame":
    """Return the alerts: the columns of the table alerts, newest first.

    Args:
        published: the published file.
        only_open: leave out those that are resolved.
        since: only those that were above in this minute (UTC) or later.

    Raises:
        NotPublished: there is no file yet.
    """
    return query(published, *of_alerts(only_open=only_open, since=since))


def incidents(published: Path, *, only_open: bool = False, since: datetime | None = None) -> "pd.DataFrame":
    """Return the incidents: the columns of the table incidents, newest first. Arguments and errors as of alerts()."""
    return query(published, *of_incidents(only_open=only_open, since=since))


def query(published: Path, statement: str, parameters: Mapping[str, Any] | None = None) -> "pd.DataFrame":
    """Return what any SQL statement answers from the published file, read-only.

    Raises:
        NotPublished: there is no file yet.
        duckdb.Error: the statement is wrong, or would write.
    """
    with connect(published) as connection:
        return connection.execute(statement, parameters or {}).df()


def _check_measure(measure: str) -> None:
    if measure not in MEASURES:
        raise UnknownMeasure(f"no measure {measure}{did_you_mean(measure, MEASURES)}")
