"""How a channel is given a message, what is made of its answer, and that nothing of it gives a secret away."""

import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import requests

from pricetracker_dagster.alerts.delivery import channels
from pricetracker_dagster.alerts.delivery.apprise_hooks import sending
from pricetracker_dagster.alerts.delivery.attempt import Attempt
from pricetracker_dagster.alerts.delivery.channels import Message, Outcome
from pricetracker_dagster.process import secrets
from pricetracker_dagster.settings import channel_name
from tests.waiting import until


def test_a_channel_that_hangs_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def sent(url: str, message: Message) -> Outcome:
        if "hangs" in url:
            let_go.wait(30)
        return Outcome(channel_name(url), True, None)

    monkeypatch.setattr(channels, "send_one", sent)
    monkeypatch.setattr(channels, "ANSWER_WITHIN", 0.4)
    message = Message("title", "body", good=True)
    try:
        outcomes = list(channels.send({"json://hangs": [message], "json://works": [message]}))
    finally:
        let_go.set()
    assert outcomes == [
        Outcome(channel_name("json://works"), True, None),
        Outcome(channel_name("json://hangs"), False, "no answer within 0.4 s"),
    ]


# --- without secrets ---

SECRETS = {
    "json://secretuser:SECRET123@host.example/SECRET456?token=SECRET789": ["secretuser", "SECRET"],
    "json://user:SECRET%40456SECRET@host.example/": ["SECRET"],
    "json://user:SECRET%20123%2FSECRET456@host.example/": ["SECRET"],
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/": ["T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ"],
    "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ": ["TIiajkdnlazkcOXrIdevi7FQ"],
    "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js": ["4174216298", "JHMHI8qBe7bk2ZwO5U711o3dV_js"],
    "tgram://123456789:abcdefg_hijklmnop/12315544/": ["123456789", "abcdefg_hijklmnop", "12315544"],
    "mailtos://me:SECRETword@smtp.example:587/?to=SECRETfriend@mail.example": ["SECRET"],
    "pover://SECRETuserkeySECRETuserkey1234@SECRETtokenSECRETtoken123456": ["SECRET"],
    "ntfys://tk_SECRETtoken@ntfy.example/SECRETtopic": ["SECRET"],
    "sns://AKIASECRETKEY/SECRET+access/key/us-east-1/+12223334444": ["AKIA", "SECRET", "12223334444"],
}


@pytest.mark.parametrize("url", SECRETS)
def test_a_channels_name_is_its_kind_and_tells_it_from_others(url: str) -> None:
    name = channel_name(url)
    kind, digest = name.rsplit("-", 1)
    assert url.startswith(f"{kind}://")
    assert len(digest) == 8
    assert not [secret for secret in SECRETS[url] if secret in name]
    assert channel_name(url) == name
    assert len({channel_name(other) for other in SECRETS}) == len(SECRETS)


@pytest.mark.parametrize("url", SECRETS)
def test_what_is_noted_of_a_failure_holds_no_part_of_the_url(url: str) -> None:
    parts = urlsplit(url)
    said = [
        f"Failed to send to {url}: 401",
        f"Failed to send to {unquote(url)}: 401",
        f"HTTPSConnectionPool(host='{parts.hostname}', port=443): Max retries exceeded with url: {parts.path}",
        f"user {parts.username!r} password {parts.password!r} was refused",
        f"user '{unquote(parts.username or '')}' password '{unquote(parts.password or '')}' was refused",
    ]
    for text in said:
        noted = channels.without_secrets(text, url)
        assert not [secret for secret in SECRETS[url] if secret in noted], noted


def test_what_went_wrong_is_still_readable_without_secrets() -> None:
    url = "json://user:SECRET123@127.0.0.1:9/SECRET456"
    assert channels.without_secrets("A Connection error occurred sending JSON notification to 127.0.0.1.", url) == (
        "A Connection error occurred sending JSON notification to ***."
    )


def test_what_is_noted_of_a_failure_holds_no_secret_of_another_channel() -> None:
    secrets.keep_channel("json://other:SECRETword@host.example/SECRETtopic77")
    noted = channels.without_secrets("refused SECRETtopic77 of SECRETword", "json://host")
    assert noted == "refused *** of ***"


def test_what_is_noted_of_a_failure_is_short() -> None:
    assert len(channels.without_secrets("x" * 5000, "json://host")) == 300


