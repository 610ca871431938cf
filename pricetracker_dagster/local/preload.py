"""What the warm process of instance/warm_starts.py has imported before it forks a run; it is imported there alone.

Nothing that is done here may start a thread or leave a connection or a file open, and no setting is read, since each
run reads those of its own time. What one release of Dagster lacks is left to its runs.
"""

import gc
import os
from contextlib import suppress
from importlib import import_module

from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import ConfigurableClassData

from pricetracker_dagster.instance.log_tails import without_watchers
from pricetracker_dagster.instance.once import once

_NEEDED = (
    "pricetracker_dagster.definitions",
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

_NO_THREADS = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "_RJEM_MALLOC_CONF": "background_thread:false",  # deltalake
}
"""By what numpy, pyarrow and deltalake are kept from starting a thread as they are imported."""


def _of_the_instance() -> set[str]:
    """Return the modules that the instance's dagster.yaml names, e.g. those of its storages."""
    ref = InstanceRef.from_dir(os.environ["DAGSTER_HOME"])
    return {part.module_name for part in ref if isinstance(part, ConfigurableClassData)}


def _preload() -> None:
    added = {name: value for name, value in _NO_THREADS.items() if name not in os.environ}
    os.environ.update(added)
    named: set[str] = set()
    with suppress(Exception):  # a run says what is wrong with it
        named = _of_the_instance()
    for name in sorted({*named, *_NEEDED}):
        with suppress(Exception):
            import_module(name)
    once()
    without_watchers()
    with suppress(Exception), DagsterInstance.from_config(os.environ["DAGSTER_HOME"]):
        pass  # what is read to open it is read; it is closed again
    for name in added:  # a run's environment is that of the code server
        del os.environ[name]
    gc.collect()
    gc.freeze()  # no collection of a run writes to, and so copies, the memory that it shares with this process


_preload()
