"""What the Python face over HTTP says where the API is not there, lets nobody in, or answers what it should not."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ProtocolError

from pricetracker_dagster import open_prices
from pricetracker_dagster.errors import PricetrackerError, UnknownName
from pricetracker_dagster.process import secrets
from pricetracker_dagster.reading import http_answers
from pricetracker_dagster.reading.http_answers import ARROW, ApiError, NotAllowed
from pricetracker_dagster.reading.times import WrongTimes

GIVEN = "sixteen letters or more"
"""A token."""

Answer = tuple[int, dict[str, str], bytes]


def arrow_of(**columns: list[object]) -> bytes:
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


GOOD: Answer = (200, {"Content-Type": ARROW}, arrow_of(as_of=[None], metrics=[0]))


def problem(status: int, detail: str, **more: object) -> Answer:
    body = json.dumps({"type": "about:blank", "status": status, "detail": detail, **more}).encode()
    return status, {"Content-Type": "application/problem+json"}, body


class Server:
    """Answers what the test lays down, one after the other, the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [GOOD]
        self.asked: list[tuple[str, str | None]] = []
        self.connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers.get("Authorization")))
                status, headers, body = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = "Connection" in headers

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long somebody would have waited."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def test_where_nobody_listens_the_address_and_the_command_are_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ApiError, match=f"{url}: nothing answers there: start it with `pricetracker serve`"):
            open_prices(url)


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:99999", "ftp://example.org", "https://a b"])
def test_what_is_no_url_is_said_at_once(url: str) -> None:
    with pytest.raises(ApiError, match="not a URL"):
        open_prices(url)


def test_the_address_of_what_the_page_shows_leads_to_the_api(server: Server) -> None:
    prices = open_prices(f"{server.url}/?from=mail#metric=KRAKEN:BTCUSD&show=price")
    assert server.url in repr(prices)
    assert {path for path, _ in server.asked} == {"/pricetracker/snapshot"}


def test_a_token_is_borne_and_a_missing_one_is_named_with_the_way_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [problem(401, "a token is needed")]
    with pytest.raises(NotAllowed, match=r"a token is needed.*open_prices\(url, token=…\).*PRICETRACKER_HTTP__TOKEN"):
        open_prices(server.url)
    server.answers = [GOOD]
    open_prices(server.url, token=GIVEN)
    monkeypatch.setenv("PRICETRACKER_HTTP__TOKEN", "of the environment 1")
    open_prices(server.url)
    assert [bearer for _, bearer in server.asked] == [None, f"Bearer {GIVEN}", "Bearer of the environment 1"]
    with pytest.raises(NotAllowed, match="cannot be sent"):
        open_prices(server.url, token=f"{GIVEN}ü\n")


def test_token_and_password_are_shown_nowhere(server: Server) -> None:
    prices = open_prices(server.url.replace("//", "//somebody:open-sesame@"), token=GIVEN)
    assert "open-sesame" not in repr(prices)
    server.answers = [problem(401, f"{GIVEN} is not the token")]
    with pytest.raises(NotAllowed) as error:
        prices.metrics()
    assert GIVEN not in str(error.value)
    assert secrets.masked("open-sesame") == "***"


def test_who_is_to_wait_waits_once_as_long_as_the_api_says(server: Server, naps: list[float]) -> None:
    prices = open_prices(server.url)
    busy = problem(429, "more requests than a client may send")
    server.answers = [(429, busy[1] | {"Retry-After": "3"}, busy[2]), GOOD]
    assert prices.snapshot().columns == ["as_of", "metrics"]
    assert naps == [3.0]
    server.answers = [(429, busy[1] | {"Retry-After": "9999"}, busy[2])]
    with pytest.raises(ApiError, match=r"takes no more requests for now.*http\.requests_per_second"):
        prices.snapshot()
    assert naps == [3.0, 30.0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, {"Content-Type": "text/html"}, b"<html>router</html>"), "is no HTTP API of pricetracker"),
        (
            (404, {"Content-Type": "text/html"}, b"<html>router</html>"),
            "is no HTTP API of pricetracker .it answers 404",
        ),
        ((404, {"Content-Type": "application/problem+json"}, b"{"), "is no HTTP API of pricetracker"),
        ((301, {"Location": "https://u:p@elsewhere.example/x"}, b""), r"points elsewhere.* \*\*\*@elsewhere"),
        ((200, {"Content-Type": ARROW}, b""), "cut or damaged: ask again"),
        ((200, {"Content-Type": ARROW}, GOOD[2][:-150]), "cut or damaged: ask again"),
        (
            (200, {"Content-Type": ARROW, "Content-Length": "9999", "Connection": "close"}, GOOD[2]),
            "was cut: ask again",
        ),
        (problem(404, "there is nothing at /x"), "is no HTTP API of pricetracker"),
        (problem(503, "nothing is published yet"), "answers 503: nothing is published yet"),
        (problem(500, "a mistake of pricetracker"), "answers 500: a mistake"),
    ],
)
def test_an_answer_that_is_none_names_the_url_and_the_way_out(server: Server, answer: Answer, said: str) -> None:
    server.answers = [answer]
    with pytest.raises(ApiError, match=said) as error:
        open_prices(server.url)
    assert server.url in str(error.value)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem(404, "no values of KRAKEN:X", parameter="metric_name"), UnknownName),
        (problem(422, "start is not before end", parameter="start"), WrongTimes),
        (problem(422, "odd", parameter="later"), ValueError),
    ],
)
def test_what_the_api_says_of_a_question_is_the_error_of_the_local_face(
    server: Server, answer: Answer, kind: type[PricetrackerError]
) -> None:
    prices = open_prices(server.url)
    server.answers = [answer]
    with pytest.raises(kind) as error:
        prices.history("KRAKEN:X", "price")
    assert str(error.value) == json.loads(answer[2])["detail"]


def test_who_never_answers_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_answers, "_READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ApiError, match=f"{url}: no answer in time"):
            open_prices(url)


def test_connections_are_used_again_and_one_that_a_restarted_server_has_forgotten_is_made_anew(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = open_prices(server.url)
    for _ in range(5):
        prices.snapshot()
    assert server.connections == 1
    send, tries = HTTPAdapter.send, []

    def forgotten_once(self: HTTPAdapter, *args: Any, **more: Any) -> Any:
        tries.append(args)
        if len(tries) == 1:
            raise requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError(104, "reset")))
        return send(self, *args, **more)

    monkeypatch.setattr(HTTPAdapter, "send", forgotten_once)
    assert prices.snapshot().columns == ["as_of", "metrics"]
    assert len(tries) == 2


def test_what_is_wrong_in_itself_is_told_without_asking(server: Server) -> None:
    prices = open_prices(server.url)
    server.asked.clear()
    with pytest.raises(UnknownName, match=r"no measure prise; did you mean price\?"):
        prices.rank("prise")
    with pytest.raises(ValueError, match="whole minutes, hours or days"):
        prices.candles("KRAKEN:BTCUSD", every="soon")
    with pytest.raises(WrongTimes, match='"yesterday" is no time'):
        prices.alerts(since="yesterday")
    with pytest.raises(PricetrackerError, match=r"takes no SQL.*open_prices"):
        prices.sql("SELECT 1")
    assert server.asked == []
