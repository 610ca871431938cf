"""What the warm process of instance/warm_starts.py has imported before it forks a run; it is imported there alone.

Nothing that is done here may start a thread or leave a connection or a file open, and no setting is read, since each
run reads those of its own time. The engine of SQL is opened, in memory and without a thread.
"""

import os
from contextlib import suppress

from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import ConfigurableClassData

from pricetracker_dagster import sql
from pricetracker_dagster.exchanges.by_ccxt.speaker import import_known
from pricetracker_dagster.instance.log_tails import without_watchers
from pricetracker_dagster.instance.once import once
from pricetracker_dagster.local.preloading import import_all, preloading

_NEEDED = (
    "pricetracker_dagster.definitions",
    "pricetracker_dagster.exchanges.ccxt",
    "pricetracker_dagster.exchanges.kraken.client",
    "pyarrow.compute",
    # what Dagster imports in each run
    "dagster._core.instance.factory",
    "dagster._core.secrets.env_file",
    "dagster._core.workspace.autodiscovery",
    "dagster._core.executor.in_process",
    "dagster._core.execution.plan.active",
    "dagster._core.definitions.repository_definition.repository_data_builder",
    "dagster._core.system_config.composite_descent",
    "dagster._core.storage.migration.utils",
    "dagster._utils.test.definitions",
    "upath.implementations.local",
    "fsspec.implementations.local",
    "encodings.ascii",
    "encodings.utf_8_sig",
)


def _of_the_instance() -> set[str]:
    """Return the modules that the instance's dagster.yaml names, e.g. those of its storages."""
    ref = InstanceRef.from_dir(os.environ["DAGSTER_HOME"])
    return {part.module_name for part in ref if isinstance(part, ConfigurableClassData)}


with preloading():
    _named: set[str] = set()
    with suppress(Exception):  # a run says what is wrong with it
        _named = _of_the_instance()
    import_all(sorted({*_named, *_NEEDED}))
    with suppress(Exception):  # ccxt is not installed
        import_known()
    once()
    without_watchers()
    sql.open_without_threads()
    with suppress(Exception), DagsterInstance.from_config(os.environ["DAGSTER_HOME"]):
        pass  # what is read to open it is read; it is closed again
