"""What docs/reading.md shows is run: the same question, asked each way, has the same answer."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from pricetracker_dagster.reading.over_http import PricesOverHttp
from pricetracker_dagster.reading.prices import LocalPrices, Prices
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.web.app import build_app
from pricetracker_dagster.web.gate import guarded
from tests.published_day import JUMP, METRICS, publish_a_day
from tests.serving import served
from tests.unit.test_packaging import ROOT

PAGE = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")

MOVER, OPEN = METRICS[1], 3201.05
"""By hand: it rose from 3201.05 (the 1,359th minute, 3200.05 + 1359 % 7) to 4300."""


class Moved(NamedTuple):
    """An answer to the question: the minute to the minute, the figure to nine decimals."""

    metric: str
    minute: str
    percent: float


EXPECTED = Moved(MOVER, f"{JUMP:%Y-%m-%dT%H:%M}", round((4300 - OPEN) / OPEN * 100, 9))


def shown(heading: str, language: str) -> str:
    """The first statement of a section."""
    section = re.split(r"^##", PAGE.partition(f"\n### {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return section.partition(f"```{language}\n")[2].partition("```")[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with settings and a data folder, as a checkout is."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "pricetracker.toml").write_text(f"metrics = {list(METRICS)}\n", encoding="utf-8")
    publish_a_day(folder / "data")
    return folder


@pytest.fixture(scope="module")
def url(place: Path) -> Iterator[str]:
    settings = Settings(metrics=METRICS, data=str(place / "data"))
    with served(guarded(build_app(settings), settings.http)) as url:
        yield url


def run(place: Path, *command: str) -> str:
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {
        "PATH": paths,
        "PYTHONPATH": str(ROOT),
        "PRICETRACKER_CONFIG": str(place / "pricetracker.toml"),
    }
    ran = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def of_a_line(line: str) -> Moved:
    metric, _, minute, value = line.strip().split(",")
    return Moved(metric, minute.removesuffix(":00Z"), round(float(value), 9))


def of_a_row(printed: str) -> Moved:
    found = re.search(r"'(\w+:\w+)'.*datetime\((\d+), (\d+), (\d+), (\d+), (\d+).*, ([\d.]+)\)$", printed.strip())
    assert found, printed
    year, *rest = map(int, found.groups()[1:-1])
    month, day, hour, minute = rest
    return Moved(found[1], f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}", round(float(found[7]), 9))


def test_sql_answers_it(place: Path) -> None:
    with duckdb.connect(str(place / "data" / "pricetracker.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        [(metric, measure, minute, value)] = connection.execute(shown("SQL", "sql")).fetchall()
    assert measure == "change_percentage"
    assert Moved(metric, f"{minute:%Y-%m-%dT%H:%M}", round(value, 9)) == EXPECTED


def test_sql_by_the_command_answers_it(place: Path) -> None:
    answer = run(place, "pricetracker", "sql", shown("SQL", "sql"), "--format", "csv")
    assert of_a_line(answer.splitlines()[1]) == EXPECTED


def test_the_command_line_answers_it(place: Path) -> None:
    assert of_a_line(run(place, "sh", "-euc", shown("Command line", "sh"))) == EXPECTED


def test_python_answers_it(place: Path) -> None:
    assert of_a_row(run(place, sys.executable, "-c", shown("Python", "python"))) == EXPECTED


def test_http_answers_it(place: Path, url: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the example asks with curl, which is not here")
    script = shown("HTTP", "sh")
    assert "http://127.0.0.1:8000" in script
    assert of_a_line(run(place, "sh", "-euc", script.replace("http://127.0.0.1:8000", url))) == EXPECTED


def test_polars_answers_it_from_the_delta_table(place: Path) -> None:
    assert of_a_row(run(place, sys.executable, "-c", shown("Polars", "python"))) == EXPECTED


def test_every_url_that_it_shows_is_answered(url: str) -> None:
    import requests

    shown_urls = set(re.findall(r"http://127\.0\.0\.1:8000(/pricetracker/[^\s\"`]*)", PAGE))
    assert len(shown_urls) >= 3
    for path in shown_urls | set(re.findall(r"^\| `(/pricetracker/\w+)`", PAGE, flags=re.MULTILINE)):
        needed = {"measure_name": "price"} if "overview" in path or path.endswith("historicalprices") else {}
        if path.endswith(("historicalprices", "candles")):
            needed["metric_name"] = METRICS[0]
        if path.endswith("markethistory"):
            needed["market_name"] = "BTC/USD"
        answer = requests.get(url + path, params=needed, timeout=10)
        assert answer.status_code == 200, (path, answer.text)


def test_the_page_lists_the_methods_that_there_are() -> None:
    listed = set(re.findall(r"^\| `(\w+)\(", PAGE, flags=re.MULTILINE))
    for face in (Prices, LocalPrices, PricesOverHttp):
        assert listed == {name for name in dir(face) if not name.startswith("_")}


def test_what_may_be_done_without_the_lock_is_done(place: Path) -> None:
    locked = shown_after("## What SQL may do", "sh")
    run(place, "sh", "-euc", locked)
    assert duckdb.read_parquet(str(place / "rank.parquet")).aggregate("count(*)").fetchall() == [(12,)]
    (place / "rank.parquet").unlink()
    with pytest.raises(AssertionError, match="disabled"):
        run(place, "sh", "-euc", locked.replace(" --unlocked", ""))
    assert not (place / "rank.parquet").exists()


def shown_after(heading: str, language: str) -> str:
    return PAGE.partition(f"\n{heading}\n")[2].partition(f"```{language}\n")[2].partition("```")[0]


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", PAGE):
        assert not target or target.startswith("https://") or (ROOT / "docs" / target).exists(), target
    headings = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in PAGE.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= headings