class Hook(BaseHTTPRequestHandler):
    """A webhook that takes some paths and refuses the others, and repeats what it was given."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append(body.decode())  # type: ignore[attr-defined]
        self.send_response(200 if self.path.startswith("/good") else 500)
        self.end_headers()
        self.wfile.write(f"I was asked for {self.path} by {self.headers['Authorization']}".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is its parent's
        pass


@pytest.fixture
def hook() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Hook)
    server.taken = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_channel_that_refuses_or_does_not_answer_is_named_without_its_secrets_and_the_good_one_is_reached(
    hook: HTTPServer, root_log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    port = hook.server_port
    urls = [
        f"json://user:SECRET123@127.0.0.1:{port}/good/SECRET456",
        f"json://user:SECRET123@127.0.0.1:{port}/bad/SECRET456",
        "json://user:SECRET123@127.0.0.1:1/SECRET456",  # nobody listens
    ]
    message = Message("title", "body ✓", good=False)
    outcomes = {outcome.channel: outcome for outcome in channels.send({url: [message] for url in urls})}
    good, bad, closed = (outcomes[channel_name(url)] for url in urls)
    assert good == Outcome(channel_name(urls[0]), True, None)
    assert (bad.delivered, closed.delivered) == (False, False)
    assert bad.error == "HTTP 500 Internal Server Error"
    assert closed.error == "it refuses the connection"
    assert [json.loads(each)["message"] for each in taken(hook)] == ["body ✓", "body ✓"]
    for text in (repr(outcomes), root_log.getvalue(), *capfd.readouterr()):
        assert "SECRET" not in text


def taken(hook: HTTPServer) -> Sequence[str]:
    found: Sequence[str] = hook.taken  # type: ignore[attr-defined]
    assert len(found) == 2
    return found


def test_whatever_a_service_raises_is_its_outcome_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    import apprise

    def notify_(self: apprise.Apprise, **kwargs: object) -> bool:
        raise RuntimeError("cannot send to json://user:SECRET123@host.example/SECRET456")

    monkeypatch.setattr(apprise.Apprise, "notify", notify_)
    url = "json://user:SECRET123@host.example/SECRET456"
    [outcome] = channels.send({url: [MESSAGE]})
    assert outcome.channel == channel_name(url)
    assert not outcome.delivered
    assert (outcome.error or "").startswith("RuntimeError: cannot send to ")
    assert "SECRET" not in (outcome.error or "")


# --- answers ---

MESSAGE = Message("title", "body", good=True)

Answers = Callable[[socket.socket, bytes], None]


class Service:
    """Answers each path as the test says, down to the bytes; ``asked`` is what came: method, path, body."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.how: dict[str, Answers] = {}
        self.let_go = threading.Event()
        self._socket = socket.create_server((host, 0))
        self.address = f"{host}:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True, name="service").start()

    def channel(self, path: str, **how: Answers) -> str:
        self.how[path] = how.get("how", answer(200))
        return f"json://{self.address}{path}"

    def bodies(self, path: str) -> list[str]:
        return [json.loads(body)["message"] for method, at, body in self.asked if at == path and method == "POST"]

    def close(self) -> None:
        self.let_go.set()
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True, name="service").start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, ValueError):  # a TLS handshake is no text
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            while length and len(body) < int(length[1]):
                body += connection.recv(65536)
            method, path, _ = head.decode().split(" ", 2)
            self.asked.append((method, path.partition("?")[0], body))
            self.how.get(path.partition("?")[0], answer(200))(connection, body)


def answer(status: int, body: bytes = b"", **headers: str) -> Answers:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    whole = "\r\n".join([*lines, "", ""]).encode() + body
    return lambda connection, _: connection.sendall(whole)


@pytest.fixture
def service() -> Iterator[Service]:
    served = Service()
    yield served
    served.close()


def dripping(service: Service, head: bytes, piece: bytes = b"x") -> Answers:
    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head)
        while not service.let_go.wait(0.05):
            connection.sendall(piece)

    return drip


def sent(*urls: str, parts: int = 1) -> dict[str, Outcome]:
    """Send one message to each channel; return the last outcome of each by its URL."""
    outcomes = {each.channel: each for each in channels.send(dict.fromkeys(urls, [MESSAGE] * parts))}
    return {url: outcomes[channel_name(url)] for url in urls}


