"""The tables need not lie in the data folder: they have a URL of their own, and all but their files is used as ever."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.files.data_folder import DataFolder
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import Store

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    tables = tmp_path / "tables"
    tables.mkdir()
    return Store(DataFolder(tmp_path / "data", f"{tables.as_uri()}/"))


def candles(*closes: float) -> pa.Table:
    rows = [
        ("KRAKEN:BTCUSD", NOON - n * MINUTE, close, close, close, close, 1.0, 1, NOON)
        for n, close in enumerate(closes, start=1)
    ]
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


def test_a_table_is_named_below_the_url_and_state_stays_on_this_machine(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path, "s3://bucket/prices/", {"region": "eu-central-1"})
    table = folder.table("minute_prices")
    assert (table.url, table.storage_options) == ("s3://bucket/prices/minute_prices", {"region": "eu-central-1"})
    assert table.local_path is None
    assert folder.state == tmp_path / "state"


def test_a_local_table_is_a_folder_of_the_data_folder(tmp_path: Path) -> None:
    table = DataFolder(tmp_path).table("minute_prices")
    assert (table.url, table.path) == (str(tmp_path / "minute_prices"), tmp_path / "minute_prices")
    assert table.storage_options is None


def test_what_is_stored_elsewhere_is_corrected_maintained_and_published(store: Store, tmp_path: Path) -> None:
    assert store.prices.upsert(candles(1.0, 2.0), now=NOON).inserted == 2
    assert store.prices.upsert(candles(1.0, 3.0), now=NOON).updated == 1
    assert store.prices.rows() == 2
    assert maintain(store).troubles == ()
    assert publish(store, None, now=NOON).rows == 2
    with duckdb.connect(str(store.folder.published), read_only=True) as connection:
        assert connection.sql("SELECT close FROM minute_prices ORDER BY minute").fetchall() == [(3.0,), (1.0,)]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["pricetracker.duckdb", "state"]


def test_what_needs_the_files_of_a_table_says_that_they_are_elsewhere(store: Store) -> None:
    store.prices.upsert(candles(1.0), now=NOON)
    with pytest.raises(PricetrackerError, match="minute_prices is not on this machine: its files cannot be looked at"):
        store.prices.examine()
