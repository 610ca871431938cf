"""Answers of odd shapes, sizes and speeds: each is told by name and costs its own metric at most. Real HTTP."""

import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.candles.validate import Answer
from pricetracker_dagster.errors import plain
from pricetracker_dagster.exchanges.asking import Client
from pricetracker_dagster.exchanges.base import ExchangeError, ExchangeUnreachable
from pricetracker_dagster.exchanges.http import MOST_BYTES, Http
from pricetracker_dagster.exchanges.kraken.client import Kraken
from pricetracker_dagster.exchanges.kraken.pairs import our_pairs
from pricetracker_dagster.exchanges.rate_limit import RateLimiter
from pricetracker_dagster.files.locks import Deadline
from tests.odd_kraken import NEWEST, NOW, OddKraken, send


@pytest.fixture
def kraken(odd: OddKraken, tmp_path: Path) -> Kraken:
    return Kraken("KRAKEN", Client(Http(odd.url, timeout=20), RateLimiter(tmp_path, "KRAKEN", 1000)), cache=tmp_path)


@pytest.fixture
def known(kraken: Kraken) -> Kraken:
    """The exchange, with its list of pairs."""
    kraken.pairs({"BTCUSD"}, soon(60))
    return kraken


@pytest.fixture
def asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is not asked for again: the first answer is what the test is about, however long it takes."""
    monkeypatch.setattr("pricetracker_dagster.exchanges.asking.retry_pause", lambda *_: None)


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline.after(seconds)


def said(error: pytest.ExceptionInfo[BaseException]) -> str:
    return str(error.value)


# Time


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (NOW * 1000, "in milliseconds, not in seconds"),
        (str(NOW * 1000), "in milliseconds, not in seconds"),
        (NOW * 10**6, "in microseconds, not in seconds"),
        (NOW * 10**9 + 123, "in nanoseconds, not in seconds"),
        (NOW // 60, "in minutes, not in seconds"),
        (NOW // 3600, "in hours, not in seconds"),
        (1e40, "no time between 2009 and 2100"),
        (-NOW, "no time between 2009 and 2100"),
        (0, "no time between 2009 and 2100"),
        (float("nan"), "not a time"),
        (float("inf"), "not a time"),
        ("soon", "not a time"),
        (None, "not a time"),
        (True, "not a time"),
        ([NOW], "not a time"),
        ({"s": NOW}, "not a time"),
    ],
)
@pytest.mark.usefixtures("asked_once")
def test_a_time_in_another_unit_or_absurd_is_an_error_of_that_exchange(
    odd: OddKraken, kraken: Kraken, told: Any, why: str
) -> None:
    odd.change["Time"] = lambda _: {"error": [], "result": {"unixtime": told}}
    with pytest.raises(ExchangeError) as error:
        kraken.time(soon())
    assert said(error).startswith("KRAKEN: Time answered ")
    assert why in said(error)


@pytest.mark.parametrize("told", [NOW, float(NOW), str(NOW), f"{NOW}.0"])
def test_a_time_in_seconds_is_taken_however_it_is_written(odd: OddKraken, kraken: Kraken, told: Any) -> None:
    odd.change["Time"] = lambda _: {"error": [], "result": {"unixtime": told}}
    assert kraken.time(soon()) == datetime.fromtimestamp(NOW, UTC)


# Pairs

GOOD = {"altname": "XBTUSD", "wsname": "XBT/USD"}


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        [],
        "XBT/USD",
        7,
        {"wsname": "ODD/USD"},
        {"altname": "ODDUSD"},
        {"altname": None, "wsname": "ODD/USD"},
        {"altname": "ODDUSD", "wsname": None},
        {"altname": ["ODDUSD"], "wsname": "ODD/USD"},
        {"altname": "ODDUSD", "wsname": 12},
        {"altname": "", "wsname": "ODD/USD"},
        {"altname": "ODDUSD", "wsname": "/USD"},
        {"altname": "ODDUSD", "wsname": "ODD/"},
        {"altname": "ODDUSD", "wsname": "ODDUSD"},
        {"altname": "ODD\nUSD", "wsname": "ODD/USD"},
        {"altname": "ODDUSD\ud800", "wsname": "ODD/USD"},
        {"altname": "O" * 500, "wsname": "ODD/USD"},
    ],
)
def test_an_entry_of_another_shape_among_the_pairs_is_skipped(entry: Any) -> None:
    assert our_pairs({"A": entry, "XXBTZUSD": GOOD, "Z": entry}) == {"BTCUSD": "XBTUSD"}


@pytest.mark.parametrize("altname", ["ODDX", "ETH/USD", "XETHZUSD"])
def test_of_two_entries_for_one_pair_the_one_that_is_named_like_it_stands(altname: str) -> None:
    regular, odd_one = ("XETHZUSD", {"altname": "ETHUSD", "wsname": "ETH/USD"}), ("ZZ", {"altname": altname})
    odd_one[1]["wsname"] = "ETH/USD"
    for entries in ([regular, odd_one], [odd_one, regular]):
        assert our_pairs(dict(entries)) == {"ETHUSD": "ETHUSD"}


@pytest.mark.usefixtures("asked_once")
def test_a_list_without_any_name_is_an_error_and_not_kept_for_a_day(odd: OddKraken, kraken: Kraken) -> None:
    odd.change["AssetPairs"] = lambda _: {"error": [], "result": {"A": None, "B": {"altname": "BUSD"}}}
    with pytest.raises(ExchangeError, match="AssetPairs lists no pair that has a name"):
        kraken.pairs({"BTCUSD"}, soon())
    del odd.change["AssetPairs"]
    assert kraken.pairs({"BTCUSD"}, soon()) == {"BTCUSD", "ETHUSD"}


@pytest.mark.parametrize(
    "kept",
    ["", "null", "[]", "{", '{"url": 1}', '{"pairs": [1], "asked_at": "2026-01-01T00:00:00+00:00"}', "[" * 100_000]
    + [
        json.dumps({"pairs": pairs, "asked_at": asked_at})
        for pairs, asked_at in [
            ({"BTCUSD": None}, "2026-03-03T00:00:00+00:00"),
            ([["BTCUSD"]], "2026-03-03T00:00:00+00:00"),
            ({"BTCUSD": "XBTUSD"}, "2026-03-03T00:00:00"),
            ({"BTCUSD": "XBTUSD"}, 7),
        ]
    ],
)
def test_a_damaged_list_of_pairs_is_asked_for_again(odd: OddKraken, kraken: Kraken, tmp_path: Path, kept: str) -> None:
    (tmp_path / "kraken_pairs.json").write_text(kept.replace("{", f'{{"url": "{odd.url}", ', 1), encoding="utf-8")
    assert kraken.pairs({"BTCUSD"}, soon()) == {"BTCUSD", "ETHUSD"}


def test_a_list_of_pairs_kept_under_a_clock_that_was_ahead_is_asked_for_again(
    odd: OddKraken, kraken: Kraken, tmp_path: Path
) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    kept = {"url": odd.url, "asked_at": ahead, "pairs": {"OLDUSD": "OLDUSD"}}
    (tmp_path / "kraken_pairs.json").write_text(json.dumps(kept), encoding="utf-8")
    assert kraken.pairs({"OLDUSD"}, soon()) == {"BTCUSD", "ETHUSD"}


@pytest.mark.parametrize(
    ("kept", "asked"),
    [
        ({"pairs": {}}, 1),
        ({"pairs": {}, "keys": {}}, 1),
        ({"pairs": {"BTCUSD": "XBTUSD"}, "keys": {"XXBTZUSD": 5}}, 1),
        ({"pairs": {"BTCUSD": "XBTUSD"}, "keys": [1]}, 1),
        ({"pairs": {"BTCUSD": "XBTUSD"}}, 0),  # as earlier versions kept it
        ({"pairs": {"BTCUSD": "XBTUSD"}, "keys": {"XXBTZUSD": "BTCUSD"}}, 0),
    ],
)
def test_a_kept_list_that_lists_nothing_or_is_damaged_is_asked_for_again_however_fresh(
    odd: OddKraken, kraken: Kraken, tmp_path: Path, kept: dict[str, Any], asked: int
) -> None:
    fresh = {"url": odd.url, "asked_at": datetime.now(UTC).isoformat(), **kept}
    (tmp_path / "kraken_pairs.json").write_text(json.dumps(fresh), encoding="utf-8")
    assert "BTCUSD" in kraken.pairs({"BTCUSD"}, soon())
    assert odd.count("AssetPairs").total() == asked
    assert kraken.candles("BTCUSD", NEWEST, soon()).kept.num_rows == 1


# The envelope


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("EService:Busy", "EService:Busy"),
        (["EService:Busy"], "EService:Busy"),
        ([None, "EService:Busy"], "EService:Busy"),
        ([["EService:Busy"]], "['EService:Busy']"),
        ({"code": 5}, "{'code': 5}"),
        (7, "7"),
        ([{"a": "b"}], "{'a': 'b'}"),
        (["EService:\n@everyone\u202e\x1b[31m"], "EService: @everyone [31m"),
        (["E" * 10_000], "E" * 120 + " …"),
    ],
)
@pytest.mark.usefixtures("asked_once")
def test_errors_of_any_shape_are_told_in_one_line(odd: OddKraken, known: Kraken, told: Any, why: str) -> None:
    odd.change["OHLC"] = lambda _: {"error": told}
    with pytest.raises(ExchangeError) as error:
        known.candles("BTCUSD", NEWEST, soon())
    assert said(error) == f"KRAKEN: OHLC of BTCUSD: {why}"


def test_an_attempt_that_our_own_deadline_ends_does_not_hide_what_was_answered_before(
    odd: OddKraken, known: Kraken
) -> None:
    asked = []
    given_up = threading.Event()

    def answer(_: Any) -> Any:
        asked.append(1)
        if len(asked) > 1:
            given_up.wait(30)
        return {"error": ["EService:Busy"]}

    odd.change["OHLC"] = answer
    with pytest.raises(ExchangeError) as error:
        known.candles("BTCUSD", NEWEST, soon(3))
    given_up.set()
    assert said(error) == "KRAKEN: OHLC of BTCUSD: EService:Busy"
    assert len(asked) == 2


@pytest.mark.parametrize("told", [None, [], "", {}, ["WService:slow"], "WService:slow", False])
def test_no_error_or_a_warning_in_any_shape_is_none(odd: OddKraken, known: Kraken, told: Any) -> None:
    odd.change["OHLC"] = lambda envelope: {**envelope, "error": told}
    assert known.candles("ETHUSD", NEWEST, soon()).kept.num_rows == 1


@pytest.mark.parametrize(
    "envelope",
    [
        *(None, [], "x", 7, {}, {"error": []}),
        {"error": [], "result": None},
        {"error": [], "result": [1]},
        {"error": [], "result": {}},
        {"error": [], "result": {"last": 1}},
        {"error": [], "result": {"A": [], "B": []}},
        {"error": [], "result": {"A": {"B": []}, "last": 1}},
    ],
)
@pytest.mark.usefixtures("asked_once")
def test_an_envelope_of_another_shape_is_an_error_that_names_the_pair(
    odd: OddKraken, known: Kraken, envelope: Any
) -> None:
    odd.change["OHLC"] = lambda _: envelope
    with pytest.raises(ExchangeError, match="KRAKEN: OHLC of BTCUSD: "):
        known.candles("BTCUSD", NEWEST, soon())


# Rows


def spoiled(make: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    """Change the newest closed row of an answer of OHLC."""

    def change(envelope: Any) -> Any:
        [key] = [key for key in envelope["result"] if key != "last"]
        rows = envelope["result"][key]
        rows[-2] = make(rows[-2])
        return envelope

    return change


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda _: None, "time is not a number"),
        (lambda _: {"t": 1}, "time is not a number"),
        (lambda _: "12", "time is not between 2009 and 2100"),
        (lambda row: [row[0] // 60, *row[1:]], "time is not between 2009 and 2100"),
        (lambda row: [row[0] + 0.5, *row[1:]], "time is not a whole minute"),
        (lambda _: [], "time is not a number"),
        (lambda row: [10**40, *row[1:]], "time is not between 2009 and 2100"),
        (lambda row: [10**400, *row[1:]], "time is not"),
        (lambda row: [row[0] * 1000, *row[1:]], "time is not between 2009 and 2100"),
        (lambda row: [float("nan"), *row[1:]], "time is not a number"),
        (lambda row: [-row[0], *row[1:]], "time is not between 2009 and 2100"),
        (lambda row: [[row[0]], *row[1:]], "time is not a number"),
        (lambda row: [*row[:4], float("nan"), *row[5:]], "close is not a number"),
        (lambda row: [*row[:4], ["1", "2"], *row[5:]], "close is not a number"),
        (lambda row: [*row[:4], "100,5", *row[5:]], "close is not a number"),
        (lambda row: row[:6], "volume is not a number"),
    ],
)
def test_a_row_of_another_shape_is_refused_by_name_and_the_others_are_kept(
    odd: OddKraken, known: Kraken, make: Callable[[list[Any]], Any], problem: str
) -> None:
    odd.change["OHLC"] = spoiled(make)
    validated = known.candles("BTCUSD", NEWEST - timedelta(minutes=9), soon())
    assert validated.kept.num_rows == 9
    assert [row.metric for row in validated.rejected] == ["KRAKEN:BTCUSD"]
    assert problem in validated.rejected[0].problem


@pytest.mark.parametrize(
    "make",
    [
        lambda row: [str(row[0]), *row[1:]],
        lambda row: [float(row[0]), *[float(value) for value in row[1:7]], float(row[7])],
        lambda row: [*row[:5], "\ud800", *row[6:]],  # the vwap, which nobody reads
        lambda row: [*row[:6], "-0.00000000", row[7]],
        lambda row: [*row, "more", None],
    ],
)
def test_a_row_that_is_only_written_otherwise_is_kept(
    odd: OddKraken, known: Kraken, make: Callable[[list[Any]], Any]
) -> None:
    odd.change["OHLC"] = spoiled(make)
    validated = known.candles("BTCUSD", NEWEST, soon())
    assert (validated.kept.num_rows, validated.rejected) == (1, [])


@pytest.mark.parametrize(
    ("factor", "unit"),
    [
        *((1000, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")),
        *((1 / 60, "minutes"), (1 / 3600, "hours"), (1 / 86_400, "days")),
    ],
)
@pytest.mark.usefixtures("asked_once")
def test_candles_whose_times_are_all_in_another_unit_are_an_error_that_says_so(
    odd: OddKraken, known: Kraken, factor: int, unit: str
) -> None:
    def change(envelope: Any) -> Any:
        for row in envelope["result"]["XXBTZUSD"]:
            row[0] = int(row[0] * factor)
        envelope["result"]["XXBTZUSD"].insert(0, ["a header"])
        return envelope

    odd.change["OHLC"] = change
    with pytest.raises(ExchangeError, match=f"OHLC of BTCUSD: its times are {unit}, not seconds"):
        known.candles("BTCUSD", NEWEST, soon())


@pytest.mark.parametrize("time", [0, 86_400, 1e40, -NOW])
@pytest.mark.usefixtures("asked_once")
def test_candles_of_which_no_time_can_be_one_are_an_error_too(odd: OddKraken, known: Kraken, time: float) -> None:
    odd.change["OHLC"] = lambda envelope: {
        "error": [],
        "result": {"XXBTZUSD": [[time, *row[1:]] for row in envelope["result"]["XXBTZUSD"]], "last": "1"},
    }
    with pytest.raises(ExchangeError, match="OHLC of BTCUSD: none of its times lies between 2009 and 2100"):
        known.candles("BTCUSD", NEWEST, soon())


@pytest.mark.parametrize("key", ["XXBTZUSD", "XBTUSD"])
@pytest.mark.parametrize("endpoint", ["OHLC", "Trades"])
@pytest.mark.usefixtures("asked_once")
def test_rows_of_another_pair_are_not_taken_for_this_ones(
    odd: OddKraken, known: Kraken, endpoint: str, key: str
) -> None:
    odd.change[endpoint] = lambda envelope: {
        "error": [],
        "result": {key: envelope["result"]["XETHZUSD"], "last": envelope["result"]["last"]},
    }

    def ask() -> None:
        known.candles("ETHUSD", NEWEST, soon())
        list(known.history("ETHUSD", NEWEST, NEWEST, soon()))

    with pytest.raises(ExchangeError, match=f"KRAKEN: {endpoint} of ETHUSD: the answer is BTCUSD's, {key}"):
        ask()


@pytest.mark.parametrize(
    "reorder", [lambda rows: rows[::-1], lambda rows: [row for row in rows for _ in range(2)], lambda rows: rows * 2]
)
def test_rows_in_any_order_and_twice_are_one_a_minute(
    odd: OddKraken, known: Kraken, reorder: Callable[[list[Any]], list[Any]]
) -> None:
    odd.change["OHLC"] = lambda envelope: {
        "error": [],
        "result": {"XXBTZUSD": reorder(envelope["result"]["XXBTZUSD"]), "last": "1"},
    }
    assert known.candles("BTCUSD", NEWEST - timedelta(minutes=9), soon()).kept.num_rows == 10


@pytest.mark.parametrize(
    ("endpoint", "result", "why"),
    [
        ("OHLC", {"XXBTZUSD": [[]] * 200_000, "last": 1}, "200,000 rows; more than 2,000 are not read"),
        ("OHLC", {"XXBTZUSD": [None] * 2_001, "last": 1}, "2,001 rows; more than 2,000 are not read"),
        ("OHLC", {"XXBTZUSD": [[]] * 300_000, "last": 1}, "more than 1 MB; it was not read"),
        ("Trades", {"XXBTZUSD": [["1", "1", NOW - 60]] * 2_001, "last": "1"}, "2,001 rows; more than 2,000 are not"),
        ("Trades", {"XXBTZUSD": [["1" * 1_000_000, "1", NOW - 60]], "last": "1"}, "more than 1 MB; it was not read"),
        ("Time", {str(i): [] for i in range(100_000)}, "more than 1 MB; it was not read"),
        ("AssetPairs", {str(i): [] for i in range(20_001)}, "AssetPairs lists 20,001 pairs; more than 20,000 are not"),
    ],
)
@pytest.mark.usefixtures("asked_once")
def test_an_answer_of_more_than_can_be_meant_is_not_looked_at(
    odd: OddKraken, known: Kraken, tmp_path: Path, endpoint: str, result: Any, why: str
) -> None:
    odd.change[endpoint] = lambda _: {"error": [], "result": result}
    (tmp_path / "kraken_pairs.json").unlink()

    def ask_everything() -> None:
        known.pairs({"BTCUSD"}, soon())
        known.time(soon())
        known.candles("BTCUSD", NEWEST, soon())
        list(known.history("BTCUSD", NEWEST, NEWEST, soon()))

    with pytest.raises(ExchangeError) as error:
        ask_everything()
    assert said(error).startswith(f"KRAKEN: {endpoint}")
    assert why in said(error)


def rejected_rows(known: Kraken) -> list[str]:
    """What is kept of the rows that BTCUSD's answers are refused for."""
    pages: list[Answer] = [known.candles("BTCUSD", NEWEST, soon()), *known.history("BTCUSD", NEWEST, NEWEST, soon())]
    return [row.row for page in pages for row in page.rejected]


