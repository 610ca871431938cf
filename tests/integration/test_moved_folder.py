"""A data folder that was moved, copied or linked: published anew by whoever comes first, else told."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from pricetracker_dagster import open_prices
from pricetracker_dagster.cli import main
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store.publishing import publish as publishing
from pricetracker_dagster.store.publishing.access import PublishedDamaged, moved_from
from pricetracker_dagster.store.publishing.publish import publish, publish_if_moved
from pricetracker_dagster.store.store import store_in
from tests.integration.test_torn_tables import FIRST, METRICS, NOW, candles

ALL = "SELECT count(*) FROM minute_prices"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A data folder, published."""
    folder = tmp_path / "old" / "data"
    store_in(folder).prices.upsert(candles(FIRST, 20, 100.0), now=NOW)
    publish(store_in(folder), METRICS, now=NOW)
    return folder


@pytest.fixture
def new(old: Path, write_settings: Callable[[str], Path]) -> Path:
    """Where the settings look for it now."""
    write_settings('metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]\n')
    return load_settings().folder


def test_a_publication_after_the_move_is_made_although_nothing_else_has_changed(old: Path, new: Path) -> None:
    assert not publish(store_in(old), METRICS, now=NOW).built
    old.rename(new)
    assert publish(store_in(new), METRICS, now=NOW).built
    assert open_prices(new / "pricetracker.duckdb").sql(ALL).df().iloc[0, 0] == 40
    assert not publish(store_in(new), METRICS, now=NOW).built


@pytest.mark.parametrize(
    "command",
    [["sql", ALL], ["rank", "price"], ["metrics"], ["history", "KRAKEN:BTCUSD", "price"], ["alerts"], ["incidents"]],
)
def test_a_reading_command_after_the_move_publishes_anew_and_answers(old: Path, new: Path, command: list[str]) -> None:
    old.rename(new)
    assert moved_from(new / "pricetracker.duckdb") == str(old)
    answer = CliRunner().invoke(main, command)
    assert answer.exit_code in (0, 2), answer.output  # 2: no values in the last 24 hours by this machine's clock
    assert "Traceback" not in answer.output
    assert moved_from(new / "pricetracker.duckdb") is None
    assert open_prices(new / "pricetracker.duckdb").sql(ALL).df().iloc[0, 0] == 40


def test_a_copy_never_answers_from_the_original(old: Path, new: Path) -> None:
    shutil.copytree(old, new)
    store_in(old).prices.upsert(candles(FIRST, 20, 500.0), now=NOW)
    publish(store_in(old), METRICS, now=NOW)
    answer = CliRunner().invoke(main, ["sql", "SELECT max(open) FROM minute_prices", "--format", "csv"])
    assert answer.stdout.splitlines()[1] == "119.0"


def test_where_it_cannot_be_published_the_error_says_from_where_to_where(
    old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.rename(new)

    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(30, "Read-only file system", str(new))

    monkeypatch.setattr(publishing, "publish", read_only)
    for command in (["sql", ALL], ["rank", "price"], ["metrics"]):
        answer = CliRunner().invoke(main, command)
        assert answer.exit_code == 1
        assert answer.stderr == (
            f"Error: the data folder was moved or copied from {old} to {new}, and what is published reads the files "
            "there still: run `pricetracker tick`, which publishes anew\n"
        )


def test_python_readers_are_told_of_the_move_too(old: Path, new: Path) -> None:
    old.rename(new)
    with pytest.raises(PublishedDamaged, match=f"moved or copied from {old} to {new}"):
        open_prices(new / "pricetracker.duckdb").sql(ALL).df()


def test_another_way_to_the_same_folder_is_no_move(old: Path, new: Path) -> None:
    new.symlink_to(old)
    assert moved_from(new / "pricetracker.duckdb") is None
    assert not publish(store_in(new), METRICS, now=NOW).built
    assert not publish_if_moved(store_in(new), METRICS, now=NOW)


def test_a_move_is_seen_in_a_file_of_an_earlier_version_that_does_not_say_where_it_was_made(
    old: Path, new: Path
) -> None:
    published = old / "pricetracker.duckdb"
    published.chmod(0o644)
    with duckdb.connect(str(published)) as connection:
        connection.execute("ALTER TABLE sources DROP COLUMN folder")
    assert moved_from(published) is None
    old.rename(new)
    assert moved_from(new / "pricetracker.duckdb") == str(old)
    assert publish_if_moved(store_in(new), METRICS, now=NOW)
    assert open_prices(new / "pricetracker.duckdb").sql(ALL).df().iloc[0, 0] == 40


@pytest.mark.parametrize("command", [["repair", "--yes"], ["watch"]])
def test_what_looks_after_the_folder_publishes_anew_too(old: Path, new: Path, command: list[str]) -> None:
    old.rename(new)
    assert "moved or copied" in CliRunner().invoke(main, ["repair", "--format", "json"]).stdout
    CliRunner().invoke(main, command)
    assert moved_from(new / "pricetracker.duckdb") is None
    assert open_prices(new / "pricetracker.duckdb").sql(ALL).df().iloc[0, 0] == 40


def test_status_tells_of_a_move(old: Path, new: Path) -> None:
    old.rename(new)
    answer = CliRunner().invoke(main, ["status"])
    assert answer.exit_code == 1
    assert f"the data folder was moved or copied from {old} to {new}" in answer.stdout
