"""Warm starts: a real code server whose runs are forked, beside one as Dagster starts it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget

from pricetracker_dagster.instance import warm_starts
from pricetracker_dagster.local.addresses import free_port, listens
from pricetracker_dagster.local.runs import has_runs
from pricetracker_dagster.local.supervisor import ManagedProcess
from pricetracker_dagster.settings import CONFIG_VARIABLE
from tests.unit.test_packaging import ROOT
from tests.waiting import until

WARM = ("pricetracker_dagster.instance.warm_starts", "pricetracker_dagster.local.preload")


@dataclass
class CodeServer:
    """A code server with the jobs of tests/warm_jobs.py, and how its runs are launched.

    Attributes:
        folder: what tests write into.
        code: a folder from which it imports.
    """

    folder: Path
    instance: dg.DagsterInstance
    process: subprocess.Popen[str]
    context: WorkspaceProcessContext
    code: Path
    launched: list[Path] = field(default_factory=list)

    def launch(self, job: str) -> tuple[str, Path]:
        """Launch a run; return its id and the file into which it writes."""
        workspace = self.context.create_request_context()
        [repository] = workspace.get_code_location("tests").get_repositories().values()
        of = repository.get_full_job(job)
        into = self.folder / f"{len(self.launched)}.json"
        self.launched.append(into)
        run = create_run_for_test(
            self.instance,
            job_name=job,
            tags={"into": str(into)},
            remote_job_origin=of.get_remote_origin(),
            job_code_origin=of.get_python_origin(),
        )
        self.instance.launch_run(run.run_id, workspace)
        return run.run_id, into

    def status(self, run_id: str) -> str:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status.value

    def ended(self, run_id: str) -> str:
        """Wait until a run is over, and return how it ended."""
        over = ("SUCCESS", "FAILURE", "CANCELED")
        return str(until(lambda: self.status(run_id) in over and self.status(run_id), 60, "the run is over"))

    def look(self) -> dict[str, Any]:
        """Launch the run that tells what it found, and return that once it is over."""
        run_id, into = self.launch("look")
        assert self.ended(run_id) == "SUCCESS"
        found: dict[str, Any] = json.loads(into.read_text())
        return found

    def waiting(self) -> tuple[str, int]:
        """Launch the run that waits; return its id and process once it waits."""
        run_id, into = self.launch("endless")
        return run_id, int(until(lambda: into.exists() and into.read_text(), 60, "the run waits"))

    @property
    def settings(self) -> Path:
        """The settings file of the runs."""
        return self.folder / "pricetracker.toml"

    @property
    def warm(self) -> int:
        """The warm process."""
        [pid] = [pid for pid, line in children(self.process.pid).items() if "resource_tracker" not in line]
        return pid


def children(parent: int) -> dict[int, str]:
    """Return the living processes that one has started, with their commands."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, of, *_ = stat.read_text().rpartition(")")[2].split()
            if int(of) == parent and state != "Z":
                found[int(stat.parent.name)] = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has just ended
            continue
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def code_server(folder: Path, *command: str) -> Iterator[CodeServer]:
    home, code, port = folder / "dagster", folder / "code", free_port()
    home.mkdir()
    code.mkdir()
    (folder / "pricetracker.toml").write_text('metrics = ["KRAKEN:BTCUSD"]\n')
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "PYTHONWARNINGS": "ignore::DeprecationWarning",
        # Dagster takes the first for the script's own folder, and away
        "PYTHONPATH": os.pathsep.join([str(code), str(ROOT), str(code)]),
        "PYTHONSAFEPATH": "1",
        "OF_THE_CODE_SERVER": "yes",
        CONFIG_VARIABLE: str(folder / "pricetracker.toml"),
    }
    serve = ("api", "grpc", "--module-name", "tests.warm_jobs", "--location-name", "tests", "--empty-working-directory")
    with ExitStack() as held:
        output = held.enter_context((folder / "output.txt").open("w"))
        process = subprocess.Popen(
            [sys.executable, "-m", *command, *serve, "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            until(lambda: listens("127.0.0.1", port) or process.poll() is not None, 90, "it listens")
            assert process.poll() is None, (folder / "output.txt").read_text()
            instance = held.enter_context(dg.DagsterInstance.from_config(str(home)))
            target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name="tests")
            context = held.enter_context(WorkspaceProcessContext(instance, target))
            yield CodeServer(folder, instance, process, context, code)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeServer]:
    """A code server with warm starts; tests leave it so that it starts runs."""
    with code_server(tmp_path_factory.mktemp("warm"), *WARM) as server:
        yield server


def test_a_run_is_forked_from_the_warm_process(server: CodeServer) -> None:
    warm = server.warm
    assert server.look()["parent"] == warm == server.warm


def test_the_first_warm_process_shares_what_it_has_imported_with_the_code_server(server: CodeServer) -> None:
    figures = Path(f"/proc/{server.warm}/smaps_rollup").read_text()
    written = {name: int(kilobytes) for name, kilobytes in re.findall(r"(\w+_Dirty): +(\d+)", figures)}
    assert written["Shared_Dirty"] > written["Private_Dirty"]


