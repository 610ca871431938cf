"""One file of several fails alone: the others are imported, and the command says which failed and why."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pricetracker_dagster.cli import main
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store.bulk import BulkLoad
from pricetracker_dagster.store.store import open_store

MINUTE = 1_672_531_200  # 2023-01-01 00:00 UTC
GOOD = f"{MINUTE},1,2,1,2,3,4\n{MINUTE + 60},2,2,2,2,1,1\n"


@pytest.fixture
def bring(write_settings: Callable[[str], Path], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    def run(**files: bytes) -> tuple[int, str, str]:
        write_settings('metrics = ["KRAKEN:BTCUSD"]')
        paths = []
        for name, content in files.items():
            path = tmp_path / f"{name}.csv"
            path.write_bytes(content)
            paths.append(str(path))
        done = CliRunner().invoke(main, ["import", *paths])
        return done.exit_code, done.stdout, done.stderr

    return run


def stored(*metrics: str) -> dict[str, datetime]:
    return open_store(load_settings()).prices.newest(metrics, datetime(2022, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("XBTUSD_1", b"", "no line is unix,open,high,low,close,volume,trades"),
        ("XBTUSD_1", b"a,b\nc,d\n", ""),
        ("XBTUSD_1", b"\x00\x01\x02\xff\xfe" * 500, ""),
        ("XBTUSD_60", GOOD.encode(), "candles of 60 minutes"),
        ("prices", GOOD.encode(), "not named like Kraken's OHLCVT files"),
    ],
)
def test_a_file_that_is_none_of_krakens_fails_alone(
    bring: Callable[..., tuple[int, str, str]], name: str, content: bytes, why: str
) -> None:
    status, said, failed = bring(ETHUSD_1=GOOD.encode(), **{name: content}, XDGUSD_1=GOOD.encode())
    assert status == 1
    assert stored("KRAKEN:ETHUSD", "KRAKEN:DOGEUSD").keys() == {"KRAKEN:ETHUSD", "KRAKEN:DOGEUSD"}
    assert "ETHUSD_1.csv: KRAKEN:ETHUSD: 2 minutes" in said
    assert f"{name}.csv: " in failed
    assert why in failed
    assert "Traceback" not in failed


@pytest.mark.parametrize("mistake", [TypeError("no"), OSError(28, "No space left on device", "/data/x.parquet")])
def test_a_file_that_cannot_be_stored_fails_alone(
    bring: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, mistake: Exception
) -> None:
    whole = BulkLoad.add

    def spoiled(self: BulkLoad, candles: Any, filled: Any) -> None:
        if candles["metric"][0].as_py() == "KRAKEN:BTCUSD":
            raise mistake
        whole(self, candles, filled)

    monkeypatch.setattr(BulkLoad, "add", spoiled)
    status, _, failed = bring(XBTUSD_1=GOOD.encode(), ETHUSD_1=GOOD.encode())
    assert status == 1
    assert stored("KRAKEN:ETHUSD", "KRAKEN:BTCUSD").keys() == {"KRAKEN:ETHUSD"}
    told = [line for line in failed.splitlines() if line.startswith("Error: ")]
    assert len(told) == 1
    assert "XBTUSD_1.csv: " in told[0]
    assert ("a mistake of pricetracker: TypeError: no" in told[0]) == isinstance(mistake, TypeError)