@pytest.mark.parametrize("text", ["9" * 900_000, "x" * 900_000, "9\n" * 300_000])
def test_of_a_refused_row_no_more_is_kept_than_a_person_reads(odd: OddKraken, known: Kraken, text: str) -> None:
    def spoil_trades(envelope: Any) -> Any:
        envelope["result"]["XXBTZUSD"][0][0] = text
        return envelope

    odd.change |= {"OHLC": spoiled(lambda row: [*row[:4], text, *row[5:]]), "Trades": spoil_trades}
    of_candles, of_trades = rejected_rows(known)
    assert len(of_candles) <= 202
    assert len(of_trades) <= 202
    assert "\n" not in of_candles + of_trades


# Trades


@pytest.mark.parametrize(
    "odd_trade",
    [
        *(None, {}, "x", [], ["1", "1"], ["1", "1", None], ["1", "1", "nan"], ["1", "1", NOW * 1000.0]),
        *(["1", "1", time] for time in (1e40, True, -5, [NOW], NOW + 86400.0, 2**70, NOW // 60)),
    ],
)
@pytest.mark.usefixtures("asked_once")
def test_a_trade_without_a_true_time_is_an_error_since_nobody_knows_what_it_spoils(
    odd: OddKraken, known: Kraken, odd_trade: Any
) -> None:
    def change(envelope: Any) -> Any:
        envelope["result"]["XXBTZUSD"].append(odd_trade)
        return envelope

    odd.change["Trades"] = change
    with pytest.raises(ExchangeError, match=r"Trades of XBTUSD|Trades of BTCUSD"):
        list(known.history("BTCUSD", NEWEST - timedelta(minutes=3), NEWEST, soon()))


@pytest.mark.parametrize(("place", "text"), [(0, "\ud800"), (1, "1\udfff"), (0, "\x00")])
def test_a_trade_whose_text_cannot_be_stored_spoils_its_minute_and_no_other(
    odd: OddKraken, known: Kraken, place: int, text: str
) -> None:
    spoiled = NEWEST - timedelta(minutes=2)

    def change(envelope: Any) -> Any:
        for trade in envelope["result"]["XXBTZUSD"]:
            if float(trade[2]) // 60 * 60 == spoiled.timestamp():
                trade[place] = text
        return envelope

    odd.change["Trades"] = change
    pages = list(known.history("BTCUSD", NEWEST - timedelta(minutes=3), NEWEST, soon(5)))
    assert {row.minute for page in pages for row in page.rejected} == {spoiled}
    kept = {row["minute"] for page in pages for row in page.kept.to_pylist()}
    assert kept == {NEWEST - timedelta(minutes=minutes) for minutes in (3, 1, 0)}


@pytest.mark.parametrize("last", [None, "", "x", -1, "-1", 1.5e18, [1], {}, True, "9" * 40, "12"])
@pytest.mark.usefixtures("asked_once")
def test_a_last_that_leads_nowhere_ends_in_an_error_and_not_in_a_circle(
    odd: OddKraken, known: Kraken, last: Any
) -> None:
    def change(envelope: Any) -> Any:
        envelope["result"]["last"] = last
        return envelope

    odd.change["Trades"] = change
    with pytest.raises(ExchangeError, match="not where the next page begins"):
        list(known.history("BTCUSD", NEWEST - timedelta(minutes=3), NEWEST, soon()))


def test_a_last_that_is_a_number_is_taken(odd: OddKraken, known: Kraken) -> None:
    def change(envelope: Any) -> Any:
        envelope["result"]["last"] = int(envelope["result"]["last"])
        return envelope

    odd.change["Trades"] = change
    batches = list(known.history("BTCUSD", NEWEST - timedelta(minutes=3), NEWEST, soon()))
    assert sum(batch.kept.num_rows for batch in batches) == 4


# HTTP: how long, how large, from where


def drip(handler: BaseHTTPRequestHandler, *, head: bytes = b"", length: int = 10_000) -> None:
    """Write a byte now and then, for ever."""
    handler.wfile.write(head or f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode())
    while not odd_ends(handler).wait(0.02):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def odd_ends(handler: BaseHTTPRequestHandler) -> threading.Event:
    ends: threading.Event = handler.server.ends  # type: ignore[attr-defined]
    return ends


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b" " * 65_536
    while not odd_ends(handler).is_set():
        handler.wfile.write(b"10000\r\n" + piece + b"\r\n")


def dripping_head(handler: BaseHTTPRequestHandler) -> None:
    drip(handler, head=b"HTTP/1.1 200 OK\r\nX-Long: ")


def silent(handler: BaseHTTPRequestHandler) -> None:
    odd_ends(handler).wait(20)


@pytest.fixture
def page(odd: OddKraken) -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], Http]]:
    def serve(write: Callable[[BaseHTTPRequestHandler], None]) -> Http:
        odd.write["page"] = write
        return Http(odd.url, timeout=0.5)

    yield serve
    odd.let_go.set()