def test_the_warm_process_has_one_thread_and_no_file_or_connection_but_those_to_fork_by(server: CodeServer) -> None:
    server.look()
    process = Path(f"/proc/{server.warm}")

    def opened() -> list[str]:
        return sorted(str(link.readlink()).partition(":")[0] for link in (process / "fd").iterdir())

    # what it was given, and its closed input
    given = ["/dev/null", "/dev/null", *2 * [str(server.folder / "output.txt")]]
    # where it is asked to fork, what tells it of the ends of code server and of runs, and what waits for these three
    own = ["anon_inode", "pipe", "pipe", "pipe", "socket"]
    until(lambda: opened() == sorted([*given, *own]), 30, f"the run is over, and these are open: {opened()}")
    threads = [(thread / "comm").read_text().strip() for thread in (process / "task").iterdir()]
    assert len(threads) == 1, threads


def test_a_run_finds_what_one_finds_that_dagster_starts(server: CodeServer, tmp_path: Path) -> None:
    with code_server(tmp_path, "dagster") as plain:
        expected, ours = plain.look(), server.look()
    for found, folder in ((expected, tmp_path), (ours, server.folder)):
        text = json.dumps({name: each for name, each in found.items() if name not in ("pid", "parent", "session")})
        found["told"] = json.loads(text.replace(str(folder), "FOLDER"))
    assert {name: each for name, each in ours["told"].items() if expected["told"][name] != each} == {}
    assert ours["told"]["environment"]["OF_THE_CODE_SERVER"] == "yes"
    assert ours["told"]["ignored"]
    assert (ours["session"], expected["session"]) == (server.process.pid, plain.process.pid)


def test_what_a_run_prints_is_in_its_log(server: CodeServer) -> None:
    run_id, _ = server.launch("look")
    server.ended(run_id)
    [captured] = [
        entry.dagster_event.logs_captured_data.file_key
        for entry in server.instance.all_logs(run_id)
        if entry.dagster_event and entry.dagster_event.event_type_value == "LOGS_CAPTURED"
    ]
    data = server.instance.compute_log_manager.get_log_data([run_id, "compute_logs", captured])
    assert b"said on stdout" in (data.stdout or b"")
    assert b"said on stderr" in (data.stderr or b"")


def test_a_run_can_be_cancelled(server: CodeServer) -> None:
    run_id, pid = server.waiting()
    assert server.instance.run_launcher.terminate(run_id)
    assert server.ended(run_id) == "CANCELED"
    until(lambda: not lives(pid), 30, "its process is gone")


def test_a_run_whose_process_is_killed_is_marked_as_failed(server: CodeServer) -> None:
    run_id, pid = server.waiting()
    part = ManagedProcess("code", (), process=server.process)
    assert has_runs(part)
    tails = children(pid)
    assert [line.split()[0] for line in tails.values()] == ["tail", "tail"]
    os.kill(pid, signal.SIGKILL)
    assert server.ended(run_id) == "FAILURE"
    until(lambda: not any(map(lives, tails)), 30, "nothing that it started is left")
    events = [entry.dagster_event for entry in server.instance.all_logs(run_id)]
    assert any("terminated by signal 9 (SIGKILL)" in (event.message or "") for event in events if event)
    until(lambda: not has_runs(part), 30, "it has no run")


def test_where_the_warm_process_is_killed_its_run_ends_and_the_next_is_forked_from_another(server: CodeServer) -> None:
    run_id, pid = server.waiting()
    warm = server.warm
    os.kill(warm, signal.SIGKILL)
    until(lambda: not lives(pid), 30, "the run's process is gone")
    assert server.ended(run_id) == "FAILURE"
    assert server.look()["parent"] == server.warm != warm


def test_code_that_was_changed_is_imported_by_another_warm_process_while_the_run_goes_on(server: CodeServer) -> None:
    run_id, pid = server.waiting()
    warm = server.warm
    (server.code / "installed_since.py").write_text("")
    parent = server.look()["parent"]
    assert parent != warm
    assert lives(pid)
    assert lives(warm)
    server.instance.run_launcher.terminate(run_id)
    server.ended(run_id)
    until(lambda: not lives(warm), 30, "the warm process is gone with its last run")
    assert server.warm == parent


def test_runs_start_after_the_code_location_was_reloaded(server: CodeServer) -> None:
    server.context.create_request_context().reload_code_location("tests")
    assert server.look()["parent"] == server.warm


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_warm_process_ends_with_a_code_server_that_is_asked_to_end(tmp_path: Path, number: signal.Signals) -> None:
    with code_server(tmp_path, WARM[0], "json") as server:
        _ends_with_the_code_server(server, number)


def test_a_run_reads_the_settings_of_its_own_time(server: CodeServer) -> None:
    for data in ("first", "second"):
        server.settings.write_text(f'metrics = ["KRAKEN:BTCUSD"]\ndata = "{data}"\n')
        assert server.look()["data"] == str(server.folder / data)


def test_the_warm_process_ends_with_a_code_server_that_is_killed(server: CodeServer) -> None:
    _ends_with_the_code_server(server, signal.SIGKILL)  # the last test that has it


def _ends_with_the_code_server(server: CodeServer, number: signal.Signals) -> None:
    warm = server.warm
    os.kill(server.process.pid, number)
    until(lambda: not lives(warm), 30, "the warm process is gone")


def test_a_changed_file_of_ours_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rank.sql"
    file.write_text("SELECT 1")
    monkeypatch.setattr(warm_starts, "_PACKAGE", tmp_path)
    before = warm_starts.code_on_disk()
    assert warm_starts.code_on_disk() == before
    os.utime(file, (1, 1))
    assert warm_starts.code_on_disk() != before
