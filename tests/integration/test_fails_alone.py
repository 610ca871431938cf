"""One bad thing fails alone: a metric, a pair, a day, a note. The others are stored, and what happened is told."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange
from pricetracker_dagster.candles.validate import Answer, Unvalidated, Validated, validate_together
from pricetracker_dagster.collect import storing, tick
from pricetracker_dagster.collect.backfill import backfill
from pricetracker_dagster.collect.healing import Healing
from pricetracker_dagster.collect.result import Collected
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.exchanges.kraken.client import Kraken
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.delta import Upserted
from pricetracker_dagster.store.prices import PriceTable
from pricetracker_dagster.store.records import Records, RecordTable
from pricetracker_dagster.store.store import open_store
from tests.integration.conftest import Track
from tests.odd_kraken import NEWEST, NOW, OddKraken

BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"


def newest(settings: Settings) -> dict[str, datetime]:
    metrics = [str(metric) for metric in settings.tracked]
    return open_store(settings).prices.newest(metrics, NEWEST - timedelta(days=1))


def test_rows_that_cannot_be_validated_with_the_others_cost_their_own_metric_alone_its_minute(
    track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(answers: Sequence[Answer]) -> Validated:
        if any(row[0] == ETH for answer in answers if isinstance(answer, Unvalidated) for row in answer.rows):
            raise ZeroDivisionError
        return validate_together(answers)

    monkeypatch.setattr(storing, "validate_together", fails)
    settings = track("BTCUSD", "ETHUSD")
    tick = collect_minute(settings, NEWEST)
    assert newest(settings) == {BTC: NEWEST}
    assert tick.missing == {ETH: [MinuteRange(NEWEST, NEWEST)]}
    assert tick.why(ETH).startswith("a mistake of pricetracker: ZeroDivisionError")
    assert tick.cause(ETH) == "own mistake"


def stored_minutes(settings: Settings, metric: str) -> int:
    return int(open_store(settings).prices.candles([metric], NEWEST - timedelta(days=1), NEWEST).num_rows)


def of_eth(verb: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one verb of the exchange go wrong with one pair."""
    whole = getattr(Kraken, verb)

    def spoiled(self: Kraken, pair: str, *args: Any, **kwargs: Any) -> Any:
        if pair == "ETHUSD":
            raise error
        return whole(self, pair, *args, **kwargs)

    monkeypatch.setattr(Kraken, verb, spoiled)


def test_a_pair_whose_answer_never_comes_is_not_told_as_answered(track: Track, odd: OddKraken) -> None:
    settings = track(budget=3)

    def hang(_: object) -> None:
        odd.let_go.wait(10)

    odd.write["OHLC", "ETHUSD"] = hang
    tick = collect_minute(settings, NEWEST)
    assert newest(settings) == {BTC: NEWEST}
    assert tick.why(ETH) in (
        "no answer came within the tick's budget",
        f"KRAKEN: OHLC of ETHUSD: no answer within 3 s from {odd.url}",
    )
    assert tick.cause(ETH) == "exchange error"


