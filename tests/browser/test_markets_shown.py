"""Markets on the page: exchanges side by side, one market opened, held against what pandas says of the same prices."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import store_in
from tests.browser.conftest import PHONE, Open, Serve, charted, ranked
from tests.side_by_side import AS_OF, MARKETS, SINCE, STOPPED, candles, day, expected, stored

OF_BTC = sorted(metric for metric, market in MARKETS.items() if market == "BTC/USD")
OPENED = "#view=markets&market=BTC/USD"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return day()


@pytest.fixture(scope="module")
def sides(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("sides")
    store = store_in(folder)
    stored(store, frame)
    publish(store, list(MARKETS), now=AS_OF + timedelta(seconds=63))
    with serve(folder) as url:
        yield url


def cells(page: Page, scroll: str, metric: str) -> list[str]:
    row = page.locator(f"{scroll} tr", has=page.locator(f"a[title='{metric}']"))
    return [text.strip() for text in row.locator("th, td").all_inner_texts()]


def signed(value: float) -> str:
    return ("+" if value > 0 else "\N{MINUS SIGN}") + f"{abs(value):.3g}"


def test_where_no_market_has_two_exchanges_the_page_is_as_before(url: str, open_page: Open) -> None:
    page = open_page(url)
    ranked(page)
    expect(page.locator("#alarms .fact").first).to_be_visible()
    expect(page.locator("#to-markets")).to_be_hidden()


def test_markets_of_two_exchanges_or_more_are_listed_and_a_click_or_enter_opens_one(
    sides: str, open_page: Open, frame: pd.DataFrame
) -> None:
    page = open_page(sides)
    page.get_by_role("link", name="Markets").click()
    heads = page.locator("#markets tr.market")
    expect(heads.locator("a")).to_have_text(["BTC/USD", "BTC/USDT", "SOL/EUR", "USDT/USD"])
    wanted: dict[Any, Any] = expected(frame).to_dict("index")[STOPPED]
    reached = wanted["largest_deviation_minute"]
    # its newest minute is older, and says how much
    told = cells(page, "#markets", STOPPED)
    newest = wanted["last_minute"]
    minutes = (AS_OF - newest) // MINUTE
    old = f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    assert told[2] == f"{newest:%H:%M} {old} old"
    assert told[4] == f"{wanted['volume_share'] * 100:.2f} %"
    assert told[5] == signed(wanted["deviation_bps"])
    assert told[6].startswith(signed(wanted["largest_deviation_bps"]))
    assert told[6].endswith(f"{reached:%H:%M}")
    heads.locator("a", has_text="BTC/USDT").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#market-title")).to_have_text("BTC/USDT")
    expect(page.locator("#market-title")).to_be_focused()
    assert page.url.endswith("#view=markets&market=BTC/USDT")
    page.keyboard.press("Escape")
    page.locator("#markets tr", has_text="COINBASE:USDTUSD").locator("td").first.click()
    expect(page.locator("#market-title")).to_have_text("USDT/USD")


def test_a_market_is_one_chart_with_a_line_an_exchange_read_by_keys(
    sides: str, open_page: Open, frame: pd.DataFrame
) -> None:
    page = open_page(sides, OPENED)
    drawn = {line["name"]: dict(zip(line["x"], line["y"], strict=True)) for line in charted(page)["data"]}
    assert sorted(drawn) == OF_BTC
    shown = frame[(frame["minute"] > AS_OF - DAY) & frame["metric"].isin(OF_BTC)]
    for metric, rows in shown.groupby("metric"):
        stated = {
            f"{minute:%Y-%m-%d %H:%M:%S}": close for minute, close in zip(rows["minute"], rows["close"], strict=True)
        }
        assert {minute: price for minute, price in drawn[str(metric)].items() if price is not None} == stated
    page.locator("#markets .chart").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    before = shown[shown["minute"] == AS_OF - MINUTE].set_index("metric")["close"]
    told = ", ".join(f"{each} {before[each]:.6f}" if each in before else f"{each} \N{EN DASH}" for each in OF_BTC)
    slider = page.get_by_role("slider", name="Crosshair of the chart: prices of BTC/USD")
    expect(slider).to_have_attribute("aria-valuetext", f"{AS_OF - MINUTE:%H:%M} UTC {told}")
    assert f"{STOPPED} \N{EN DASH}" in told
    assert SINCE < AS_OF - MINUTE


def test_a_market_leads_to_each_metric_and_a_metric_to_its_market(sides: str, open_page: Open) -> None:
    page = open_page(sides, OPENED, expected=("404",))
    page.locator("#markets a[title='COINBASE:BTCUSD']:visible").click()
    expect(page.locator("#metric-title")).to_have_text("COINBASE:BTCUSD")
    page.get_by_role("link", name="BTC/USD: 4 metrics side by side").click()
    expect(page.locator("#market-title")).to_have_text("BTC/USD")
    page.goto(f"{sides}/#metric=KRAKEN:ETHUSD")
    expect(page.locator("#metric-title")).to_have_text("KRAKEN:ETHUSD")
    expect(page.locator("#metric a", has_text="side by side")).to_be_hidden()
    page.goto(f"{sides}/#view=markets&market=NO/SUCH")
    expect(page.locator("#markets .problem")).to_contain_text("NO/SUCH")


@pytest.mark.parametrize(("address", "scheme"), [("#view=markets", "light"), (OPENED, "dark")])
def test_on_a_phone_it_fits_and_axe_finds_nothing_serious(
    sides: str, open_page: Open, address: str, scheme: str
) -> None:
    page = open_page(sides, address, viewport=PHONE, color_scheme=scheme)
    expect(page.locator("#markets a[title='KRAKEN:BTCUSD']:visible")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    violations = Axe().run(page).response["violations"]
    assert [each["id"] for each in violations if each["impact"] in ("serious", "critical")] == []


def test_invented_prices_of_another_dialect_are_told_as_such(tmp_path: Path, serve: Serve, open_page: Open) -> None:
    store = store_in(tmp_path)
    names = ["SIMULATED_BINANCE:BTCUSD", "SIMULATED_COINBASE:BTCUSD"]
    for metric in names:
        stored(store, candles(metric, pd.date_range(end=AS_OF, periods=30, freq="min", unit="us"), 100.0))
    publish(store, names, now=AS_OF + timedelta(seconds=63))
    with serve(tmp_path) as url, open_page(url, "#view=markets") as page:
        expect(page.locator(".banner[data-kind=simulated]")).to_be_visible()
        expect(page.locator("#markets tr.market")).to_have_text("BTC/USD 2 metrics")
