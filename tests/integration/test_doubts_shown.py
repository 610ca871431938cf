"""Answers that take trades away: shown while they wait, told with the way to confirm them, however many there are."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from pricetracker_dagster.alerts.status import status
from pricetracker_dagster.alerts.watchdog.observation import Work
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.candles.validate import Validated, validate_rows
from pricetracker_dagster.cli import main
from pricetracker_dagster.cli.status_screen import lines
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store import doubts
from pricetracker_dagster.store.doubts import Doubts
from pricetracker_dagster.store.store import Store, open_store, store_in
from tests.integration.conftest import Bench

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"


def many(count: int, trades: int, *metrics: str) -> Validated:
    first = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
    return validate_rows(
        [
            (metric, first + 60 * i, 10.0, 10.0, 10.0, 10.0, float(trades), trades)
            for metric in metrics
            for i in range(count)
        ],
        NOON,
    )


def trades_of(store: Store, *metrics: str) -> set[int]:
    first = datetime(2025, 1, 1, tzinfo=UTC)
    return set(store.prices.candles(metrics, first, first + 60 * DAY)["trades"].to_numpy().tolist())


@pytest.mark.parametrize(
    ("count", "metrics"), [(12_000, (BTC,)), (6_000, (BTC, ETH)), (30_000, (BTC,)), (4_000, (BTC,))]
)
def test_however_many_rows_one_call_doubts_a_second_one_confirms_them_all(
    tmp_path: Path, count: int, metrics: tuple[str, ...]
) -> None:
    store = store_in(tmp_path)
    store.prices.upsert(many(count, 5, *metrics).kept, now=NOON)
    fewer = many(count, 4, *metrics).kept
    assert store.prices.upsert(fewer, now=NOON).doubted == count * len(metrics)
    assert store.prices.waiting(NOON)._asdict() == {
        "total": count * len(metrics),
        "by_metric": dict.fromkeys(metrics, count),
        "oldest": NOON,
    }
    assert store.prices.upsert(fewer, now=NOON + timedelta(seconds=59)).doubted == count * len(metrics)
    assert trades_of(store, *metrics) == {5}
    later = store.prices.upsert(fewer, now=NOON + timedelta(seconds=60))
    assert (later.doubted, later.updated) == (0, count * len(metrics))
    assert trades_of(store, *metrics) == {4}
    assert store.prices.waiting(NOON + MINUTE).total == 0


def test_another_answer_than_the_first_one_confirms_no_day_of_which_it_says_otherwise(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.prices.upsert(many(8_640, 5, BTC).kept, now=NOON)  # six days
    store.prices.upsert(many(8_640, 4, BTC).kept, now=NOON)
    rows = many(8_640, 4, BTC).kept
    other = validate_rows(
        [(BTC, int(datetime(2025, 1, 2, 7, tzinfo=UTC).timestamp()), 10, 10, 10, 10, 3.0, 3)], NOON
    ).kept
    elsewhere = store_in(tmp_path / "mixed")
    elsewhere.prices.upsert(rows, now=NOON)
    elsewhere.prices.upsert(other, now=NOON)
    elsewhere.prices.upsert(other, now=NOON + MINUTE)
    first = datetime(2025, 1, 1, tzinfo=UTC)
    mixed = elsewhere.prices.candles([BTC], first, first + 10 * DAY)
    upserted = store.prices.upsert(mixed, now=NOON + 2 * MINUTE)
    assert (upserted.updated, upserted.doubted) == (5 * 1440, 1440)
    assert store.prices.upsert(mixed, now=NOON + 3 * MINUTE).doubted in (
        0,
        1440,
    )  # fewer of them: kept one by one from here on
    assert store.prices.upsert(mixed, now=NOON + 4 * MINUTE).doubted == 0
    assert trades_of(store, BTC) == {3, 4}


def test_doubts_of_many_calls_are_confirmed_in_the_end_however_few_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "SINGLY", 5)
    monkeypatch.setattr(doubts, "KEPT", 8)
    store = store_in(tmp_path)
    metrics = [f"KRAKEN:A{number}USD" for number in range(5)]
    for metric in metrics:
        store.prices.upsert(many(4, 5, metric).kept, now=NOON)
    rounds = []
    for number in (1, 2):
        for metric in metrics:
            now = NOON + number * MINUTE
            rounds.append(store.prices.upsert(many(4, 3, metric).kept, now=now).doubted)
        rounds.append(store.prices.waiting(now).total)
    assert rounds == [4, 4, 4, 4, 4, 20, 0, 0, 0, 0, 0, 0]
    assert trades_of(store, *metrics) == {3}


def test_days_that_find_no_room_are_confirmed_in_later_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "SINGLY", 0)
    monkeypatch.setattr(doubts, "KEPT_DAYS", 2)
    store = store_in(tmp_path)
    metrics = ["KRAKEN:A0USD", "KRAKEN:A1USD", "KRAKEN:A2USD"]
    store.prices.upsert(many(2, 5, *metrics).kept, now=NOON)
    rounds = []
    now = NOON
    for _ in range(3):
        for metric in metrics:
            now += MINUTE
            rounds.append(store.prices.upsert(many(2, 3, metric).kept, now=now).doubted)
    assert rounds == [2, 2, 2, 0, 0, 2, 0, 0, 0]
    assert store.prices.waiting(now).total == 0


def test_a_full_answer_settles_what_is_kept_a_day_at_a_time_and_one_about_a_part_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "SINGLY", 5)
    store = store_in(tmp_path)
    store.prices.upsert(many(10, 5, BTC).kept, now=NOON)
    store.prices.upsert(many(10, 3, BTC).kept, now=NOON)
    store.prices.upsert(many(6, 5, BTC).kept, now=NOON)
    assert store.prices.waiting(NOON).total == 10
    store.prices.upsert(many(10, 5, BTC).kept, now=NOON)
    assert store.prices.waiting(NOON).total == 0
    assert store.prices.upsert(many(10, 3, BTC).kept, now=NOON + MINUTE).doubted == 10


def test_an_answer_about_the_same_minutes_that_says_otherwise_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_in(tmp_path)
    store.prices.upsert(many(10, 5, BTC).kept, now=NOON)
    for number, singly in enumerate((5, 10, 5)):
        monkeypatch.setattr(doubts, "SINGLY", singly)
        store.prices.upsert(many(10, 4 - number, BTC).kept, now=NOON)
        assert store.prices.waiting(NOON).total == 10


def test_a_doubt_that_nothing_confirms_for_thirty_days_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_in(tmp_path)
    store.prices.upsert(many(10, 5, BTC).kept, now=NOON)
    for number, singly in enumerate((5, 10)):
        monkeypatch.setattr(doubts, "SINGLY", singly)
        begun = NOON + number * 90 * DAY
        store.prices.upsert(many(10, 3, BTC).kept, now=begun)
        assert store.prices.waiting(begun + 29 * DAY).total == 10
        assert store.prices.waiting(begun + 30 * DAY).total == 0
        assert store.prices.upsert(many(10, 3, BTC).kept, now=begun + 30 * DAY).doubted == 10


@pytest.mark.parametrize("damage", ["", "[", "{}", "[1, null]", '[["a", 1, 2, "x", "2999-01-01T00:00:00+00:00"]]'])
def test_a_damaged_file_of_days_begins_anew(tmp_path: Path, damage: str) -> None:
    store = store_in(tmp_path)
    store.prices.upsert(many(6_000, 5, BTC).kept, now=NOON)
    store.prices.upsert(many(6_000, 4, BTC).kept, now=NOON)
    (store.folder.state / "doubts_by_day.json").write_text(damage)
    assert Doubts(store.folder.state).waiting(NOON).total == 0
    assert store.prices.upsert(many(6_000, 4, BTC).kept, now=NOON + MINUTE).doubted == 6_000


def test_status_shows_what_waits(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD")
    now = datetime.now(UTC)

    def seen() -> tuple[dict[str, object], str]:
        found = status(load_settings(), now, Work)
        json.dumps(found, default=str)
        return found["doubts"], next(line for line in lines(found) if line.startswith("doubts"))

    bench.store.folder.path.mkdir(parents=True, exist_ok=True)
    assert seen() == ({"count": 0, "metrics": {}, "oldest": None}, "doubts      none")
    bench.store.prices.upsert(many(3, 5, BTC, ETH).kept)
    bench.store.prices.upsert(many(2, 4, BTC).kept, now=now - timedelta(hours=1))
    bench.store.prices.upsert(many(1, 4, ETH).kept, now=now)
    told, line = seen()
    assert told == {"count": 3, "metrics": {BTC: 2, ETH: 1}, "oldest": now - timedelta(hours=1)}
    assert "3 answers take trades away from stored minutes and wait for a second one: KRAKEN:BTCUSD 2" in line


def test_an_import_says_which_command_confirms_and_from_when_on(
    write_settings: Callable[[str], Path], tmp_path: Path
) -> None:
    write_settings(f'metrics = ["{BTC}"]')
    store = open_store(load_settings())
    store.prices.upsert(many(20, 5, BTC).kept)
    file = tmp_path / "a folder" / "XBTUSD_1.csv"
    file.parent.mkdir()
    first = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
    file.write_text("".join(f"{first + 60 * i},10,10,10,10,4,4\n" for i in range(20)))
    before = datetime.now(UTC)
    said = CliRunner().invoke(main, ["import", str(file)]).output
    assert "20 rows are not stored yet: fewer trades or less volume than stored" in said
    assert "… and 10 more" in said
    [last] = [line for line in said.splitlines() if "run this again from" in line]
    assert last.endswith(f"import '{file}'")
    told = last.split("run this again from ")[1].split(" UTC")[0]
    assert {f"{before + timedelta(seconds=60 + i):%H:%M:%S}" for i in range(30)} >= {told}
    assert trades_of(store, BTC) == {5}


@pytest.mark.parametrize("option", ["--hours=1", "--from"])
def test_a_backfill_says_so_too(start: Callable[..., Bench], option: str) -> None:
    now = datetime.now(UTC).replace(second=5)
    bench = start("BTCUSD", now=now)
    minute = bench.minute - 5 * MINUTE
    metric = "SIMULATED:BTCUSD"
    bench.store.prices.upsert(validate_rows([(metric, int(minute.timestamp()), 1, 1, 1, 1, 1e9, 10**6)], now).kept)
    asked = [option] if option != "--from" else ["--from", f"{minute:%Y-%m-%dT%H:%MZ}"]
    said = CliRunner().invoke(main, ["--simulated", "backfill", "--refetch", *asked]).output
    assert "1 row is not stored yet" in said
    [last] = [line for line in said.splitlines() if "run this again from" in line]
    first = minute if option == "--from" else datetime.fromisoformat(last.split("--from ")[1].split(" ")[0])
    assert f"backfill --from {first:%Y-%m-%dT%H:%MZ} --to " in last
    assert last.endswith(" --refetch")
