"""Opens the published file to read, and says in plain words why it, or what its views read, cannot be read.

Which questions are asked of it is the business of reading/.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.errors import PricetrackerError, plain
from pricetracker_dagster.files.data_folder import is_same_folder
from pricetracker_dagster.store import damage, errors
from pricetracker_dagster.store.schema import TABLES, VIEWS


class NotPublished(PricetrackerError, FileNotFoundError):
    """There is no published file yet."""

    def __str__(self) -> str:
        """Say which file and what makes one."""
        return f"nothing is published at {self.args[0]} yet: run `pricetracker up` or `pricetracker tick` first"


class PublishedDamaged(PricetrackerError):
    """The published file, or a file that its views read, is damaged or gone."""


class OfAnotherVersion(PricetrackerError):
    """The published file is of another version of this project, which had not the tables that are asked for."""


class Moved(PricetrackerError):
    """The data folder lies elsewhere than when it was published, so the views read files of the old place."""


@contextmanager
def opened(published: Path, *, unlocked: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published file to read, apart from all else in this process: to be held, or for statements of users.

    Args:
        published: the file.
        unlocked: let statements read and write other files, too, and change the engine's settings.

    Raises:
        NotPublished: there is no file yet.
        PublishedDamaged: it cannot be opened. What is asked of it later may find a file of its views gone: explained().
        StoreError: it is there and cannot be read by this user.
    """
    with _open(published, sql.opened) as connection:
        if not unlocked:
            with explained(connection, published):
                sql.lock(connection, files_of_views(connection))
        yield connection


@contextmanager
def attached(published: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open it for the short questions of our own, ten times quicker. Errors as of opened()."""
    with _open(published, sql.attached) as connection, explained(connection, published):
        yield connection


@contextmanager
def _open(
    published: Path, how: Callable[[Path], AbstractContextManager[duckdb.DuckDBPyConnection]]
) -> Iterator[duckdb.DuckDBPyConnection]:
    if not published.exists():
        raise NotPublished(published)
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(how(published))
        except duckdb.Error as error:
            with errors.access(published.parent, ""), published.open("rb"):
                why = plain(error, 200)
            raise PublishedDamaged(
                f"{published} cannot be read: {why}. Nothing is lost by that: the next tick publishes it anew, "
                f"`{errors.repair_command(published.parent)} --yes` at once"
            ) from error
        yield connection


@contextmanager
def explained(connection: duckdb.DuckDBPyConnection, published: Path) -> Iterator[None]:
    """Say which file is damaged or gone, or that it is of another version, where an error of a question is about that.

    Raises:
        OfAnotherVersion: a table or column is asked for that every file of this version has, and this one has not.
        PublishedDamaged, StoreError: as of opened().
    """
    try:
        yield
    except duckdb.Error as error:
        is_of_names = isinstance(error, duckdb.CatalogException | duckdb.BinderException)
        if is_of_names and (lacking := _lacking(connection, str(error))):
            raise OfAnotherVersion(
                f"{published} was published by another version of pricetracker, without {lacking}: the next tick "
                f"publishes it anew, `pricetracker{errors.simulated_option(published.parent)} tick` at once"
            ) from error
        found = _what_is_gone(connection, error, published)
        if found is None:
            raise
        raise PublishedDamaged(found) from error


def moved_from(published: Path) -> str | None:
    """Return the data folder from which a published file was built, where that is not the folder it lies in.

    None also where there is no file, or none that can be read.
    """
    if not published.exists():
        return None
    try:
        with sql.attached(published) as connection:
            folder = _built_from(connection)
    except duckdb.Error:
        return None
    return None if folder is None or is_same_folder(folder, published.parent) else folder


def _built_from(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return the data folder from which a published file was built; None where it does not say."""
    try:
        row = connection.execute("SELECT folder FROM sources").fetchone()
        return None if row is None else str(row[0])
    except duckdb.Error:  # an earlier version did not say it: its views do
        files = sorted(map(Path, files_of_views(connection)))
        place = next((parent for file in files for parent in file.parents if parent.name == "minute_prices"), None)
        return None if place is None else str(place.parent)


def files_of_views(connection: duckdb.DuckDBPyConnection, view: str | None = None) -> set[str]:
    """Return the Parquet files that a view of the published file reads, or all of them."""
    views = connection.execute(sql.load("store/publishing/sql/views.sql"), {"view": view}).fetchall()
    return {sql.named_by(path) for (paths,) in views for path in paths or ()}


def covered(published: Path) -> datetime | None:
    """Return ``as_of``, the newest minute that a published file covers, UTC; None where nothing is published.

    One that cannot be read is a duckdb.Error.
    """
    if not published.exists():
        return None
    with sql.attached(published) as connection:
        row = connection.execute("SELECT epoch(as_of) FROM snapshot").fetchone()
    return None if row is None or row[0] is None else datetime.fromtimestamp(row[0], UTC)


def moved_message(published: Path, old: str) -> str:
    """Return the message that a data folder was moved, with the remedy."""
    program = f"pricetracker{errors.simulated_option(published.parent)}"
    return (
        f"the data folder was moved or copied from {old} to {published.parent}, and what is published reads the files "
        f"there still: run `{program} tick`, which publishes anew"
    )


def has_rows(published: Path) -> bool:
    """Return whether a published file is there and holds any minute; one that is damaged may."""
    try:
        with attached(published) as connection:
            return connection.execute("SELECT rows > 0 FROM snapshot").fetchone() == (True,)
    except NotPublished:
        return False
    except Exception:  # reported when it is read
        return True


def _lacking(connection: duckdb.DuckDBPyConnection, error: str) -> str | None:
    """Return the table or column of which an error is, where each file of this version has it and this one has not."""
    statement = "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = current_database()"
    there = set(connection.execute(statement).fetchall())
    tables = {name for name, _ in there}
    for table in (*TABLES, *VIEWS):
        if table.name not in tables and table.name in error:
            return table.name
        for column in table.columns.names:
            if table.name in tables and (table.name, column) not in there and column in error:
                return f"{table.name}.{column}"
    return None


def _what_is_gone(connection: duckdb.DuckDBPyConnection, error: duckdb.Error, published: Path) -> str | None:
    """Return in plain words which file of the views is damaged or gone, where an error is about that; else None."""
    try:
        files = set(map(Path, files_of_views(connection)))
        old = _built_from(connection)
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
            return moved_message(published, old)
        if problem:
            command = errors.repair_command(published.parent)
            return (
                f"{file}, from which the published views read, {problem}. Run `{command}`: it shows what is wrong; "
                "with --yes it mends it and publishes anew"
            )
    return None
