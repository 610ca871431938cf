"""Alembic's migrations of Dagster's databases, read once a process.

Dagster compares a database's schema with the newest migration each time that it opens an instance, as each evaluation
of a sensor does, and reads ninety small files of Python for that, several times: half of what such an evaluation costs.
"""

from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory

_kept: dict[str | None, ScriptDirectory] = {}


def read_once() -> None:
    """Let this process read each folder of migrations once; they change only with the version that is installed."""
    patched: Any = ScriptDirectory
    patched.from_config = _kept_from_config


def _kept_from_config(config: Config) -> ScriptDirectory:
    folder = config.get_main_option("script_location")
    if folder not in _kept:
        _kept[folder] = _read(config)
    return _kept[folder]


_read = ScriptDirectory.from_config
