"""The notebook of the documentation, executed as a person does it: each cell, in a kernel of its own."""

from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from tests.published_day import publish_a_day
from tests.unit.test_packaging import ROOT

NOTEBOOK = ROOT / "docs" / "reading.ipynb"


def kept() -> Any:
    """The notebook as it is kept."""
    reads: Any = nbformat.reads  # has no annotations
    return reads(NOTEBOOK.read_text(encoding="utf-8"), as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each cell of code shows, by its kind."""
    folder = tmp_path_factory.mktemp("day")
    publish_a_day(folder)
    notebook = kept()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRICES", str(folder))
        nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [output for cell in cells for output in cell.outputs if output.output_type == "stream"] == []
    return [cell.outputs[-1].data for cell in cells]


def test_what_is_opened_says_what_it_is(executed: list[dict[str, Any]]) -> None:
    assert "pricetracker.duckdb: 3 metrics, up to 2026-03-03 12:04 UTC" in executed[0]["text/plain"]


def test_a_relation_is_shown_as_a_table_with_its_types(executed: list[dict[str, Any]]) -> None:
    metrics, rank, moved, history = executed[1:5]
    assert metrics["text/html"].startswith("<table")
    assert "TIMESTAMP WITH TIME ZONE" in rank["text/html"]
    assert "KRAKEN:ETHUSD" in moved["text/html"]
    assert "2026-03-03 08:44:00+00" in moved["text/html"]  # the minute of the jump
    assert "2026-03-02 12:00:00+00" in history["text/html"]


def test_a_history_becomes_a_data_frame(executed: list[dict[str, Any]]) -> None:
    assert "count      25.0" in executed[5]["text/plain"]  # the hours that 24 hours up to 12:04 touch


def test_a_chart_is_shown(executed: list[dict[str, Any]]) -> None:
    figure = executed[6]["application/vnd.plotly.v1+json"]
    assert [trace["type"] for trace in figure["data"]][:2] == ["candlestick", "bar"]
    assert figure["layout"]["title"]["text"].startswith("KRAKEN:ETHUSD")


def test_it_is_kept_without_outputs_and_without_a_place_on_a_machine() -> None:
    notebook = kept()
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in code if cell.outputs or cell.execution_count] == []
    assert notebook.metadata.kernelspec.name == "python3"
    assert not [name for name in (str(ROOT), str(Path.home())) if name in NOTEBOOK.read_text(encoding="utf-8")]
