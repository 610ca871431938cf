"""When runs are not forked from a warm process: by a setting, or where it cannot be done; what is said then."""

import multiprocessing.forkserver
import multiprocessing.resource_tracker
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import dagster
import pytest
from dagster._grpc.server import DagsterApiServer

from pricetracker_dagster.instance import warm_starts
from pricetracker_dagster.local import parts
from pricetracker_dagster.local.supervisor import ManagedProcess


def said(monkeypatch: pytest.MonkeyPatch) -> str:
    """Try to switch them on where no process may be started, and see that Dagster's code server is left as it is."""
    before = DagsterApiServer.__init__
    monkeypatch.setattr(multiprocessing.forkserver, "ensure_running", lambda: pytest.fail("a process was started"))
    why = warm_starts.switch_on("json")
    assert DagsterApiServer.__init__ is before
    return why


def test_another_release_of_dagster_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagster, "__version__", "1.14.0")
    assert said(monkeypatch) == "they were not tried with Dagster 1.14.0"


def test_a_code_server_that_starts_runs_by_other_means_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagster, "__version__", "1.13.99")
    monkeypatch.setattr(DagsterApiServer, "StartRun", lambda server: server._process_context.Process())
    assert said(monkeypatch) == "the code server of Dagster 1.13.99 is not as expected"
    monkeypatch.delattr(DagsterApiServer, "StartRun")
    assert said(monkeypatch) == "the code server of Dagster 1.13.99 is not as expected"


def test_a_platform_without_fork_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_starts, "get_all_start_methods", lambda: ["spawn"])
    monkeypatch.setattr(sys, "platform", "win32")
    assert said(monkeypatch) == "win32 cannot fork so"


def test_another_multiprocessing_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing.forkserver, "_forkserver", object())
    assert said(monkeypatch).endswith("is not as expected")


def test_where_they_cannot_be_the_command_is_run_all_the_same_after_a_line_for_the_terminal() -> None:
    code = (
        "from pricetracker_dagster.instance import warm_starts; "
        "warm_starts.get_all_start_methods = lambda: []; warm_starts.main(['json', '--version'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line, version = ran.stdout.splitlines()
    assert line.startswith("warm starts are off: linux cannot fork so; ")
    assert dagster.__version__ in version
    assert parts.matters_of_code(line)
    assert not parts.matters_of_code("warm")


def test_code_that_was_noted_before_it_was_imported_is_what_is_compared_later(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (multiprocessing.forkserver, multiprocessing.resource_tracker):
        monkeypatch.setattr(module, "ensure_running", lambda: None)
    monkeypatch.setattr(warm_starts, "code_on_disk", lambda: (2.0,))
    for noted, compared in (((1.0,), (1.0,)), ((), (2.0,))):
        monkeypatch.setattr(warm_starts.WarmRun, "_imported", noted)
        warm_starts.WarmRun.begin("json")
        assert warm_starts.WarmRun._imported == compared


@pytest.mark.parametrize(("warm", "module"), [(True, "pricetracker_dagster.instance.warm_starts"), (False, "dagster")])
def test_the_setting_decides_how_the_code_server_is_started(tmp_path: Path, *, warm: bool, module: str) -> None:
    class Started:
        """Whoever starts a process."""

        def start(self, part: ManagedProcess) -> ManagedProcess:
            return part

        def wait_for(self, *_: Any) -> bool:
            return True

    started: Any = Started()
    code = parts.start_code_server(started, tmp_path / "workspace.yaml", threading.Event(), warm=warm)
    assert list(code.command[1:3]) == ["-m", module]
    assert "api" in code.command
