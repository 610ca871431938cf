"""ccxt as a client of every simulated dialect: it reads what the market's trades add up to, and knows the errors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pricetracker_dagster.simulator import Simulator, SyntheticMarket
from pricetracker_dagster.simulator.market import Pair
from tests.dialects import ALL_DIALECTS

ccxt = pytest.importorskip("ccxt")

NOON = datetime.now(UTC).replace(second=20, microsecond=0)
"""ccxt asks by the machine's clock, too."""

FORMING = int(NOON.timestamp()) // 60 * 60
ROWS_OF_QUIET_MINUTES = ("kraken", "binance", "bitstamp", "gemini", "okx")
ADDRESS = {"binance": "/api/v3", "bitstamp": "/api"}
BY_CCXT = {"coinbase": "coinbaseexchange"}
NAMES = tuple(dialect.name for dialect in ALL_DIALECTS)


@dataclass
class Client:
    """One exchange as ccxt sees it, beside the market that its dialect tells."""

    name: str
    ccxt: Any
    simulator: Simulator

    def symbol(self, wsname: str) -> str:
        """Return ccxt's name of a pair."""
        named = wsname.replace("XBT", "BTC").replace("XDG", "DOGE")
        return named.replace("/USD", "/USDT") if self.name == "binance" else named

    def pair(self, wsname: str) -> Pair:
        """Return the pair as the exchange trades it."""
        return next(pair for pair in self.simulator.dialects[self.name].market.pairs if pair.wsname == wsname)

    def by_hand(self, wsname: str, first: int, last: int) -> list[list[float]]:
        """Return the rows that ccxt should read: minutes are added up here from the trades of the market."""
        market, pair = self.simulator.dialects[self.name].market, self.pair(wsname)
        close, rows = None, []
        for minute in range(first - 7200, last + 60, 60):
            trades = [one for one in market.trades(pair, minute) if one.time <= NOON.timestamp() * 10**9]
            prices = [float(one.price) for one in trades] or ([] if close is None else [close])
            volume = float(sum((one.volume for one in trades), Decimal(0)))
            if prices:
                close = prices[-1]
            if minute >= first and (trades or (prices and self.name in ROWS_OF_QUIET_MINUTES)):
                rows.append([minute * 1000, prices[0], max(prices), min(prices), prices[-1], volume])
        return rows


@pytest.fixture
def exchange() -> Iterator[Simulator]:
    with Simulator(clock=lambda: NOON, dialects=ALL_DIALECTS, market=SyntheticMarket(3)) as simulator:
        yield simulator


@pytest.fixture
def ask(exchange: Simulator) -> Callable[[str], Client]:
    def client(name: str) -> Client:
        options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": {"webApiEnable": False}}
        how = {"enableRateLimit": False, "options": options, "timeout": 60_000}  # a busy machine answers late
        it = getattr(ccxt, BY_CCXT.get(name, name))(how)
        it.urls["api"] = dict.fromkeys(it.urls["api"], exchange.url + ADDRESS.get(name, ""))
        return Client(name, it, exchange)

    return client


@pytest.mark.parametrize("name", NAMES)
def test_ccxt_reads_the_pairs_of_a_dialect(ask: Callable[[str], Client], name: str) -> None:
    client = ask(name)
    markets = client.ccxt.load_markets()
    wanted = {client.symbol(pair.wsname) for pair in SyntheticMarket(3).pairs} - {"USDT/USDT"}
    assert set(markets) == wanted
    assert all(market["spot"] for market in markets.values())
    if name != "kraken":  # the recorded answers have no status of a pair, which ccxt looks for
        assert all(market["active"] in (True, None) for market in markets.values())


@pytest.mark.parametrize("wsname", ["XBT/USD", "GRT/ETH", "S0002/USD"])
@pytest.mark.parametrize("name", NAMES)
def test_ccxt_reads_the_candles_that_the_trades_add_up_to(ask: Callable[[str], Client], name: str, wsname: str) -> None:
    client = ask(name)
    first = FORMING - 40 * 60
    read = client.ccxt.fetch_ohlcv(client.symbol(wsname), "1m", since=first * 1000)
    wanted = client.by_hand(wsname, first, FORMING)
    read = [row for row in read if row[0] >= first * 1000]
    assert [row[0] for row in read] == [row[0] for row in wanted]
    assert [row[1:] for row in read] == [pytest.approx(row[1:], rel=1e-12) for row in wanted]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("kraken", "gemini")])
