"""The Kraken adapter against answers recorded from the real exchange, served over real HTTP on loopback."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.exchanges.asking import Client
from pricetracker_dagster.exchanges.base import ExchangeUnreachable, PairUnknown
from pricetracker_dagster.exchanges.http import Http
from pricetracker_dagster.exchanges.kraken.client import Kraken
from pricetracker_dagster.exchanges.kraken.pairs import our_pairs
from pricetracker_dagster.exchanges.rate_limit import RateLimiter
from pricetracker_dagster.files.locks import Deadline


@dataclass
class Answers:
    """A server that gives prepared bodies: one an endpoint, or what a function of the query makes."""

    url: str = ""
    bodies: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def answers() -> Iterator[Answers]:
    given = Answers()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            endpoint = parts.path.removeprefix("/0/public/")
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            given.asked.append((endpoint, query))
            body = given.bodies[endpoint]
            content = (body(query) if callable(body) else body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    given.url = f"http://127.0.0.1:{server.server_port}"
    yield given
    server.shutdown()
    server.server_close()
    thread.join()


def kraken(answers: Answers, folder: Path) -> Kraken:
    return kraken_at(answers.url, folder)


def kraken_at(url: str, folder: Path, timeout: float = 30) -> Kraken:
    return Kraken("KRAKEN", Client(Http(url, timeout), RateLimiter(folder, "KRAKEN", 1000)), cache=folder)


def time_body(moment: int) -> str:
    return json.dumps({"error": [], "result": {"unixtime": moment, "rfc1123": ""}})


def test_of_the_720_recorded_rows_the_719_closed_ones_are_kept_with_their_exact_values(
    answers: Answers, recorded: Path, tmp_path: Path
) -> None:
    body = (recorded / "rest/OHLC_XXBTZUSD_1m_720.json").read_text()
    rows = json.loads(body)["result"]["XXBTZUSD"]
    answers.bodies = {
        "OHLC": body,
        "Time": time_body(rows[-1][0] + 20),
        "AssetPairs": (recorded / "rest/AssetPairs_397.json").read_text(),
    }
    exchange = kraken(answers, tmp_path)
    exchange.pairs(["BTCUSD"], Deadline.after(5))
    exchange.time(Deadline.after(5))

    validated = exchange.candles("BTCUSD", datetime.fromtimestamp(rows[0][0], UTC), Deadline.after(5))

    assert validated.rejected == []
    assert [
        (
            row["metric"],
            int(row["minute"].timestamp()),
            *(row[c] for c in ("open", "high", "low", "close", "volume")),
            row["trades"],
        )
        for row in sorted(validated.kept.to_pylist(), key=lambda row: row["minute"])
    ] == [("KRAKEN:BTCUSD", r[0], *(float(r[i]) for i in (1, 2, 3, 4, 6)), r[7]) for r in rows[:719]]
    assert ("OHLC", {"pair": "XBTUSD", "interval": "1", "since": str(rows[0][0] - 60)}) in answers.asked


def test_the_six_recorded_trades_pages_become_minutes_equal_to_a_sum_by_hand(
    answers: Answers, recorded: Path, tmp_path: Path
) -> None:
    pages = [json.loads((recorded / f"rest/Trades_GRTETH_page{i}.json").read_text()) for i in range(6)]
    trades = [trade for page in pages for trade in page["result"]["GRTETH"]]
    following = {page["result"]["last"]: pages[i + 1] for i, page in enumerate(pages[:-1])}

    def page(query: dict[str, str]) -> str:
        return json.dumps(following.get(query["since"], pages[0]))

    first = datetime.fromtimestamp(trades[0][2] // 60 * 60, UTC)
    last = datetime.fromtimestamp(trades[-1][2] // 60 * 60, UTC) - MINUTE  # the last page ends within a minute
    answers.bodies = {"Trades": page, "Time": time_body(int(trades[-1][2]) + 3600)}

    batches = list(kraken(answers, tmp_path).history("GRTETH", first, last, Deadline.after(60)))

    expected: dict[int, list[list[str]]] = {}
    for trade in trades:
        expected.setdefault(int(trade[2] // 60 * 60), []).append(trade)
    rows = [row for batch in batches for row in batch.kept.to_pylist()]
    assert len(rows) == (last - first) // MINUTE + 1
    traded = [row for row in rows if row["trades"]]
    assert len(traded) == len(expected) - 1
    close = 0.0
    for row in rows:
        within = expected.get(int(row["minute"].timestamp()))
        prices = [float(trade[0]) for trade in within or []] or [close]
        volume = sum((Decimal(trade[1]) for trade in within or []), Decimal(0))
        assert (row["open"], row["high"], row["low"], row["close"]) == (prices[0], max(prices), min(prices), prices[-1])
        assert (row["volume"], row["trades"]) == (float(volume), len(within or []))
        close = prices[-1]
    assert [batch.rejected for batch in batches if batch.rejected] == []


def test_trades_repeated_at_the_edge_of_a_page_count_once(answers: Answers, tmp_path: Path) -> None:
    start = 1_700_000_040
    edge, end = f"{start + 2}500000000", f"{start + 61}000000000"
    pages = {
        "first": [["10.0", "1.0", start + 1.5, "b", "m", "", 1], ["11.0", "1.0", start + 2.5, "b", "m", "", 2]],
        "second": [["11.0", "1.0", start + 2.5, "b", "m", "", 2], ["12.0", "1.0", start + 61.0, "b", "m", "", 3]],
    }

    def page(query: dict[str, str]) -> str:
        rows, last = (
            (pages["second"], end)
            if query["since"] == edge
            else (pages["first"], edge)
            if int(query["since"]) == start * 10**9 - 1
            else ([], query["since"])
        )
        return json.dumps({"error": [], "result": {"XXBTZUSD": rows, "last": last}})

    answers.bodies = {"Trades": page, "Time": time_body(start + 600)}
    minute = datetime.fromtimestamp(start, UTC)

    batches = list(kraken(answers, tmp_path).history("BTCUSD", minute, minute, Deadline.after(5)))

    [row] = [row for batch in batches for row in batch.kept.to_pylist()]
    assert (row["trades"], row["volume"], row["close"]) == (2, 2.0, 11.0)


def test_an_unknown_pair_is_told_apart_from_a_fault_that_may_pass(
    answers: Answers, recorded: Path, tmp_path: Path
) -> None:
    answers.bodies = {
        "OHLC": (recorded / "rest/error_unknown_pair.json").read_text(),
        "Time": time_body(1_700_000_000),
    }
    with pytest.raises(PairUnknown, match="KRAKEN: OHLC of NOPEUSD: EQuery:Unknown asset pair"):
        kraken(answers, tmp_path).candles("NOPEUSD", datetime(2023, 11, 14, tzinfo=UTC), Deadline.after(5))
    assert [endpoint for endpoint, _ in answers.asked].count("OHLC") == 1


def test_an_exchange_that_is_not_there_is_named_with_its_address(tmp_path: Path) -> None:
    nobody = kraken_at("http://127.0.0.1:1", tmp_path, timeout=1)
    with pytest.raises(ExchangeUnreachable, match=r"KRAKEN: Time: no connection to http://127.0.0.1:1 \(.*refused"):
        nobody.time(Deadline.after(0.2))


def test_recorded_pairs_get_our_names(recorded: Path) -> None:
    pairs = our_pairs(json.loads((recorded / "rest/AssetPairs_397.json").read_text())["result"])
    assert pairs["BTCUSD"] == "XBTUSD"
    assert pairs["DOGEUSD"] == "XDGUSD"
    assert pairs["XTZUSD"] == "XTZUSD"
    assert pairs["ZECUSD"] == "ZECUSD"
    assert pairs["ETHBTC"] == "ETHXBT"
    assert len(pairs) == 397 - 11  # dark pools have no wsname
