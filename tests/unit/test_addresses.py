"""Hosts, ports and proxies: what can be listened on, what cannot and why, and what no proxy is asked for."""

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import pytest

from pricetracker_dagster.local.addresses import CannotStart, free_or_asked
from pricetracker_dagster.process.proxies import is_loopback, keep_loopback_off_proxies


@pytest.fixture
def taken() -> Iterator[int]:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_usual_port_that_is_taken_gives_way_to_the_next(taken: int) -> None:
    port, said = free_or_asked("127.0.0.1", None, taken, "the UI")
    assert port > taken
    assert said == f"port {taken} is taken; the UI takes {port}"
    with pytest.raises(CannotStart, match=f"port {taken} on 127.0.0.1 is taken"):
        free_or_asked("127.0.0.1", taken, 3000, "the UI")


def test_ports_end_where_there_are_no_more() -> None:
    port, _ = free_or_asked("127.0.0.1", None, 65530, "the UI")
    assert 65530 <= port <= 65535


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ({}, []),
        ({"no_proxy": "corp.example"}, ["corp.example"]),
        ({"NO_PROXY": "corp.example, .intern"}, ["corp.example", ".intern"]),
        ({"no_proxy": "localhost"}, []),
        ({"no_proxy": "a.example", "NO_PROXY": "b.example"}, []),
        ({"no_grpc_proxy": "grpc.example"}, []),
    ],
)
def test_loopback_is_added_to_what_no_proxy_is_asked_for(before: dict[str, str], kept: list[str]) -> None:
    environment = {"http_proxy": "http://127.0.0.1:9", **before}
    keep_loopback_off_proxies(environment)
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        listed = [part.strip() for part in environment[name].split(",")]
        assert {"127.0.0.1", "localhost", "::1"} <= set(listed)
        assert len(listed) == len(set(listed))
        assert set(kept) <= set(listed)
        assert environment[name].startswith(before.get(name, ""))
    assert environment["http_proxy"] == "http://127.0.0.1:9"
    again = dict(environment)
    keep_loopback_off_proxies(again)
    assert again == environment


def test_where_no_proxy_is_asked_for_anything_that_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"no_proxy": "*"}
    keep_loopback_off_proxies(environment)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert urllib.request.proxy_bypass("exchange.example")
    assert environment["no_grpc_proxy"] == "127.0.0.1,localhost,::1"


def test_urllib_and_requests_agree_that_loopback_has_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    from requests.utils import should_bypass_proxies

    monkeypatch.delenv("no_proxy", raising=False)
    environment = {"NO_PROXY": "corp.example"}
    keep_loopback_off_proxies(environment)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for url in ("http://127.0.0.1:8650", "http://localhost:1", "http://corp.example/x"):
        assert should_bypass_proxies(url, no_proxy=None)
    assert not should_bypass_proxies("https://api.kraken.com", no_proxy=None)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://127.8.9.1/x", "https://localhost", "http://[::1]:8650"])
def test_a_url_of_this_machine_is_known(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize("url", ["https://api.kraken.com", "http://10.0.0.1", "http://127.example.org", "http://[::2]"])
def test_a_url_of_another_machine_is_known(url: str) -> None:
    assert not is_loopback(url)