def test_ccxt_reads_a_range_of_days_ago(ask: Callable[[str], Client], name: str) -> None:
    client = ask(name)
    first = FORMING - 3 * 86_400
    read = client.ccxt.fetch_ohlcv(client.symbol("ETH/USD"), "1m", since=first * 1000, limit=120)
    wanted = client.by_hand("ETH/USD", first, first + 119 * 60)
    assert [row for row in read if first * 1000 <= row[0] < (first + 7200) * 1000] == [
        pytest.approx(row, rel=1e-12) for row in wanted
    ]


@pytest.mark.parametrize("name", NAMES)
def test_ccxt_reads_the_trades_of_the_market(ask: Callable[[str], Client], name: str) -> None:
    client = ask(name)
    since = int((NOON - timedelta(minutes=20)).timestamp()) * 1000
    read = client.ccxt.fetch_trades(client.symbol("ETH/USD"), since=since, limit=500)
    pair = client.pair("ETH/USD")
    market = client.simulator.dialects[name].market
    told = {
        (float(one.price), float(one.volume), "buy" if one.side == "b" else "sell")
        for minute in range(since // 60_000 * 60, FORMING + 60, 60)
        for one in market.trades(pair, minute)
        if since * 10**6 <= one.time <= NOON.timestamp() * 10**9
    }
    assert {(one["price"], one["amount"], one["side"]) for one in read if one["timestamp"] >= since} == told
    assert len(told) > 50


@pytest.mark.parametrize("name", ["kraken", "coinbase", "binance", "okx"])
def test_ccxt_reads_the_time(ask: Callable[[str], Client], name: str) -> None:
    client = ask(name)
    client.simulator.faults.add("clock_skew", seconds=-90, exchange=name)
    assert client.ccxt.fetch_time() == int(NOON.timestamp() - 90) * 1000


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("rate_limit", ccxt.NetworkError),
        ("maintenance", ccxt.OnMaintenance),
        ("server_error", ccxt.ExchangeNotAvailable),
        ("refused_here", ccxt.BaseError),
        ("banned", ccxt.BaseError),
        ("truncated", ccxt.BaseError),
        ("error", ccxt.BaseError),
    ],
)
def test_ccxt_knows_the_errors_and_the_other_exchanges_go_on(
    ask: Callable[[str], Client], name: str, fault: str, kind: type[Exception]
) -> None:
    client, other = ask(name), ask("okx" if name == "kraken" else "kraken")
    symbol = client.symbol("ETH/USD")
    client.ccxt.load_markets()
    client.simulator.faults.add(fault, exchange=name)
    with pytest.raises(kind) as raised:
        client.ccxt.fetch_ohlcv(symbol, "1m", limit=5)
    if fault == "rate_limit":
        assert isinstance(raised.value, ccxt.RateLimitExceeded | ccxt.DDoSProtection)
    assert other.ccxt.fetch_ohlcv(other.symbol("ETH/USD"), "1m", limit=5)
    client.simulator.faults.clear()
    assert client.ccxt.fetch_ohlcv(symbol, "1m", limit=5)


@pytest.mark.parametrize("name", NAMES)
def test_a_delisted_pair_is_gone_or_no_longer_active_and_unknown(ask: Callable[[str], Client], name: str) -> None:
    client = ask(name)
    client.ccxt.load_markets()
    client.simulator.faults.add("delisted", pair="ETHUSD", exchange=name)
    with pytest.raises(ccxt.BaseError) as raised:
        client.ccxt.fetch_ohlcv(client.symbol("ETH/USD"), "1m", limit=5)
    if name in ("binance", "okx", "bitfinex"):
        assert isinstance(raised.value, ccxt.BadSymbol)
    again = ask(name)
    listed = again.ccxt.load_markets()
    assert client.symbol("XRP/USD") in listed
    assert listed.get(client.symbol("ETH/USD"), {"active": False})["active"] is False