@pytest.mark.parametrize("write", [drip, dripping_head, silent])
def test_an_answer_that_is_not_whole_in_time_is_waited_for_no_longer(
    page: Callable[..., Http], write: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    http = page(write)
    began = time.monotonic()
    with pytest.raises(ExchangeUnreachable, match="KRAKEN: page: no answer within 0 s from http://127"):
        http.get("KRAKEN: page", "/page", {}, Deadline.after(60))
    assert time.monotonic() - began < 3


def test_the_deadline_of_the_caller_ends_it_sooner(page: Callable[..., Http]) -> None:
    http = page(drip)
    http.timeout = 60
    with pytest.raises(ExchangeUnreachable, match="no answer within"):
        http.get("KRAKEN: page", "/page", {}, Deadline.after(0.3))


@pytest.mark.parametrize(
    "write",
    [
        endless,
        lambda handler: send(handler, b" " * (MOST_BYTES + 1)),
        lambda handler: send(handler, gzip.compress(b" " * 200_000_000, mtime=0), headers={"Content-Encoding": "gzip"}),
        lambda handler: send(handler, zlib.compress(b" " * 50_000_000), headers={"Content-Encoding": "deflate"}),
        lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
    ],
)
def test_an_answer_that_is_too_large_is_not_read(
    page: Callable[..., Http], write: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    http = page(write)
    http.timeout = 30
    with pytest.raises(ExchangeUnreachable, match=r"page: the answer has more than 10 MB; it was not read"):
        http.get("page", "/page", {}, Deadline.after(60))


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b'{"a": 1}', None), (gzip.compress(b'{"a": 1}', mtime=0), "gzip"), (zlib.compress(b'{"a": 1}'), "deflate")],
)
def test_an_answer_is_read_plain_or_compressed(page: Callable[..., Http], body: bytes, encoding: str | None) -> None:
    headers = {"Content-Encoding": encoding} if encoding else {}
    http = page(lambda handler: send(handler, body, headers=headers))
    assert http.get("page", "/page", {}, Deadline.after(5)) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "headers", "why"),
    [
        (b"<html>520</html>", {}, "not JSON: '<html>520</html>'"),
        (b"", {}, "not JSON"),
        (b"\xff\xfe\xfd", {}, "not JSON"),
        (b"[" * 200_000, {}, "not JSON"),
        (b"1" * 10_000, {}, "not JSON"),
        (gzip.compress(b"{}", mtime=0)[:-9], {"Content-Encoding": "gzip"}, "ends in the middle|is not gzip"),
        (b"plain", {"Content-Encoding": "gzip"}, "is not gzip as it says"),
        (b"{}", {"Content-Encoding": "br"}, "encoded as br, which was not asked for"),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error_that_says_what_it_is(
    page: Callable[..., Http], body: bytes, headers: dict[str, str], why: str
) -> None:
    http = page(lambda handler: send(handler, body, headers=headers))
    with pytest.raises(ExchangeUnreachable, match=why):
        http.get("page", "/page", {}, Deadline.after(5))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_says_where_it_points(
    odd: OddKraken, page: Callable[..., Http], status: int
) -> None:
    http = page(lambda handler: send(handler, b"", status, {"Location": f"{odd.url}/elsewhere?x=1"}))
    with pytest.raises(ExchangeUnreachable) as error:
        http.get("page", "/page", {}, Deadline.after(5))
    assert said(error).startswith(f"page: HTTP {status}: {odd.url} points to {odd.url}/elsewhere?x=1, which is not fol")
    assert [endpoint for endpoint, _ in odd.asked] == ["page"]


@pytest.mark.parametrize(
    ("there", "shown"),
    [
        (b"http://127.0.0.1:1/\xff\xe9", "http://127.0.0.1:1/ÿé"),
        (b"http://[::1", "http://[::1"),
        (b"\x1b[1m", "[1m"),
        (b"//", "//"),
        (b"http://a:b/", "http://a:b/"),
        (b"x" * 10_000, "x" * 120 + " …"),
        (b"", ""),
    ],
)
def test_a_redirect_to_what_is_no_address_is_told_as_one(page: Callable[..., Http], there: bytes, shown: str) -> None:
    http = page(
        lambda handler: handler.wfile.write(
            b"HTTP/1.1 302 Found\r\nLocation: " + there + b"\r\nContent-Length: 0\r\n\r\n"
        )
    )
    with pytest.raises(ExchangeUnreachable) as error:
        http.get("page", "/page", {}, Deadline.after(5))
    assert f"points to {shown}, which is not followed" in said(error)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("\x1b[1mx\x00", "[1mx"),
        ("y" * 200, "y" * 120 + " …"),
        (b"\xffz", "\ufffdz"),
        (None, "None"),
    ],
)
def test_foreign_text_is_shown_in_one_printable_line(text: object, shown: str) -> None:
    assert plain(text) == shown
