"""Recorded candles of real exchanges, answered as they were: what is stored of them, figure by figure.

tests/data/PROVENANCE.md says where they come from. Expected values are written here by hand from the recorded text.
"""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.candles.minutes import utc
from pricetracker_dagster.exchanges.by_ccxt.markets import Markets, keep
from pricetracker_dagster.exchanges.registry import open_exchange
from pricetracker_dagster.files.data_folder import pairs_file
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.settings import Exchanges, Settings

pytest.importorskip("ccxt")

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "exchanges.json").read_text())


class Recorded(BaseHTTPRequestHandler):
    """Answers each request for candles by what was recorded, and tells the time of now."""

    candles: Any = None
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        now = time.time()
        if "time" in self.path.partition("?")[0]:
            ms = int(1000 * now)
            answer: Any = {"epoch": now, "serverTime": ms, "code": "0", "data": [{"ts": str(ms)}]}
        else:
            is_candles = any(word in self.path for word in ("candles", "klines", "ohlc"))
            answer = self.candles if is_candles else []
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorded)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def history(name: str, own: str, candles: Any, first: int, last: int, url: str, folder: Path) -> list[tuple[Any, ...]]:
    """What is kept of a range that is answered by recorded candles: minute, open … volume, trades, filled by us."""
    Recorded.candles = candles
    settings = Settings(
        metrics=(f"{name}:BTCUSD",),
        data=str(folder),
        exchanges=Exchanges.model_validate({name.lower(): {"url": url, "requests_per_second": 1000}}),
    )
    settings.state.mkdir(parents=True, exist_ok=True)
    market = {"id": own, "symbol": "BTC/USD", "base": "BTC", "quote": "USD", "spot": True, "type": "spot"}
    market |= {"active": True, "baseId": "BTC", "quoteId": "USD", "info": {}, "precision": {}, "limits": {}}
    listed = Markets({"BTCUSD": ["BTC/USD"]}, {"BTC/USD": market}, datetime.now(UTC))
    keep(pairs_file(settings.state, name), url, listed)
    exchange = open_exchange(name, settings)
    [page] = exchange.history("BTCUSD", utc(first), utc(last), Deadline.after(20))
    filled = [] if page.derived is None else [row["minute"] for row in page.derived.to_pylist()]
    assert page.rejected == []
    return [
        (
            int(row["minute"].timestamp()),
            *(row[key] for key in ("open", "high", "low", "close", "volume", "trades")),
            row["minute"] in filled,
        )
        for row in sorted(page.kept.to_pylist(), key=lambda row: row["minute"])
    ]


def test_coinbase_lists_the_newest_first_low_before_high_and_leaves_quiet_minutes_out(url: str, tmp_path: Path) -> None:
    first = 1517443620
    candles = [row for row in RECORDED["coinbase"]["candles"] if row[0] in (first, first + 120)]
    assert history("COINBASE", "BTC-USD", candles, first, first + 180, url, tmp_path) == [
        (first, 10156.99, 10157.0, 10127.89, 10130.0, 1.0367627400000001, None, False),
        (first + 60, 10130.0, 10130.0, 10130.0, 10130.0, 0.0, 0, True),
        (first + 120, 10106.01, 10120.21, 10106.0, 10120.21, 2.85107455, None, False),
        (first + 180, 10120.21, 10120.21, 10120.21, 10120.21, 0.0, 0, True),
    ]


def test_binance_tells_the_number_of_trades_and_what_it_leaves_out_is_missing(url: str, tmp_path: Path) -> None:
    first, candles = 1588740120, RECORDED["binance"]["klines"]
    told = [
        (first, 9033.34, 9039.99, 9032.75, 9033.15, 31.192968, 282, False),
        (first + 60, 9033.15, 9035.0, 9012.0, 9012.0, 135.215841, 864, False),
        (first + 120, 9012.0, 9021.93, 9006.84, 9012.03, 43.695748, 661, False),
    ]
    assert history("BINANCE", "BTCUSD", candles, first, first + 120, url, tmp_path) == told
    assert history("BINANCE", "BTCUSD", candles[::2], first, first + 120, url, tmp_path) == told[::2]


def test_bitstamp_lists_quiet_minutes_itself_at_the_price_that_it_says(url: str, tmp_path: Path) -> None:
    first = 1577778240
    assert history("BITSTAMP", "btcusd", RECORDED["bitstamp"]["ohlc"], first, first + 120, url, tmp_path) == [
        (first, 7225.34, 7225.34, 7225.34, 7225.34, 0.09558548, None, False),
        (first + 60, 7219.8, 7219.8, 7219.8, 7219.8, 0.0, None, False),  # not the close before: as it was told
        (first + 120, 7225.34, 7225.34, 7219.8, 7219.8, 0.51056852, None, False),
    ]


def test_bitfinex_leaves_out_eleven_quiet_minutes_at_once(url: str, tmp_path: Path) -> None:
    first = 1591503840
    found = history("BITFINEX", "tBTCUSD", RECORDED["bitfinex"]["candles"], first, first + 780, url, tmp_path)
    # open, close, high, low is its order
    assert found[0] == (first, 0.025069, 0.025069, 0.025068, 0.025068, 1.97828998, None, False)
    assert found[1:11] == [(first + 60 * i, 0.025068, 0.025068, 0.025068, 0.025068, 0.0, 0, True) for i in range(1, 11)]
    assert found[11] == (first + 660, 0.025065, 0.025065, 0.025065, 0.025065, 1.0164, None, False)
    assert found[12] == (first + 720, 0.025065, 0.025065, 0.025065, 0.025065, 0.0, 0, True)
    assert found[13] == (first + 780, 0.025062, 0.025062, 0.025062, 0.025062, 0.5, None, False)


def test_okx_counts_in_base_units_and_an_old_minute_without_a_row_is_not_taken_for_quiet(
    url: str, tmp_path: Path
) -> None:
    first = 1637161920
    assert history("OKX", "BTC-USD", RECORDED["okx"]["history"], first - 60, first + 60, url, tmp_path) == [
        (first, 41.96, 42.07, 41.95, 42.07, 461.846542, None, False)
    ]
