"""A new published file under load: no error, no answer of two files, and the server lets go of every file before."""

import os
import time
from pathlib import Path

import duckdb

from benchmarks.consistency import mixed
from benchmarks.http_clients import Answered, Seen, ask
from benchmarks.publishing import fill, kept_files
from benchmarks.serve import PATHS, begin, publishing, served
from tests.market import market
from tests.waiting import until


def open_files(process: int) -> list[str]:
    """Return the published files that a process has open."""
    held = [str(each.readlink()) for each in Path(f"/proc/{process}/fd").iterdir() if each.is_symlink()]
    return [name for name in held if "pricetracker.duckdb" in name]


def test_publications_under_load_mix_nothing_and_leave_nothing_behind(tmp_path: Path) -> None:
    store = fill(tmp_path, 3, begin())
    parts: list[Answered] = []
    with served(tmp_path) as (port, process):
        with publishing(store, tmp_path, 3):
            deadline = time.monotonic() + 60
            while len(list(kept_files(store).iterdir())) < 7:
                assert time.monotonic() < deadline, "not within 60 s: seven published files"
                parts.append(ask(port, list(PATHS), connections=20, seconds=0.5, known=5))
        assert {status for part in parts for status in part.statuses} == {200, 304}
        until(lambda: len(open_files(process)) == 1, 10, "the files before are closed")
    assert len({tag for part in parts for _, tag in part.seen}) >= 4
    assert all(len(same) == 1 for part in parts for same in part.seen.values())  # a tag stands for one body
    seen = [each for part in parts for same in part.seen.values() for each in same]
    assert mixed(seen, dict(enumerate(PATHS.values())), kept_files(store)) == []


def test_what_judges_answers_sees_one_that_is_mixed(tmp_path: Path) -> None:
    store, _ = market(tmp_path / "data", days=1)
    kept = tmp_path / "kept"
    kept.mkdir()
    os.link(store.folder.published, kept / "0.duckdb")
    statements = {0: "SELECT metric, stddev FROM metric_rank WHERE measure = 'price' AND rank = 1"}
    with duckdb.connect(str(kept / "0.duckdb"), read_only=True) as connection:
        [(metric, stddev)] = connection.execute(statements[0]).fetchall()

    def judged(stddev: float, as_of: str = "2026-03-03T12:04:00Z", more: str = "") -> list[str]:
        body = f'{{"as_of": "{as_of}", "data": [{{"metric": "{metric}", "stddev": {stddev!r}{more}}}]}}'
        return mixed([Seen(0, b"tag", body.encode())], statements, kept)

    assert judged(stddev) == []
    assert "1 rows differ" in judged(stddev + 1e-9)[0]
    assert "no such file" in judged(stddev, "2026-03-03T12:05:00Z")[0]
    assert "rows of other minutes" in judged(stddev, more=', "as_of": "2026-03-03T12:05:00Z"')[0]
