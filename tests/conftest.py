"""What every test may use: recorded market data and settings of its own."""

import io
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pricetracker_dagster.settings import CONFIG_VARIABLE, PREFIX
from tests.webhook import Webhook

RECORDED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _settings_of_the_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith(PREFIX):
            monkeypatch.delenv(variable)


@pytest.fixture(scope="session")
def recorded() -> Path:
    """Market data recorded from real exchanges; it is not part of the project."""
    if not RECORDED.is_dir():
        pytest.skip(f"no recorded market data at {RECORDED}")
    return RECORDED


@pytest.fixture
def write_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Write a settings file and make it the one in force."""

    def write(text: str) -> Path:
        path = tmp_path / "pricetracker.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv(CONFIG_VARIABLE, str(path))
        return path

    return write


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A webhook on loopback, as a channel of alerts."""
    with Webhook() as hook:
        yield hook


@pytest.fixture
def root_log() -> Iterator[io.StringIO]:
    """What every logger says that hands it on; caplog also listens to those that do not."""
    written = io.StringIO()
    root, handler = logging.getLogger(), logging.StreamHandler(written)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)
