"""Which version of each table was published last: a log that ends before it has lost its newest commits.

The log itself cannot tell that, since whoever writes next gives the same numbers again. A small file of the data
folder, written by who publishes; where it is lost, nothing is known.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in


def published_version(table: Path) -> int:
    """Return the newest version of a table that was published, -1 where none is known.

    Args:
        table: its folder, in the data folder.
    """
    return _version(kept_in(_file(table.parent)).get(table.name))


def note_published(folder: Path, versions: Mapping[str, int]) -> None:
    """Note which version of each table was published; of one that is absent or damaged (negative) what is known stays.

    Args:
        folder: the data folder.
        versions: by the name of the table.
    """
    kept = kept_in(_file(folder))
    known = {name: version if version >= 0 else _version(kept.get(name)) for name, version in versions.items()}
    with suppress(OSError):  # what is published is published
        write_text(_file(folder), json.dumps(known))


def _file(folder: Path) -> Path:
    return folder / "state" / "published_versions.json"


def _version(kept: object) -> int:
    return kept if isinstance(kept, int) and 0 <= kept < 2**53 else -1
