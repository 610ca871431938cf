"""A data folder of an earlier version opens, is published and goes on; tests/data/PROVENANCE.md says what it is."""

import tarfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from pricetracker_dagster import sql
from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.alerts.watch import watch_minutes, watch_prices
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.reading import questions
from pricetracker_dagster.reading.published import PublishedFile
from pricetracker_dagster.reading.questions import Question
from pricetracker_dagster.store.publishing.access import OfAnotherVersion
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import open_store
from tests.integration.conftest import Bench

Start = Callable[..., Bench]

ARCHIVE = Path(__file__).parents[1] / "data" / "earlier_folder.tar.xz"
BTC, ETH = "SIMULATED:BTCUSD", "SIMULATED:ETHUSD"
CURSOR = "11"
"""What the sensor had remembered."""

CHANNEL = "json://127.0.0.1:47111/"
"""The channel of that time; nobody listens there: what is due is attempted, which is enough to see."""

NEXT = datetime(2026, 3, 3, 12, 10, tzinfo=UTC)
"""The minute whose tick comes next: the last one of that version was for 12:09."""

FIRST = datetime(2026, 3, 3, tzinfo=UTC)
ALREADY_TOLD = [
    ("exchange error|2026-03-03T12:02Z", "opened"),
    ("exchange error|2026-03-03T12:02Z", "resolved"),
    ("exchange error|2026-03-03T12:08Z", "opened"),
    ("spike|SIMULATED:BTCUSD|volume|2026-03-03T12:00Z", "firing"),
    ("spike|SIMULATED:BTCUSD|volume|2026-03-03T12:00Z", "resolved"),
    ("spike|SIMULATED:ETHUSD|volume|2026-03-03T12:09Z", "firing"),
]


def at(minute: datetime) -> int:
    return int(minute.timestamp())


@pytest.fixture
def earlier(start: Start) -> Bench:
    """The folder, and the exchange five seconds after the next minute has closed."""
    bench = start(
        "BTCUSD", "ETHUSD", now=NEXT + MINUTE + timedelta(seconds=5), extra=f'[alerts]\nchannels = ["{CHANNEL}"]'
    )
    # what that exchange had told: its market is the same each time, these bursts were added
    bench.exchange.faults.add(
        "burst", pair="XBTUSD", since=at(NEXT - 10 * MINUTE), until=at(NEXT - 10 * MINUTE), factor=60
    )
    bench.exchange.faults.add("burst", pair="ETHUSD", since=at(NEXT - MINUTE), until=at(NEXT), factor=60)
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(bench.settings.folder.parent, filter="data")
    assert bench.settings.folder.name == "data-simulated"
    assert bench.store.folder.published.exists()
    return bench


def tick(bench: Bench) -> None:
    """What a minute_tick does."""
    assert collect_minute(bench.settings, bench.minute, now=lambda: bench.now).missing == {}
    publish(bench.store, [BTC, ETH], now=bench.now, minute=bench.minute)


def watch(bench: Bench, cursor: str | None) -> tuple[SensorOutcome, SensorOutcome]:
    """What the two sensors do."""
    return watch_prices(bench.settings, bench.now, cursor), watch_minutes(bench.settings, bench.now)


def events(*looks: SensorOutcome) -> list[tuple[str, str]]:
    """What was due."""
    return sorted((row["id"], row["event"]) for look in looks for row in look.attempts)


def answer(bench: Bench, statement: str) -> list[tuple[object, ...]]:
    with sql.attached(bench.store.folder.published) as connection:
        return connection.execute(statement).fetchall()


def true_volume(bench: Bench, altname: str, minute: datetime) -> float:
    """What the exchange's own trades of a minute add up to, asked of the market and not of its answers."""
    pair = next(pair for pair in bench.exchange.market.pairs if pair.altname == altname)
    return float(sum(trade.volume for trade in bench.exchange.market.trades(pair, at(minute))))


def test_a_table_that_its_published_file_had_not_is_told_with_the_way_out(earlier: Bench) -> None:
    published = earlier.store.folder.published
    with closing(PublishedFile(published)) as file:
        for question in (questions.of_markets(), Question("FROM markets")):
            with pytest.raises(
                OfAnotherVersion, match=r"another version .*, without markets: .*--simulated tick` at once"
            ):
                file.answer(question)
        with pytest.raises(duckdb.CatalogException, match="marketz"):  # neither this version's nor that one's
            file.answer(Question("FROM metric_rank, marketz"))
    publish(earlier.store, [BTC, ETH], now=earlier.now)
    with closing(PublishedFile(published)) as file:
        assert [row["metric"] for row in file.answer(questions.of_markets()).to_dicts()] == [BTC, ETH]


