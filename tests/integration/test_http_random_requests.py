"""Random requests to the HTTP API, with attack strings wherever a text may stand: nothing fails, is written or leaks.

``RANDOM_REQUESTS=100000 pytest tests/integration/test_http_random_requests.py`` sends more than the suite does.
"""

import os
import random
import socket
from collections import Counter
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import quote

from benchmarks.publishing import fill
from benchmarks.serve import METRIC, begin, served

COUNT = int(os.environ.get("RANDOM_REQUESTS", "2000"))
SECRET = "canary-7351"  # noqa: S105

ROOT = "/pricetracker"
PATHS = [
    "metrics",
    "metricsrank",
    "historicalprices",
    "candles",
    "overview",
    "alerts",
    "incidents",
    "missed",
    "snapshot",
]
NAMES = ["metric_name", "measure_name", "start", "end", "every", "format", "open", "since", "x", "METRIC_NAME", ""]
GOOD = [METRIC, "price", "volume", "change_percent", "5m", "1d", "csv", "json", "arrow", "true", "2026-03-03", "90m"]
METHODS = ["GET"] * 20 + ["HEAD", "HEAD", "POST", "OPTIONS", "PUT", "TRACE", "PATCH"]
STATUSES = {200, 304, 400, 404, 405, 413, 414, 421, 422, 431}


def attacks(folder: Path) -> list[str]:
    secret = folder / "secret.csv"
    return [
        "' OR 1=1 --",
        "'; DROP TABLE metric_rank; --",
        f"' UNION SELECT * FROM read_csv('{secret}') --",  # noqa: S608 - it is meant to be one
        f"KRAKEN:X' UNION ALL FROM read_text('{secret}') --",
        f"price'; COPY (SELECT 1) TO '{folder}/written.csv'; --",
        f"'; ATTACH '{folder}/written.duckdb'; --",
        "'; INSTALL httpfs; LOAD httpfs; --",
        "$metric",
        "{{minutes}}",
        "{{7*7}}${7*7}<%= 7*7 %>",
        "../../../../etc/passwd",
        "..\\..\\..\\windows\\win.ini",
        f"file://{secret}",
        str(secret),
        "http://169.254.169.254/latest/meta-data/",
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "\x00",
        "a\r\nSet-Cookie: a=b",
        "%00%0d%0a",
        "%s%s%s%n",
        "\u202e\ud7ff\U0001f4a9",
        "\xff\xfe",
        "A" * 3000,
        "9" * 400,
        "-1",
        "1e999",
        "NaN",
        "0x7fffffff",
        "9223372036854775808",
        "0001-01-01",
        "9999-12-31T23:59:59.999999Z",
        "2026-02-30",
        "infinity",
        "null",
        "[]",
        "{}",
        "' || (SELECT getenv('HOME')) || '",
        "'; SELECT current_setting('temp_directory'); --",
        "'; SET memory_limit = '1GB'; PRAGMA database_list; --",
    ]


def one_request(chance: random.Random, bad: list[str], tags: list[str], port: int) -> bytes:
    def text() -> str:
        return chance.choice(bad) if chance.random() < 0.5 else chance.choice(GOOD)

    def encoded(text: str) -> str:
        how = chance.random()
        if how < 0.8:
            return quote(text, safe="")
        return quote(text, safe=";/:@&=+$,!'()*%") if how < 0.95 else "".join(f"%{byte:02x}" for byte in text.encode())

    path = f"{ROOT}/{chance.choice(PATHS)}"
    if chance.random() < 0.15:
        path = chance.choice([path + "/", ROOT + "/", "/", ROOT, "/" + ROOT]) + encoded(text())
    query = "&".join(f"{chance.choice(NAMES)}={encoded(text())}" for _ in range(chance.choice([0, 1, 1, 2, 2, 3, 4])))
    headers = {"Host": f"127.0.0.1:{port}"}
    if chance.random() < 0.3:
        headers["Accept"] = chance.choice([*bad, "text/csv", "application/vnd.apache.arrow.stream", "*/*;q=0"])
    if chance.random() < 0.3:
        headers["Accept-Encoding"] = chance.choice([*bad, "gzip", "gzip;q=0", "br", "*"])
    if chance.random() < 0.2:
        headers["If-None-Match"] = chance.choice([*bad, "*", *tags])
    if chance.random() < 0.2:
        headers[chance.choice(["X-Forwarded-For", "Cookie", "Range", "Authorization", "X-Original-URL"])] = text()
    lines = [f"{chance.choice(METHODS)} {path}?{query} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    signs = "\r\n".join(" ".join(line.splitlines()).replace("\x00", "") for line in lines)
    return signs.encode("utf-8") + b"\r\n\r\n"


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Return all files with their sizes and times."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def test_random_requests_find_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 2, begin())
    (tmp_path / "secret.csv").write_text(f"a\n{SECRET}\n")
    bad, tags = attacks(tmp_path), ["x"]
    statuses: Counter[int] = Counter()
    with served(tmp_path) as (port, _):
        before = everything(tmp_path)
        client = socket.create_connection(("127.0.0.1", port), timeout=20)
        for number in range(COUNT):
            chance = random.Random(number)  # noqa: S311
            request = one_request(chance, bad, tags, port)
            client.sendall(request)
            answer = HTTPResponse(client, method=request.split(b" ")[0].decode())
            answer.begin()
            body = answer.read()
            statuses[answer.status] += 1
            assert answer.status in STATUSES, (number, request, body[:1000])
            assert SECRET.encode() not in body, (number, request)
            assert b"Traceback" not in body, (number, request)
            assert b"root:x" not in body, (number, request)
            assert "set-cookie" not in {name.lower() for name in answer.headers}, (number, request)
            if answer.status >= 400:
                assert answer.headers["content-type"] == "application/problem+json", (number, request)
            if tag := answer.headers.get("etag"):
                tags[0] = tag
            if answer.will_close:
                client.close()
                client = socket.create_connection(("127.0.0.1", port), timeout=20)
        client.close()
        assert everything(tmp_path) == before
    assert {200, 304, 404, 405, 422} <= set(statuses), statuses
