"""``pricetracker up`` that cannot begin, that is ended early or killed: it says why, and leaves nothing behind."""

import signal
import socket

import pytest

from tests.e2e.conftest import Home, processes_of
from tests.waiting import until


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
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
