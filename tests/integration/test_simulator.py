"""The simulated exchange over real HTTP: held against recorded answers of the real one, and its faults."""

import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from pricetracker_dagster.simulator import PortBusy, ReplayError, ReplayMarket, Simulator, SyntheticMarket
from pricetracker_dagster.simulator.faults import KINDS
from tests.waiting import until

NOON = datetime(2026, 3, 3, 12, 0, 20, tzinfo=UTC)
FORMING = int(NOON.timestamp()) // 60 * 60


@pytest.fixture
def exchange() -> Iterator[Simulator]:
    with Simulator(clock=lambda: NOON) as simulator:
        yield simulator


def ask(exchange: Simulator, endpoint: str, **query: str | int) -> Any:
    return requests.get(f"{exchange.url}/0/public/{endpoint}", params=query, timeout=60).json()


def rows_of(answer: Any) -> list[list[Any]]:
    [key] = [key for key in answer["result"] if key != "last"]
    rows: list[list[Any]] = answer["result"][key]
    return rows


def shape(value: Any) -> Any:
    """Return the types of an answer: of a list the kinds of its elements, of a dict those of its values."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def recorded_answer(recorded: Path, name: str) -> Any:
    return json.loads((recorded / "rest" / name).read_text())


def test_time_and_status_look_like_the_recorded_ones(exchange: Simulator, recorded: Path) -> None:
    answer = ask(exchange, "Time")
    assert shape(answer) == shape(recorded_answer(recorded, "Time.json"))
    assert answer["result"] == {"unixtime": int(NOON.timestamp()), "rfc1123": "Tue,  3 Mar 26 12:00:20 +0000"}
    assert ask(exchange, "SystemStatus")["result"]["status"] == "online"


def test_pairs_look_like_the_recorded_ones(exchange: Simulator, recorded: Path) -> None:
    theirs = recorded_answer(recorded, "AssetPairs_397.json")["result"]
    ours = ask(exchange, "AssetPairs")["result"]
    for key in ours:
        for name in ("altname", "wsname", "base", "quote", "lot_decimals", "pair_decimals"):
            assert ours[key][name] == theirs[key][name], (key, name)
        assert ours[key].keys() <= theirs[key].keys()


def test_candles_look_like_the_recorded_ones(exchange: Simulator, recorded: Path) -> None:
    theirs = rows_of(recorded_answer(recorded, "OHLC_XXBTZUSD_1m_720.json"))
    answer = ask(exchange, "OHLC", pair="GRTETH")  # most of its minutes are quiet
    ours = rows_of(answer)
    assert list(answer["result"]) == ["GRTETH", "last"]
    assert {str(shape(row)) for row in ours} == {str(shape(row)) for row in theirs}
    quiet = next(row for row in ours if row[7] == 0)
    assert quiet[1] == quiet[2] == quiet[3] == quiet[4]
    assert (float(quiet[5]), quiet[6]) == (0.0, "0.00000000")
    assert {len(row[6].partition(".")[2]) for row in ours} == {8}


def test_candles_are_720_of_which_the_last_is_forming_and_since_excludes_its_own_minute(exchange: Simulator) -> None:
    answer = ask(exchange, "OHLC", pair="XBTUSD", interval=1)
    assert [row[0] for row in rows_of(answer)] == list(range(FORMING - 719 * 60, FORMING + 60, 60))
    assert answer["result"]["last"] == FORMING - 60
    later = rows_of(ask(exchange, "OHLC", pair="XBTUSD", since=FORMING - 180))
    assert [row[0] for row in later] == [FORMING - 120, FORMING - 60, FORMING]


def test_trades_look_like_the_recorded_ones_and_come_in_pages_until_last_stands_still(
    exchange: Simulator, recorded: Path
) -> None:
    since = str((FORMING - 7200) * 1_000_000_000)
    pages = []
    while True:
        answer = ask(exchange, "Trades", pair="XBTUSD", since=since, count=1000)
        pages.append(rows_of(answer))
        if answer["result"]["last"] == since:
            break
        since = answer["result"]["last"]
    assert isinstance(since, str)
    assert len(pages[0]) == 1000
    assert pages[-1] == []
    trades = [trade for page in pages for trade in page]
    assert shape(trades[0][:6]) == shape(rows_of(recorded_answer(recorded, "Trades_GRTETH_page0.json"))[0])
    assert [trade[2] for trade in trades] == sorted(trade[2] for trade in trades)
    assert len({trade[6] for trade in trades}) == len(trades)


def test_a_candle_is_what_its_trades_add_up_to(exchange: Simulator) -> None:
    trades = rows_of(ask(exchange, "Trades", pair="ETHUSD", since=str((FORMING - 3000) * 1_000_000_000)))
    candles = {row[0]: row for row in rows_of(ask(exchange, "OHLC", pair="ETHUSD"))}
    for minute in range(FORMING - 2400, FORMING - 600, 60):
        within = [trade for trade in trades if minute <= trade[2] < minute + 60]
        prices = [Decimal(trade[0]) for trade in within]
        volumes = [Decimal(trade[1]) for trade in within]
        row = candles[minute]
        assert row[7] == len(within)
        if within:
            vwap = sum(price * volume for price, volume in zip(prices, volumes, strict=True)) / sum(volumes)
            assert [Decimal(text) for text in row[1:5]] == [prices[0], max(prices), min(prices), prices[-1]]
            assert Decimal(row[6]) == sum(volumes)
            assert Decimal(row[5]) == pytest.approx(vwap, abs=Decimal("0.005"))


def test_a_restart_tells_the_same_story(exchange: Simulator) -> None:
    code = (
        "import sys, requests; from datetime import datetime; from pricetracker_dagster.simulator import Simulator\n"
        "with Simulator(clock=lambda: datetime.fromisoformat(sys.argv[1])) as it:\n"
        "    print(requests.get(it.url + '/0/public/OHLC?pair=XBTUSD', timeout=60).text)"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, NOON.isoformat()], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(other.stdout) == ask(exchange, "OHLC", pair="XBTUSD")


def test_some_pairs_trade_thinly_and_volumes_burst() -> None:
    market = SyntheticMarket()
    pairs = {pair.altname: pair for pair in market.pairs}
    minutes = range(FORMING - 1440 * 60, FORMING, 60)
    thin = [len(market.trades(pairs["GRTETH"], minute)) for minute in minutes]
    busy = [float(sum(trade.volume for trade in market.trades(pairs["XBTUSD"], minute))) for minute in minutes]
    assert 0.8 < sum(count == 0 for count in thin) / 1440 < 0.97
    assert max(busy) > 8 * sorted(busy)[720]


@pytest.mark.parametrize("name", ["XBTUSD", "XXBTZUSD", "XBT/USD"])
def test_a_pair_may_be_named_as_kraken_takes_it_and_is_answered_by_its_key(exchange: Simulator, name: str) -> None:
    assert list(ask(exchange, "OHLC", pair=name)["result"]) == ["XXBTZUSD", "last"]


def test_an_unknown_pair_is_answered_to_the_letter(exchange: Simulator, recorded: Path) -> None:
    body = requests.get(f"{exchange.url}/0/public/OHLC?pair=NOPE", timeout=60).text
    assert json.loads(body) == recorded_answer(recorded, "error_unknown_pair.json")


def test_the_ticker_sums_today_and_the_last_day_and_answers_all_pairs_at_once(
    exchange: Simulator, recorded: Path
) -> None:
    theirs = recorded_answer(recorded, "Ticker_two_pairs.json")["result"]["XXBTZEUR"]
    answer = ask(exchange, "Ticker")["result"]
    assert len(answer) == len(exchange.market.pairs)
    ours = answer["XXBTZUSD"]
    assert shape(ours) == shape(theirs)
    candles = rows_of(ask(exchange, "OHLC", pair="XBTUSD"))
    assert ours["c"][0] == candles[-1][4]
    assert ours["t"][0] == sum(row[7] for row in candles if row[0] >= FORMING // 86400 * 86400) + sum(
        len(exchange.market.trades(exchange.market.pairs[0], minute))
        for minute in range(FORMING // 86400 * 86400, candles[0][0], 60)
    )


def test_synthetic_pairs_can_be_added() -> None:
    with Simulator(market=SyntheticMarket(25), clock=lambda: NOON) as exchange:
        assert "S0025USD" in ask(exchange, "AssetPairs")["result"]
        assert len(rows_of(ask(exchange, "OHLC", pair="S0025USD"))) == 720


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ({"kind": "error", "text": "EService:Busy"}, lambda answer: answer.json() == {"error": ["EService:Busy"]}),
        ({"kind": "rate_limit"}, lambda answer: answer.json() == {"error": ["EAPI:Rate limit exceeded"]}),
        ({"kind": "server_error"}, lambda answer: answer.status_code == 502 and answer.text.startswith("<html>")),
        ({"kind": "maintenance"}, lambda answer: answer.json() == {"error": ["EService:Market in cancel_only mode"]}),
        (
            {"kind": "delisted", "pair": "XBTUSD"},
            lambda answer: answer.json() == {"error": ["EQuery:Unknown asset pair"]},
        ),
        (
            {"kind": "hole", "since": FORMING - 120, "until": FORMING - 60},
            lambda answer: len(rows_of(answer.json())) == 718,
        ),
        ({"kind": "insane"}, lambda answer: rows_of(answer.json())[-2][2] == "NaN"),
        ({"kind": "odd_row"}, lambda answer: rows_of(answer.json())[-2][7] == 10**20),
        ({"kind": "redirect"}, lambda answer: answer.status_code == 302 and "192.0.2.1" in answer.headers["Location"]),
        ({"kind": "huge"}, lambda answer: len(answer.content) == 100_000_000 and answer.json()["error"] == []),
        ({"kind": "slow", "seconds": 0.6}, lambda answer: answer.elapsed > timedelta(seconds=0.5)),
    ],
)
def test_a_fault_is_switched_on_and_off_over_http(
    exchange: Simulator, fault: dict[str, Any], seen: Callable[[requests.Response], bool]
) -> None:
    def answer() -> requests.Response:
        return requests.get(f"{exchange.url}/0/public/OHLC?pair=XBTUSD", timeout=60, allow_redirects=False)

    well = answer().json()
    number = requests.post(f"{exchange.url}/faults", json=fault, timeout=60).json()["id"]
    assert [on["id"] for on in requests.get(f"{exchange.url}/faults", timeout=60).json()["on"]] == [number]
    assert seen(answer())
    assert requests.delete(f"{exchange.url}/faults/{number}", timeout=60).json() == {"removed": 1}
    assert answer().json() == well


def test_a_truncated_body_is_cut_in_the_middle(exchange: Simulator) -> None:
    exchange.faults.add("truncated", count=1)
    with pytest.raises(requests.exceptions.RequestException):
        requests.get(f"{exchange.url}/0/public/Time", timeout=60)
    assert ask(exchange, "Time")["error"] == []


def test_a_hang_lasts_until_the_client_gives_up_and_ends_with_the_simulator() -> None:
    with Simulator(clock=lambda: NOON) as exchange:
        exchange.faults.add("hang", endpoint="OHLC")
        with pytest.raises(requests.Timeout):
            requests.get(f"{exchange.url}/0/public/OHLC?pair=XBTUSD", timeout=0.3)
        assert ask(exchange, "Time")["error"] == []
        began = time.monotonic()
    assert time.monotonic() - began < 2


def test_a_correction_shows_another_value_first_and_the_true_one_later(exchange: Simulator) -> None:
    exchange.faults.add("correction", pair="XBTUSD", minutes=2)
    first = rows_of(ask(exchange, "OHLC", pair="XBTUSD"))
    exchange.faults.clear()
    later = rows_of(ask(exchange, "OHLC", pair="XBTUSD"))
    assert [one[0] for one, other in zip(first, later, strict=True) if one != other] == [FORMING - 120, FORMING - 60]
    assert Decimal(first[-2][6]) == pytest.approx(Decimal(later[-2][6]) / 2, abs=Decimal("1e-8"))


def test_a_lagging_node_answers_every_second_time_without_the_later_trades(exchange: Simulator) -> None:
    whole = rows_of(ask(exchange, "OHLC", pair="XBTUSD"))
    exchange.faults.add("lagging", pair="XBTUSD", minutes=2)
    answers = [rows_of(ask(exchange, "OHLC", pair="XBTUSD")) for _ in range(4)]
    assert sorted(answer == whole for answer in answers) == [False, False, True, True]
    behind = next(answer for answer in answers if answer != whole)
    changed = [(one[0], other[7] // 2 == one[7]) for one, other in zip(behind, whole, strict=True) if one != other]
    assert changed == [(FORMING - 120, True), (FORMING - 60, True)]


def test_a_body_can_drip(exchange: Simulator) -> None:
    exchange.faults.add("drip", seconds=0.2)
    began = time.monotonic()
    with requests.get(f"{exchange.url}/0/public/Time", timeout=60, stream=True) as answer:
        assert answer.raw.read(3) == b'{"e'
    assert time.monotonic() - began > 0.3


def test_a_list_of_pairs_can_hold_what_is_no_pair_and_time_can_be_of_another_unit(exchange: Simulator) -> None:
    exchange.faults.add("odd_pairs")
    exchange.faults.add("milliseconds")
    pairs = ask(exchange, "AssetPairs")["result"]
    assert pairs["NOTHING"] is None
    assert "altname" not in pairs["NOALTNAME"]
    assert pairs["XXBTZUSD"]["altname"] == "XBTUSD"
    assert ask(exchange, "Time")["result"]["unixtime"] == int(NOON.timestamp()) * 1000


def test_a_burst_is_in_candles_and_trades_alike(exchange: Simulator) -> None:
    minute = FORMING - 600
    before = {row[0]: Decimal(row[6]) for row in rows_of(ask(exchange, "OHLC", pair="XBTUSD"))}
    exchange.faults.add("burst", pair="XBTUSD", since=minute, until=minute, factor=50)
    after = {row[0]: Decimal(row[6]) for row in rows_of(ask(exchange, "OHLC", pair="XBTUSD"))}
    trades = rows_of(ask(exchange, "Trades", pair="XBTUSD", since=str(minute * 1_000_000_000)))
    assert {name for name in after if after[name] != before[name]} == {minute}
    assert after[minute] == 50 * before[minute]
    assert sum(Decimal(trade[1]) for trade in trades if trade[2] < minute + 60) == after[minute]


def test_the_clock_can_be_skewed(exchange: Simulator) -> None:
    exchange.faults.add("clock_skew", seconds=-90)
    assert ask(exchange, "Time")["result"]["unixtime"] == int(NOON.timestamp()) - 90
    assert rows_of(ask(exchange, "OHLC", pair="XBTUSD"))[-1][0] == FORMING - 120


def test_a_fault_can_be_for_one_pair_one_endpoint_some_requests_or_some_time(exchange: Simulator) -> None:
    exchange.faults.add("error", pair="XBTUSD", endpoint="OHLC", count=2)
    answers = [
        ask(exchange, endpoint, pair=pair)["error"]
        for endpoint, pair in [
            ("OHLC", "ETHUSD"),
            ("Trades", "XBTUSD"),
            ("OHLC", "XBTUSD"),
            ("OHLC", "XXBTZUSD"),
            ("OHLC", "XBTUSD"),
        ]
    ]
    assert [bool(errors) for errors in answers] == [False, False, True, True, False]
    exchange.faults.add("error", lasts=0.2)
    assert ask(exchange, "Time")["error"]
    deadline = time.monotonic() + 5
    while ask(exchange, "Time")["error"]:
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"kind": "flood"}', "there is error, rate_limit"),
        ('{"kind": "slow", "speed": 2}', "no attribute speed; there is pair"),
        ('{"kind": "slow", "seconds": "two"}', "seconds: 'two' is not of type"),
        ("[]", "write a JSON object"),
        ("{", "Expecting property name"),
    ],
)
def test_a_malformed_fault_is_refused_with_what_there_is(exchange: Simulator, body: str, said: str) -> None:
    answer = requests.post(f"{exchange.url}/faults", data=body, timeout=60)
    assert answer.status_code == 400
    assert said in answer.json()["error"][0]


def test_every_kind_of_fault_is_described(exchange: Simulator) -> None:
    assert requests.get(f"{exchange.url}/faults", timeout=60).json() == {"on": [], "kinds": dict(KINDS)}
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    assert [kind for kind in KINDS if f'"kind": "{kind}"' not in page] == []


def test_requests_are_counted(exchange: Simulator) -> None:
    ask(exchange, "OHLC", pair="XBTUSD")
    seen = requests.get(f"{exchange.url}/requests", timeout=60).json()
    assert seen == {"count": {"OHLC": 1}, "recent": [{"endpoint": "OHLC", "pair": "XBTUSD"}]}


def test_a_client_that_goes_away_in_the_middle_is_not_worth_a_line(
    exchange: Simulator, capfd: pytest.CaptureFixture[str]
) -> None:
    host, port = urlsplit(exchange.url).netloc.split(":")
    before = {*threading.enumerate()}  # those of other tests' clients may be at work still
    for _ in range(3):
        with socket.create_connection((host, int(port))) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it is reset, not closed
            client.sendall(b"GET /0/public/Time HTTP/1.1\r\n")
    ask(exchange, "Time")  # those before it are being answered, too
    until(lambda: "process_request" not in str({*threading.enumerate()} - before), 20, "the last request is over")
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_is_named(exchange: Simulator) -> None:
    port = int(exchange.url.rpartition(":")[2])
    with pytest.raises(PortBusy, match=f"port {port} on 127.0.0.1 is taken: choose another with --port"):
        Simulator(port)


def test_recorded_days_are_told_shifted_by_whole_days_so_that_the_last_is_today(recorded: Path) -> None:
    folder = recorded / "ohlcvt"
    market = ReplayMarket(folder, NOON)
    assert market.shift == (NOON.date() - datetime(2023, 3, 9, tzinfo=UTC).date()).days
    with Simulator(market=market, clock=lambda: NOON) as exchange:
        told = {row[0]: row for row in rows_of(ask(exchange, "OHLC", pair="XBTUSDC"))}
    written = {}
    for line in (folder / "XBTUSDC_1.csv").read_text().splitlines():
        unix, *values = line.split(",")
        written[int(unix) + market.shift * 86400] = values
    close = None
    quiet = 0
    for minute in range(min(told), FORMING, 60):
        row = told[minute]
        if minute in written:
            opening, high, low, close, volume, count = written[minute]
            assert [Decimal(text) for text in row[1:5]] == [Decimal(text) for text in (opening, high, low, close)]
            assert (Decimal(row[6]), row[7]) == (Decimal(volume), int(count))
        elif close is not None:
            quiet += 1
            assert (Decimal(row[1]), Decimal(row[4]), row[6], row[7]) == (
                Decimal(close),
                Decimal(close),
                "0.00000000",
                0,
            )
    assert quiet > 100


def test_after_the_last_recorded_day_the_first_is_missing_again_and_before_it_nothing(recorded: Path) -> None:
    market = ReplayMarket(recorded / "ohlcvt", datetime(2023, 3, 9, 12, tzinfo=UTC))
    pair = next(pair for pair in market.pairs if pair.altname == "XBTUSD")
    first = int(datetime(2023, 3, 8, 18, 0, tzinfo=UTC).timestamp())
    volumes = [sum(trade.volume for trade in market.trades(pair, first + days * 86400)) for days in (0, 2, 4)]
    assert volumes == [Decimal("0.16581865")] * 3  # the first line of the file
    assert market.trades(pair, first - 60) == ()
    assert market.close_before(pair, first) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "1678147200,1,1,1,1,1,1\n1678147260,1,x,1,1,1,1\n",
            r"XBTUSD_1.csv line 2: '1678147260,1,x,1,1,1,1' is not unix,open",
        ),
        ("1678147201,1,1,1,1,1,1\n", "XBTUSD_1.csv line 1: time 1678147201 is not a whole minute"),
        ("", "XBTUSD_1.csv: the file is empty"),
    ],
)
def test_files_that_cannot_be_told_are_named_with_line_and_value(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "XBTUSD_1.csv").write_text(content)
    with pytest.raises(ReplayError, match=said):
        ReplayMarket(tmp_path, NOON)


def test_a_folder_without_minute_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="no minute files here"):
        ReplayMarket(tmp_path, NOON)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_as_a_command_it_says_where_it_listens_and_ends_when_told(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "pricetracker_dagster.cli", "simulate", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        url = said.split(" at ")[1].split(": ")[0]
        assert requests.get(f"{url}/0/public/Time", timeout=60).json()["error"] == []
        process.send_signal(number)
        assert process.wait(2) == 0
