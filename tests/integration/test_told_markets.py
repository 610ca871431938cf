"""What is traded for what is told by the exchanges: a tick notes it, and the published table goes by it."""

import json
from collections.abc import Callable
from pathlib import Path

from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.reading.published import ask
from pricetracker_dagster.reading.questions import Question
from pricetracker_dagster.store.market_names import MarketNames, note_markets
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import store_in
from tests.integration.conftest import Bench

Start = Callable[..., Bench]


def test_a_tick_notes_base_and_quote_as_the_exchange_tells_them(start: Start) -> None:
    bench = start("BTCUSD", "USDTUSD", "GRTETH")
    collect_minute(bench.settings, bench.minute)
    noted = json.loads((bench.settings.state / "markets.json").read_text())
    # by the name alone USDTUSD might be USD/TUSD
    assert noted == {
        "SIMULATED:BTCUSD": ["BTC", "USD"],
        "SIMULATED:USDTUSD": ["USDT", "USD"],
        "SIMULATED:GRTETH": ["GRT", "ETH"],
    }
    publish(bench.store, [str(metric) for metric in bench.settings.tracked], now=bench.now, minute=bench.minute)
    rows = ask(bench.store.folder.published, Question("FROM markets ORDER BY metric")).to_dicts()
    assert [row["market"] for row in rows] == ["BTC/USD", "GRT/ETH", "USDT/USD"]


def test_what_others_have_told_before_stays_and_a_damaged_file_is_begun_anew(start: Start) -> None:
    bench = start("BTCUSD")
    file = bench.settings.state / "markets.json"
    note_markets(bench.settings.state, {"OKX:USDTUSD": ("USDT", "USD")})
    note_markets(bench.settings.state, {"OKX:ETHUSDT": ("ETH", "USDT")})
    assert json.loads(file.read_text()) == {"OKX:ETHUSDT": ["ETH", "USDT"], "OKX:USDTUSD": ["USDT", "USD"]}
    before = file.stat().st_mtime_ns
    note_markets(bench.settings.state, {"OKX:ETHUSDT": ("ETH", "USDT")})
    assert file.stat().st_mtime_ns == before  # not written each minute
    file.write_text("{")
    note_markets(bench.settings.state, {"OKX:ETHUSDT": ("ETH", "USDT")})
    assert json.loads(file.read_text()) == {"OKX:ETHUSDT": ["ETH", "USDT"]}


def test_of_the_file_only_pairs_of_texts_are_taken(tmp_path: Path) -> None:
    kept = {
        "A:1": ["B", "C"],
        "A:2": "BC",
        "A:3": ["B"],
        "A:4": ["", "C"],
        "A:5": [1, 2],
        "A:6": None,
        "A:7": {"B": "C"},
    }
    store = store_in(tmp_path)
    store.folder.state.mkdir()
    (store.folder.state / "markets.json").write_text(json.dumps(kept))
    assert MarketNames.known_in(store).told == {"A:1": ("B", "C")}
