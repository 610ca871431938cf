"""What docs/contributing.md names is there."""

import re

import pytest

from tests.unit.test_packaging import ROOT

PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:pricetracker_dagster|tests|docs)/[\w./]+|README\.md)`", PAGE)))


@pytest.mark.parametrize("path", [path for path in NAMED if "NAME" not in path])
def test_each_file_that_it_names_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_it_names_files_for_each_task() -> None:
    tasks = [line for line in PAGE.splitlines() if line.startswith("## ")]
    assert tasks == [
        "## An exchange",
        "## A measure",
        "## A published table",
        "## A question over HTTP",
        "## A rule",
        "## A command",
        "## An asset",
        "## A benchmark",
    ]
    assert len(NAMED) > 25