def test_it_is_published_at_its_new_place_with_all_that_it_holds(earlier: Bench) -> None:
    published = publish(earlier.store, [BTC, ETH], now=earlier.now)
    assert published.as_of == NEXT - MINUTE
    assert published.rows == 1456  # 719 of each at first, ten minutes more, and two of them missed for BTC
    assert answer(earlier, "SELECT count(*), count(DISTINCT metric) FROM minute_prices") == [(1456, 2)]
    assert answer(earlier, "SELECT count(*) FROM history_24h") == [(4 * 1456,)]
    assert answer(earlier, "SELECT measure, count(*) FROM metric_rank GROUP BY ALL ORDER BY ALL") == [
        (measure, 2) for measure in ("change_absolute", "change_percentage", "price", "volume")
    ]
    assert answer(
        earlier, "SELECT metric, strftime(minute AT TIME ZONE 'UTC', '%H:%M'), cause FROM missed_minutes ORDER BY ALL"
    ) == [
        (BTC, "12:08", "exchange error"),
        (BTC, "12:09", "exchange error"),
    ]
    assert answer(earlier, "SELECT id, state FROM alerts ORDER BY ALL") == [
        ("spike|SIMULATED:BTCUSD|volume|2026-03-03T12:00Z", "resolved"),
        ("spike|SIMULATED:ETHUSD|volume|2026-03-03T12:09Z", "firing"),
    ]
    assert answer(earlier, "SELECT id, state FROM incidents ORDER BY ALL") == [
        ("exchange error|2026-03-03T12:02Z", "resolved"),
        ("exchange error|2026-03-03T12:08Z", "open"),
    ]
    assert answer(earlier, "SELECT id, event FROM deliveries WHERE delivered ORDER BY ALL") == ALREADY_TOLD


def test_a_tick_goes_on_where_it_was_and_heals_what_was_missed(earlier: Bench) -> None:
    before = earlier.store.prices.candles([BTC, ETH], FIRST - MINUTE * 1440, NEXT - MINUTE).to_pylist()
    collected = collect_minute(earlier.settings, earlier.minute, now=lambda: earlier.now)
    assert (collected.minute, collected.missing) == (NEXT, {})
    assert (collected.inserted, collected.updated) == (4, 0)  # the new minute of both, and the two that BTC had missed
    rows = {
        (row["metric"], row["minute"]): row
        for row in earlier.store.prices.candles([BTC, ETH], FIRST - MINUTE * 1440, NEXT).to_pylist()
    }
    assert len(rows) == 1456 + 4
    assert all(rows[row["metric"], row["minute"]] == row for row in before)
    for metric, altname, minute, factor in (
        (BTC, "XBTUSD", NEXT - 2 * MINUTE, 1),
        (BTC, "XBTUSD", NEXT - MINUTE, 1),
        (BTC, "XBTUSD", NEXT, 1),
        (ETH, "ETHUSD", NEXT, 60),
    ):
        volume = factor * true_volume(earlier, altname, minute)
        assert rows[metric, minute]["volume"] == pytest.approx(volume, rel=1e-12)
    published = publish(earlier.store, [BTC, ETH], now=earlier.now, minute=earlier.minute)
    assert (published.as_of, published.rows) == (NEXT, 1460)
    assert answer(earlier, "SELECT count(*) FROM missed_minutes") == [(0,)]


@pytest.mark.parametrize(
    "cursor", [pytest.param(CURSOR, marks=pytest.mark.long), None], ids=["as remembered", "forgotten"]
)
def test_what_was_told_is_not_missing_again_and_what_is_new_is(earlier: Bench, cursor: str | None) -> None:
    remembered = cursor
    told: list[tuple[str, str]] = []
    for minutes_later in range(8):
        tick(earlier)
        if minutes_later in (0, 1, 6, 7):  # at last once more: of what fails at once, one attempt is made
            prices, minutes = watch(earlier, remembered)
            remembered = prices.cursor
            told += events(prices, minutes)
        earlier.now += MINUTE
    assert sorted(set(told)) == [
        ("exchange error|2026-03-03T12:08Z", "resolved"),
        ("spike|SIMULATED:ETHUSD|volume|2026-03-03T12:09Z", "resolved"),
    ]
    records = open_store(earlier.settings).records
    alerts = {row["id"]: row for row in records.alerts.rows()}
    assert len(alerts) == 2
    ended = alerts["spike|SIMULATED:ETHUSD|volume|2026-03-03T12:09Z"]
    assert ended["ended_because"] == "below again"
    assert (
        ended["last_minute"] == NEXT
    )  # also without a cursor: what came after an open alert decides whether it is over
    delivered = [(row["id"], row["event"]) for row in records.deliveries.rows() if row["delivered"]]
    assert sorted(delivered) == ALREADY_TOLD
