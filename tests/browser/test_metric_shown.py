"""The page's view of one metric: chart, gaps, alerts, table and CSV, held against the published day."""

import csv
import io
from datetime import datetime

import pytest
import requests
from playwright.sync_api import Page, expect

from pricetracker_dagster.candles.minutes import MINUTE
from tests.browser.conftest import PHONE, Open, charted, ranked, show
from tests.published_day import AS_OF, GONE, METRICS, MINUTES, SPIKE

VOLUME = (METRICS[0], "volume", 6)


def drawn(minute: datetime) -> str:
    return f"{minute:%Y-%m-%d %H:%M:%S}"


def test_a_gap_is_a_gap_and_missed_minutes_are_shaded_with_their_causes(left_open: Page) -> None:
    chart = show(left_open, *VOLUME)
    line = chart["data"][0]
    values = dict(zip(line["x"], line["y"], strict=True))
    assert len([value for value in values.values() if value is not None]) == 360 - len(GONE)
    assert values[drawn(GONE[0])] is None  # what interrupts the line
    assert not values.keys() & {drawn(minute) for minute in GONE[1:]}
    shades = [(shape["x0"], shape["x1"]) for shape in chart["shapes"] if shape["type"] == "rect"]
    assert shades == [(drawn(GONE[0]), drawn(GONE[6])), (drawn(GONE[6]), drawn(GONE[-1] + MINUTE))]
    notes = left_open.locator(".notes li[data-kind=missed]").all_inner_texts()
    assert [" ".join(note.split()[1:]) for note in notes] == [
        f"{GONE[6]:%H:%M}\N{EN DASH}{GONE[-1]:%H:%M} 4 minutes missed: not run",
        f"{GONE[0]:%H:%M}\N{EN DASH}{GONE[5]:%H:%M} 6 minutes missed: exchange error",
    ]


def test_an_alert_stands_at_its_minute_with_value_and_average(left_open: Page) -> None:
    chart = show(left_open, *VOLUME)
    [alert] = [trace for trace in chart["data"] if trace["name"] == "alert"]
    [average] = [trace for trace in chart["data"] if trace["name"] == "average before the alert"]
    assert (alert["x"], alert["y"]) == ([drawn(SPIKE)], [301])
    assert average["y"] == [2.25]
    assert drawn(SPIKE) in [shape["x0"] for shape in chart["shapes"] if shape["type"] == "line"]
    alert_told = left_open.locator(".notes li[data-kind=alert]")
    expect(alert_told).to_contain_text("firing: Volume 301, 134 × the average of 2.25")


def test_the_table_has_what_the_chart_has_and_so_has_the_csv(url: str, left_open: Page) -> None:
    page = left_open
    show(page, *VOLUME)
    table = page.locator("table.values")
    # newest first; the volume of a minute is (i % 5) + 0.25 of its number, the newest one's MINUTES - 1
    assert table.locator("tbody tr:not(.spacer)").first.inner_text().split() == [
        f"{AS_OF:%H:%M}",
        f"{(MINUTES - 1) % 5 + 0.25:.2f}",
    ]
    assert table.get_attribute("aria-rowcount") == str(360 - len(GONE) + 1 + 1)  # the gap is one row, so is the head
    expect(table.locator("caption")).to_contain_text("Volume of KRAKEN:BTCUSD, newest first, every 1 minute")
    scroll = page.locator(".table-scroll")
    scroll.evaluate("(node, rows) => node.scrollTo(0, rows * 24)", (AS_OF - GONE[-1]) // MINUTE - 3)
    gap = table.locator("td.gap")
    expect(gap).to_have_text("10 minutes missed: exchange error, not run")
    link = page.locator("a.csv").get_attribute("href")
    rows = list(csv.DictReader(io.StringIO(requests.get(f"{url}{link}", timeout=10).text)))
    assert len(rows) == 360 - len(GONE)
    assert float(rows[-1]["value"]) == (MINUTES - 1) % 5 + 0.25


def test_the_price_is_a_line_that_a_gap_interrupts(left_open: Page) -> None:
    chart = show(left_open, METRICS[0], "price", 6)
    [line] = [trace for trace in chart["data"] if trace["name"] == "Price"]
    assert line["type"] == "scatter"
    assert line["y"].count(None) == 1
    assert "a minute between gaps" not in [trace["name"] for trace in chart["data"]]


@pytest.mark.parametrize(("hours", "bins"), [(1, 60), (6, 360), (24, 288)])
def test_candles_are_drawn_over_a_range(left_open: Page, hours: int, bins: int) -> None:
    chart = show(left_open, METRICS[1], "candles", hours)
    assert [trace["type"] for trace in chart["data"][:2]] == ["candlestick", "bar"]
    assert len(chart["data"][0]["close"]) == bins  # every 5 minutes over 24 hours
    assert chart["data"][0]["close"][-1] == pytest.approx(3200.05 + MINUTES % 7)


def test_the_crosshair_goes_by_keys_and_is_read_out(left_open: Page) -> None:
    show(left_open, METRICS[1], "candles", 1)
    left_open.locator(".chart").focus()
    left_open.keyboard.press("ArrowLeft")
    left_open.keyboard.press("ArrowLeft")
    chart = left_open.get_by_role("slider", name="Crosshair of the chart")
    minute = AS_OF - MINUTE  # opens at 3200.05 + 1558 % 7, closes one higher
    told = f"{minute:%H:%M} UTC O 3,204.05, H 3,209.05, L 3,197.05, C 3,205.05, V 3.25"
    expect(chart).to_have_attribute("aria-valuetext", told)
    expect(left_open.locator(".readings")).to_contain_text(f"{minute:%H:%M} UTC")


def test_the_address_names_what_is_shown_so_that_one_goes_back_and_shares_it(url: str, open_page: Open) -> None:
    page = open_page(url)
    ranked(page)
    page.locator("#ranking-body .name", has_text="ETHUSD").click()
    expect(page.locator("#metric-title")).to_have_text("KRAKEN:ETHUSD")
    page.get_by_label("Change %", exact=True).last.check()
    assert page.url.endswith("#metric=KRAKEN:ETHUSD&show=change_percentage")
    shared = page.url
    page.go_back()
    expect(page.locator("input[name=show][value=candles]")).to_be_checked()
    page.go_back()
    expect(page.locator("#metric")).to_be_hidden()
    expect(page.locator("#alarms")).to_be_visible()
    page.go_forward()
    page.go_forward()
    expect(page.locator("input[name=show][value=change_percentage]")).to_be_checked()
    other = open_page(url, shared.removeprefix(f"{url}/"))
    expect(other.locator("#metric-title")).to_have_text("KRAKEN:ETHUSD")
    expect(other.locator("input[name=show][value=change_percentage]")).to_be_checked()


def test_on_a_phone_a_metric_fits_and_one_gets_back(url: str, open_page: Open) -> None:
    page = open_page(url, "#metric=KRAKEN:BTCUSD", viewport=PHONE)
    charted(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for part in (".chart", ".metric-head", ".controls", ".notes-box", ".under"):
        box = page.locator(part).bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    page.get_by_role("button", name="Close the metric").click()
    expect(page.locator("#ranking-table")).to_be_visible()
