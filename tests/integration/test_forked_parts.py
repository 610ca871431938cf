"""Parts of ``up`` that are forked from one process: each is as one in an interpreter of its own, and ends as that."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.local import forked
from pricetracker_dagster.local.forked import ForkedProcess, Preloaded
from pricetracker_dagster.local.process_groups import python
from pricetracker_dagster.local.supervisor import ManagedProcess, Supervisor
from tests.integration.test_warm_starts import children, lives
from tests.unit.test_packaging import ROOT
from tests.waiting import until

PART = "tests.forked_part"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
FORKING = "pricetracker_dagster.local.forking"


@dataclass
class Part:
    """The part of tests/forked_part.py, and each line that it prints."""

    managed: ManagedProcess
    lines: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        assert self.managed.process is not None
        return self.managed.process.pid

    def is_forked(self) -> bool:
        return isinstance(self.managed.process, ForkedProcess)

    @property
    def command(self) -> bytes:
        return Path(f"/proc/{self.pid}/cmdline").read_bytes()

    def told(self) -> dict[str, Any]:
        """Wait until it tells what it has found, and return that."""
        line = until(lambda: next((line for line in self.lines if line[0] == "{"), None), 30, "it tells what it found")
        found: dict[str, Any] = json.loads(line)
        return found

    def ended(self) -> int:
        """Wait until it has ended and all that it printed is read; return its exit status."""
        assert self.managed.process is not None
        assert self.managed.reader is not None
        status = self.managed.process.wait()
        self.managed.reader.join(30)
        return status


def part(*arguments: str, descriptors: Sequence[int] = ()) -> Part:
    part = Part(ManagedProcess("part", python(PART, *arguments), descriptors=descriptors, pause=0.1))
    part.managed.heard = lambda line: bool(part.lines.append(line))  # type: ignore[func-returns-value]
    return part


def supervising(preloaded: str | None = "json", environment: dict[str, str] = ENVIRONMENT) -> Supervisor:
    """Return a supervisor whose parts are forked from a process that has imported a module; None: from none."""
    of_its_own = {**environment, "OF_WHAT_FORKS": "yes"}  # what no part is to find
    forks = Preloaded(of_its_own, threading.Event(), preloaded) if preloaded else None
    return Supervisor(None, environment, preloaded=forks)


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = supervising()
    yield supervisor
    supervisor.stop()


def preloaded() -> int:
    """Return the process from which parts are forked."""
    [pid] = [pid for pid, line in children(os.getpid()).items() if FORKING in line]
    return pid


def test_a_forked_part_finds_what_one_in_a_new_interpreter_finds(supervisor: Supervisor) -> None:
    plain = supervising(None)
    with socket.create_server(("127.0.0.1", 0)) as served, socket.create_server(("127.0.0.1", 0)):
        numbers = [os.dup(served.fileno()), served.fileno()]
        ours, theirs, other = (part("wait", "a b", "ü", descriptors=each) for each in (numbers, numbers, []))
        try:
            # what is set since its start is found, too
            supervisor.environment = plain.environment = {
                **ENVIRONMENT,
                "SINCE": "a\nb=ü\udc80",
                "PYTHONUNBUFFERED": "2",
            }
            supervisor.start(ours.managed)
            plain.start(theirs.managed)
            supervisor.environment = ENVIRONMENT
            supervisor.start(other.managed)
            found, expected, of_the_other = ours.told(), theirs.told(), other.told()
        finally:
            plain.stop()
            os.close(numbers[0])
    assert (ours.is_forked(), theirs.is_forked()) == (True, False)
    assert found["drawn"] not in (expected.pop("drawn"), of_the_other["drawn"])
    assert {name: each for name, each in found.items() if name != "drawn" and expected[name] != each} == {}
    # as it is told here, so that the two are not alike for the wrong reason
    assert found["environment"]["SINCE"] == "a\nb=ü\udc80"
    assert found["arguments"][1:] == ["wait", "a b", "ü"]
    assert (found["parent"], found["leads"], found["ends_with_its_parent_by"]) == (os.getpid(), True, signal.SIGKILL)
    assert found["open"] == {"0": "/dev/null", "1": "pipe", "2": "pipe", **{str(each): "socket" for each in numbers}}
    assert of_the_other["open"] == {"0": "/dev/null", "1": "pipe", "2": "pipe"}
    assert "SINCE" not in of_the_other["environment"]


def test_ps_shows_the_command_of_a_forked_part(supervisor: Supervisor) -> None:
    long = part("wait", "x" * 3000)
    supervisor.start(long.managed)
    long.told()
    shown = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(long.pid)], capture_output=True, text=True, check=True
    )
    assert shown.stdout.rstrip("\n") == f"{sys.executable} -m {PART} wait {'x' * 3000}"
    # and that of the process it was forked from, without the room for such
    assert children(os.getpid())[preloaded()].split()[1:4] == ["-m", FORKING, "json"]
    assert "  " not in children(os.getpid())[preloaded()]
    assert f"PYTHONPATH={ROOT}".encode() in Path(f"/proc/{long.pid}/environ").read_bytes().split(b"\0")


def test_a_command_that_is_longer_than_what_is_shown_is_cut_and_still_given_in_full(supervisor: Supervisor) -> None:
    long = part("wait", "x" * 9000)
    supervisor.start(long.managed)
    assert long.told()["arguments"][2] == "x" * 9000
    assert f"-m {PART} wait xxx".encode() in long.command
    assert len(long.command) > 4000


@pytest.mark.parametrize(
    ("arguments", "status", "last"),
    [
        (["exit", "0"], 0, "registered for the end\n"),
        (["exit", "3"], 3, "registered for the end\n"),
        (["raise"], 1, "registered for the end\n"),
    ],
)
def test_it_ends_as_one_in_a_new_interpreter(
    supervisor: Supervisor, arguments: list[str], status: int, last: str
) -> None:
    ending = part(*arguments)
    ending.managed.once = True
    supervisor.start(ending.managed)
    assert ending.ended() == status
    assert ending.lines[-1] == last
    assert ("ValueError: of the part\n" in ending.lines) == (arguments == ["raise"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_supervisor_sees_by_which_signal_it_was_ended_and_starts_a_new_interpreter(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    killed = part("wait")
    supervisor.start(killed.managed)
    killed.told()
    first = killed.pid
    assert killed.is_forked()
    os.kill(first, number)
    supervisor.wait_for(lambda: killed.managed.starts == 2, 30)
    assert f"part was ended by {number.name}; starting it again" in capsys.readouterr().err
    assert not killed.is_forked()
    until(lambda: len(killed.lines) == 2, 30, "the second one tells what it found")
    assert killed.command.split(b"\0")[1:4] == [b"-m", PART.encode(), b"wait"]
    with pytest.raises(ProcessLookupError):  # no zombie is left
        os.kill(first, 0)


def test_it_lives_on_when_nothing_is_forked_any_more_and_is_started_again_on_request(supervisor: Supervisor) -> None:
    first = part("wait")
    supervisor.start(first.managed)
    first.told()
    forks, pid = preloaded(), first.pid
    supervisor.fork_no_more()
    with pytest.raises(ProcessLookupError):
        os.kill(forks, 0)
    assert lives(pid)
    supervisor.restart("part")
    assert not lives(pid)
    assert not first.is_forked()
    until(lambda: len(first.lines) == 2, 30, "the second one tells what it found")


def test_all_end_with_the_one_that_started_them_when_it_is_killed() -> None:
    code = """
