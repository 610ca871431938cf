"""Who gets in, rule by rule: by which name, with which token, how often, and from which other site's page."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from pricetracker_dagster.settings.http import HttpSettings
from pricetracker_dagster.web.gate import Gate, guarded
from pricetracker_dagster.web.headers import Headers
from pricetracker_dagster.web.limits import Limit
from tests.asgi import Answer, ask

RIGHT = "a-token-of-24-characters"
HERE = {"Host": "127.0.0.1:8000"}
BEARER = {**HERE, "Authorization": f"Bearer {RIGHT}"}

inside = PlainTextResponse("inside")


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def settings(**keys: Any) -> HttpSettings:
    return HttpSettings(**{"requests_per_second": 0, **keys})


def with_token(**keys: Any) -> HttpSettings:
    return settings(token=SecretStr(RIGHT), **keys)


def gate(http: HttpSettings, clock: Clock | None = None) -> Gate:
    return Gate(inside, http, clock=clock or Clock())


def is_problem(answer: Answer, status: int, said: str) -> bool:
    told = json.loads(answer.body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status, told["status"]) == (status, status)
    return said in told["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]", "localhost.", "prices.example.org"]
)
def test_by_its_own_names_it_is_asked(host: str) -> None:
    asked = gate(settings(url="https://prices.example.org/tracker"))
    for _ in range(2):  # the second time it is known
        assert ask(asked, "/", {"Host": host}).text == "inside"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "evil.example#localhost", "", "10.0.0.7:8000",
     "localhost:8000:8000", "127.0.0.1, evil.example", "127.0.0.1\x00", "[::2]", "prices.example.org.evil"],
)  # fmt: skip
def test_a_page_that_gives_its_own_name_our_address_is_refused(host: str) -> None:
    assert is_problem(ask(gate(settings(url="https://prices.example.org")), "/", {"Host": host}), 421, "is not called")


def test_a_request_that_names_no_host_or_two_is_refused() -> None:
    assert ask(gate(settings()), "/").status == 421
    twice = [("Host", "127.0.0.1"), ("Host", "evil.example")]
    assert is_problem(ask(gate(settings()), "/", twice), 400, "two headers Host")
    assert ask(gate(with_token()), "/", [*twice, ("Authorization", f"Bearer {RIGHT}")]).status == 400


def test_the_configured_host_is_one_of_its_names() -> None:
    assert ask(gate(settings(host="127.0.0.53")), "/", {"Host": "127.0.0.53:8000"}).status == 200
    assert ask(gate(settings(host="::1")), "/", {"Host": "[::1]:8000"}).status == 200


@pytest.mark.parametrize("http", [settings(public=True), with_token()])
def test_what_is_public_or_asks_for_a_token_goes_by_any_name(http: HttpSettings) -> None:
    assert ask(gate(http), "/", {**BEARER, "Host": "anything.example"}).status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_lets_in(scheme: str) -> None:
    answer = ask(gate(with_token()), "/pricetracker/metrics", {**HERE, "Authorization": f"{scheme} {RIGHT}"})
    assert answer.text == "inside"


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": f"Basic {RIGHT}"},
        {"Authorization": RIGHT},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {RIGHT[:-1]}"},
        {"Authorization": f"Bearer {RIGHT}x"},
        {"Authorization": f"Bearer {RIGHT.upper()}"},
        {"Authorization": "Bearer \xe4\xff"},
        {"Cookie": f"pricetracker={RIGHT}"},
        {"Cookie": "pricetracker="},
        {"Cookie": "pricetracker"},
        {"X-Token": RIGHT},
    ],
)
@pytest.mark.parametrize(
    "path", ["/pricetracker/metrics", "/health", "/metrics", "/openapi.json", "/page/page.js", "/x"]
)
def test_without_the_token_nothing_is_answered(path: str, header: Mapping[str, str]) -> None:
    answer = ask(gate(with_token()), f"{path}?token={RIGHT}", {**HERE, **header})
    assert is_problem(answer, 401, "Authorization: Bearer")
    assert answer.headers["www-authenticate"] == 'Bearer realm="pricetracker"'
    assert RIGHT not in answer.text


def test_the_cookie_of_who_has_signed_in_is_no_token() -> None:
    cookie = hmac.new(RIGHT.encode(), b"pricetracker: signed in", hashlib.sha256).hexdigest()
    asked = gate(with_token())
    assert ask(asked, "/", {"Cookie": f"theme=dark; pricetracker={cookie}; a=b"}).text == "inside"
    assert ask(asked, "/health", [("Cookie", "a=b"), ("Cookie", f"pricetracker={cookie}")]).text == "inside"
    assert ask(asked, "/health", {"Authorization": f"Bearer {cookie}"}).status == 401
    assert (
        ask(gate(settings(token=SecretStr(RIGHT[::-1]))), "/health", {"Cookie": f"pricetracker={cookie}"}).status == 401
    )


def test_who_opens_the_page_is_led_to_the_form_and_back_to_what_was_asked() -> None:
    answer = ask(gate(with_token()), "/?metric=KRAKEN:BTCUSD&hours=24", HERE)
    assert (answer.status, answer.headers["cache-control"]) == (303, "no-store")
    assert answer.headers["location"] == "/sign-in?next=%2F%3Fmetric%3DKRAKEN%3ABTCUSD%26hours%3D24"
    assert ask(gate(with_token()), "/", HERE, method="POST").status == 401


def test_a_client_that_asks_too_often_waits_and_others_do_not() -> None:
    clock = Clock()
    asked = gate(HttpSettings(requests_per_second=10), clock)
    assert [ask(asked, "/", HERE).status for _ in range(51)] == [200] * 50 + [429]
    refused = ask(asked, "/", HERE)
    assert is_problem(refused, 429, "http.requests_per_second")
    assert refused.headers["retry-after"] == "1"
    assert ask(asked, "/", HERE, client="127.0.0.2").status == 200
    clock.now += 0.1
    assert [ask(asked, "/", HERE).status for _ in range(2)] == [200, 429]
    clock.now += 3600
    assert [ask(asked, "/", HERE).status for _ in range(51)] == [200] * 50 + [429]


def test_without_a_limit_nobody_waits() -> None:
    asked = gate(settings())
    assert {ask(asked, "/", HERE).status for _ in range(300)} == {200}


def test_a_wrong_token_counts_as_ten_requests() -> None:
    asked = gate(HttpSettings(token=SecretStr(RIGHT), requests_per_second=1))
    wrong = {**HERE, "Authorization": "Bearer not-the-token-at-all"}
    assert [ask(asked, "/health", wrong).status for _ in range(6)] == [401] * 5 + [429]


def test_the_memory_of_the_limit_is_bounded_and_forgets_first_who_may_ask_anyway() -> None:
    limit = Limit(1.0, 5.0)
    for number in range(5):
        assert limit.wait("busy", 1000.0 + number / 100) == 0
    for number in range(100_000):
        assert limit.wait(f"client {number}", 1000.0 + number / 1000) == 0
    assert len(vars(limit)["_due"]) <= 10_000


def test_one_who_has_a_whole_network_of_ipv6_is_one_client() -> None:
    limit = Limit(1.0, 2.0)
    assert [limit.wait(f"2001:db8:0:1::{i:x}", 0.0) > 0 for i in range(4)] == [False, False, True, True]
    assert limit.wait("2001:db8:0:2::1", 0.0) == 0
    assert [limit.wait(client, 0.0) > 0 for client in ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1")] == [
        False,
        False,
        True,
    ]
    assert limit.wait("fe80::1%eth0", 0.0) == 0


PREFLIGHT = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}


def test_other_sites_pages_read_nothing_unless_they_are_listed() -> None:
    origin = {**BEARER, "Origin": "https://charts.example.org"}
    off = guarded(inside, with_token())
    assert not [name for name in ask(off, "/", origin).headers if name.startswith("access-control")]
    assert ask(off, "/", {**HERE, "Origin": origin["Origin"], **PREFLIGHT}, method="OPTIONS").status == 401


def test_the_page_of_a_listed_site_reads_with_the_token_and_without_cookies() -> None:
    listed = guarded(inside, with_token(cors=("https://charts.example.org",)))
    origin = {"Origin": "https://charts.example.org"}
    before = ask(listed, "/health", {**HERE, **origin, **PREFLIGHT}, method="OPTIONS")
    assert before.status == 200
    assert before.headers["access-control-allow-origin"] == "https://charts.example.org"
    assert "Authorization" in before.headers["access-control-allow-headers"]
    assert before.headers["access-control-allow-methods"] == "GET, HEAD"
    answer = ask(listed, "/health", {**BEARER, **origin})
    assert (answer.text, answer.headers["access-control-allow-origin"]) == ("inside", "https://charts.example.org")
    assert answer.headers["access-control-expose-headers"] == "ETag, Retry-After"
    assert "access-control-allow-credentials" not in {**before.headers, **answer.headers}
    refused = ask(listed, "/health", {**HERE, **origin})
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, "https://charts.example.org")
    others = ask(listed, "/health", {**BEARER, "Origin": "https://charts.example.org.evil"})
    assert "access-control-allow-origin" not in others.headers


@pytest.mark.parametrize("target", ["/", "/health", "/sign-in", "/sign-in.css"])
@pytest.mark.parametrize("headers", [{}, HERE, BEARER])
def test_every_answer_bears_the_headers_for_browsers_and_none_that_tells_what_answers(
    target: str, headers: Mapping[str, str]
) -> None:
    for http in (settings(), with_token()):
        answer = ask(guarded(inside, http), target, headers)
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy.pop("default-src") == policy.pop("base-uri") == policy.pop("frame-ancestors") == "'none'"
        assert set(policy.values()) == {"'self'"}
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers


def test_an_answer_that_is_not_modified_bears_them_too() -> None:
    assert "content-security-policy" in ask(guarded(Response(status_code=304), settings()), "/", HERE).headers


def test_a_mistake_of_ours_is_a_problem_and_reaches_the_log() -> None:
    raised: list[BaseException] = []

    async def mistaken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("of ours")

    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await Headers(mistaken)(scope, receive, send)
        except ValueError as error:
            raised.append(error)

    answer = ask(logged, "/", HERE)
    assert is_problem(answer, 500, "a mistake of pricetracker")
    assert "of ours" not in answer.text
    assert "content-security-policy" in answer.headers
    assert raised