def sending_threads() -> list[str]:
    return [
        each.name for each in threading.enumerate() if "_send_each" in each.name or isinstance(each, threading.Timer)
    ]


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("location", ["/there", "there", "http://{}/there", "//{}/there"])
def test_where_the_same_host_points_to_gets_the_message(service: Service, status: int, location: str) -> None:
    url = service.channel("/here", how=answer(status, Location=location.format(service.address)))
    assert sent(url)[url] == Outcome(channel_name(url), True, None)
    assert service.bodies("/there") == ["body"]


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_message_that_would_become_a_get_is_not_delivered(service: Service, status: int) -> None:
    url = service.channel("/here", how=answer(status, Location="/there"))
    outcome = sent(url)[url]
    assert not outcome.delivered
    assert re.fullmatch(
        rf"HTTP {status} [A-Z ]+: it redirects, and .* would become a GET", outcome.error or "", re.IGNORECASE
    )
    assert [(method, path) for method, path, _ in service.asked] == [("POST", "/here")]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    ["http://{other}/SECRET", "//{other}/SECRET", "http://{own}@{other}/", "https://{own}/SECRET", "ftp://{own}/x"],
)
def test_nothing_goes_to_another_host_and_the_error_does_not_name_it(
    service: Service, status: int, location: str
) -> None:
    other = Service("127.0.0.2")
    there = location.format(own=service.address, other=other.address)
    url = service.channel("/here", how=answer(status, Location=there))
    outcome = sent(url)[url]
    other.close()
    assert not outcome.delivered
    assert "it redirects elsewhere, which is not followed; set the final address" in (outcome.error or "")
    assert "SECRET" not in (outcome.error or "")
    assert other.asked == []
    assert len(service.asked) == 1


def test_one_that_points_on_and_on_or_nowhere_is_no_yes(service: Service) -> None:
    circle = service.channel("/circle", how=answer(307, Location="/circle"))
    nowhere = service.channel("/nowhere", how=answer(308))
    broken = service.channel("/broken", how=answer(307, Location="http://[::"))
    outcomes = sent(circle, nowhere, broken)
    assert outcomes[circle].error == "HTTP 307 Temporary Redirect: too many redirects"
    assert outcomes[nowhere].error == "HTTP 308 Permanent Redirect"
    assert "it redirects elsewhere" in (outcomes[broken].error or "")
    assert service.bodies("/circle") == ["body"] * 6


def test_a_url_that_follows_nothing_or_does_not_mind_or_asks_again_at_once_changes_nothing(service: Service) -> None:
    service.how["/no"] = answer(500)
    service.how["/here"] = answer(307, Location="/there")
    urls = [f"json://{service.address}/no?optional=yes&retry=3", f"json://{service.address}/here?redirect=no"]
    outcomes = sent(*urls)
    assert outcomes[urls[0]].error == "HTTP 500 Internal Server Error"
    assert service.bodies("/no") == ["body"]
    assert outcomes[urls[1]].delivered


def test_a_slow_yes_is_a_yes_and_sent_once(service: Service) -> None:
    def slow(connection: socket.socket, body: bytes) -> None:
        service.let_go.wait(0.6)
        answer(200)(connection, body)

    url = service.channel("/slow", how=slow) + "?rto=0.2&cto=0.2"
    assert sent(url)[url].delivered
    assert service.bodies("/slow") == ["body"]


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 O", b"K"),
        (OK + b"X: ", b"x"),
        (OK, b"X: y\r\n"),
        (OK + b"Content-Length: 100000\r\n\r\n", b"x"),
        (OK + b"\r\n", b"x"),  # as long as the connection is open
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 307 T\r\nLocation: /x\r\nContent-Length: 100000\r\n\r\n", b"x"),
    ],
)
def test_what_drips_ends_at_the_deadline_with_its_thread(
    service: Service, head: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "ANSWER_WITHIN", 1.0)
    url = service.channel("/drips", how=dripping(service, head, piece))
    good = service.channel("/good")
    began = time.monotonic()
    outcomes = sent(url, good)
    assert time.monotonic() - began < 10  # and not after the last piece, which never comes
    assert outcomes[url] == Outcome(channel_name(url), False, "no answer within 1 s")
    assert outcomes[good].delivered
    assert sending_threads() == []


def test_an_answer_without_end_that_comes_fast_is_read_no_further_than_anybody_needs(service: Service) -> None:
    url = service.channel("/flood", how=dripping(service, OK + b"\r\n", b"x" * 1_100_000))
    assert sent(url)[url].delivered


