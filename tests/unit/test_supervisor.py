"""Processes that are kept running: what dies while starting is named with its last words, what hangs is replaced."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pricetracker_dagster.local.process_groups import until
from pricetracker_dagster.local.runs import FrozenRuns
from pricetracker_dagster.local.supervisor import STARTS, CannotGoOn, ManagedProcess, Supervisor


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, dict(os.environ))
    yield supervisor
    supervisor.stop()


def script(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "part.py"
    path.write_text(text, encoding="utf-8")
    return [sys.executable, "-u", str(path)]


def test_a_part_that_ends_each_time_it_is_started_is_named_with_its_last_lines(
    supervisor: Supervisor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.most_pause = 0.1
    child = ManagedProcess(
        "code", script(tmp_path, "print('before'); raise RuntimeError('random.py was imported')"), pause=0.1
    )
    supervisor.start(child)
    with pytest.raises(CannotGoOn) as given_up:
        supervisor.wait_for(lambda: False, 30)
    assert "code ended with status 1 each time it was started" in str(given_up.value)
    assert "RuntimeError: random.py was imported" in str(given_up.value)
    said = capsys.readouterr().err
    assert said.count("code ended with status 1; starting it again") == 3
    assert "RuntimeError: random.py was imported" in said


def test_a_part_that_ends_once_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    text = f"""
import pathlib, signal, time, os
mark = pathlib.Path({str(tmp_path / "mark")!r})
if not mark.exists():
    mark.touch()
    os.kill(os.getpid(), signal.SIGSEGV)
time.sleep(60)
"""
    child = ManagedProcess("ui", script(tmp_path, text), pause=0.1)
    supervisor.start(child)
    assert supervisor.wait_for(lambda: child.starts == 2, 30)
    assert not child.has_ended()


def test_a_part_that_lived_long_is_never_given_up(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.first_pause = supervisor.most_pause = 0.05
    supervisor.lives_after = 0.0
    child = ManagedProcess("daemon", script(tmp_path, "raise SystemExit(3)"), pause=0.05)
    supervisor.start(child)
    assert supervisor.wait_for(lambda: child.starts > STARTS + 1, 30)


def test_a_part_that_was_started_anew_on_request_is_not_given_up_for_that(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    child = ManagedProcess("daemon", script(tmp_path, "import time; time.sleep(60)"), pause=0.05)
    supervisor.start(child)
    for _ in range(STARTS):
        supervisor.restart("daemon")
    assert child.process is not None
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    assert supervisor.wait_for(lambda: child.process is not None and not child.has_ended(), 30)


@pytest.mark.parametrize("number", [None, signal.SIGSTOP])
def test_a_part_that_heeds_no_signal_is_replaced_with_all_it_has_started(
    supervisor: Supervisor, tmp_path: Path, number: signal.Signals | None
) -> None:
    text = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(99)"])
print("child", child.pid)
time.sleep(99)
"""  # noqa: E501
    child = ManagedProcess("code", script(tmp_path, text), heard=lambda _: False)
    supervisor.start(child)
    assert until(lambda: len(child.lines) > 0, 30)
    grandchild = int(child.lines[0].split()[1])
    first = child.process
    assert first is not None
    if number is not None:
        os.killpg(first.pid, number)
    began = time.monotonic()
    supervisor.restart("code")
    assert time.monotonic() - began < 15
    assert first.returncode is not None
    assert child.process is not first
    assert not child.has_ended()
    assert until(lambda: not _lives(grandchild), 10)


def test_restarting_what_is_not_there_does_nothing(supervisor: Supervisor) -> None:
    supervisor.restart("daemon")
    assert supervisor.parts == []


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


RUN = """
import multiprocessing, sys, time

def run():
    print(multiprocessing.current_process().pid, flush=True)
    time.sleep(100)

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=run)
    child.start()
    child.join()
    print("ended", child.exitcode, flush=True)
    time.sleep(100)
"""


@pytest.fixture
def code(supervisor: Supervisor, tmp_path: Path) -> ManagedProcess:
    """A code server with one run, which is a process of its own."""
    child = ManagedProcess("code", script(tmp_path, RUN))
    supervisor.start(child)
    assert supervisor.wait_for(lambda: bool(child.lines), 60)
    return child


@pytest.fixture
def frozen(code: ManagedProcess) -> FrozenRuns:
    return FrozenRuns(code, every=0.05)


def test_a_run_that_is_stopped_is_ended_and_the_code_server_goes_on(code: ManagedProcess, frozen: FrozenRuns) -> None:
    os.kill(int(code.lines[0]), signal.SIGSTOP)
    assert until(lambda: "ended -9" in code.lines, 60, meanwhile=frozen.end)
    assert not code.has_ended()


def test_a_run_that_goes_on_in_time_is_left_alone(code: ManagedProcess, frozen: FrozenRuns) -> None:
    pid = int(code.lines[0])
    for _ in range(5):
        os.kill(pid, signal.SIGSTOP)
        for _ in range(2):
            time.sleep(0.06)
            frozen.end()
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.06)
        frozen.end()
    os.kill(pid, 0)
    assert len(code.lines) == 1


def test_a_code_server_that_is_stopped_itself_is_not_ended_for_that(code: ManagedProcess, frozen: FrozenRuns) -> None:
    assert code.process is not None
    os.kill(code.process.pid, signal.SIGSTOP)  # the watch notices that, and says so
    until(lambda: False, 1, meanwhile=frozen.end)
    os.kill(code.process.pid, signal.SIGCONT)
    assert not code.has_ended()
