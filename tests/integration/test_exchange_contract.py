"""What every exchange has to do for us, whichever it is: asked in its own wire form, its answers beside its own trades.

Expected minutes are added up here from the trades of the simulated market; nothing of the adapter or of ccxt is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import Answer, validate_together
from pricetracker_dagster.exchanges import base
from pricetracker_dagster.exchanges.asking import Client
from pricetracker_dagster.exchanges.base import Exchange
from pricetracker_dagster.exchanges.by_ccxt.records import record_of
from pricetracker_dagster.exchanges.http import Response
from pricetracker_dagster.exchanges.registry import open_exchange
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.settings import Exchanges, Settings
from pricetracker_dagster.simulator import Simulator, SyntheticMarket
from pricetracker_dagster.simulator.market import Pair
from tests.dialects import ALL_DIALECTS

pytest.importorskip("ccxt")

NAMES = ["KRAKEN", "COINBASE", "BINANCE", "BITSTAMP", "BITFINEX", "GEMINI", "OKX"]
COUNTS = ("KRAKEN", "BINANCE")
"""Those that tell how many trades a minute had."""

LEAVE_OUT = ("COINBASE", "BITFINEX")
"""Those that leave minutes without trades out of their candles."""

BUSY, THIN, NEW, OLD = "XBT/USD", "ZEC/USD", "SOL/USD", "ADA/USD"
"""Pairs that trade each minute and hardly ever; that was listed, and is delisted, in the middle."""

Row = tuple[float, float, float, float, float]


class Listings(SyntheticMarket):
    """The invented market, of which a pair is listed and another delisted at a minute."""

    def __init__(self, minute: datetime) -> None:
        super().__init__()
        unix = int(minute.timestamp())
        changed = {NEW: {"listed_from": unix}, OLD: {"delisted_at": unix}}
        self.pairs = [replace(pair, **changed.get(pair.wsname, {})) for pair in self.pairs]  # type: ignore[arg-type]


@dataclass
class Contract:
    """An exchange, its simulated counterpart, and the time there."""

    name: str
    simulator: Simulator
    folder: Path
    time: datetime

    def open(self, **how: Any) -> Exchange:
        """Open it anew, as a process that has just begun does."""
        table = {"url": self.simulator.url, "requests_per_second": 1000, "timeout_seconds": 5, **how}
        settings = Settings(
            metrics=tuple(f"{self.name}:{self.pair(each)}" for each in (BUSY, THIN, NEW, OLD)),
            data=str(self.folder),
            exchanges=Exchanges.model_validate({self.name.lower(): table}),
        )
        exchange = open_exchange(self.name, settings)
        exchange.time(self.deadline)
        exchange.pairs({metric.pair for metric in settings.tracked}, self.deadline)
        return exchange

    @property
    def deadline(self) -> Deadline:
        """Enough for anything here."""
        return Deadline.after(30)

    @property
    def newest(self) -> datetime:
        """The newest closed minute there."""
        return self.time.replace(second=0, microsecond=0) - MINUTE

    def pair(self, wsname: str) -> str:
        """What we call a pair there."""
        named = wsname.replace("XBT", "BTC").replace("/", "")
        return f"{named}T" if self.name == "BINANCE" else named

    def fault(self, kind: str, **what: Any) -> None:
        """Let something go wrong at this exchange alone."""
        self.simulator.faults.add(kind, exchange=self.name.lower(), **what)

    def traded(self, wsname: str, first: datetime, last: datetime) -> dict[datetime, tuple[Row, int]]:
        """Each minute as its trades add up: open, high, low, close, volume, and how many; quiet ones are flat."""
        market = self.simulator.dialects[self.name.lower()].market
        pair: Pair = next(pair for pair in market.pairs if pair.wsname == wsname)
        found: dict[datetime, tuple[Row, int]] = {}
        close = None
        minute = first - timedelta(hours=12)
        while minute <= last:
            trades = market.trades(pair, int(minute.timestamp())) if pair.is_listed(int(minute.timestamp())) else ()
            prices = [float(trade.price) for trade in trades] or ([] if close is None else [close])
            if prices and (pair.delisted_at is None or minute.timestamp() < pair.delisted_at):
                close = prices[-1]
                volume = float(sum((trade.volume for trade in trades), Decimal(0)))
                if minute >= first:
                    found[minute] = ((prices[0], max(prices), min(prices), close, volume), len(trades))
            minute += MINUTE
        return found


@pytest.fixture(params=NAMES)
def contract(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Contract]:
    # ccxt asks by the machine's clock, too; the tenth second of a minute leaves time to ask
    now = datetime.now(UTC).replace(second=10, microsecond=0)
    market = Listings(now.replace(second=0) - 20 * MINUTE)
    simulator = Simulator(market=market, clock=lambda: found.time, limits=False, dialects=ALL_DIALECTS)
    found = Contract(request.param, simulator, tmp_path, now)
    with simulator:
        yield found


def rows(answer: Answer) -> dict[datetime, tuple[Row, int | None]]:
    """What is stored of an answer."""
    kept = validate_together([answer]).kept.to_pylist()
    return {
        row["minute"]: (tuple(row[name] for name in ("open", "high", "low", "close", "volume")), row["trades"])
        for row in kept
    }


def as_told(contract: Contract, traded: dict[datetime, tuple[Row, int]], filled: set[datetime]) -> dict[datetime, Any]:
    """The minutes as this exchange tells them: without counts where it tells none, but of those that we filled."""
    told = contract.name in COUNTS
    return {minute: (row, count if told or minute in filled else None) for minute, (row, count) in traded.items()}


def quiet_in(traded: dict[datetime, tuple[Row, int]]) -> set[datetime]:
    return {minute for minute, (_, count) in traded.items() if not count}


def test_it_answers_closed_minutes_alone_each_as_its_trades_add_up(contract: Contract) -> None:
    exchange, since = contract.open(), contract.newest - 30 * MINUTE
    found = rows(exchange.candles(contract.pair(BUSY), since, contract.deadline))
    traded = contract.traded(BUSY, since, contract.newest)
    assert len(traded) == 31
    filled = quiet_in(traded) if contract.name in LEAVE_OUT else set()
    assert found == as_told(contract, traded, filled)


def test_a_minute_is_closed_by_the_clock_of_the_exchange(contract: Contract) -> None:
    for minutes in (-3, 2):
        contract.time += minutes * MINUTE
        exchange = contract.open()
        theirs = exchange.time(contract.deadline)
        assert abs(theirs - contract.time) <= timedelta(seconds=2)
        found = rows(exchange.candles(contract.pair(BUSY), contract.newest - 5 * MINUTE, contract.deadline))
        assert max(found) == contract.newest
        assert len(found) == 6


def test_quiet_minutes_are_rows_also_the_newest_and_marked_where_we_filled_them(contract: Contract) -> None:
    exchange, since = contract.open(), contract.newest - 45 * MINUTE
    answer = exchange.candles(contract.pair(THIN), since, contract.deadline)
    traded = contract.traded(THIN, since, contract.newest)
    quiet = quiet_in(traded)
    assert len(quiet) > 20
    filled = quiet if contract.name in LEAVE_OUT else set()
    assert rows(answer) == as_told(contract, traded, filled)
    derived = validate_together([answer]).derived
    marked = set() if derived is None else {row["minute"] for row in derived.to_pylist()}
    assert marked & quiet == filled


def test_history_goes_over_days_page_by_page_and_both_ends_belong_to_it(contract: Contract) -> None:
    exchange = contract.open()
    last = contract.newest - 3 * MINUTE
    first = last - timedelta(hours=23) if contract.name == "GEMINI" else last - timedelta(hours=29)
    for pair in (BUSY, THIN):
        found: dict[datetime, tuple[Row, int | None]] = {}
        for page in exchange.history(contract.pair(pair), first, last, contract.deadline):
            of_page = rows(page)
            assert not found.keys() & of_page.keys()
            assert not found or min(of_page) > max(found)
            found |= of_page
        traded = contract.traded(pair, first, last)
        assert (min(found), max(found)) == (first, last)
        if contract.name == "KRAKEN":  # rebuilt from trades: quiet minutes are filled there
            assert found == traded
            continue
        assert found == as_told(contract, traded, quiet_in(traded) if contract.name in LEAVE_OUT else set())


def test_an_exchange_whose_candles_do_not_go_back_so_far_says_so_and_gives_what_it_has(contract: Contract) -> None:
    if contract.name != "GEMINI":
        pytest.skip(f"the candles of {contract.name} go back to the first trade")
    exchange, last = contract.open(), contract.newest - 3 * MINUTE
    pages = exchange.history(contract.pair(BUSY), last - timedelta(hours=30), last, contract.deadline)
    found: dict[datetime, Any] = {}

    def ask() -> None:
        for page in pages:
            found.update(rows(page))

    with pytest.raises(base.ExchangeError, match=r"GEMINI: candles of BTCUSD: it has none from before 20.*cannot be"):
        ask()
    assert max(found) == last
    assert len(found) > 23 * 60


def test_a_hole_in_candles_is_missing_unless_the_exchange_leaves_quiet_minutes_out(contract: Contract) -> None:
    hole = {contract.newest - i * MINUTE for i in (6, 7, 8)}
    contract.fault("hole", since=int(min(hole).timestamp()), until=int(max(hole).timestamp()))
    exchange, since = contract.open(), contract.newest - 15 * MINUTE
    found = rows(exchange.candles(contract.pair(BUSY), since, contract.deadline))
    every = {since + i * MINUTE for i in range(16)}
    if contract.name in LEAVE_OUT:  # it cannot be told from silence, by the exchange's own rule
        assert found.keys() == every
        assert {found[minute][0][4] for minute in hole} == {0.0}
    else:
        assert found.keys() == every - hole


def test_a_hole_at_the_end_is_never_taken_for_silence(contract: Contract) -> None:
    hole = {contract.newest - i * MINUTE for i in (0, 1)}
    contract.fault("hole", since=int(min(hole).timestamp()), until=int(max(hole).timestamp()))
    exchange, since = contract.open(), contract.newest - 15 * MINUTE
    found = rows(exchange.candles(contract.pair(BUSY), since, contract.deadline))
    assert found.keys() - hole == {since + i * MINUTE for i in range(16)} - hole
    traded = contract.traded(BUSY, since, contract.newest)
    assert found.keys() & hole <= quiet_in(traded)  # the market may have been silent there, now and then


def test_a_pair_that_is_listed_in_the_middle_has_nothing_before(contract: Contract) -> None:
    exchange, since = contract.open(), contract.newest - 40 * MINUTE
    found = rows(exchange.candles(contract.pair(NEW), since, contract.deadline))
    traded = contract.traded(NEW, since, contract.newest)
    assert min(traded) >= contract.newest - 19 * MINUTE
    assert found.keys() == traded.keys()
    assert [row[3] for row, _ in found.values()] != []


def test_a_pair_that_was_delisted_is_unknown_or_ends_and_is_filled_no_more(contract: Contract) -> None:
    end = contract.newest - 19 * MINUTE
    exchange, since = contract.open(), contract.newest - 40 * MINUTE
    try:
        found = rows(exchange.candles(contract.pair(OLD), since, contract.deadline))
    except base.PairUnknown:
        return
    assert found
    assert max(found) < end


def test_a_pair_that_is_delisted_later_is_filled_no_more_once_that_is_known(contract: Contract) -> None:
    # the list of markets was kept while the pair was traded
    now, contract.time = contract.time, contract.time - 25 * MINUTE
    contract.open()
    contract.time = now
    exchange = contract.open()
    try:
        found = rows(exchange.candles(contract.pair(OLD), contract.newest - 40 * MINUTE, contract.deadline))
    except base.PairUnknown:
        return
    traded = contract.traded(OLD, contract.newest - 40 * MINUTE, contract.newest)
    quiet_tail = {minute for minute in found if minute > max(traded)}
    # at most what an hour of silence would be; then the list is asked for again
    assert all(found[minute][0][4] == 0.0 for minute in quiet_tail)
    assert {minute: found[minute][0] for minute in traded} == {minute: row for minute, (row, _) in traded.items()}


@pytest.mark.parametrize(
    ("kind", "what", "error"),
    [
        ("rate_limit", {}, base.RateLimited),
        ("maintenance", {}, base.Maintenance),
        ("server_error", {}, base.ExchangeUnreachable),
        ("truncated", {}, base.ExchangeUnreachable),
        ("redirect", {}, base.ExchangeUnreachable),
        ("huge", {}, base.ExchangeUnreachable),
        ("delisted", {}, base.PairUnknown),
        ("banned", {"seconds": 90}, base.Banned),
        ("refused_here", {}, base.RefusedHere),
    ],
)
def test_what_goes_wrong_is_told_by_its_kind(
    contract: Contract, kind: str, what: dict[str, Any], error: type[base.ExchangeError]
) -> None:
    if contract.name == "KRAKEN" and kind in ("banned", "refused_here"):
        error = base.ExchangeError
    exchange = contract.open()
    contract.fault(kind, **what)
    with pytest.raises(error) as raised:
        exchange.candles(contract.pair(BUSY), contract.newest - 5 * MINUTE, contract.deadline, patient=False)
    assert type(raised.value) is error or kind not in ("rate_limit", "maintenance")
    assert str(raised.value).startswith(contract.name)
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


def test_after_a_ban_nothing_is_asked_until_it_is_over(contract: Contract) -> None:
    if contract.name == "KRAKEN":
        pytest.skip("Kraken tells a lockout in words of its own: tests/integration/test_collect.py")
    exchange = contract.open()
    contract.fault("banned", seconds=90, count=1)
    with pytest.raises(base.Banned):
        exchange.candles(contract.pair(BUSY), contract.newest, contract.deadline, patient=False)
    asked = sum(contract.simulator.requests.values())
    # neither by this process nor by the next one
    for again in (
        exchange,
        open_exchange(
            contract.name,
            Settings(
                metrics=(f"{contract.name}:{contract.pair(BUSY)}",),
                data=str(contract.folder),
                exchanges=Exchanges.model_validate({contract.name.lower(): {"url": contract.simulator.url}}),
            ),
        ),
    ):
        with pytest.raises(base.Banned, match="it has banned this address, for"):
            again.candles(contract.pair(BUSY), contract.newest, Deadline.after(5), patient=False)
    assert sum(contract.simulator.requests.values()) == asked


def test_a_record_says_of_each_of_them_what_becomes_of_quiet_minutes(contract: Contract) -> None:
    record = record_of(contract.name)
    assert record.source
    assert (record.quiet == "left out") == (contract.name in LEAVE_OUT)
    assert (record.count_at is not None) == (contract.name in COUNTS)


def test_the_list_of_markets_is_asked_for_once_and_kept_for_the_next_process(contract: Contract) -> None:
    contract.open()
    lists = ("AssetPairs", "products", "exchangeInfo", "markets", "conf", "symbols", "instruments")

    def asked() -> int:
        counted = contract.simulator.requests.items()
        return sum(count for endpoint, count in counted if endpoint.rpartition(":")[2] in lists)

    first = asked()
    contract.open()
    assert asked() == first


def test_a_request_for_candles_takes_one_unit_of_the_allowance(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    if contract.name == "KRAKEN":
        pytest.skip("all its requests cost the same")
    exchange, once = contract.open(), Client.once
    costs: list[float] = []

    def noted(self: Client, what: str, url: str, headers: Any, deadline: Deadline, cost: float = 1.0) -> Response:
        costs.append(cost)
        return once(self, what, url, headers, deadline, cost)

    monkeypatch.setattr(Client, "once", noted)
    exchange.candles(contract.pair(BUSY), contract.newest - 5 * MINUTE, contract.deadline)
    assert costs[0] == 1.0  # else what is told as its rate is not what it is asked at