import sys, time
from tests.integration.test_forked_parts import part, supervising
supervisor = supervising()
parts = [part("wait"), part("wait")]
for each in parts:
    supervisor.start(each.managed)
    each.told()
print(*(each.pid for each in parts), supervisor.preloaded._process.pid, flush=True)
time.sleep(100)
"""
    with subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        pids = list(map(int, up.stdout.readline().split()))
        assert len(pids) == 3
        assert all(map(lives, pids))
        up.kill()
    until(lambda: not any(map(lives, pids)), 30, "all have ended")


def test_what_is_preloaded_for_the_parts_starts_no_thread_and_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    supervisor = supervising(forked._PRELOADED, {**ENVIRONMENT, "DAGSTER_HOME": str(tmp_path)})
    first = part("wait")
    try:
        supervisor.start(first.managed)
        first.told()
        assert first.is_forked()
        process = Path(f"/proc/{preloaded()}")
        assert len(list((process / "task").iterdir())) == 1
        opened = sorted(str(link.readlink()).partition(":")[0] for link in (process / "fd").iterdir())
        assert opened == ["/dev/null", "pipe", "pipe", "socket"]
    finally:
        supervisor.stop()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise ValueError('of the import')", "ValueError: of the import"),
        ("import os; os._exit(3)", "it has ended"),
        ("import threading, time; threading.Thread(target=time.sleep, args=[99]).start()", "started a thread"),
        ("import os, sys; os.write(int(sys.argv[2]), b'[]')", "it answers []"),
        ("import os, sys; os.write(int(sys.argv[2]), b'7')", "it answers 7"),
        ("import os, sys; os.write(int(sys.argv[2]), b'what')", "it answers what"),
        ("import time; time.sleep(99)", "it does not answer"),
    ],
)
def test_where_nothing_can_be_forked_parts_are_started_all_the_same_after_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    (tmp_path / "of_a_test.py").write_text(text)
    monkeypatch.setattr(forked, "_IMPORT_PATIENCE", 3.0 if "sleep(99)" in text else 30.0)
    supervisor = supervising("of_a_test", {**ENVIRONMENT, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"})
    _are_started(supervisor, [part("wait"), part("wait")])
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("parts cannot be forked from one process: ")
    assert why in said[0]


def test_where_it_was_killed_since_parts_are_started_all_the_same(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    first = part("wait")
    supervisor.start(first.managed)
    first.told()
    os.kill(preloaded(), signal.SIGKILL)
    again = part("wait")
    supervisor.start(again.managed)
    assert again.told()["parent"] == os.getpid()
    assert not again.is_forked()
    assert lives(first.pid)
    assert capsys.readouterr().err.splitlines() == [
        "parts cannot be forked from one process: it has ended; each imports all that it needs"
    ]


def test_a_request_that_is_too_large_is_not_sent_and_the_part_is_started_all_the_same(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.environment = {**ENVIRONMENT, **{f"LARGE_{i}": "x" * 100_000 for i in range(10)}}
    _are_started(supervisor, [part("wait")])
    assert "Message too long" in capsys.readouterr().err


def test_a_part_that_was_forked_without_an_answer_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of_a_test.py").write_text(
        "import __main__, pathlib, time\nfork = __main__._fork\n"
        "def slow():\n    pid = fork()\n    if pid == 0: return 0\n"
        f"    pathlib.Path({str(tmp_path / 'forked')!r}).write_text(str(pid))\n    time.sleep(99)\n"
        "__main__._fork = slow\n"
    )
    monkeypatch.setattr(forked, "_FORK_PATIENCE", 2.0)
    supervisor = supervising("of_a_test", {**ENVIRONMENT, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"})
    again = part("mark", str(tmp_path))
    _are_started(supervisor, [again])
    pid = (tmp_path / "forked").read_text()
    until(lambda: not lives(int(pid)), 30, "it has ended")
    assert (tmp_path / str(again.pid)).exists()
    assert not (tmp_path / pid).exists()


@pytest.mark.parametrize(("platform", "lines"), [("darwin", 0), ("linux", 1)])
def test_where_no_process_can_be_started_or_adopted_there_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], platform: str, lines: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert forked.preloaded(ENVIRONMENT, threading.Event()) is None
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines
    assert all("one process: Resource temporarily unavailable" in line for line in said)


def test_the_end_is_not_kept_waiting_by_an_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "of_a_test.py").write_text("import time; time.sleep(99)")
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    stop = threading.Event()
    forks = Preloaded(environment, stop, "of_a_test")
    stop.set()
    began = time.monotonic()
    assert forks.fork(python(PART), environment, []) is None
    assert time.monotonic() - began < 10
    assert capsys.readouterr().err == ""


def _are_started(supervisor: Supervisor, parts: Sequence[Part]) -> None:
    """Start parts, see that each is a new interpreter, and end all."""
    try:
        for each in parts:
            supervisor.start(each.managed)
            assert not each.is_forked()
            assert each.told()["parent"] == os.getpid()
    finally:
        supervisor.stop()
