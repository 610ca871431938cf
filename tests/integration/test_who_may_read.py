"""Who may read the published file may read all that its views name, or none of it: the umask decides."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import Store, store_in

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
BTC = "KRAKEN:BTCUSD"


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def store_a_minute(store: Store, minute: int, mask: int) -> None:
    """Store a minute after noon and publish, under a umask."""
    unix = int((NOON + minute * MINUTE).timestamp())
    with umask(mask):
        store.prices.upsert(validate_rows([(BTC, unix, 10.0, 10.0, 10.0, 10.0, 1.0, 1)], NOON).kept)
        publish(store, [BTC], now=NOON + (minute + 1) * MINUTE)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mask", "published"), [(0o022, 0o444), (0o027, 0o440), (0o077, 0o400), (0o002, 0o444)])
def test_the_umask_decides_for_the_published_file_as_for_the_parquet_files(
    tmp_path: Path, mask: int, published: int
) -> None:
    with umask(mask):
        store = store_in(tmp_path / "data")
        store_a_minute(store, 0, mask)
    assert mode(store.folder.published) == published
    assert {mode(Path(file)) & 0o444 for file in store.prices.files()} == {published}


@pytest.mark.parametrize(("masks", "published"), [((0o077, 0o022), 0o400), ((0o022, 0o027), 0o440)])
def test_where_files_were_written_under_different_ones_the_strictest_holds(
    tmp_path: Path, masks: tuple[int, int], published: int
) -> None:
    store = store_in(tmp_path / "data")
    store_a_minute(store, 0, masks[0])
    store_a_minute(store, 24 * 60, masks[1])  # another day, another file
    assert mode(store.folder.published) == published
    subprocess.run(["chmod", "-R", "a+rX", store.folder.path], check=True)
    store_a_minute(store, 24 * 60 + 1, 0o022)
    assert mode(store.folder.published) == 0o444


def test_a_folder_that_others_may_not_enter_is_as_good_as_its_files(tmp_path: Path) -> None:
    store = store_in(tmp_path / "data")
    store_a_minute(store, 0, 0o022)
    store.prices.files()
    Path(store.prices.files()[0]).parent.chmod(0o750)
    store_a_minute(store, 24 * 60, 0o022)
    assert mode(store.folder.published) == 0o440


def test_the_owner_always_reads(tmp_path: Path) -> None:
    with umask(0o022):
        store = store_in(tmp_path / "data")
        store_a_minute(store, 0, 0o022)
    Path(store.prices.files()[0]).chmod(0o000)
    Path(store.prices.files()[0]).chmod(0o200)
    try:
        store_a_minute(store, 24 * 60, 0o022)
    finally:
        Path(store.prices.files()[0]).chmod(0o644)
    assert mode(store.folder.published) == 0o400


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own are not."""
    folder = Path("/tmp") / f"pricetracker-who-may-read-{os.getpid()}"  # noqa: S108 - made below, for this test alone
    with umask(0o022):
        folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("mask", "reads"), [(0o022, "yes"), (0o077, "no"), (0o027, "no")])
def test_another_user_reads_all_of_it_or_nothing(open_folder: Path, mask: int, reads: str) -> None:
    store = store_in(open_folder / "data")
    store.folder.path.mkdir()
    store.folder.path.chmod(0o755)  # so that it is the files that decide
    store_a_minute(store, 0, mask)
    code = (
        "import duckdb, os, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "for table in ('snapshot', 'metric_rank', 'minute_prices', 'history_24h', 'alerts'):\n"
        "    try:\n"
        "        duckdb.connect(sys.argv[1], read_only=True).execute(f'SELECT count(*) FROM {table}').fetchall()\n"
        "        print('yes')\n"
        "    except duckdb.Error:\n"
        "        print('no')\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, store.folder.published], capture_output=True, text=True, timeout=60, check=True
    )
    assert set(answer.stdout.split()) == {reads}