def test_who_asks_for_no_more_outcomes_leaves_no_thread_behind(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "ANSWER_WITHIN", 0.4)
    drips = service.channel("/drips", how=dripping(service, OK + b"X: "))
    outcomes = channels.send({service.channel("/good"): [MESSAGE], drips: [MESSAGE]})
    assert next(outcomes).delivered
    del outcomes
    until(lambda: sending_threads() == [], 5, "the threads end")


def test_one_that_hangs_where_no_connection_is_gets_no_second_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    asked: list[str] = []

    def stuck(url: str, message: Message) -> Outcome:
        asked.append(message.title)
        let_go.wait(30)
        return Outcome(channel_name(url), True, None)

    monkeypatch.setattr(channels, "send_one", stuck)
    monkeypatch.setattr(channels, "ANSWER_WITHIN", 0.1)
    url = "json://stuck.example/"
    assert sent(url)[url].error == "no answer within 0.1 s"
    assert sent(url)[url].error == "an earlier attempt has not ended yet"
    assert len(asked) == 1
    let_go.set()
    until(lambda: sending_threads() == [], 5, "the threads end")
    assert sent(url)[url].delivered


def test_of_several_messages_one_that_does_not_fit_is_not_begun(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(connection: socket.socket, body: bytes) -> None:
        service.let_go.wait(0.8)
        answer(200)(connection, body)

    assert sent(good := service.channel("/good"))[good].delivered  # apprise is imported by then
    monkeypatch.setattr(channels, "ANSWER_WITHIN", 2.0)
    url = service.channel("/slow", how=slow)
    outcomes = list(channels.send({url: [MESSAGE] * 5}))
    # two on a machine that is not busy; of none that is begun is it unknown whether it was taken
    assert [(each.delivered, each.part) for each in outcomes] in ([(True, 0), (True, 1)], [(True, 0)])
    assert len(service.bodies("/slow")) == len(outcomes)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry_After": "120"}, b"", 120),
        ({"Retry_After": "0.5"}, b"", 0.5),
        ({"Retry_After": "999999999999"}, b"", 3600),
        ({"Retry_After": "Tue, 03 Mar 2026 12:02:00 GMT", "Date": "Tue, 03 Mar 2026 12:00:30 GMT"}, b"", 90),
        ({"Retry_After": "Tue, 03 Mar 2026 12:02:00 GMT"}, b"", 0),  # past
        ({}, b'{"ok": false, "parameters": {"retry_after": 35}}', 35),  # Telegram
        ({}, b'{"message": "limited", "retry_after": 1.25, "global": false}', 1.25),  # Discord
        ({"Retry_After": "-5"}, b"", None),
        ({"Retry_After": "soon"}, b"[1]", None),
        ({"Retry_After": "nan"}, b'{"retry_after": true}', None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_what_a_channel_asks_to_wait_is_told(
    service: Service, status: int, headers: dict[str, str], body: bytes, seconds: float | None
) -> None:
    url = service.channel("/busy", how=answer(status, body, **headers))
    outcome = sent(url)[url]
    assert outcome.retry_after == seconds
    assert (outcome.error or "").startswith(f"HTTP {status} ")


def test_a_yes_asks_for_no_wait(service: Service) -> None:
    url = service.channel("/good", how=answer(200, Retry_After="5"))
    assert sent(url)[url] == Outcome(channel_name(url), True, None)


@pytest.fixture
def of_services(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What services elsewhere answer: ``status``, ``headers``, ``body``; and ``asked``, the hosts."""
    said: dict[str, Any] = {"status": 200, "headers": {}, "body": b"ok", "asked": []}

    def answered(_: object, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        said["asked"].append(urlsplit(request.url).hostname)
        assert options["timeout"] > 4
        response = requests.Response()
        response.status_code, response.url, response.request = said["status"], str(request.url), request
        response.headers.update(said["headers"])
        response.raw = io.BytesIO(said["body"])
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", answered)
    return said


DISCORD = "discord://123456789012345678/abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"
SLACK = "slack://xoxb-123456789012-1234567890123-4mt0t4l1yl3g1tT0K3N/#private_room"


def test_a_service_that_asks_to_wait_is_asked_once_although_apprise_would_wait_and_ask_again(
    of_services: dict[str, Any],
) -> None:
    of_services |= {"status": 429, "headers": {"Retry-After": "3", "X-RateLimit-Remaining": "0"}, "body": b"{}"}
    of_services["headers"]["X-RateLimit-Reset"] = str(int(time.time()) + 3)
    began = time.monotonic()
    outcome = sent(DISCORD)[DISCORD]
    assert (outcome.error, outcome.retry_after) == ("HTTP 429 Too Many Requests, asks to wait 3 s", 3)
    assert of_services["asked"] == ["discord.com"]
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("error", "added"),
    [("invalid_auth", " (invalid_auth)"), ("private_room", ""), ("private_roomer", ""), ("No: <!here>", ""), ("", "")],
)
def test_a_no_that_looks_like_a_yes_is_told_with_its_name_but_nothing_of_the_url(
    of_services: dict[str, Any], error: str, added: str
) -> None:
    of_services["body"] = json.dumps({"ok": False, "error": error}).encode()
    assert sent(SLACK)[SLACK].error == f"HTTP 200, but it says that it did not take the message{added}"


TELEGRAM = "tgram://123456789:abcdefg_hijklmnop/12315544/"
SLACK_HOOK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#chan"
HOOK = "json://h.example/SECRETx1234"


@pytest.mark.parametrize(
    ("url", "status", "body", "error"),
    [
        (TELEGRAM, 200, b'{"ok": true, "result": {}}', None),
        (TELEGRAM, 200, b'{"ok": false, "description": "chat of @everyone"}', "HTTP 200, but it says that it did not"),
        (TELEGRAM, 400, b'{"ok": false, "description": "chat not found"}', "HTTP 400 Bad Request"),
        (DISCORD, 204, b"", None),
        (DISCORD, 200, b'{"id": "1", "content": "x"}', None),
        (DISCORD, 404, b'{"message": "Unknown Webhook", "code": 10015}', "HTTP 404 Not Found"),
        (SLACK_HOOK, 200, b"ok", None),
        (
            SLACK_HOOK,
            200,
            b"invalid_payload",
            "HTTP 200, but it says that it did not take the message (invalid_payload)",
        ),
        (SLACK_HOOK, 404, b"no_service", "HTTP 404 Not Found (no_service)"),
        (
            SLACK,
            200,
            b"<html>not an answer of Slack's</html>",
            "HTTP 200, but it says that it did not take the message",
        ),
        (HOOK, 202, b"", None),
        (HOOK, 204, b"", None),
        (HOOK, 200, b'{"ok": false, "error": "no_such_hook"}', "HTTP 200, but it says .* \\(no_such_hook\\)"),
        (HOOK, 200, b"<html>http://h.example/SECRETx1234 said hello</html>", None),
        (HOOK, 502, b"<html>http://h.example/SECRETx1234 is down</html>", "HTTP 502 Bad Gateway"),
        (HOOK, 304, b"", "HTTP 304 Not Modified"),
    ],
)
def test_what_counts_as_a_yes_of_which_service(
    of_services: dict[str, Any], url: str, status: int, body: bytes, error: str | None
) -> None:
    of_services |= {"status": status, "body": body}
    outcome = sent(url)[url]
    assert outcome.delivered is (error is None)
    assert re.match(error or "$", outcome.error or "") or error == outcome.error
    assert "SECRET" not in repr(outcome)
    assert len(of_services["asked"]) == 1


def test_once_it_was_asked_to_wait_an_attempt_asks_nothing_more(service: Service) -> None:
    service.how["/busy"] = answer(429, Retry_After="9")
    attempt = Attempt(5)
    with sending(attempt):
        assert requests.post(f"http://{service.address}/busy", data="x", timeout=5).status_code == 429
        with pytest.raises(requests.ConnectionError):
            requests.post(f"http://{service.address}/other", data="x", timeout=5)
    assert [path for _, path, _ in service.asked] == ["/busy"]
    assert attempt.retry_after == 9


# --- mail ---


def mail_server(*answers: bytes, drips: bool = False) -> tuple[str, threading.Event]:
    """Answer one mail session, with 250 unless told otherwise; return the address, and what lets it go."""
    listening = socket.create_server(("127.0.0.1", 0))
    told = [(to, said) for to, _, said in (each.partition(b"=") for each in answers)]
    let_go = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, listening, suppress(OSError), connection.makefile("rb") as lines:
            if drips:
                while not let_go.wait(0.05):
                    connection.sendall(b"220-x\r\n")
            in_data = False
            connection.sendall(b"220 here\r\n")
            for line in lines:
                word = line.split(b" ")[0].strip().lower()
                if in_data and word != b".":
                    continue
                said = next((said for to, said in told if to == word), b"250 ok")
                in_data = word == b"data"
                if said == b"hang":
                    let_go.wait(10)
                    return
                connection.sendall((b"354 go on" if in_data else said) + b"\r\n")

    threading.Thread(target=serve, daemon=True, name="service").start()
    return f"127.0.0.1:{listening.getsockname()[1]}", let_go


def mailto(address: str) -> str:
    host, _, port = address.partition(":")
    return f"mailto://PRIVATEUSER:SECRETword@example.org:{port}?smtp={host}&to=PRIVATE@example.org&mode=insecure"


LOGIN = b"ehlo=250-here\r\n250 AUTH PLAIN"


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ((b"auth=235 ok",), None),
        ((b"auth=235 ok", b"quit=421 busy"), None),
        ((b"auth=535 PRIVATEUSER",), "SMTP 535: it refuses user and password"),
        ((b"auth=235 ok", b"rcpt=550 PRIVATE"), "SMTP 550: it refuses a recipient"),
        ((b"auth=235 ok", b"mail=451 later"), "SMTP 451"),
        ((b"auth=235 ok", b".=554 spam of PRIVATEUSER"), "SMTP 554"),
        ((b"auth=hang",), "no answer within 1.5 s"),
        ((b"auth=235 ok", b"quit=hang"), None),  # it has taken the mail before
    ],
)
def test_a_mail_server_is_told_in_our_words(
    answers: tuple[bytes, ...], error: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = any(said.endswith(b"=hang") for said in answers)
    monkeypatch.setattr(channels, "ANSWER_WITHIN", 1.5 if hangs else 20.0)
    address, let_go = mail_server(LOGIN, *answers)
    url = mailto(address)
    assert sent(url)[url] == Outcome(channel_name(url), error is None, error)
    let_go.set()
    assert sending_threads() == []


def test_a_mail_server_whose_greeting_drips_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "ANSWER_WITHIN", 0.4)
    address, let_go = mail_server(drips=True)
    url = mailto(address)
    assert sent(url)[url].error == "no answer within 0.4 s"
    let_go.set()
    assert sending_threads() == []


# --- each its own ---


def test_of_many_that_fail_at_once_each_has_its_own_error_and_no_part_of_anothers(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "ANSWER_WITHIN", 4.0)
    together = threading.Barrier(4, timeout=15)

    def with_the_others(status: int) -> Answers:
        def reply(connection: socket.socket, body: bytes) -> None:
            together.wait()
            answer(status, b"PRIVATEANSWER")(connection, body)

        return reply

    def cut(connection: socket.socket, _: bytes) -> None:
        together.wait()
        connection.sendall(OK + b"Content-Length: 50\r\n\r\nhalf")

    mail, let_go = mail_server(LOGIN, b"auth=535 PRIVATEUSER")
    for path, how in {
        "/PRIVATEa": with_the_others(500),
        "/PRIVATEb": with_the_others(403),
        "/": with_the_others(418),
    }.items():
        service.how[path] = how
    expected = {
        f"json://{service.address}/PRIVATEa": "HTTP 500 Internal Server Error",
        f"xml://{service.address}/PRIVATEb": "HTTP 403 Forbidden",
        f"ntfy://{service.address}/PRIVATETOPIC77": "HTTP 418 I'm a Teapot",
        service.channel("/PRIVATEcut", how=cut): "the connection broke off",
        "json://127.8.8.8:9/PRIVATE": "it refuses the connection",
        "json://user:PRIVATE@host.invalid/": "its host has no address",
        f"jsons://{service.address}/PRIVATE": "no TLS connection",
        mailto(mail): "SMTP 535: it refuses user and password",
        service.channel("/PRIVATEdrips", how=dripping(service, OK)): "no answer within 4 s",
    }
    outcomes = sent(*expected)
    let_go.set()
    assert {url: outcome.error for url, outcome in outcomes.items()} == expected


def test_threads_that_do_not_send_ask_as_ever(service: Service) -> None:
    url = service.channel("/first")
    assert sent(url)[url].delivered  # from now on it is watched
    service.how["/here"] = answer(302, Location="/there")
    service.how["/there"] = answer(200, b"it")
    reply = requests.post(f"http://{service.address}/here", data="x", timeout=5)
    assert (reply.status_code, reply.text, len(reply.history)) == (200, "it", 1)
    assert [method for method, path, _ in service.asked if path == "/there"] == ["GET"]
    service.how["/hangs"] = dripping(service, b"", b"")
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"http://{service.address}/hangs", timeout=0.2)
