"""Signing in and out by a form: what the browser is given, where it goes on, and how guessing is slowed."""

import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr
from starlette.responses import PlainTextResponse

from pricetracker_dagster.settings.http import HttpSettings
from pricetracker_dagster.web.gate import Gate
from tests.asgi import Answer, ask

RIGHT = "a-token-of-24-characters"
HERE = {"Host": "127.0.0.1:8000"}
FORM = {**HERE, "Content-Type": "application/x-www-form-urlencoded"}


class Clock:
    """A clock that stands until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def gate(clock: Clock | None = None, url: str = "", token: str = RIGHT) -> Gate:
    http = HttpSettings(token=SecretStr(token), url=url, requests_per_second=0)
    return Gate(PlainTextResponse("inside"), http, clock=clock or Clock())


def give(gate: Gate, token: str, back: str = "/", client: str = "127.0.0.1", scheme: str = "http") -> Answer:
    body = urlencode({"token": token, "next": back}).encode()
    return ask(gate, "/sign-in", FORM, method="POST", body=body, client=client, scheme=scheme)


def test_the_form_needs_nothing_but_itself_and_its_style() -> None:
    page = ask(gate(), "/sign-in", HERE)
    assert (page.status, page.headers["cache-control"]) == (200, "no-store")
    assert not re.search(r"<script|<style|style=|\son\w+=|javascript:|data:|https?:", page.text)
    assert re.findall(r'(?:href|src|action)="([^"]+)"', page.text) == ["/page/icon.svg", "/sign-in.css"]
    assert '<label for="token">' in page.text
    assert ask(gate(), "/page/icon.svg", HERE).text == "inside"
    style = ask(gate(), "/sign-in.css", HERE)
    assert (style.status, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "url(" not in style.text


def test_the_token_gives_a_cookie_that_lets_in_and_is_not_the_token() -> None:
    asked = gate()
    answer = give(asked, f" {RIGHT} ", "/?metric=KRAKEN:BTCUSD")
    assert (answer.status, answer.headers["location"]) == (303, "/?metric=KRAKEN:BTCUSD")
    kept = answer.headers["set-cookie"].lower()
    assert {part.strip() for part in kept.split(";")[1:]} == {
        "httponly",
        "max-age=2592000",
        "path=/",
        "samesite=strict",
    }
    [cookie] = SimpleCookie(answer.headers["set-cookie"]).values()
    assert RIGHT not in answer.headers["set-cookie"]
    assert re.fullmatch("[0-9a-f]{64}", cookie.value)
    assert ask(asked, "/health", {"Cookie": f"{cookie.key}={cookie.value}"}).text == "inside"


def test_over_https_the_cookie_is_for_https_alone() -> None:
    assert "secure" in give(gate(), RIGHT, scheme="https").headers["set-cookie"].lower()
    assert "secure" in give(gate(url="https://prices.example.org"), RIGHT).headers["set-cookie"].lower()
    assert "secure" not in give(gate(), RIGHT).headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "token", ["", RIGHT[:-1], RIGHT + "x", "\N{GREEK SMALL LETTER ALPHA}" * 20, "\ud800", "<script>"]
)
def test_what_is_not_the_token_gives_no_cookie(token: str) -> None:
    body = b"token=" + urlencode({"": token}, errors="surrogatepass").encode()[1:]
    answer = ask(gate(), "/sign-in", FORM, method="POST", body=body)
    assert (answer.status, "set-cookie" in answer.headers) == (401, False)
    assert "This is not the token." in answer.text
    assert '<input id="token" name="token" type="password"' in answer.text
    assert "<script>" not in answer.text


@pytest.mark.parametrize("body", [b"", b"&" * 4000, b"token", b"=&=", b"\xff\xfe", b"{}", b"a=b&" * 500])
def test_a_form_that_is_none_gives_no_cookie(body: bytes) -> None:
    answer = ask(gate(), "/sign-in", FORM, method="POST", body=body)
    assert (answer.status in (401, 422), "set-cookie" in answer.headers) == (True, False)


def test_a_form_that_is_too_large_is_not_read() -> None:
    assert ask(gate(), "/sign-in", FORM, method="POST", body=b"a" * 5000).status == 413


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "evil",
        "",
        "/a\r\nSet-Cookie: x=y",
        "/a b",
        "/ä",
        "/" + "a" * 2500,
    ],
)
def test_it_leads_to_no_other_site(elsewhere: str) -> None:
    asked = gate()
    assert give(asked, RIGHT, elsewhere).headers["location"] == "/"
    page = ask(asked, f"/sign-in?{urlencode({'next': elsewhere})}", HERE)
    assert '<input name="next" type="hidden" value="/">' in page.text


def test_where_to_go_on_is_text_and_no_markup() -> None:
    page = ask(gate(), f"/sign-in?{urlencode({'next': '/?a=' + chr(34) + '><script>alert(1)</script>$note'})}", HERE)
    assert "<script>" not in page.text
    assert 'value="/?a=&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;$note"' in page.text


def test_guessing_is_slowed_for_who_guesses_and_for_nobody_else() -> None:
    clock = Clock()
    asked = gate(clock)
    assert [give(asked, f"guess {i}").status for i in range(6)] == [401] * 5 + [429]
    slowed = give(asked, RIGHT)  # it is not even looked at
    assert (slowed.status, "set-cookie" in slowed.headers) == (429, False)
    assert "Try again in 10 s." in slowed.text
    assert slowed.headers["retry-after"] == "10"
    assert give(asked, RIGHT, client="127.0.0.2").status == 303
    clock.now += 10
    assert [give(asked, token).status for token in (RIGHT, RIGHT, "one more", RIGHT)] == [303, 303, 401, 429]


def test_who_signs_out_has_no_cookie_any_more() -> None:
    asked = gate()
    [cookie] = SimpleCookie(give(asked, RIGHT).headers["set-cookie"]).values()
    page = ask(asked, "/sign-in?next=/%3Fa=b", {**HERE, "Cookie": f"{cookie.key}={cookie.value}"})
    assert '<form method="post" action="/sign-out">' in page.text
    assert '<a href="/?a=b">' in page.text
    goes_on = ask(asked, "/sign-in?next=/%3Fa=b&go=on", {**HERE, "Cookie": f"{cookie.key}={cookie.value}"})
    assert (goes_on.status, goes_on.headers["location"]) == (303, "/?a=b")
    assert ask(asked, "/sign-in?next=/%3Fa=b&go=on", HERE).status == 200
    answer = ask(asked, "/sign-out", {**HERE, "Cookie": f"{cookie.key}={cookie.value}"}, method="POST")
    assert (answer.status, answer.headers["location"]) == (303, "/sign-in")
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    # another site's page, whose requests come without the cookie, signs nobody out
    assert "set-cookie" not in ask(asked, "/sign-out", HERE, method="POST").headers


@pytest.mark.parametrize(("method", "path"), [("GET", "/sign-out"), ("PUT", "/sign-in"), ("POST", "/sign-in.css")])
def test_a_method_that_is_not_for_it_is_refused_with_those_that_are(method: str, path: str) -> None:
    answer = ask(gate(), path, HERE, method=method)
    assert answer.status == 405
    assert answer.headers["allow"]


def test_where_no_token_is_set_there_is_nothing_to_sign_in_to() -> None:
    open_to_all = Gate(PlainTextResponse("inside"), HttpSettings())
    for method, path in (("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/sign-out")):
        answer = ask(open_to_all, path, HERE, method=method)
        assert (answer.status, answer.headers["location"]) == (303, "/")
