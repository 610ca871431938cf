"""Nobody starves: with more to ask than fits into a tick, metrics take turns, and what cannot be had is asked for ever
more rarely. A small exchange on loopback whose clock the test turns; the allowance is real, only faster."""

import json
import time
from collections import Counter
from collections.abc import Container
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.collect import candles
from pricetracker_dagster.collect import tick as tick_module
from pricetracker_dagster.collect.result import Collected
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.collect.turns import Turn, Turns
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.coverage import missing
from pricetracker_dagster.store.publishing.file import Published
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import open_store
from tests.integration.conftest import Track
from tests.odd_kraken import NEWEST, NOW, OddKraken, price


def tick(odd: OddKraken, settings: Settings) -> Collected:
    """Run the tick of the newest minute, then turn the clock on by one."""
    done = collect_minute(settings, datetime.fromtimestamp(odd.now // 60 * 60 - 60, UTC))
    odd.now += 60
    return done


def lose(odd: OddKraken, candles: Container[int], trades: Container[int]) -> None:
    """Leave candles of some minutes (Unix seconds) out of the answers for BTCUSD, and spoil the trades of some."""

    def unreadable(envelope: Any) -> Any:
        for trade in envelope["result"]["XXBTZUSD"]:
            if float(trade[2]) // 60 * 60 in trades:
                trade[0] = "?"
        return envelope

    odd.change["OHLC"], odd.change["Trades"] = lambda answer: without(answer, candles), unreadable


def without(answer: Any, minutes: Container[int]) -> Any:
    """Leave minutes (Unix seconds) out of an answer of OHLC."""
    result = answer["result"]
    listed = {key: [row for row in rows if row[0] not in minutes] for key, rows in result.items() if key != "last"}
    return {**answer, "result": {**result, **listed}}


def test_with_more_metrics_than_requests_each_has_its_turn_as_often_as_the_others(odd: OddKraken, track: Track) -> None:
    names = odd.list_more("P", 40)
    settings = track(*names, budget=3, per_second=2.7)
    stored, since = open_store(settings), NEWEST - timedelta(hours=1)
    metrics = [f"KRAKEN:{name}" for name in names]
    turns = Counter(dict.fromkeys(names, 0))
    for ticks in range(1, 40):
        before = odd.count("OHLC")
        tick(odd, settings)
        turns.update((odd.count("OHLC") - before).keys())  # what fails is asked for again in the same turn
        assert max(turns.values()) - min(turns.values()) <= 2  # an answer of the last moment may be asked for twice
        if ticks >= 5 and stored.prices.newest(metrics, since).keys() == set(metrics):
            break
    else:
        pytest.fail(f"never had its minutes: {set(metrics) - stored.prices.newest(metrics, since).keys()}")
    assert stored.prices.gaps(metrics, since, NEWEST) == {}


def test_older_gaps_are_healed_in_the_end_where_each_tick_has_more_metrics_than_requests(
    odd: OddKraken, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*args: Any, **options: Any) -> Published:
        time.sleep(1.0)  # as with very many metrics: more than a fifth of the budget
        return publish(*args, **options)

    monkeypatch.setattr(tick_module, "publish", slow)
    lost = NOW // 60 * 60 - 3600
    names = odd.list_more("P", 7)
    for name in names:
        odd.change["OHLC", name] = lambda answer: without(answer, {lost})
    settings = track(*names, budget=4, per_second=1.3)  # long enough for a busy machine's publication
    prices, minute = open_store(settings).prices, datetime.fromtimestamp(lost, UTC)
    for _ in range(20):
        tick(odd, settings)
        if prices.candles([f"KRAKEN:{name}" for name in names], minute, minute).num_rows:
            break
    else:
        pytest.fail(f"none was healed; asked for: {Counter(odd.asked)}")
    endpoints = [endpoint for endpoint, _ in odd.asked]
    assert set(names) <= {pair for _, pair in odd.asked[: endpoints.index("Trades")]}  # newest minutes came first


def test_metrics_that_always_fail_take_no_turn_of_the_others(odd: OddKraken, track: Track) -> None:
    names = odd.list_more("P", 12)
    for name in names[:6]:
        odd.change["OHLC", name] = lambda _: {"error": ["EGeneral:Invalid arguments"]}
    settings = track(*names, budget=1, per_second=4)
    for _ in range(30):
        tick(odd, settings)
        if min(odd.count("OHLC")[name] for name in names) >= 2:
            break
    counts = odd.count("OHLC")
    assert max(counts[name] for name in names[:6]) <= min(counts[name] for name in names[6:]) + 2


def test_quiet_pairs_that_leave_minutes_out_get_them_all_beside_the_others(odd: OddKraken, track: Track) -> None:
    names = odd.list_more("P", 10)
    odd.quiet |= set(names)
    settings = track("BTCUSD", "ETHUSD", *names, budget=8, per_second=5)  # as many requests as 40 s at one a second
    metrics = [str(metric) for metric in settings.tracked]
    store = open_store(settings)
    begun = datetime(2026, 3, 3, 1, tzinfo=UTC)  # the first hour in reach, for which a quiet pair has a candle
    missing: dict[str, Any] = {"": 1}
    for _ in range(12):
        newest = datetime.fromtimestamp(odd.now // 60 * 60 - 60, UTC)
        tick(odd, settings)
        missing = store.prices.gaps(metrics, begun, newest)
        if not missing:
            break
    assert missing == {}
    rows = store.prices.candles([f"KRAKEN:{names[0]}"], begun, NEWEST).to_pylist()
    for row in rows:
        unix = int(row["minute"].timestamp())
        assert row["close"] == price(unix // 3600 * 3600)
        assert (row["volume"], row["trades"]) == ((1.5, 3) if unix % 3600 == 0 else (0.0, 0))


def test_a_minute_that_is_never_listed_at_once_is_soon_not_asked_for_again_at_once(
    odd: OddKraken, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candles, "LATE_MINUTE", (0.01, 0.01))
    odd.now += 120  # past the hour, whose minute is listed
    odd.pairs["PUSD"] = ("PUSD", "P/USD")
    odd.quiet.add("PUSD")
    settings = track("PUSD")
    before = 0
    asked = []
    for _ in range(9):
        assert tick(odd, settings).missing == {}
        asked.append(odd.count("OHLC")["PUSD"] - before)
        before += asked[-1]
    assert asked == [3, 3, 3, 1, 3, 1, 1, 1, 3]  # after three times only now and then


@pytest.mark.long
def test_what_cannot_be_had_is_asked_for_after_pauses_that_grow(odd: OddKraken, track: Track) -> None:
    gone = range(NOW // 60 * 60 - 3600, NOW // 60 * 60 - 3600 + 300, 60)

    lose(odd, gone, gone)
    settings = track("BTCUSD")
    asked = []
    for number in range(15):
        before = odd.count("Trades")["XBTUSD"]
        tick(odd, settings)
        if odd.count("Trades")["XBTUSD"] > before:
            asked.append(number)
    assert asked == [0, 2, 6, 14]
    odd.change.clear()
    for _ in range(17):
        tick(odd, settings)
    assert missing(open_store(settings).prices, {"KRAKEN:BTCUSD": None}, NEWEST - timedelta(hours=2), NEWEST) == {}


def test_while_one_gap_pauses_new_ones_are_rebuilt_at_once(odd: OddKraken, track: Track) -> None:
    gone = {NOW // 60 * 60 - 3600, NOW // 60 * 60 + 120}

    lose(odd, gone, {NOW // 60 * 60 - 3600})
    settings = track("BTCUSD")
    assert [tick(odd, settings).missing for _ in range(5)] == [{}] * 5


# --- what is remembered ---


def turns(folder: Path, *metrics: str, minute: datetime = NEWEST) -> Turns:
    return Turns(folder, metrics or ("A", "B", "C"), minute)


def test_who_has_waited_longest_comes_first(tmp_path: Path) -> None:
    kept = turns(tmp_path)
    kept["A"].asked, kept["B"].asked, kept["C"].asked = 300, 100, 200
    kept["A"].healed = 7
    kept.save()
    again = turns(tmp_path)
    assert again.to_ask(["A", "B", "C"]) == ["B", "C", "A"]
    assert again.to_heal(["A", "B", "C"])[-1] == "A"


def test_of_a_thousand_metrics_of_which_eight_hundred_fit_into_a_tick_each_is_asked_as_often_as_the_others(
    tmp_path: Path,
) -> None:
    metrics = [f"M{number}" for number in range(1000)]
    asked = Counter(dict.fromkeys(metrics, 0))
    for ticks in range(1, 11):
        kept = turns(tmp_path, *metrics, minute=NEWEST + ticks * MINUTE)
        chosen = kept.to_ask(metrics)[:800]
        for metric in chosen:
            kept[metric].asked = int((NEWEST + ticks * MINUTE).timestamp())
        asked.update(chosen)
        kept.save()
        assert max(asked.values()) - min(asked.values()) <= 1
    assert set(asked.values()) == {8}


def test_older_gaps_have_their_turn_once_each_metric_was_asked_for_since(tmp_path: Path) -> None:
    kept = turns(tmp_path)
    assert not kept.all_were_asked("ABC")  # nobody was ever
    kept["A"].asked = kept["B"].asked = 120
    assert not kept.all_were_asked("ABC")
    kept["C"].asked = 60
    assert kept.all_were_asked("ABC")
    kept["A"].healed = 60
    assert not kept.all_were_asked("ABC")
    kept["C"].asked = 120
    assert kept.all_were_asked("ABC")


def test_time_that_did_not_last_for_older_gaps_is_more_the_next_time_and_less_once_it_did(tmp_path: Path) -> None:
    def after(minutes: int, *, healed: bool) -> float:
        kept = turns(tmp_path, minute=NEWEST + minutes * MINUTE)
        if healed:
            kept["B"].healed = int((NEWEST + minutes * MINUTE).timestamp())
        kept.note_older("ABC")
        kept.save()
        return round(turns(tmp_path, minute=NEWEST + minutes * MINUTE).share_of_older("ABC"), 3)

    assert turns(tmp_path).share_of_older("ABC") == 0.2
    assert [after(i, healed=False) for i in range(1, 6)] == [0.4, 0.6, 0.8, 0.8, 0.8]
    assert [after(i, healed=True) for i in range(6, 10)] == [0.6, 0.4, 0.2, 0.2]


def test_where_nothing_is_remembered_it_begins_elsewhere_each_minute(tmp_path: Path) -> None:
    firsts = {turns(tmp_path, minute=NEWEST + i * MINUTE).to_ask(["A", "B", "C"])[0] for i in range(3)}
    assert firsts == {"A", "B", "C"}


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "null",
        "[]",
        "{",
        "7",
        '{"A": 7}',
        '{"A": null}',
        '{"A": {"asked": "x", "vain": -1, "late": true}}',
        "[" * 99999,
    ],
)
def test_a_file_that_is_damaged_is_begun_anew(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "turns.json").write_text(damaged, encoding="utf-8")
    assert turns(tmp_path)["A"] == Turn()


@pytest.mark.parametrize(
    "turn",
    [{"asked": 1}, {"healed": 1}, {"until": 1}, {"again": 3600 * 3}],
)
def test_what_was_remembered_under_a_clock_that_was_ahead_is_forgotten(tmp_path: Path, turn: dict[str, int]) -> None:
    ahead = {name: int(NEWEST.timestamp()) + seconds for name, seconds in turn.items()}
    (tmp_path / "turns.json").write_text(json.dumps({"A": {"vain": 3, **ahead}}), encoding="utf-8")
    assert turns(tmp_path)["A"] == Turn()


def test_what_is_no_longer_tracked_is_forgotten(tmp_path: Path) -> None:
    kept = turns(tmp_path)
    kept["A"].asked = kept["B"].asked = 60
    kept.save()
    turns(tmp_path, "B").save()
    assert json.loads((tmp_path / "turns.json").read_text()).keys() == {"B"}


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "turns.json").mkdir()
    kept = turns(tmp_path)
    kept.save()
    assert kept["A"] == Turn()
