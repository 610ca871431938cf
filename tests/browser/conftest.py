"""A browser on the page of a real server: Debian's Chromium, headless; skipped where there is none.

Each page that a test opens is listened to: an error in its console, an exception or a request to another host is wrong.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from pricetracker_dagster.settings import Settings
from pricetracker_dagster.settings.http import HttpSettings
from pricetracker_dagster.web.app import build_app
from pricetracker_dagster.web.gate import guarded
from tests.published_day import METRICS, Day, publish_a_day
from tests.serving import served

Serve = Callable[..., AbstractContextManager[str]]
Open = Callable[..., Page]

SOON = 20_000
"""Milliseconds within which a page shows what a test waits for."""

WIDE = {"width": 1500, "height": 1000}
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser a module: playwright's event loop must not run while tests of others do."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    expect.set_options(timeout=SOON)  # its own five seconds are too few where others keep the cores busy
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


class Heard:
    """What a page said that it must not say."""

    def __init__(self, url: str, expected: tuple[str, ...]) -> None:
        self.url = url
        self.expected = expected
        self.wrong: list[str] = []

    def listen(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(f"exception: {error}"))
        page.on("request", lambda request: self._requested(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        place = message.location.get("url", "")
        # health answers 503 where nothing runs, which Chromium itself notes
        if message.type not in ("error", "warning") or place.endswith("/health"):
            return
        if not any(each in message.text for each in self.expected):
            self.wrong.append(f"console: {message.text} ({place})")

    def _requested(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.wrong.append(f"request to another host: {url}")


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open the page of a server: ``open_page(url, "#metric=…", viewport=PHONE, color_scheme="dark")``.

    It is closed with the test, or where its server ends before by a block: ``with open_page(url) as page``.
    """
    heard: list[Heard] = []
    contexts = []

    def open_(url: str, address: str = "", *, expected: tuple[str, ...] = (), **kind: Any) -> Page:
        context = browser.new_context(**{"viewport": WIDE, "color_scheme": "light", **kind})
        context.set_default_timeout(SOON)
        contexts.append(context)
        page = context.new_page()
        listening = Heard(url, expected)
        listening.listen(page)
        heard.append(listening)
        page.goto(f"{url}/{address}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [wrong for each in heard for wrong in each.wrong] == []


@pytest.fixture(scope="module")
def left_open(browser: Browser, url: str) -> Iterator[Page]:
    """A page that several tests look at, since plotly takes a while to load: ``show(page, "#metric=…")``."""
    page = browser.new_page(viewport=WIDE)  # type: ignore[arg-type]
    listening = Heard(url, ())
    listening.listen(page)
    page.goto(url)
    yield page
    page.close()
    assert listening.wrong == []


@pytest.fixture(scope="module")
def serve() -> Serve:
    """Serve a data folder as `pricetracker serve` does: ``with serve(folder) as url``."""

    def serve_(folder: Path, port: int = 0) -> AbstractContextManager[str]:
        settings = Settings(metrics=METRICS, data=str(folder), http=HttpSettings(requests_per_second=0))
        return served(guarded(build_app(settings), settings.http), port)

    return serve_


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The published day, which nobody writes to."""
    return publish_a_day(tmp_path_factory.mktemp("day"))


@pytest.fixture(scope="module")
def url(day: Day, serve: Serve) -> Iterator[str]:
    """Its server."""
    with serve(day.published.parent) as url:
        yield url


def ranked(page: Page) -> list[str]:
    """The metrics of the ranking as they stand on the page, from the top."""
    page.wait_for_selector("#ranking-body tr:not(.spacer)")
    return [text.strip() for text in page.locator("#ranking-body tr:not(.spacer) .name").all_inner_texts()]


def show(page: Page, metric: str, what: str, hours: int) -> dict[str, Any]:
    """Show a metric on a page that is open, and return what is drawn."""
    page.evaluate("(address) => { location.hash = address; }", f"#metric={metric}&show={what}&hours={hours}")
    page.wait_for_function(
        "(drawn) => document.querySelector('.plot')?.layout?.uirevision === drawn", arg=f"{metric} {what} {hours}"
    )
    return charted(page)


def charted(page: Page) -> dict[str, Any]:
    """What plotly has drawn: its data and its layout's shapes."""
    page.wait_for_selector(".plot.js-plotly-plot .main-svg")
    found: dict[str, Any] = page.evaluate(
        """() => {
            const plot = document.querySelector(".plot");
            const list = (some) => (some ? Array.from(some) : some);
            const data = plot.data.map((trace) => ({
                type: trace.type, name: trace.name, x: list(trace.x), y: list(trace.y), close: list(trace.close),
            }));
            return {data, shapes: plot.layout.shapes, range: plot.layout.xaxis.range, paper: plot.layout.paper_bgcolor};
        }"""
    )
    return found
