"""Signing in by a browser: without JavaScript too, from a deep link, from a link of another site, and out again."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pydantic import SecretStr

from pricetracker_dagster.settings import Settings
from pricetracker_dagster.settings.http import HttpSettings
from pricetracker_dagster.web.app import build_app
from pricetracker_dagster.web.gate import guarded
from tests.browser.conftest import PHONE, Open
from tests.published_day import METRICS, Day
from tests.serving import served

RIGHT = "a-token-of-24-characters"
DEEP = "#metric=KRAKEN:BTCUSD&show=price&hours=6"
REFUSED = ("401",)
"""Chromium itself notes in its console that the token was refused."""


@pytest.fixture(scope="module")
def closed(day: Day) -> Iterator[str]:
    """A server that asks for a token."""
    http = HttpSettings(requests_per_second=0, token=SecretStr(RIGHT))
    settings = Settings(metrics=METRICS, data=str(day.published.parent), http=http)
    with served(guarded(build_app(settings), http)) as url:
        yield url


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_a_deep_link_survives_a_wrong_token_and_the_right_one(open_page: Open, closed: str) -> None:
    page = open_page(closed, DEEP, expected=REFUSED)
    sign_in(page, "a-token-that-is-wrong")
    expect(page.get_by_role("alert")).to_have_text("This is not the token.")
    sign_in(page, RIGHT)
    expect(page).to_have_url(f"{closed}/{DEEP}")
    assert not page.evaluate("document.cookie")  # no script can read it


@pytest.mark.parametrize("kind", [{"java_script_enabled": False}, {"color_scheme": "dark", "viewport": PHONE}])
def test_it_needs_neither_javascript_nor_a_wide_screen(open_page: Open, closed: str, kind: dict[str, Any]) -> None:
    page = open_page(closed, expected=REFUSED, **kind)
    assert page.locator("main").bounding_box()["width"] <= page.viewport_size["width"]  # type: ignore[index]
    sign_in(page, RIGHT)
    expect(page).to_have_url(f"{closed}/")


def test_who_follows_a_link_of_another_site_goes_on_without_the_token(open_page: Open, closed: str) -> None:
    page = open_page(closed, expected=REFUSED)
    sign_in(page, RIGHT)
    expect(page).to_have_url(f"{closed}/")
    other = page.context.new_page()
    link = f'<a href="{closed}/{DEEP}">the metric</a>'
    other.route("http://other.example/", lambda route: route.fulfill(body=link, content_type="text/html"))
    other.goto("http://other.example/")
    other.get_by_role("link").click()
    other.get_by_role("button", name="Signed in already? Go on.").click()
    expect(other).to_have_url(f"{closed}/{DEEP}")


def test_signed_out_the_page_asks_again(open_page: Open, closed: str) -> None:
    page = open_page(closed, expected=REFUSED)
    sign_in(page, RIGHT)
    expect(page).to_have_url(f"{closed}/")
    page.goto(f"{closed}/sign-in")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto(closed)
    expect(page).to_have_url(f"{closed}/sign-in?next=%2F")


def test_the_form_has_nothing_that_hinders_anybody(open_page: Open, closed: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(closed, expected=REFUSED)
    assert Axe().run(page).response["violations"] == []
