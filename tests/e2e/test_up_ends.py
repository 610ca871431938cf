"""``pricetracker up`` that cannot begin, that is ended early or killed: it says why, and leaves nothing behind.

And how it begins: by parts that share memory.
"""

import os
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import Home, processes_of
from tests.integration.test_warm_starts import children
from tests.waiting import until

FORKING = "pricetracker_dagster.local.forking"


@pytest.mark.long
def test_killed_outright_it_leaves_no_process_starts_again_and_ends_by_sigint_also_in_a_script(home: Home) -> None:
    process, _ = home.started("--simulated")
    assert len(processes_of(home.folder)) >= 5
    process.kill()
    process.wait()
    # a tick that is at work goes on to its end, which its watchdog sets
    until(lambda: not processes_of(home.folder), 60, "no process is left")
    (home.folder / "output.txt").unlink()
    # nobody holds a lock; a non-interactive shell starts its background jobs with SIGINT ignored
    again, _ = home.started("--simulated", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    again.send_signal(signal.SIGINT)
    assert again.wait(15) == 0
    assert processes_of(home.folder) == {}


def test_live_does_not_go_with_simulated_prices(home: Home) -> None:
    home.environment["PRICETRACKER_SIMULATED"] = "true"
    refused = home.run("up", "--live", timeout=60)
    assert refused.returncode == 1
    assert "contradict each other" in refused.stderr


def test_live_insists_on_the_exchange(home: Home) -> None:
    refused = home.run("up", "--live", timeout=60)
    assert refused.returncode == 1
    assert "no connection to http://127.0.0.1:1" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_port_that_is_asked_for_and_taken_is_named(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = home.run("up", "--simulated", "--port", str(port), timeout=60)
    assert refused.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken: choose another with --port" in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_ended_before_it_is_up_it_leaves_nothing(home: Home, number: signal.Signals) -> None:
    process = home.start("up", "--simulated")
    until(lambda: " simulate --port" in " ".join(processes_of(home.folder).values()), 60, "a first process is started")
    process.send_signal(number)
    assert process.wait(15) == 0
    assert processes_of(home.folder) == {}


def test_where_prices_may_not_be_served_it_says_why_and_goes_on(home: Home) -> None:
    home.environment["PRICETRACKER_HTTP__HOST"] = "0.0.0.0"  # noqa: S104
    process = home.start("up", "--simulated")
    until(lambda: " simulate --port" in " ".join(processes_of(home.folder).values()), 60, "a first process is started")
    assert "prices are not served over HTTP: 0.0.0.0 (--host, http.host) is reached from other" in home.output()
    assert "http.public = true" in home.output()
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0


def test_it_ends_with_the_file_that_make_removes_when_it_is_interrupted(home: Home) -> None:
    marker = home.folder / "up"
    marker.touch()
    process = home.start("up", "--simulated", "--while", str(marker))
    until(lambda: " simulate --port" in " ".join(processes_of(home.folder).values()), 60, "a first process is started")
    marker.unlink()
    assert process.wait(15) == 0
    assert processes_of(home.folder) == {}


def test_its_parts_are_forked_from_one_process_which_is_gone_then(home: Home) -> None:
    process, _ = home.started("--simulated")
    until(lambda: " watch " in " ".join(children(process.pid).values()), 60, "the last part is started")
    until(lambda: not [line for line in children(process.pid).values() if FORKING in line], 60, "nothing is forked now")
    parts = children(process.pid)
    for what in (" simulate ", " api grpc ", " dagster_webserver ", " dagster._daemon run ", " serve ", " watch "):
        [pid] = [pid for pid, line in parts.items() if what in line]
        assert os.getsid(pid) == pid
        [shared] = re.findall(r"^Shared_Dirty: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        assert int(shared) > 50_000, what
    assert len(parts) == 6
    assert "cannot be forked" not in home.output()
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    assert processes_of(home.folder) == {}


def test_without_warm_starts_each_part_is_a_new_interpreter(home: Home) -> None:
    home.environment["PRICETRACKER_WARM_STARTS"] = "false"
    process = home.start("up", "--simulated")
    until(lambda: " simulate " in " ".join(children(process.pid).values()), 60, "a first part is started")
    [(part, _)] = children(process.pid).items()
    assert b"\0simulate\0" in Path(f"/proc/{part}/cmdline").read_bytes()
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