MISTAKES = [
    TypeError("'NoneType' object is not subscriptable"),
    KeyError("altname"),
    ZeroDivisionError("division by zero"),
    duckdb.ConversionException("Could not cast\n  1e200"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    RecursionError("maximum recursion depth exceeded"),
    AssertionError(),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: type(mistake).__name__)
def test_a_mistake_of_ours_with_one_metric_is_told_as_one_and_the_others_have_their_minute(
    track: Track, monkeypatch: pytest.MonkeyPatch, mistake: Exception
) -> None:
    settings = track()
    of_eth("candles", mistake, monkeypatch)
    tick = collect_minute(settings, NEWEST)
    assert newest(settings) == {BTC: NEWEST}
    assert list(tick.missing) == [ETH]
    assert tick.why(ETH).startswith(f"a mistake of pricetracker: {type(mistake).__name__}:")
    assert tick.why(ETH).endswith("; the traceback is in the run's log")
    assert "\n" not in tick.why(ETH)
    assert tick.cause(ETH) == "own mistake"
    assert "Traceback" in tick.tracebacks[0]
    assert "spoiled" in tick.tracebacks[0]
    [noted] = open_store(settings).records.causes.rows()
    assert (noted["metric"], noted["cause"]) == (ETH, "own mistake")


@pytest.mark.parametrize("mistake", MISTAKES[:3], ids=lambda mistake: type(mistake).__name__)
def test_a_mistake_of_ours_while_healing_one_metric_leaves_the_others_healed(
    odd: OddKraken, track: Track, monkeypatch: pytest.MonkeyPatch, mistake: Exception
) -> None:
    odd.pairs["PUSD"] = ("PUSD", "P/USD")
    odd.quiet |= {"PUSD", "ETHUSD"}
    settings = track("BTCUSD", "ETHUSD", "PUSD")
    of_eth("history", mistake, monkeypatch)
    tick = collect_minute(settings, NEWEST)
    assert tick.causes == {ETH: "own mistake"}
    assert newest(settings).keys() == {BTC, ETH, "KRAKEN:PUSD"}
    assert newest(settings)["KRAKEN:PUSD"] == NEWEST
    assert stored_minutes(settings, "KRAKEN:PUSD") == 660  # from the first listed hour, 01:00, to 11:59


@pytest.mark.parametrize("mistake", MISTAKES[:3], ids=lambda mistake: type(mistake).__name__)
@pytest.mark.parametrize("verb", ["candles", "history"])
def test_a_backfill_goes_on_with_the_other_metrics(
    track: Track, monkeypatch: pytest.MonkeyPatch, mistake: Exception, verb: str
) -> None:
    settings = track("ETHUSD", "BTCUSD")
    of_eth(verb, mistake, monkeypatch)
    done = backfill(settings, NEWEST - timedelta(hours=14), NEWEST)
    assert done.causes == {ETH: "own mistake"}
    assert stored_minutes(settings, BTC) == 14 * 60 + 1


def dripping(head: bytes, drop: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Return what writes the head of an answer, and then for ever a drop and another one."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head)
        while not _never.wait(0.05):
            handler.wfile.write(drop)
            handler.wfile.flush()

    return write


_never = threading.Event()
drip = dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" ")
drip_head = dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x")


def garbage(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("write", [drip, drip_head, garbage], ids=["drip", "drip_head", "garbage"])
def test_a_body_that_drips_or_is_none_costs_its_own_metric_at_most(
    odd: OddKraken, track: Track, write: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    settings = track(budget=3)
    odd.write["OHLC", "ETHUSD"] = write
    began = time.monotonic()
    tick = collect_minute(settings, NEWEST)
    assert time.monotonic() - began < 15
    assert newest(settings) == {BTC: NEWEST}
    assert list(tick.missing) == [ETH]
    assert tick.cause(ETH) == "exchange error"


def test_many_that_drip_hold_up_no_other_metric_and_leave_no_thread_that_must_be_waited_for(
    odd: OddKraken, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = odd.list_more("D", 20)
    for name in names:
        odd.write["OHLC", name] = drip
    settings = track(*names, "BTCUSD", "ETHUSD", budget=4)
    published: list[dict[str, datetime]] = []

    def look(*_: object, **__: object) -> None:
        published.append(newest(settings))

    monkeypatch.setattr("pricetracker_dagster.collect.tick.publish", look)
    tick = collect_minute(settings, NEWEST)
    assert newest(settings) == {BTC: NEWEST, ETH: NEWEST}
    assert tick.missing.keys() == {f"KRAKEN:{name}" for name in names}
    assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())


def test_readers_have_what_came_while_another_metric_is_still_waited_for(
    odd: OddKraken, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = threading.Event()
    seen: list[bool] = []

    def once_published(_: BaseHTTPRequestHandler) -> None:
        seen.append(published.wait(12))  # and then it hangs up

    def publish(*_: object, **__: object) -> None:
        published.set()

    monkeypatch.setattr(tick, "publish", publish)
    odd.write["OHLC", "ETHUSD"] = once_published
    settings = track("BTCUSD", "ETHUSD", budget=20, timeout=15)
    collect_minute(settings, NEWEST)
    assert seen[0]
    assert newest(settings)["KRAKEN:BTCUSD"] == NEWEST


@pytest.mark.parametrize("endpoint", ["Time", "AssetPairs"])
def test_an_exchange_that_never_answers_ends_with_the_budget_and_says_so(
    odd: OddKraken, track: Track, endpoint: str
) -> None:
    settings = track(budget=2)
    odd.write[endpoint] = drip
    began = time.monotonic()
    tick = collect_minute(settings, NEWEST)
    assert time.monotonic() - began < 15
    assert tick.missing.keys() == {BTC, ETH}
    assert "no answer" in tick.why(BTC)


def test_a_time_in_milliseconds_is_told_for_each_metric_of_that_exchange(odd: OddKraken, track: Track) -> None:
    settings = track(budget=2)
    odd.change["Time"] = lambda _: {"error": [], "result": {"unixtime": NOW * 1000}}
    tick = collect_minute(settings, NEWEST)
    assert tick.why(ETH) == f"KRAKEN: Time answered {NOW * 1000}, which is in milliseconds, not in seconds"
    assert tick.missing.keys() == {BTC, ETH}


def failing_upsert(monkeypatch: pytest.MonkeyPatch, wrong: Callable[[pa.Table], bool], error: Exception) -> None:
    whole = PriceTable.upsert

    def spoiled(self: PriceTable, candles: pa.Table, **kwargs: Any) -> Upserted:
        if wrong(candles):
            raise error
        return whole(self, candles, **kwargs)

    monkeypatch.setattr(PriceTable, "upsert", spoiled)


@pytest.mark.parametrize(
    "error", [ValueError("two candles"), TypeError("no"), pa.ArrowInvalid("overflow"), duckdb.OutOfRangeException("x")]
)
def test_rows_of_one_metric_that_cannot_be_stored_do_not_keep_out_the_others(
    track: Track, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    settings = track()
    failing_upsert(monkeypatch, lambda candles: ETH in candles["metric"].to_pylist(), error)
    tick = collect_minute(settings, NEWEST)
    assert newest(settings) == {BTC: NEWEST}
    assert tick.why(ETH).startswith(f"a mistake of pricetracker: {type(error).__name__}: ")
    assert list(tick.missing) == [ETH]


def test_rows_of_one_day_that_cannot_be_stored_do_not_keep_out_the_other_days(
    odd: OddKraken, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd.now = NOW - 6 * 3600  # 06:00: twelve hours reach into yesterday
    minute = NEWEST - timedelta(hours=6)
    settings = track("BTCUSD")
    yesterday = date(2026, 3, 2)
    failing_upsert(
        monkeypatch,
        lambda candles: candles["minute"][0].as_py().date() == yesterday,
        OSError(28, "No space left on device", "/data/minute_prices"),
    )
    tick = collect_minute(settings, minute)
    assert newest(settings) == {BTC: minute}
    assert tick.missing == {}
    assert stored_minutes(settings, BTC) == 6 * 60
    assert tick.reasons == {BTC: "its rows were not stored: /data/minute_prices: No space left on device"}
    assert tick.causes == {BTC: "not stored"}


def breaks(*_: object, **__: object) -> Any:
    raise RuntimeError("broken on purpose")


@pytest.mark.parametrize(
    ("owner", "name", "told"),
    [
        (Records, "note_not_run", "the minutes for which no tick was run were not noted"),
        (tick, "note_tracked", "since when metrics are tracked could not be read"),
        (PriceTable, "newest", "what is stored could not be read"),
        (PriceTable, "gaps", "what is stored could not be read"),
        (Healing, "gaps_to_rebuild", "what is stored could not be read"),
    ],
)
def test_a_look_or_a_note_that_fails_does_not_cost_the_minute(
    track: Track, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, told: str
) -> None:
    settings = track()
    with monkeypatch.context() as broken:
        broken.setattr(owner, name, breaks)
        tick = collect_minute(settings, NEWEST)
    assert newest(settings) == {BTC: NEWEST, ETH: NEWEST}
    assert tick.missing == {}
    assert tick.troubles[0].startswith(f"{told}: a mistake of pricetracker: RuntimeError: broken on purpose")


def test_a_cause_that_cannot_be_noted_does_not_cost_the_minute(
    odd: OddKraken, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = track()
    odd.change["OHLC", "ETHUSD"] = lambda _: {"error": ["EGeneral:Invalid arguments"]}
    monkeypatch.setattr(RecordTable, "upsert", breaks)
    tick = collect_minute(settings, NEWEST)
    assert newest(settings) == {BTC: NEWEST}
    assert list(tick.missing) == [ETH]
    assert tick.troubles[-1].startswith("why minutes are missing was not noted: ")


def test_a_publication_that_fails_before_healing_does_not_stop_the_healing(
    odd: OddKraken, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd.quiet.add("ETHUSD")
    settings = track()
    monkeypatch.setattr("pricetracker_dagster.collect.tick.publish", breaks)
    tick = collect_minute(settings, NEWEST)
    assert tick.missing == {}
    assert newest(settings) == {BTC: NEWEST, ETH: NEWEST}
    assert [each.partition(":")[0] for each in tick.troubles] == ["what is stored was not published yet"]


def test_where_there_is_no_memory_left_it_does_not_go_on(track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = track()
    of_eth("candles", MemoryError(), monkeypatch)
    with pytest.raises(MemoryError):
        collect_minute(settings, NEWEST)


def test_what_was_told_of_a_metric_is_forgotten_once_it_has_answered(odd: OddKraken, track: Track) -> None:
    settings = track()
    answers = iter(["EService:Busy", "EGeneral:Internal error"])

    def change(envelope: Any) -> Any:
        error = next(answers, None)
        return {"error": [error]} if error else envelope

    odd.change["OHLC", "ETHUSD"] = change
    tick: Collected = collect_minute(settings, NEWEST)
    assert (tick.missing, tick.reasons, tick.causes) == ({}, {}, {})
    assert odd.count("OHLC")["ETHUSD"] == 3


def test_odd_pairs_a_row_beyond_any_integer_and_a_surrogate_cost_nobody_the_minute(
    odd: OddKraken, track: Track
) -> None:
    def odd_count(envelope: Any) -> Any:
        envelope["result"]["XETHZUSD"][-2][7] = 10**20
        return envelope

    odd.change["OHLC", "ETHUSD"] = odd_count
    odd.change["AssetPairs"] = lambda envelope: {**envelope, "result": {**envelope["result"], "ODD": None, "B": []}}
    settings = track()
    tick = collect_minute(settings, NEWEST)
    assert newest(settings)[BTC] == NEWEST
    assert set(tick.missing) <= {ETH}
    odd.now += 60
    odd.change.clear()
    assert collect_minute(settings, NEWEST + MINUTE).missing == {}


def without_eth(envelope: Any) -> Any:
    del envelope["result"]["XETHZUSD"]
    return envelope


@pytest.mark.parametrize("listed_before", [False, True])
def test_a_list_of_pairs_that_is_incomplete_for_once_costs_no_minute(
    odd: OddKraken, track: Track, listed_before: bool
) -> None:
    settings = track()
    if listed_before:
        collect_minute(settings, NEWEST - MINUTE)
        file = settings.state / "kraken_pairs.json"
        kept = json.loads(file.read_text(encoding="utf-8")) | {"asked_at": "2026-03-01T00:00:00+00:00"}
        file.write_text(json.dumps(kept), encoding="utf-8")
    odd.change["AssetPairs"] = without_eth
    tick = collect_minute(settings, NEWEST)
    assert (tick.missing, newest(settings)) == ({}, {BTC: NEWEST, ETH: NEWEST})
    past = backfill(settings, NEWEST - timedelta(hours=13), NEWEST - timedelta(hours=13))
    assert (past.missing, past.inserted) == ({}, 2)
