"""The HTTP API when something is slow, damaged or gone: others are answered, nothing hangs, every file is let go."""

import gc
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import pytest
import requests

from pricetracker_dagster import sql
from pricetracker_dagster.reading.lines import batches
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.web.app import build_app
from tests.market import AS_OF, METRICS, market, one_minute_more
from tests.serving import served
from tests.waiting import until

BTC = METRICS[0]
SLOW = """SELECT count(*) FROM range(1000000) a, range(9000) b
    WHERE a.range * b.range % 7 = 3 AND coalesce($metric, '') <> 'x'"""
DAYS = 3
LONG = f"/pricetracker/candles?metric_name={BTC}&start=2026-03-01"

Settings = Callable[[str], Path]


def status(url: str) -> tuple[int, str]:
    answer = requests.get(url, timeout=30)
    return answer.status_code, answer.text


def published_files_held() -> list[str]:
    """Return the published files that this process has open."""
    held = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            held.append(str(each.readlink()))
    return [name for name in held if "pricetracker.duckdb" in name]


def missed_asks(patch: pytest.MonkeyPatch, statement: Callable[[], str]) -> None:
    """Let /missed ask something else."""
    load = sql.load
    patch.setattr(sql, "load", lambda file: statement() if file == "reading/sql/missed.sql" else load(file))


def started(url: str, path: str) -> socket.socket:
    """Ask, and read nothing."""
    place = urlsplit(url)
    client = socket.create_connection((place.hostname or "", place.port or 0), timeout=10)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


