"""Both Python faces answer the same: the file itself, and the HTTP API that serves it."""

import gc
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pytest
import requests
from pydantic import SecretStr

from pricetracker_dagster import open_prices
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.reading.http_answers import NotAllowed
from pricetracker_dagster.reading.prices import Prices
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.settings.http import HttpSettings
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.web.app import build_app
from pricetracker_dagster.web.gate import guarded
from tests.published_day import AS_OF, METRICS, SPIKE, Day, publish_a_day
from tests.serving import served
from tests.waiting import until

BITCOIN = METRICS[0]

Asked = Callable[[Prices], duckdb.DuckDBPyRelation]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    return publish_a_day(tmp_path_factory.mktemp("day"))


@pytest.fixture(scope="module")
def url(day: Day) -> Iterator[str]:
    with served(build_app(Settings(metrics=METRICS, data=str(day.published.parent)))) as url:
        yield url


@pytest.fixture(scope="module")
def local(day: Day) -> Prices:
    return open_prices(day.published)


@pytest.fixture(scope="module")
def remote(url: str) -> Prices:
    return open_prices(url)


QUESTIONS: dict[str, Asked] = {
    "metrics": lambda prices: prices.metrics(),
    "rank of a measure": lambda prices: prices.rank("volume"),
    "rank of each": lambda prices: prices.rank(),
    "rank by its earlier name": lambda prices: prices.rank("change_percent"),
    "history": lambda prices: prices.history(BITCOIN, "price"),
    "history of a time": lambda prices: prices.history(
        BITCOIN, "volume", start="2026-03-03T09:00Z", end=datetime.fromisoformat("2026-03-03T12:30:00+01:00")
    ),
    "history of hours": lambda prices: prices.history(BITCOIN, "change_percentage", hours=2.5),
    "history of hours before": lambda prices: prices.history(BITCOIN, "price", hours=3, end=SPIKE),
    "history of bins": lambda prices: prices.history(BITCOIN, "price", every="1h"),
    "history of nothing": lambda prices: prices.history(BITCOIN, "price", start=AS_OF + MINUTE, end=AS_OF + 9 * MINUTE),
    "candles": lambda prices: prices.candles(METRICS[2]),
    "candles of a time": lambda prices: prices.candles(BITCOIN, "2026-03-03T09:01", "2026-03-03T11:07", "5m"),
    "candles of days": lambda prices: prices.candles(BITCOIN, AS_OF - timedelta(days=9), every="1d"),
    "alerts": lambda prices: prices.alerts(),
    "open alerts": lambda prices: prices.alerts(only_open=True, since=SPIKE),
    "alerts since later": lambda prices: prices.alerts(since=SPIKE + MINUTE),
    "incidents": lambda prices: prices.incidents(),
    "open incidents": lambda prices: prices.incidents(only_open=True),
    "markets": lambda prices: prices.markets(),
    "a market": lambda prices: prices.markets("GRT/ETH"),
    "history of a market": lambda prices: prices.market_history("BTCUSD"),
    "missed": lambda prices: prices.missed(),
    "missed of a metric": lambda prices: prices.missed(BITCOIN),
    "missed of another": lambda prices: prices.missed(METRICS[1]),
    "snapshot": lambda prices: prices.snapshot(),
}
EMPTY = {"history of nothing", "alerts since later", "open incidents", "missed of another"}


@pytest.mark.parametrize("name", QUESTIONS)
def test_names_types_rows_and_their_order_are_the_same(name: str, local: Prices, remote: Prices) -> None:
    here, there = QUESTIONS[name](local), QUESTIONS[name](remote)
    assert there.columns == here.columns
    assert there.types == here.types
    assert there.fetchall() == here.fetchall()
    assert bool(here.fetchall()) == (name not in EMPTY)


