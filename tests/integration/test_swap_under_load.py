"""A new published file under load: no error, no answer of two files, and the server lets go of every file before."""

import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.consistency import mixed
from benchmarks.http_clients import Answered, Seen, ask
from pricetracker_dagster.local.process_groups import python
from pricetracker_dagster.settings import CONFIG_VARIABLE
from tests.market import AS_OF, METRICS, market, one_minute_more
from tests.waiting import until

BTC = METRICS[0]
RANKING = "SELECT * FROM metric_rank WHERE measure = '{}' ORDER BY rank"
HISTORY = f"FROM history_24h WHERE metric = '{BTC}' AND measure = '{{}}' ORDER BY minute"
PATHS = {
    "/pricetracker/metricsrank?measure_name=price": RANKING.format("price"),
    f"/pricetracker/historicalprices?metric_name={BTC}&measure_name=volume": HISTORY.format("volume"),
    "/pricetracker/metricsrank?measure_name=change_percent": RANKING.format("change_percentage"),
    "/pricetracker/metrics": "FROM available_metrics",
    "/pricetracker/snapshot": "FROM snapshot",
}


@contextmanager
def serving(settings: Path) -> Iterator[tuple[int, int]]:
    """Run `pricetracker serve`; give its port and its process id."""
    environment = {**os.environ, CONFIG_VARIABLE: str(settings), "PYTHONUNBUFFERED": "1"}
    command = python("pricetracker_dagster.cli", "serve")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = until(lambda: re.search(r":(\d+)/?$", process.stdout.readline().strip()), 30, "it says where")  # type: ignore[union-attr]
            yield int(found[1]), process.pid
        finally:
            process.terminate()


def open_files(process: int) -> list[str]:
    """Return the published files that a process has open."""
    held = [str(each.readlink()) for each in Path(f"/proc/{process}/fd").iterdir() if each.is_symlink()]
    return [name for name in held if "pricetracker.duckdb" in name]


def test_publications_under_load_mix_nothing_and_leave_nothing_behind(
    tmp_path: Path, write_settings: Callable[[str], Path]
) -> None:
    settings = write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0')
    store, _ = market(tmp_path / "data", days=1)
    kept = tmp_path / "kept"
    kept.mkdir()
    minutes = [AS_OF]
    os.link(store.folder.published, kept / "0.duckdb")
    stop = threading.Event()

    def publish() -> None:
        while not stop.wait(0.4):
            minutes.append(one_minute_more(store, minutes[-1], close=100.0 + len(minutes)))
            os.link(store.folder.published, kept / f"{len(minutes)}.duckdb")

    parts: list[Answered] = []
    with serving(settings) as (port, process):
        publisher = threading.Thread(target=publish)
        publisher.start()
        try:
            while len(minutes) < 7:
                parts.append(ask(port, list(PATHS), connections=10, seconds=1.0, known=5))
        finally:
            stop.set()
            publisher.join()
        statuses = {status for part in parts for status in part.statuses}
        assert statuses == {200, 304}
        until(lambda: len(open_files(process)) == 1, 10, "the files before are closed")
    tags = {tag for part in parts for _, tag in part.seen}
    assert len(tags) >= 4
    for part in parts:
        assert all(len(same) == 1 for same in part.seen.values())  # a tag stands for one body
        seen = [each for same in part.seen.values() for each in same]
        assert mixed(seen, dict(enumerate(PATHS.values())), kept) == []


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
