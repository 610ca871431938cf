"""How a channel is given a message, what is made of its answer, and that nothing of it gives a secret away."""

import io
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import unquote, urlsplit

import pytest

from pricetracker_dagster.alerts import channels
from pricetracker_dagster.alerts.channels import Message, Outcome, channel_name


def test_a_channel_that_hangs_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def sent(url: str, message: Message) -> Outcome:
        if "hangs" in url:
            let_go.wait(30)
        return Outcome(channel_name(url), True, None)

    monkeypatch.setattr(channels, "_send", sent)
    monkeypatch.setattr(channels, "ANSWER_WITHIN", 0.4)
    message = Message("title", "body", good=True)
    try:
        outcomes = list(channels.send({"json://hangs": [message], "json://works": [message]}))
    finally:
        let_go.set()
    assert outcomes == [
        Outcome(channel_name("json://works"), True, None),
        Outcome(channel_name("json://hangs"), False, "no answer within 0 s"),
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
        noted = channels._without_secrets(text, url)
        assert not [secret for secret in SECRETS[url] if secret in noted], noted


def test_what_went_wrong_is_still_readable_without_secrets() -> None:
    url = "json://user:SECRET123@127.0.0.1:9/SECRET456"
    assert channels._without_secrets("A Connection error occurred sending JSON notification to 127.0.0.1.", url) == (
        "A Connection error occurred sending JSON notification to ***."
    )


def test_what_is_noted_of_a_failure_is_short() -> None:
    assert len(channels._without_secrets("x" * 5000, "json://host")) == 300


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
    assert "500" in (bad.error or "")
    assert "onnection" in (closed.error or "")
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
    [outcome] = channels.send({url: [Message("title", "body", good=True)]})
    assert outcome.channel == channel_name(url)
    assert not outcome.delivered
    assert (outcome.error or "").startswith("RuntimeError: cannot send to ")
    assert "SECRET" not in (outcome.error or "")