@pytest.mark.parametrize(
    "ask",
    [
        lambda prices: prices.history("KRAKEN:BTCUDS", "price"),
        lambda prices: prices.history("KRAKEN:XBTUSD", "price"),
        lambda prices: prices.candles("KRAKEN:NONE", "2026-03-01", "2026-03-02"),
        lambda prices: prices.rank("prise"),
        lambda prices: prices.markets("BTC/USDX"),
        lambda prices: prices.market_history("btcusd"),
        lambda prices: prices.history(BITCOIN, "price", every="0m"),
        lambda prices: prices.candles(BITCOIN, every="a while"),
        lambda prices: prices.candles(BITCOIN, "2026-03-04", "2026-03-03"),
        lambda prices: prices.history(BITCOIN, "price", hours=-1),
        lambda prices: prices.history(BITCOIN, "price", hours=1e300),
        lambda prices: prices.alerts(since="yesterday"),
        lambda prices: prices.chart(BITCOIN, "prise"),
    ],
)
def test_errors_are_the_same_kind_and_say_the_same(ask: Asked, local: Prices, remote: Prices) -> None:
    with pytest.raises(PricetrackerError) as here:
        ask(local)
    with pytest.raises(PricetrackerError) as there:
        ask(remote)
    assert (type(there.value), str(there.value)) == (type(here.value), str(here.value))


def test_charts_are_the_same(local: Prices, remote: Prices) -> None:
    for what in ("candles", "volume"):
        assert remote.chart(BITCOIN, what).to_json() == local.chart(BITCOIN, what).to_json()


def test_an_answer_outlives_later_ones_and_the_object_that_gave_it(url: str) -> None:
    prices = open_prices(url)
    history = prices.history(BITCOIN, "price")
    rows = history.fetchall()
    prices.rank("price").fetchall()
    del prices
    gc.collect()
    assert history.fetchall() == rows
    assert history.aggregate("count(*)").fetchall() == [(1430,)]
    assert history.df().shape == (1430, 4)
    assert history.pl().height == history.to_arrow_table().num_rows == 1430
    assert str(history.df()["minute"].dtype) == "datetime64[us, UTC]"


def test_the_object_says_where_it_reads_and_how_new_that_is(url: str, remote: Prices) -> None:
    assert repr(remote) == f"<prices of {url}: 3 metrics, up to 2026-03-03 12:04 UTC>"


def test_a_gate_opens_for_its_token_alone(day: Day) -> None:
    token = secrets.token_urlsafe(24)
    settings = Settings(metrics=METRICS, data=str(day.published.parent), http=HttpSettings(token=SecretStr(token)))
    with served(guarded(build_app(settings), settings.http)) as url:
        assert open_prices(url, token=token).snapshot().fetchall()
        for wrong in (None, token[:-1]):
            with pytest.raises(
                NotAllowed, match=rf"^{url} lets in who knows its token .*PRICETRACKER_HTTP__TOKEN$"
            ) as error:
                open_prices(url, token=wrong)
            assert token not in str(error.value)


def test_who_asks_too_often_is_answered_after_a_while(day: Day) -> None:
    settings = Settings(metrics=METRICS, data=str(day.published.parent), http=HttpSettings(requests_per_second=30))
    with served(guarded(build_app(settings), settings.http)) as url:
        session, prices = requests.Session(), open_prices(url)
        while session.get(f"{url}/pricetracker/snapshot", timeout=10).status_code == 200:
            pass
        assert prices.snapshot().fetchall()


def test_later_answers_are_of_the_newest_file_and_earlier_ones_stay(tmp_path: Path) -> None:
    day = publish_a_day(tmp_path)
    with served(build_app(Settings(metrics=METRICS, data=str(tmp_path)))) as url:
        both = open_prices(url), open_prices(day.published)
        before = [prices.history(METRICS[1], "price") for prices in both]
        end = AS_OF + 2 * MINUTE
        row = (METRICS[1], int((AS_OF + MINUTE).timestamp()), 3200.0, 3200.0, 3200.0, 3200.0, 1.0, 1)
        day.store.prices.upsert(validate_rows([row], end).kept)
        publish(day.store, list(METRICS), now=end)
        for prices, earlier in zip(both, before, strict=True):
            until(partial(says, prices, "up to 2026-03-03 12:05 UTC"), 5, "the newest file is answered from")
            assert prices.history(METRICS[1], "price").fetchall()[-1][-1] == 3200.0
            assert earlier.fetchall()[-1][2] == AS_OF


def says(prices: Prices, text: str) -> bool:
    return text in repr(prices)
