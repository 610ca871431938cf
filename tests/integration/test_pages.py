"""The files of the page over HTTP: which there are, how they are kept, that nothing inline is in them."""

import http.client
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests
from starlette.applications import Starlette

from pricetracker_dagster.web import pages
from tests.serving import served

PAGE = pages.PAGE


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(Starlette(routes=pages.routes())) as url:
        yield url


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()}, timeout=10)


@pytest.mark.parametrize("path", [each.path for each in pages.routes()])
def test_each_file_is_sent_compressed_with_a_tag_that_answers_the_next_time(url: str, path: str) -> None:
    answer = get(url + path, accept_encoding="gzip")
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == "gzip"
    plain = get(url + path, accept_encoding="identity")
    assert "content-encoding" not in plain.headers
    assert plain.content == answer.content
    again = get(url + path, if_none_match=answer.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    head = requests.head(url + path, timeout=10)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/../pages.py",
        "/page/%2e%2e/pages.py",
        "/page/..%2fpages.py",
        "/page/index.html%00",
        "/page/x.js",
    ],
)
def test_no_other_file_can_be_had(url: str, path: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)  # it sends a path as it is
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()


def test_only_packages_may_be_kept_without_asking(url: str) -> None:
    assert get(f"{url}/").headers["cache-control"] == "no-cache"
    assert get(f"{url}/page/main.js").headers["cache-control"] == "no-cache"
    assert "max-age" in get(f"{url}/plotly.min.js").headers["cache-control"]


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    for file in PAGE.glob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|javascript:", text), file
        assert not re.search(r'(?:src|href)="(?!/|#)', text), file
    for file in PAGE.glob("*.css"):
        assert not re.search(r"url\(|@import", file.read_text(encoding="utf-8")), file


def test_data_never_become_markup() -> None:
    for file in PAGE.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", file.read_text("utf-8")
        )


def test_every_module_is_asked_for_at_once_and_says_first_what_belongs_there() -> None:
    index = (PAGE / "index.html").read_text(encoding="utf-8")
    asked = set(re.findall(r'(?:href|src)="/page/(\w+\.js)"', index))
    modules = {file.name for file in PAGE.glob("*.js")} - {"docs.js"}
    assert asked == modules
    for file in PAGE.glob("*.js"):
        text = file.read_text(encoding="utf-8")
        assert text.startswith("// ")
        assert len(text.splitlines()) <= 300
        assert set(re.findall(r'from "\./(\w+\.js)"', text)) <= modules


def test_the_style_sheet_of_the_docs_names_no_picture_that_the_policy_forbids(url: str) -> None:
    assert "data:" not in get(f"{url}/docs/swagger-ui.css").text
