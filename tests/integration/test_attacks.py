"""Attack strings in every parameter, header and path, and random requests: each is answered, none is an error of ours.

Nothing is written in the data folder, which the fixture looks at, and nothing is read that is no table.
"""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration.conftest import RIGHT, Serve
from tests.serve_command import Answer, Served, Wire

PLANTED = "PLANTED-IN-A-FILE-THAT-IS-NO-TABLE"

PARAMETERS = {
    "metrics": ["format"],
    "metricsrank": ["measure_name", "format"],
    "historicalprices": ["metric_name", "measure_name", "start", "end", "every", "format"],
    "candles": ["metric_name", "start", "end", "every", "format"],
    "overview": ["measure_name", "format"],
    "alerts": ["open", "since", "metric_name", "format"],
    "incidents": ["open", "since", "format"],
    "missed": ["metric_name", "format"],
    "snapshot": ["format"],
}
RIGHT_ONES = {"metric_name": "KRAKEN:BTCUSD", "measure_name": "price"}
NEEDED = {"historicalprices": [*RIGHT_ONES], "candles": ["metric_name"], "overview": ["measure_name"]}

HEADERS = [
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Connection",
    "Content-Type",
    "Cookie",
    "Expect",
    "Forwarded",
    "If-Modified-Since",
    "If-None-Match",
    "Origin",
    "Range",
    "Referer",
    "User-Agent",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-HTTP-Method-Override",
    "X-Original-URL",
]


def attacks(folder: Path) -> list[str]:
    """What has opened something somewhere."""
    secret = folder / "secret.txt"
    return [
        "' OR '1'='1",
        "'; DROP TABLE metric_rank; --",
        "KRAKEN:BTCUSD' UNION ALL SELECT * FROM duckdb_settings() --",
        f"' UNION SELECT content FROM read_text('{secret}') --",  # noqa: S608 - it is to be none
        f"(SELECT content FROM read_text('{secret}'))",  # noqa: S608
        f"'; COPY metric_rank TO '{folder}/data/out.csv'; --",
        f"'; ATTACH '{folder}/data/new.duckdb'; --",
        "'; INSTALL httpfs; LOAD httpfs; --",
        "$1",
        "?",
        "%s%n%x",
        "{0.__class__.__mro__}",
        "{{7*7}}",
        "${jndi:ldap://127.0.0.1:1/a}",
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "../../../../../../etc/passwd",
        "../secret.txt\0.css",
        str(secret),
        f"file://{secret}",
        "..\\..\\windows\\win.ini",
        "%2e%2e%2f%2e%2e%2fsecret.txt",
        "..%c0%af..%c0%afetc/passwd",
        "; cat /etc/passwd",
        "`id`",
        "$(id)",
        "| touch /tmp/owned",
        "\r\nSet-Cookie: owned=1",
        "a\r\n\r\nHTTP/1.1 200 OK\r\n\r\nowned",
        "\0",
        "\x1b[31m",
        "\ufeff",
        "\u202eDSUCTB",
        "\uff2b\uff32\uff21\uff2b\uff25\uff2e\uff1a\uff22\uff34\uff23",
        "e\u0301" * 40,
        "\U0001f4a3",
        "A" * 3000,
        "9" * 400,
        "-1",
        "1e309",
        "NaN",
        "Infinity",
        "0x7fffffffffffffff",
        "99999999999m",
        "0m",
        "1.5h",
        "9999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00Z",
        "294247-01-10T04:00:54.775807Z",
        "2026-02-30",
        "now()",
        "null",
        "true",
        "[]",
        '{"$gt": ""}',
        "KRAKEN:*",
        "*",
        "KRAKEN:",
        ":",
        "",
        " ",
        'W/"*", *',
        "bytes=0-1,2-3,5-",
        "gzip;q=nan, *;q=-1, br;q=1e400",
        "text/csv;q=0, application/json;;;=,",
    ]


