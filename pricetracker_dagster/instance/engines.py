"""SQLAlchemy's engines of Dagster's SQLite databases, made once a process and database.

Dagster makes an engine for each query, which then composes the text of a statement anew and lists the tables again:
two thirds of what a query costs. An engine that is kept holds no connection (its pool keeps none), so that it may be
forked, used by many threads, and outlive the file.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sqlalchemy as db
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy.pool import NullPool

_MOST = 64
"""Engines kept: each run has a database of its own."""

_STORAGES = (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage)
_ASKED_EACH_TIME = ("has_instigators_table", "has_secondary_index_table")
_SEEN = "_pricetracker_seen"


def keep() -> None:
    """Let this process keep the engines of Dagster's storages, and which tables there are."""
    for module in _STORAGES:
        storage: Any = module
        if getattr(storage, "create_engine", None) is db.create_engine:
            storage.create_engine = _engine
    patched: Any = SqlScheduleStorage
    for name in _ASKED_EACH_TIME:
        ask = getattr(patched, name, None)
        if ask is not None and not hasattr(ask, _SEEN):
            setattr(patched, name, _asked_until_there(name, ask))


def _engine(url: str, *, poolclass: Any = None, connect_args: dict[str, Any] | None = None, **more: Any) -> db.Engine:
    arguments = connect_args or {}
    if poolclass is not NullPool or more:
        return db.create_engine(url, poolclass=poolclass, connect_args=arguments, **more)
    return _kept(url, tuple(sorted(arguments.items())))


@lru_cache(_MOST)
def _kept(url: str, connect_args: tuple[tuple[str, Any], ...]) -> db.Engine:
    return db.create_engine(url, poolclass=NullPool, connect_args=dict(connect_args))


def _asked_until_there(name: str, ask: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a method of a storage that remembers of each whether a table was there: none is ever dropped."""

    def asked(storage: Any) -> bool:
        seen: set[str] = storage.__dict__.setdefault(_SEEN, set())
        if name not in seen and ask(storage):
            seen.add(name)
        return name in seen

    setattr(asked, _SEEN, True)
    return asked
