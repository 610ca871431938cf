"""What every test may use: recorded market data and settings of its own."""

import io
import json
import logging
import lzma
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as of_hypothesis

from pricetracker_dagster.process import secrets
from pricetracker_dagster.settings import CONFIG_VARIABLE, PREFIX
from tests.quick import QUICK
from tests.webhook import Webhook

DATA = Path(__file__).parent / "data"
"""Figures that were transcribed or made for the tests; PROVENANCE.md says from where."""

LARGE_SETS = Path(__file__).parents[2] / "shared" / "data"
"""The recorded files as a whole, which are not part of the project."""

# how long an example takes is the machine's load, and no property of the code
of_hypothesis.register_profile("any load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
of_hypothesis.load_profile("any load")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what takes long where QUICK_TESTS is set, as CI does, which has twenty minutes for everything."""
    if QUICK:
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes long, and QUICK_TESTS is set"))


@pytest.fixture(autouse=True, scope="session")
def _settings_of_the_tests_alone() -> None:
    for variable in _variables():
        del os.environ[variable]


@pytest.fixture(autouse=True)
def _settings_of_the_test_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in _variables():
        monkeypatch.delenv(variable)
    yield
    for variable in _variables():  # what a command sets for its process is not to reach a later test's module
        del os.environ[variable]


def _variables() -> list[str]:
    return [variable for variable in os.environ if variable.startswith(PREFIX)]


@pytest.fixture(autouse=True)
def _secrets_of_the_test_alone() -> None:
    secrets.forget()


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Market data recorded from the real exchange, written from tests/data as the exchange would give it.

    ``rest/`` holds answers of its public interface, ``ohlcvt/`` its downloadable files: thirty hours of six pairs.
    """
    folder = tmp_path_factory.mktemp("recorded")
    rest, ohlcvt = folder / "rest", folder / "ohlcvt"
    rest.mkdir()
    ohlcvt.mkdir()

    told = json.loads((DATA / "kraken_rest.json").read_text(encoding="utf-8"))

    def answer(name: str, result: object) -> None:
        (rest / name).write_text(json.dumps({"error": [], "result": result}), encoding="utf-8")

    answer("Time.json", told["time"])
    answer("Ticker_two_pairs.json", told["ticker"])
    answer("OHLC_XXBTZUSD_1m_720.json", {"XXBTZUSD": told["ohlc"], "last": told["ohlc_last"]})
    (rest / "error_unknown_pair.json").write_text(json.dumps({"error": told["unknown_pair"]}), encoding="utf-8")
    pairs = {}
    for key, *values in told["pairs"]:
        known = zip(("altname", "wsname", "base", "quote", "lot_decimals", "pair_decimals"), values, strict=True)
        pairs[key] = dict.fromkeys(told["pair_fields"]) | dict(known)
        if pairs[key]["wsname"] is None:  # a dark pool
            del pairs[key]["wsname"]
    answer("AssetPairs_397.json", pairs)
    size = len(told["trades"]) // 6
    for i in range(6):
        page = told["trades"][i * size : (i + 1) * size]
        answer(f"Trades_GRTETH_page{i}.json", {"GRTETH": page, "last": f"{page[-1][2]:.4f}".replace(".", "") + "00000"})

    files: dict[str, list[str]] = {}
    with lzma.open(DATA / "kraken_ohlcvt.csv.xz", "rt", encoding="ascii") as lines:
        for line in lines:
            name, _, rest_of_line = line.partition(",")
            files.setdefault(name, []).append(rest_of_line)
    for name, own in files.items():
        (ohlcvt / f"{name}_1.csv").write_text("".join(own), encoding="ascii")
    return folder


@pytest.fixture(scope="session")
def large_sets() -> Path:
    """The recorded files as a whole."""
    if not LARGE_SETS.is_dir():
        pytest.skip(f"the large sets of recorded data are not part of the project: nothing at {LARGE_SETS}")
    return LARGE_SETS


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