def request(target: bytes, headers: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers + b"\r\n"


def raw(text: str) -> bytes:
    """A text as bytes that may stand in a header: what would end the line is left out."""
    return text.encode("utf-8", "surrogateescape").replace(b"\r", b"").replace(b"\n", b" ").replace(b"\0", b"")


def harmless(answer: Answer, what: object) -> None:
    """No error of ours; whatever is refused is a problem; and nothing is told that is no price."""
    tells_of_health = answer.status == 503 and answer.headers["content-type"].startswith("application/json")
    assert answer.status < 500 or tells_of_health, (what, answer)
    assert PLANTED.encode() not in answer.body, what
    for never in (b"root:", b"Traceback", b"pricetracker_dagster", RIGHT.encode()):
        assert never not in answer.body, (what, answer.body[:500])
    assert "set-cookie" not in answer.headers, what
    assert "server" not in answer.headers, what
    assert "default-src 'none'" in answer.headers["content-security-policy"], what
    if answer.status >= 400 and not tells_of_health:
        assert answer.headers["content-type"] == "application/problem+json", (what, answer)
        if answer.body:
            assert json.loads(answer.body)["status"] == answer.status


@pytest.fixture
def served(serve: Serve, day_folder: Path) -> Served:
    (day_folder / "secret.txt").write_text(PLANTED)
    return serve("requests_per_second = 0")


@pytest.fixture
def wire(served: Served) -> Iterator[Wire]:
    with served.wire() as wire:
        yield wire


def test_attack_strings_in_every_parameter(wire: Wire, day_folder: Path) -> None:
    statuses = set()
    for path, names in PARAMETERS.items():
        for name in [*names, "unknown"]:
            for attack in attacks(day_folder):
                given = {key: RIGHT_ONES[key] for key in NEEDED.get(path, [])} | {name: attack}
                query = "&".join(f"{key}={quote(value, safe='')}" for key, value in given.items())
                answer = wire.send(request(f"/pricetracker/{path}?{query}".encode()))
                harmless(answer, (path, name, attack))
                statuses.add(answer.status)
    assert statuses == {200, 404, 422}


def test_attack_strings_as_they_are_in_the_query(wire: Wire, day_folder: Path) -> None:
    for attack in attacks(day_folder):
        target = b"/pricetracker/candles?metric_name=" + raw(attack).replace(b" ", b"+")
        harmless(wire.send(request(target)), attack)


def test_attack_strings_in_every_header(wire: Wire, day_folder: Path) -> None:
    for name in HEADERS:
        for attack in attacks(day_folder):
            sent = request(b"/pricetracker/metrics", name.encode() + b": " + raw(attack) + b"\r\n")
            harmless(wire.send(sent), (name, attack))


def test_attack_strings_as_host(wire: Wire, day_folder: Path) -> None:
    for attack in attacks(day_folder):
        answer = wire.send(b"GET /pricetracker/metrics HTTP/1.1\r\nHost: " + raw(attack) + b"\r\n\r\n")
        harmless(answer, attack)
        assert answer.status in (400, 421)


def test_attack_strings_and_ways_out_in_the_path(wire: Wire, day_folder: Path) -> None:
    ways: list[Callable[[str], str]] = [
        lambda text: quote(text, safe=""),
        quote,
        lambda text: quote(quote(text, safe=""), safe=""),
        lambda text: f"....//....//{quote(text)}",
        lambda text: f"..;/{quote(text)}",
        lambda text: f"%2e%2e/%2e%2e/{quote(text)}",
        lambda text: f"x/../../{quote(text)}",
    ]
    outside = ["secret.txt", "../secret.txt", "../../secret.txt", "data/pricetracker.duckdb", "pricetracker.toml"]
    for text in [*attacks(day_folder), *outside, "../web/token.py", "../../../../etc/passwd", "..%5c..%5csecret.txt"]:
        for root in ("", "pricetracker/", "page/", "docs/"):
            for way in ways:
                answer = wire.send(request(f"/{root}{way(text)}".encode()))
                harmless(answer, (root, text))


def test_nothing_is_changed_by_any_method(wire: Wire) -> None:
    for method in (b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"PROPFIND", b"HEAD"):
        for target in (b"/pricetracker/metrics", b"/", b"/health", b"/sign-in", b"/data/pricetracker.duckdb", b"*"):
            answer = wire.send(request(target, b"Content-Length: 4\r\n", method) + b"a=b&")
            harmless(answer, (method, target))
            if method != b"HEAD" and target.startswith(b"/pricetracker"):
                assert answer.status == 405


def test_random_requests(served: Served, day_folder: Path) -> None:
    ask_at_random(served, day_folder, 2_000, seed=1)


@pytest.mark.long
def test_a_hundred_thousand_random_requests(served: Served, day_folder: Path) -> None:
    ask_at_random(served, day_folder, 100_000, seed=2)


def ask_at_random(served: Served, folder: Path, count: int, seed: int) -> None:
    """Send requests that are partly right, in any combination."""
    chance = random.Random(seed)  # noqa: S311 - to be had again
    given = attacks(folder)
    statuses: dict[int, int] = {}
    with served.wire() as wire:
        known = wire.send(request(b"/pricetracker/metrics")).headers["etag"]
        for number in range(count):
            sent = at_random(chance, given, known)
            answer = wire.send(sent)
            harmless(answer, (seed, number, sent))
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
    assert {200, 304, 400, 404, 405, 422} <= statuses.keys(), statuses
    assert statuses[200] > count / 20, statuses


def at_random(chance: random.Random, attacks: list[str], known: str) -> bytes:
    """A request: often to a path that there is, with parameters that it has, of values that may be right."""

    def value(name: str) -> str:
        likely = {
            "metric_name": ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:BTCUDS"],
            "measure_name": ["price", "volume", "change_percent", "prise"],
            "every": ["1m", "5m", "90m", "6h", "1d", "0m", "7x"],
            "start": ["2026-03-03T10:00Z", "2026-03-02", "2026-03-03T10:00:30+01:00"],
            "end": ["2026-03-03T11:00Z", "2026-03-04", "2020-01-01"],
            "since": ["2026-03-03T10:00Z", "1999-01-01"],
            "open": ["true", "false", "1", "maybe"],
            "format": ["json", "csv", "arrow", "xml"],
        }.get(name, ["x"])
        return chance.choice(likely if chance.random() < 0.8 else attacks)

    path, names = chance.choice(list(PARAMETERS.items()))
    given = [(name, value(name)) for name in names if name in NEEDED.get(path, []) or chance.random() < 0.3]
    if chance.random() < 0.1:
        given.append((chance.choice(["unknown", *names, *attacks]), value("")))
    chance.shuffle(given)
    query = "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in given)
    target = f"/pricetracker/{path}?{query}"
    if chance.random() < 0.15:
        bare = ["/", "/health", "/docs", "/openapi.json", "/metrics", "/sign-in", "/page/", "//", "/x", "/pricetracker"]
        target = chance.choice([*bare, f"/{quote(chance.choice(attacks), safe='/')}", f"/pricetracker/{path}/"])
    if chance.random() < 0.02:
        noise = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 30)))
        target = f"{target}{noise.decode('latin-1')}".replace("\r", "").replace("\n", "").replace(" ", "")
    headers = b""
    for name in chance.sample(HEADERS, k=chance.choice([0, 0, 1, 2])):
        headers += name.encode() + b": " + raw(chance.choice(attacks)) + b"\r\n"
    if chance.random() < 0.2:
        accept = ["application/json", "text/csv", "application/vnd.apache.arrow.stream", "text/html", "*/*"]
        headers += f"Accept: {chance.choice(accept)}\r\nAccept-Encoding: gzip\r\n".encode()
    if chance.random() < 0.1:
        headers += f'If-None-Match: W/"0", {known}\r\n'.encode()
    method = chance.choice([b"GET"] * 12 + [b"HEAD", b"POST", b"PUT", b"OPTIONS", b"DELETE"])
    return request(target.encode("latin-1", "replace"), headers, method)
