"""Which version of each table was published last: a log that ends before it has lost its newest commits.

The log itself cannot tell that, since whoever writes next gives the same numbers again. A small file of the data
folder, written by who publishes; where it is lost, nothing is known.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pricetracker_dagster.files.data_folder import DataFolder, StateFile, TableLocation
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in


def published_version(table: TableLocation) -> int:
    """Return the newest version of a table that was published, -1 where none is known."""
    return _version(kept_in(_file(table.folder)).get(table.name))


def note_published(folder: DataFolder, versions: Mapping[str, int]) -> None:
    """Note which version of each table was published; of one that is absent or damaged (negative) what is known stays.

    Args:
        folder: the data folder.
        versions: by the name of the table.
    """
    kept = kept_in(_file(folder))
    known = {name: version if version >= 0 else _version(kept.get(name)) for name, version in versions.items()}
    with suppress(OSError):  # what is published is published
        write_text(_file(folder), json.dumps(known))


def _file(folder: DataFolder) -> Path:
    return folder.state / StateFile.PUBLISHED_VERSIONS


def _version(kept: object) -> int:
    return kept if isinstance(kept, int) and 0 <= kept < 2**53 else -1
