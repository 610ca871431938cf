"""Odd requests to the HTTP API over a real server: each has one clear answer, and disturbs nobody else."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from pricetracker_dagster.settings import CONFIG_VARIABLE, load_settings
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import store_in
from pricetracker_dagster.web.app import build_app
from tests.market import AS_OF, METRICS, market
from tests.serving import served

BTC = METRICS[0]
RANK = "/pricetracker/metricsrank?measure_name=price"
JSON, CSV, ARROW = "application/json", "text/csv; charset=utf-8", "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "pricetracker.toml").write_text('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0\n')
    market(folder / "data", days=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CONFIG_VARIABLE, str(folder / "pricetracker.toml"))
        with served(build_app(load_settings())) as url:
            yield url


def raw(url: str, request: bytes) -> bytes:
    """Send bytes, and return what comes until the server closes."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=10) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(1 << 20), b""))


def first_status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", CSV),
        ("TEXT/CSV ; q=0.3", CSV),
        ("text/csv;q=0.1, application/json", JSON),
        ("application/json;q=0.1, text/csv", CSV),
        ("text/csv;q=0, application/vnd.apache.arrow.stream;q=0.001", ARROW),
        ("text/csv;q=0", JSON),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        ("text/csv;q=0.5, */*", JSON),
        ("text/csv, */*", CSV),
        ("text/csv;q=nan", JSON),
        ("text/csv;q=1e400, ;;;,,=,q=", JSON),
        ("application/json;q=0, text/csv;q=0.5", CSV),
        ("image/png", JSON),
        ("", JSON),
        ("\xff\xfe", JSON),
    ],
)
def test_the_form_with_the_most_weight_is_given(url: str, accept: str, kind: str) -> None:
    for path in (RANK, f"{RANK}&x=1"):  # the second one is an error, whatever is accepted
        answer = requests.get(url + path, headers={"Accept": accept.encode("latin-1")}, timeout=10)
        assert answer.status_code == (200 if path == RANK else 422)
        assert answer.headers["content-type"] == (kind if path == RANK else "application/problem+json")


