"""The page left open: new minutes come by themselves, stale data and a server that is gone are told, and both end."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pytest
import requests
from playwright.sync_api import expect

from pricetracker_dagster.candles.minutes import MINUTE, newest_closed_minute
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import Store, store_in
from tests.browser.conftest import PHONE, Open, Serve, charted, ranked
from tests.market import one_minute_more, table, walk

NAMES = [f"KRAKEN:M{i:03d}USD" for i in range(60)]
WATCHED = NAMES[0]


def stored(folder: Path, newest: datetime) -> Store:
    """Two hours of sixty metrics up to a minute."""
    minutes = pd.date_range(end=newest, periods=120, freq="min", unit="us")
    store = store_in(folder)
    store.prices.upsert(table(pd.concat([walk(metric, minutes) for metric in NAMES], ignore_index=True)))
    publish(store, NAMES, now=newest + timedelta(seconds=63))
    return store


def newest() -> datetime:
    return newest_closed_minute(datetime.now(UTC))


def test_a_new_minute_comes_by_itself_and_nothing_else_moves(tmp_path: Path, serve: Serve, open_page: Open) -> None:
    minute = newest() - MINUTE
    store = stored(tmp_path / "data", minute)
    with serve(store.folder.path) as url, open_page(url, f"#sort=metric&metric={WATCHED}&hours=1") as page:
        charted(page)
        page.evaluate("window.isTheSame = true")
        page.locator("#ranking-scroll").evaluate("(node) => node.scrollTo(0, 700)")
        name = page.locator("#ranking-body .name", has_text="M030USD")
        name.focus()
        page.evaluate("getSelection().selectAllChildren(document.getElementById('metric-title'))")
        before = page.locator("#ranking-scroll").evaluate("(node) => node.scrollTop")
        assert before > 100
        following = one_minute_more(store, minute, NAMES, close=123.456)
        expect(page.locator("#as-of-time")).to_contain_text(f"{following:%H:%M} UTC")
        expect(page.locator("#metric .metric-last")).to_have_text("123.456")
        page.wait_for_function("() => document.querySelector('.plot').data[0].close.at(-1) === 123.456")
        expect(page.locator("table.values tbody tr:not(.spacer) th").first).to_have_text(f"{following:%H:%M}")
        assert page.evaluate("window.isTheSame")
        assert page.locator("#ranking-scroll").evaluate("(node) => node.scrollTop") == before
        assert page.evaluate("getSelection().toString()") == WATCHED
        expect(name).to_be_focused()
        assert page.title().startswith(f"{WATCHED} 123.456")
        expect(page.locator(".banner[data-kind=stale]")).to_have_count(0)


def test_stale_data_are_told_until_a_minute_comes(tmp_path: Path, serve: Serve, open_page: Open) -> None:
    store = stored(tmp_path / "data", newest() - 20 * MINUTE)
    with serve(store.folder.path) as url, open_page(url, viewport=PHONE) as page:
        banner = page.locator(".banner[data-kind=stale]")
        expect(banner).to_contain_text("Stale data.")
        expect(banner).to_contain_text("ended 20 min")
        expect(banner).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        one_minute_more(store, newest() - MINUTE, NAMES)
        expect(banner).to_have_count(0)


def test_it_survives_a_restart_of_the_server(tmp_path: Path, serve: Serve, open_page: Open) -> None:
    minute = newest() - MINUTE
    store = stored(tmp_path / "data", minute)
    with serve(store.folder.path) as url:
        page = open_page(url, expected=("ERR_",))
        ranked(page)
    page.evaluate("window.dispatchEvent(new Event('online'))")  # the next look, without waiting for the minute
    gone = page.get_by_text("No answer from the server")
    expect(gone).to_be_visible(timeout=20_000)
    assert len(ranked(page)) > 20  # what was shown stays
    following = one_minute_more(store, minute, NAMES)
    with serve(store.folder.path, urlsplit(url).port) as again:
        assert again == url
        expect(gone).to_be_hidden(timeout=20_000)
        expect(page.locator("#as-of-time")).to_contain_text(f"{following:%H:%M} UTC")


def test_nothing_published_yet_is_said_and_ends_with_the_first_minute(
    tmp_path: Path, serve: Serve, open_page: Open
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with serve(folder) as url, open_page(url, expected=("503",)) as page:
        expect(page.locator(".banner")).to_contain_text("nothing is published yet", ignore_case=True)
        stored(folder, newest())
        expect(page.locator("#found")).to_have_text("60 metrics")
        expect(page.locator(".banner[data-kind=stale]")).to_have_count(0)


@pytest.mark.parametrize("metric", ["SIMULATED:BTCUSD", "SIMULATED_COINBASE:BTCUSD"])
def test_invented_prices_are_told_on_every_view_and_the_lamp_says_what_is_wrong(
    tmp_path: Path, serve: Serve, open_page: Open, metric: str
) -> None:
    minutes = pd.date_range(end=newest(), periods=10, freq="min", unit="us")
    store = store_in(tmp_path / "data")
    store.prices.upsert(table(walk(metric, minutes)))
    publish(store, [metric], now=datetime.now(UTC))
    with serve(store.folder.path) as url, open_page(url) as page:
        for view in ("#view=alarms", f"#metric={metric}", "#"):
            page.evaluate("(address) => { location.hash = address; }", view)
            expect(page.locator(".banner[data-kind=simulated]")).to_be_in_viewport()
        lamp = page.locator("#lamp")
        expect(lamp).to_have_attribute("data-kind", "trouble", timeout=30_000)
        troubles = requests.get(f"{url}/health", timeout=30).json()["troubles"]
        lamp.locator("summary").click()
        expect(page.locator("#troubles li")).to_have_text(troubles)
        expect(page.locator("#dagster-ui")).to_have_attribute("href", "http://127.0.0.1:3000/assets")
