"""The page for who sees it in the dark, does not see it, or has put markup into a name; and the page of the API."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from pricetracker_dagster.store.publishing.publish import publish
from tests.browser.conftest import PHONE, Open, Serve, charted, ranked
from tests.published_day import AS_OF, METRICS, publish_a_day

VIEWS = {"ranking": "", "a metric": "#metric=KRAKEN:BTCUSD&hours=6", "alarms": "#view=alarms"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(url: str, open_page: Open, scheme: str) -> None:
    found = []
    for view, address in VIEWS.items():
        if (view, scheme) == ("a metric", "dark"):
            continue  # the chart is the same but for its colours
        page = open_page(url, address, color_scheme=scheme, viewport=PHONE if view == "alarms" else None)
        expect(page.locator("#as-of-time")).to_contain_text("UTC")
        if view == "a metric":
            charted(page)
        results = Axe().run(page).response
        found += [
            f"{view}: {each['id']} {[node['html'][:120] for node in each['nodes'][:3]]}"
            for each in results["violations"]
            if each["impact"] in ("serious", "critical")
        ]
    assert found == []


def test_it_is_light_or_dark_as_the_system_and_changes_with_it(url: str, open_page: Open) -> None:
    page = open_page(url, "#metric=KRAKEN:BTCUSD&hours=1", color_scheme="dark")
    assert charted(page)["paper"] == "#12191f"
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(11, 17, 21)"
    page.emulate_media(color_scheme="light")
    page.wait_for_function("() => document.querySelector('.plot').layout.paper_bgcolor === '#ffffff'")
    assert page.evaluate(ground) == "rgb(238, 241, 243)"


def test_a_screen_reader_hears_landmarks_a_table_and_what_is_chosen(url: str, open_page: Open) -> None:
    page = open_page(url)
    ranked(page)
    for role, name in (("main", None), ("navigation", "Views"), ("region", "Ranking by standard deviation, 24 h")):
        expect(page.get_by_role(role, name=name)).to_have_count(1)  # type: ignore[arg-type]
    rows = page.get_by_role("table", name="Metrics by standard deviation of price").get_by_role("row")
    expect(rows).to_have_count(1 + len(METRICS))
    expect(page.get_by_role("columnheader", name="Metric", exact=True)).to_have_count(1)
    expect(page.get_by_role("rowheader")).to_have_count(len(METRICS))
    page.locator("#ranking-body .name").first.click()
    expect(page.locator("#announce")).to_contain_text("KRAKEN:BTCUSD")
    time = page.locator("#as-of-time time")
    assert time.get_attribute("datetime") == f"{AS_OF:%Y-%m-%dT%H:%M:00.000Z}"


def test_times_are_utc_and_tell_the_local_time_on_hover(url: str, open_page: Open) -> None:
    page = open_page(url, timezone_id="Asia/Tokyo", locale="en-GB")
    time = page.locator("#as-of-time time")
    expect(time).to_contain_text(f"{AS_OF:%H:%M} UTC")
    assert "3 Mar 2026, 21:04:00 (Asia/Tokyo)" in (time.get_attribute("title") or "")


def test_markup_in_data_stays_text(tmp_path_factory: pytest.TempPathFactory, serve: Serve, open_page: Open) -> None:
    day = publish_a_day(tmp_path_factory.mktemp("odd"))
    odd = "<img src=/x onerror=window.hit=1><b>bold</b>"
    for records, column in ((day.store.records.alerts, "rule"), (day.store.records.incidents, "reason")):
        records.upsert([{**row, column: odd} for row in records.rows()])
    publish(day.store, list(METRICS), now=AS_OF.replace(second=9))
    with serve(day.published.parent) as url, open_page(url) as page:
        expect(page.locator(".fact[data-kind=alert]")).to_contain_text(odd)
        expect(page.locator(".fact[data-kind=incident]")).to_contain_text(odd)
        page.goto(f"{url}/#metric=KRAKEN:BTCUSD&show=volume&hours=1&find=<b>")
        charted(page)
        expect(page.locator(".notes")).to_contain_text(odd)
        assert page.evaluate("[window.hit ?? 0, document.querySelectorAll('main img, main b b, .plot b').length]") == [
            0,
            0,
        ]


def test_a_metric_that_is_not_there_is_told_with_what_there_is(url: str, open_page: Open) -> None:
    page = open_page(url, "#metric=KRAKEN:BTCUSDT&show=price", expected=("404",))
    expect(page.locator(".problem")).to_contain_text("KRAKEN:BTCUSDT")
    expect(page.locator(".problem")).to_contain_text("did you mean KRAKEN:BTCUSD?")


def test_the_page_of_the_api_works_without_any_other_host(url: str, open_page: Open) -> None:
    page = open_page(url, "docs")
    expect(page.get_by_text("/pricetracker/metricsrank").first).to_be_visible()