def test_two_headers_accept_count_as_one(url: str) -> None:
    headers = "Host: x\r\nAccept: image/png\r\nAccept: text/csv\r\nConnection: close"
    answer = raw(url, f"GET {RANK} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
    assert b"content-type: text/csv" in answer


def test_a_tag_is_of_one_form_and_is_compared_weakly(url: str) -> None:
    def tag(kind: str) -> str:
        return requests.get(url + RANK, headers={"Accept": kind}, timeout=10).headers["etag"]

    def status(known: str, kind: str) -> int:
        headers = {"Accept": kind, "If-None-Match": known}
        return requests.get(url + RANK, headers=headers, timeout=10).status_code

    json, csv = tag("application/json"), tag("text/csv")
    assert json != csv
    assert (status(json, "application/json"), status(csv, "application/json")) == (304, 200)
    assert (status(json, "text/csv"), status(csv, "text/csv")) == (200, 304)
    assert status(json.removeprefix("W/"), "application/json") == 304
    assert status("*", "application/json") == 304
    nothing = requests.get(f"{url}{RANK}x", headers={"If-None-Match": "*"}, timeout=10)
    assert nothing.status_code == 404
    assert status(json[:-2], "application/json") == 200
    unchanged = requests.get(url + RANK, headers={"If-None-Match": json}, timeout=10)
    assert (unchanged.content, unchanged.headers["etag"]) == (b"", json)
    assert unchanged.headers["vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (f"GET http://elsewhere.example{RANK} HTTP/1.1", 200),
        ("GET /pricetracker/%6detrics HTTP/1.1", 200),
        ("GET /pricetracker/x/%2e%2e/metrics HTTP/1.1", 404),
        ("GET /pricetracker/../../etc/passwd HTTP/1.1", 404),
        ("GET /pricetracker/%2e%2e%2f%2e%2e%2fetc/passwd HTTP/1.1", 404),
        ("GET /pricetracker/metrics%00 HTTP/1.1", 404),
        ("GET /pricetracker/metrics/ HTTP/1.1", 404),
        ("GET //pricetracker/metrics HTTP/1.1", 404),
        ("GET /pricetracker/%ff%fe HTTP/1.1", 404),
        ("GET /pricetracker/metrics;a=b HTTP/1.1", 404),
        ("GET /pricetracker/metrics?%00=%00 HTTP/1.1", 422),
        ("GET /pricetracker/metrics? HTTP/1.1", 200),
        ("GET /pricetracker/metrics?&& HTTP/1.1", 200),
        ("GET /pricetracker/metrics?format HTTP/1.1", 422),
        ("GET /pricetracker/metrics?format=csv&format=csv HTTP/1.1", 422),
        ("GET /pricetracker/metrics?format=csv;format=json HTTP/1.1", 422),
        (f"GET {RANK}&measure_name=volume HTTP/1.1", 422),
        (f"GET /pricetracker/candles?metric_name={BTC}%00 HTTP/1.1", 422),
        (f"GET /pricetracker/candles?metric_name={'A' * 5000} HTTP/1.1", 422),
        (f"GET /pricetracker/candles?metric_name={BTC}&every={'9' * 5000}m HTTP/1.1", 422),
        (f"GET /pricetracker/candles?metric_name={BTC}&start=%ff HTTP/1.1", 422),
        (f"GET /pricetracker/candles?metric_name={BTC}&start=1970-01-01&end=2999-12-31&every=366d HTTP/1.1", 200),
        (f"GET /pricetracker/candles?metric_name={BTC}&start=2999-12-31T23:59Z HTTP/1.1", 422),
        (f"GET /pricetracker/candles?metric_name={BTC}&start=2026-W10-2 HTTP/1.1", 200),
        ("GET /pricetracker/candles?metric_name=KRAKEN:BTCUSD%27%3B%20DROP%20TABLE%20x HTTP/1.1", 422),
        ("GET /pricetracker/metricsrank?measure_name=price%27%20OR%201=1 HTTP/1.1", 404),
        ("GET /pricetracker/metricsrank?measure_name= HTTP/1.1", 404),
        ("GET /pricetracker/alerts?open= HTTP/1.1", 422),
        ("OPTIONS /pricetracker/metrics HTTP/1.1", 405),
        ("DELETE /pricetracker/metrics HTTP/1.1", 405),
        ("TRACE /pricetracker/metrics HTTP/1.1", 405),
        (f"HEAD {RANK} HTTP/1.1", 200),
        (f"HEAD {RANK}x HTTP/1.1", 404),
    ],
)
def test_odd_targets_have_one_whole_answer(url: str, request_line: str, status: int) -> None:
    answer = raw(url, f"{request_line}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode("latin-1"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert first_status(answer) == status, answer[:500]
    if request_line.startswith("HEAD"):
        assert body == b""
    else:
        assert len(body) == int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(body) < 10_000 or status == 200
    assert b"Traceback" not in body
    assert b"root:" not in body


def test_a_client_of_http_1_0_gets_its_answer_and_the_end(url: str) -> None:
    answer = raw(url, f"GET {RANK} HTTP/1.0\r\n\r\n".encode())
    assert first_status(answer) == 200
    assert answer.endswith(b"]}\n")


def test_pipelined_requests_are_answered_in_their_order(url: str) -> None:
    paths = ["/pricetracker/snapshot", "/pricetracker/nothing", RANK, "/pricetracker/metrics?format=csv"]
    requested = "".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths[:-1])
    last = f"GET {paths[-1]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = raw(url, (requested + last).encode())
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 404, 200, 200]
    assert answer.index(b"schema_version") < answer.index(b"problem+json") < answer.index(b"stddev")


def test_without_rows_an_empty_store_says_so(tmp_path: Path, write_settings: Callable[[str], Path]) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0')
    publish(store_in(tmp_path / "data"), [BTC], now=AS_OF)
    with served(build_app(load_settings())) as url:
        for path in ("metrics", "metricsrank", "overview?measure_name=price", "alerts", "incidents", "missed"):
            for form in ("json", "csv", "arrow"):
                sign = "&" if "?" in path else "?"
                answer = requests.get(f"{url}/pricetracker/{path}{sign}format={form}", timeout=10)
                assert answer.status_code == 200, answer.text
            assert requests.get(f"{url}/pricetracker/{path}", timeout=10).json() == {"as_of": None, "data": []}
        assert requests.get(f"{url}/pricetracker/snapshot", timeout=10).json()["data"][0]["as_of"] is None
        for path in (f"candles?metric_name={BTC}", f"historicalprices?metric_name={BTC}&measure_name=price"):
            answer = requests.get(f"{url}/pricetracker/{path}", timeout=10)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
