"""Warm starts: a code server that forks its runs from a process which has imported what they need.

Dagster's code server starts each run in a new interpreter, which imports for two seconds what the last one imported.
``python -m pricetracker_dagster.instance.warm_starts MODULE api grpc …`` is that same server with another context of
multiprocessing, by which it creates a run's process, queue and event; all else, cancelling a run and noticing that it
died included, stays Dagster's own. The warm process has imported MODULE and does nothing but fork. The first one is
forked from the code server itself, before that has started a thread, so that both share the memory of what they have
imported. One that is gone, or that has imported code which was changed since, is replaced by a new interpreter at the
next run.
"""

import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from multiprocessing import context, forkserver, get_all_start_methods, process, resource_tracker, util
from pathlib import Path
from typing import Any

from pricetracker_dagster.process.parent import die_with_parent

OFF = "warm starts are off"
"""How the line begins that says why runs are started in new interpreters."""

_TRIED = r"1\.13\."
"""Releases of Dagster whose code server is known to create what a run needs by its attribute ``_mp_ctx`` alone."""

_PACKAGE = Path(__file__).parents[1]


def main(arguments: Sequence[str]) -> None:
    """Run Dagster's command line with warm starts, or as it is, after a line that says why."""
    preloaded, *dagsters = arguments
    sys.argv[1:] = dagsters
    if why := switch_on(preloaded):
        print(f"{OFF}: {why}; each run starts in a new interpreter, as Dagster does it", flush=True)
    import_module("pricetracker_dagster.instance.once").once()
    import_module("dagster._cli").main()


def switch_on(preloaded: str) -> str:
    """Let each code server of this process fork its runs from a warm process, which is started now.

    Args:
        preloaded: the module that the warm process imports.

    Returns:
        Why that cannot be, in plain words; empty where it is done.
    """
    if why := _why_not():
        return why
    from dagster._grpc.server import DagsterApiServer

    forkserver.set_forkserver_preload([preloaded])
    try:
        WarmRun.begin(preloaded)
    except OSError as error:
        return f"no process can be started ({error.strerror})"
    initialize: Any = DagsterApiServer.__init__

    def warm(server: Any, *args: Any, **kwargs: Any) -> None:
        initialize(server, *args, **kwargs)
        server._mp_ctx = WarmContext()

    patched: Any = DagsterApiServer
    patched.__init__ = warm
    return ""


def _why_not() -> str:
    """Say what is missing on this platform, or is not as expected in this version of Dagster; empty: nothing."""
    if "forkserver" not in get_all_start_methods():
        return f"{sys.platform} cannot fork so"
    import dagster

    if not re.match(_TRIED, dagster.__version__):
        return f"they were not tried with Dagster {dagster.__version__}"
    from dagster._grpc.server import DagsterApiServer

    used = [name for method in ("__init__", "StartRun") for name in _names_in(getattr(DagsterApiServer, method, None))]
    if used.count("_mp_ctx") != 2 or not {"Queue", "Event", "Process"} <= set(used):
        return f"the code server of Dagster {dagster.__version__} is not as expected"
    server = getattr(forkserver, "_forkserver", None)
    if not all(hasattr(server, name) for name in _OF_THE_SERVER):
        return f"multiprocessing of Python {sys.version.split()[0]} is not as expected"
    return ""


_OF_THE_SERVER = ("_lock", "_forkserver_pid", "_forkserver_alive_fd", "_forkserver_address")


def _names_in(function: Any) -> tuple[str, ...]:
    return getattr(getattr(function, "__code__", None), "co_names", ())


class WarmRun(context.ForkServerProcess):
    """The process of a run."""

    _imported: tuple[float, ...] = ()

    @classmethod
    def begin(cls, preloaded: str) -> None:
        """Fork the first warm process from this one, which needs the same modules: both share their memory.

        Call it before anything else has started a thread or opened anything.
        """
        cls.note_code()
        import_module(preloaded)
        resource_tracker.ensure_running()
        patched: Any = util
        patched.spawnv_passfds = _fork
        try:
            forkserver.ensure_running()
        finally:
            patched.spawnv_passfds = _start

    @classmethod
    def note_code(cls) -> None:
        """Note the code as it is on disk, unless it was noted: before it is imported, here or where this was forked."""
        cls._imported = cls._imported or code_on_disk()

    @classmethod
    def be_ready(cls) -> None:
        """Start the warm process where there is none, or none that has imported the code as it is now."""
        code = code_on_disk()
        if code != cls._imported:
            cls._imported = code
            _let_go()
        forkserver.ensure_running()

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:  # noqa: N802 - multiprocessing calls it
        try:
            WarmRun.be_ready()
            return context.ForkServerProcess._Popen(process_obj)
        except (OSError, EOFError):  # the warm process was ended at this very moment: this run does without
            return context.SpawnProcess._Popen(process_obj)

    def run(self) -> None:
        """Execute the run, and end with the warm process: without it, the code server takes a run for dead."""
        if forkserver.get_inherited_fds() is not None:
            warm = os.getppid()
            die_with_parent()
            if os.getppid() != warm:  # it was ended before
                os.kill(os.getpid(), signal.SIGKILL)
        super().run()


class WarmContext(context.ForkServerContext):
    """How a code server creates what a run needs."""

    Process = WarmRun


def code_on_disk() -> tuple[float, ...]:
    """Return what changes whenever our code is changed or a package is installed: the times of files and folders."""
    files = sorted(file.stat().st_mtime for file in _PACKAGE.rglob("*") if file.suffix in (".py", ".sql"))
    places = (Path(place) for place in sys.path)
    return (*files, *(place.stat().st_mtime for place in places if place.is_dir() and place != _PACKAGE.parent))


_start = util.spawnv_passfds


def _fork(executable: bytes, arguments: Sequence[Any], descriptors: Sequence[int]) -> int:
    """Start the server of multiprocessing as a fork; as a new interpreter where a thread might hold a lock."""
    if len(descriptors) != _DESCRIPTORS or threading.active_count() > 1:
        return _start(executable, arguments, descriptors)
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            first, second = sorted(descriptors)
            for between in ((3, first), (first + 1, second), (second + 1, os.sysconf("SC_OPEN_MAX"))):
                os.closerange(*between)
            of_the_code_server: tuple[Any, ...] = (forkserver._forkserver, resource_tracker._resource_tracker)
            for each in of_the_code_server:  # the lock of one is held
                each.__init__()
            listener, needed = descriptors
            forkserver.main(listener, needed, [])
        finally:
            os._exit(0)
    return pid


_DESCRIPTORS = 2
"""What this server is handed: where it is asked to fork, and what tells it that it is needed no more."""


def _let_go() -> None:
    """Let the warm process end once the runs that it has forked are over; do not wait for that."""
    server: Any = forkserver._forkserver
    with server._lock:
        if server._forkserver_pid is not None:
            os.close(server._forkserver_alive_fd)
            server._forkserver_pid = server._forkserver_alive_fd = server._forkserver_address = None


if __name__ == "__main__":
    # once more, by its name: what is sent to a run's process is found there again
    import_module(__spec__.name).main(sys.argv[1:])
