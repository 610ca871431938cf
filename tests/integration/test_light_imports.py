"""What is imported when: by the modules of a fresh interpreter, since those of a test's own are all there already."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.published_day import publish_a_day

HEAVY = {"dagster", "pandas", "plotly", "duckdb", "pyarrow", "requests", "fastapi", "polars", "deltalake", "matplotlib"}


def imported(code: str) -> set[str]:
    """The packages that are imported once the code has run."""
    tell = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tell}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout.splitlines()[-1]))


@pytest.mark.parametrize("code", ["import pricetracker_dagster", "from pricetracker_dagster import open_prices"])
def test_importing_the_package_imports_nothing_of_others(code: str) -> None:
    third_party = imported(code) - imported("") - sys.stdlib_module_names
    assert third_party == {"pricetracker_dagster"}


def test_reading_a_file_imports_neither_pandas_nor_dagster_nor_plotly(tmp_path: Path) -> None:
    published = publish_a_day(tmp_path).published
    code = f"""
from pricetracker_dagster import open_prices
prices = open_prices({str(published)!r})
for relation in (
    prices.metrics(), prices.rank("price"), prices.history("KRAKEN:BTCUSD", "price"), prices.alerts(),
    prices.candles("KRAKEN:BTCUSD", every="5m"), prices.incidents(), prices.missed(), prices.snapshot(),
    prices.sql("FROM metric_rank"),
):
    assert relation.fetchall() and relation.to_dicts() and repr(relation)
    assert relation.to_arrow_table().num_rows
repr(prices)
"""
    assert imported(code) & HEAVY <= {"duckdb", "pyarrow", "deltalake"}


def test_a_chart_imports_plotly_and_still_no_pandas(tmp_path: Path) -> None:
    published = publish_a_day(tmp_path).published
    code = f"""
from pricetracker_dagster import open_prices
open_prices({str(published)!r}).chart("KRAKEN:BTCUSD", "candles").to_json()
"""
    found = imported(code)
    assert "plotly" in found
    assert not found & {"pandas", "dagster", "matplotlib"}


def test_what_keeps_the_parts_of_up_running_imports_none_of_what_they_need() -> None:
    found = imported("import pricetracker_dagster.cli, pricetracker_dagster.local.up")
    assert not found & {*HEAVY, "numpy", "sqlalchemy"}


def test_serving_imports_dagster_when_health_is_asked_for_first_and_never_pandas(tmp_path: Path) -> None:
    publish_a_day(tmp_path)
    code = f"""
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.web.app import build_app
from tests.asgi import ask
app = build_app(Settings(metrics=["KRAKEN:BTCUSD"], data={str(tmp_path)!r}))
assert ask(app, "/pricetracker/metrics").status == 503  # it is not started
assert ask(app, "/docs").status == 200
"""
    assert not imported(code) & {"dagster", "pandas", "plotly", "apprise", "matplotlib"}
    found = imported(f'{code}\nassert ask(app, "/health").status == 503')
    assert "dagster" in found
    assert not found & {"pandas", "plotly", "matplotlib"}
