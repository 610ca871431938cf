"""``pricetracker serve`` as a user starts it on a published day: where it listens, who is let in, workers, its end."""

import json
import os
import re
import signal
import socket
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from pricetracker_dagster.local.addresses import CannotStart, free_port
from pricetracker_dagster.local.serving import listen
from pricetracker_dagster.settings import load_settings
from tests.commands import pricetracker
from tests.integration.conftest import RIGHT, Serve
from tests.published_day import METRICS
from tests.serve_command import ask
from tests.waiting import until


def test_it_listens_on_loopback_alone_and_answers_from_the_published_file(serve: Serve) -> None:
    served = serve()
    assert served.url.startswith("http://127.0.0.1:")
    port = served.port
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert {line[1] for line in listening if line[3] == "0A" and line[1].endswith(f":{port:04X}")} == {
        f"0100007F:{port:04X}"
    }
    answer = ask(f"{served.url}/pricetracker/metrics")
    assert (answer.status, "Server" in answer.headers) == (200, False)
    assert {row["metric"] for row in json.loads(answer.body)["data"]} == set(METRICS)
    assert ask(f"{served.url}/pricetracker/metrics", {"Host": "evil.example"}).status == 421


def test_with_a_token_nothing_is_read_without_it_and_a_browser_signs_in(serve: Serve) -> None:
    served = serve(f'token = "{RIGHT}"')
    refused = ask(f"{served.url}/pricetracker/metrics")
    assert (refused.status, refused.headers["Content-Type"]) == (401, "application/problem+json")
    assert ask(f"{served.url}/pricetracker/metrics", {"Authorization": f"Bearer {RIGHT}"}).status == 200
    to_the_form = ask(f"{served.url}/")
    assert (to_the_form.status, to_the_form.headers["Location"]) == (303, "/sign-in?next=%2F")
    assert b"<form" in ask(f"{served.url}/sign-in?next=%2F").body
    assert b"color" in ask(f"{served.url}/sign-in.css").body
    assert ask(f"{served.url}/sign-in", body=b"token=wrong").status == 401
    signed_in = ask(f"{served.url}/sign-in", body=f"token={RIGHT}&next=%2F%3Fa=b".encode())
    assert (signed_in.status, signed_in.headers["Location"]) == (303, "/?a=b")
    [cookie] = SimpleCookie(signed_in.headers["Set-Cookie"]).values()
    shown = {"Cookie": f"{cookie.key}={cookie.value}"}
    assert ask(f"{served.url}/pricetracker/metrics", shown).status == 200
    assert ask(f"{served.url}/sign-out", shown, b"").headers["Location"] == "/sign-in"
    for answer in (refused, to_the_form, signed_in):
        assert RIGHT not in f"{answer.headers}{answer.body!r}"


def test_a_client_that_asks_too_often_is_told_when_to_come_again(serve: Serve) -> None:
    served = serve("requests_per_second = 0.5")
    answers = [ask(f"{served.url}/pricetracker/snapshot") for _ in range(60)]
    assert {answer.status for answer in answers} == {200, 429}
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 2
    assert json.loads(answers[-1].body)["status"] == 429


def test_a_port_that_is_taken_is_an_error_where_it_was_asked_for_and_else_passed_over(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        served = serve(f"port = {port}", "--host", "127.0.0.1")
        assert f"port {port} is taken; the server of prices takes {served.port}" in served.said()
        refused = pricetracker("serve", "--port", str(port))
    assert refused.returncode == 1
    assert refused.stderr == f"Error: port {port} on 127.0.0.1 is taken: choose another with --port\n"


def test_beyond_this_machine_it_starts_only_with_a_token_or_what_is_public(
    write_settings: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    for host in ("0.0.0.0", "::"):  # noqa: S104
        refused = pricetracker("serve", "--host", host)
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"Error: {host} (--host, http.host) is reached from other machines")
        for remedy in ("http.token", "http.public = true", "127.0.0.1", "at least 16 characters"):
            assert remedy in refused.stderr
    for allowed in ({"TOKEN": RIGHT}, {"PUBLIC": "true"}):
        with monkeypatch.context() as patched:
            for key, value in allowed.items():
                patched.setenv(f"PRICETRACKER_HTTP__{key}", value)
            listening, _ = listen(load_settings().http, "0.0.0.0")  # noqa: S104
            with listening.socket:
                assert listening.address.host == "0.0.0.0"  # noqa: S104
    with pytest.raises(CannotStart, match="reached from other machines"):
        listen(load_settings().http, "0.0.0.0")  # noqa: S104


def test_workers_share_the_address_and_one_that_is_killed_is_replaced(serve: Serve) -> None:
    served = serve("workers = 2")
    until(served.answers, 30, "it answers")
    before = until(lambda: served.workers() if len(served.workers()) == 2 else None, 30, "two workers run")
    killed, other = sorted(before)
    os.kill(killed, signal.SIGKILL)
    for _ in range(50):  # those that come now are answered by the other one
        assert ask(f"{served.url}/pricetracker/metrics").status == 200
    after = until(lambda: served.workers() if len(served.workers() - {killed}) == 2 else None, 30, "it is replaced")
    assert other in after
    assert "was ended by SIGKILL" in served.said()
    counted = until(
        lambda: re.findall(r'_requests_total{.*worker="(.*)"}', ask(f"{served.url}/metrics").body.decode()),
        60,
        "it counts for itself",
    )
    assert set(counted) < {"1", "2"}
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(10) == 0
    assert not [pid for pid in after | before if Path(f"/proc/{pid}").exists()]


def test_workers_end_with_the_process_that_has_started_them(serve: Serve) -> None:
    served = serve("", "--workers", "2", "--port", str(free_port()))
    workers = until(lambda: served.workers() if len(served.workers()) == 2 else None, 30, "two workers run")
    served.process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 10, "they have ended, too")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well(serve: Serve, number: signal.Signals) -> None:
    served = serve()
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as idle:
        served.process.send_signal(number)
        assert served.process.wait(5) == 0
        assert idle.recv(10) == b""
    assert served.said().count("\n") == 1
