"""Which metric moved most, and when: on the page, as docs/reading.md says, by what it tells one to press."""

import csv
import io
import re

import requests
from playwright.sync_api import expect

from tests.browser.conftest import Open, ranked
from tests.published_day import JUMP, METRICS
from tests.unit.test_packaging import ROOT

SECTION = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8").partition("\n### Page\n")[2].partition("\n### ")[0]
MOVER = METRICS[1]


def test_what_the_document_tells_one_to_press_answers_it(url: str, open_page: Open) -> None:
    _, by, measure, over, saved = re.findall(r"(?<!\*)\*([^*]+)\*", SECTION.partition("\nThe address")[0])
    page = open_page(url)
    page.get_by_role("button", name=by).click()
    expect(page.locator("#ranking-body tr:not(.spacer) .name").first).to_contain_text(MOVER.partition(":")[2])
    page.locator("#ranking-body tr:not(.spacer) .name").first.click()
    choices = page.locator("#metric")
    choices.get_by_role("radio", name=measure, exact=True).click()
    choices.get_by_role("radio", name=over, exact=True).click()
    link = choices.get_by_role("link", name=saved)
    expect(link).to_have_attribute("href", re.compile("measure_name=change_percentage"))
    address = str(link.get_attribute("href"))
    rows = list(csv.DictReader(io.StringIO(requests.get(url + address, timeout=10).text)))
    moved = max(rows, key=lambda row: abs(float(row["value"])))
    assert (moved["metric"], moved["minute"]) == (MOVER, f"{JUMP:%Y-%m-%dT%H:%M:%SZ}")


def test_the_address_that_it_shows_shows_it(url: str, open_page: Open) -> None:
    [address] = re.findall(r"http://127\.0\.0\.1:8000/(#[^`]*)", SECTION)
    page = open_page(url, address)
    assert ranked(page)[0].replace("\n", "").endswith("ETHUSD")
    expect(page.locator("#metric-title")).to_contain_text(MOVER.partition(":")[2])
    assert page.evaluate("location.hash") == address
