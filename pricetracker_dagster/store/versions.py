"""Which version of each table was published last: a log that ends before it has lost its newest commits.

The log itself cannot tell that, since whoever writes next gives the same numbers again. A small file of the data
folder, written by who publishes; where it is lost, nothing is known.
"""

import json
from collections.abc import Mapping
from contextlib import suppress

from pricetracker_dagster.files.data_folder import DataFolder, StateFile, TableLocation
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in


def published_version(table: TableLocation) -> int:
    """Return the newest version of a table that was published, -1 where none is known."""
    kept = kept_in(table.folder.state / StateFile.PUBLISHED_VERSIONS).get(table.name)
    return kept if isinstance(kept, int) and 0 <= kept < 2**53 else -1


def note_published(folder: DataFolder, versions: Mapping[str, int]) -> None:
    """Note by its name which version of each table was published; of a negative one (none) what is known stays."""
    known = {
        name: version if version >= 0 else published_version(folder.table(name)) for name, version in versions.items()
    }
    with suppress(OSError):  # what is published is published
        write_text(folder.state / StateFile.PUBLISHED_VERSIONS, json.dumps(known))