def test_what_takes_too_long_is_asked_once_for_all_who_wait_and_then_all_goes_on(
    tmp_path: Path, write_settings: Settings
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0\ntimeout_seconds = 0.5')
    market(tmp_path / "data", days=1)
    asked: list[int] = []
    with served(build_app(load_settings())) as url, pytest.MonkeyPatch.context() as patch:

        def slow() -> str:
            asked.append(1)
            return SLOW

        missed_asks(patch, slow)
        with ThreadPoolExecutor(30) as clients:
            same = list(clients.map(status, [f"{url}/pricetracker/missed"] * 30))
            assert len(asked) == 1
            others = [f"{url}/pricetracker/missed?metric_name=KRAKEN:M{number}USD" for number in range(30)]
            began = time.monotonic()
            different = list(clients.map(status, others))
            lasted = time.monotonic() - began
        assert {code for code, _ in same} == {503}
        assert {text for _, text in same} == {same[0][1]}
        assert "longer than 0.5 s (http.timeout_seconds)" in same[0][1]
        assert {code for code, _ in different} == {503}
        assert sum("at work on as many answers as it can be" in text for _, text in different) >= 20
        assert lasted < 5
        patch.undo()
        assert status(f"{url}/pricetracker/missed")[0] == 200


def test_who_waits_is_answered_though_the_first_who_asked_is_gone(tmp_path: Path, write_settings: Settings) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0')
    market(tmp_path / "data", days=1)
    begun, go_on = threading.Event(), threading.Event()
    with served(build_app(load_settings())) as url, pytest.MonkeyPatch.context() as patch:

        def held() -> str:
            begun.set()
            go_on.wait(10)
            return "SELECT 1 AS one WHERE $metric IS NULL"

        missed_asks(patch, held)
        started_first = started(url, "/pricetracker/missed")
        assert begun.wait(10)
        with ThreadPoolExecutor(1) as clients:
            second = clients.submit(status, f"{url}/pricetracker/missed")
            started_first.close()
            go_on.set()
            code, text = second.result(10)
        assert code == 200, text
        assert '"one": 1' in text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_long_answer_that_nobody_reads_holds_up_nobody_and_is_let_go(
    tmp_path: Path, write_settings: Settings, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr("pricetracker_dagster.web.answers.WHOLE_BYTES", 50_000)
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0')
    store, candles = market(tmp_path / "data", days=DAYS)
    rows = int(((candles["metric"] == BTC) & (candles["minute"] >= "2026-03-01T00:00Z")).sum())
    with served(build_app(load_settings())) as url:
        lazy = [started(url, LONG) for _ in range(3)]
        if method == "GET":
            answer = requests.get(url + LONG, timeout=10)
            assert len(answer.json()["data"]) == rows
        else:
            answer = requests.head(url + LONG, timeout=10)
            assert (answer.status_code, answer.content) == (200, b"")
        tag = answer.headers["etag"]
        one_minute_more(store, AS_OF)
        until(lambda: requests.get(f"{url}/pricetracker/snapshot", timeout=5).headers["etag"] != tag, 10, "a new file")
        for client in lazy:
            client.close()
        until(lambda: gc.collect() is not None and len(published_files_held()) == 1, 10, "the old file is let go")


def test_more_long_answers_than_can_be_sent_are_refused(
    tmp_path: Path, write_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pricetracker_dagster.web.answers.WHOLE_BYTES", 50_000)
    monkeypatch.setattr("pricetracker_dagster.web.kept._STREAMS", 2)
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0')
    market(tmp_path / "data", days=30)
    long = f"/pricetracker/candles?metric_name={BTC}&start=2026-02-03"
    with served(build_app(load_settings())) as url:
        lazy = [started(url, f"{long}T0{number}:00Z") for number in range(2)]
        for client in lazy:
            assert client.recv(12) == b"HTTP/1.1 200"
        code, text = status(url + long)
        assert (code, "2 long answers are being sent already" in text) == (503, True)
        assert status(f"{url}/pricetracker/metrics")[0] == 200
        for client in lazy:
            client.close()
        until(lambda: requests.get(url + long, timeout=20).status_code == 200, 10, "there is a place again")


def test_a_published_file_that_is_damaged_gone_or_of_another_version_or_whose_prices_are(
    tmp_path: Path, write_settings: Settings
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0')
    store, _ = market(tmp_path / "data", days=1)
    published, whole = store.folder.published, tmp_path / "whole"
    shutil.copy(published, whole)

    def put(content: Path | bytes) -> None:
        new = tmp_path / "new"
        if isinstance(content, Path):
            shutil.copy(content, new)
        else:
            new.write_bytes(content)
        new.replace(published)

    put(b"not a database" * 1000)
    with served(build_app(load_settings())) as url:
        snapshot, rank = f"{url}/pricetracker/snapshot", f"{url}/pricetracker/metricsrank"
        code, text = status(snapshot)
        assert (code, "cannot be read" in text) == (503, True)
        put(whole)
        until(lambda: status(snapshot)[0] == 200, 10, "the mended file is served")
        published.unlink()
        later = status(rank)
        assert later[0] == 200  # the last one is held
        put(whole)
        tag = requests.get(rank, timeout=10).headers["etag"]
        until(lambda: requests.get(rank, timeout=10).headers["etag"] != tag, 10, "it is back")
        assert status(rank) == later

        earlier = tmp_path / "earlier"
        shutil.copy(whole, earlier)
        earlier.chmod(0o600)
        with duckdb.connect(str(earlier)) as connection:
            connection.execute("ALTER TABLE metric_rank DROP COLUMN relative_stddev")
        put(earlier)
        until(lambda: status(rank)[0] == 503, 10, "the file of another version is noticed")
        code, text = status(rank)
        assert "published by another version of pricetracker, without metric_rank.relative_stddev: the next" in text
        assert requests.get(rank, timeout=30).headers["Retry-After"] == "60"
        assert status(snapshot)[0] == 200
        put(whole)
        until(lambda: status(rank)[0] == 200, 10, "the present version is served")

        gone = max((store.folder.path / "minute_prices").rglob("*.parquet"))
        gone.unlink()
        code, text = status(f"{url}/pricetracker/historicalprices?metric_name=KRAKEN:BTCUSD&measure_name=price")
        assert (code, str(gone) in text, "Run `pricetracker repair`" in text) == (503, True, True), text
    assert published_files_held() == []


def test_a_new_file_is_in_force_within_a_second_whatever_becomes_of_what_is_asked_most(
    tmp_path: Path, write_settings: Settings
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0\ntimeout_seconds = 5')
    store, _ = market(tmp_path / "data", days=1)
    with served(build_app(load_settings())) as url, pytest.MonkeyPatch.context() as patch:
        before = requests.get(f"{url}/pricetracker/missed", timeout=10).headers["etag"]
        missed_asks(patch, lambda: SLOW)
        minute = one_minute_more(store, AS_OF)
        began = time.monotonic()
        snapshot = f"{url}/pricetracker/snapshot"
        until(lambda: requests.get(snapshot, timeout=10).headers["etag"] != before, 10, "the new file", 0.02)
        assert time.monotonic() - began < 2  # a look each quarter of a second, 0.4 s to prepare, a busy machine
        missed_asks(patch, lambda: str(1 / 0))
        code, text = status(f"{url}/pricetracker/missed?metric_name={BTC}")
        assert (code, "this is a mistake of pricetracker" in text) == (500, True)
        patch.undo()
        one_minute_more(store, minute)
        until(lambda: "12:06:00Z" in status(snapshot)[1], 10, "the next file")
        assert status(f"{url}/pricetracker/missed")[0] == 200
    until(lambda: gc.collect() is not None and published_files_held() == [], 10, "all files are let go")


def test_what_is_asked_most_may_have_become_too_long_to_be_kept(
    tmp_path: Path, write_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0')
    store, _ = market(tmp_path / "data", days=1)
    long = f"/pricetracker/candles?metric_name={BTC}"
    with served(build_app(load_settings())) as url:
        tag = requests.get(url + long, timeout=10).headers["etag"]
        monkeypatch.setattr("pricetracker_dagster.web.answers.WHOLE_BYTES", 10_000)
        one_minute_more(store, AS_OF)
        until(lambda: requests.get(f"{url}/pricetracker/snapshot", timeout=5).headers["etag"] != tag, 10, "a new file")
        answer = requests.get(url + long, timeout=10)
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.json()["data"][-1]["minute"] == "2026-03-03T12:05:00Z"


def test_a_long_answer_that_cannot_be_finished_is_seen_to_have_no_end(
    tmp_path: Path, write_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pricetracker_dagster.web.answers.WHOLE_BYTES", 50_000)
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0')
    market(tmp_path / "data", days=DAYS)

    def torn(lines: duckdb.DuckDBPyRelation) -> Iterator[memoryview]:
        yield next(batches(lines))
        raise duckdb.IOException("a file of the views is gone")

    with served(build_app(load_settings())) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pricetracker_dagster.web.answers.batches", torn)
        for encoding in ("gzip", "identity"):
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                requests.get(url + LONG, headers={"Accept-Encoding": encoding}, timeout=10)
        patch.undo()
        assert status(url + LONG)[0] == 200
