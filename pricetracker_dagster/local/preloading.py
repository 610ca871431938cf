"""Importing in a process that is to do nothing but fork: no thread is started, and what was imported stays shared."""

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module

_NO_THREADS = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "_RJEM_MALLOC_CONF": "background_thread:false",  # deltalake
}
"""By what numpy, pyarrow and deltalake are kept from starting a thread as they are imported."""


@contextmanager
def preloading() -> Iterator[None]:
    """Import within this block what forks are to have."""
    added = {name: value for name, value in _NO_THREADS.items() if name not in os.environ}
    os.environ.update(added)
    yield
    for name in added:  # the environment of a fork is that of whoever has it forked
        del os.environ[name]
    gc.collect()
    gc.freeze()  # no collection of a fork writes to, and so copies, the memory that it shares with this process


def import_all(names: Iterable[str]) -> None:
    """Import modules; what one release of Dagster lacks, or cannot be imported, is left to the forks."""
    for name in names:
        with suppress(Exception):
            import_module(name)
