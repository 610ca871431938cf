"""Serves the page and what it is made of, from a list of files that is fixed when the server starts.

No path of a request ever becomes a path of the disk. The page is ours (``page/``); plotly's JavaScript and the files of
``/docs`` come from their wheels. What the page shows belongs to ``api.py``.
"""

import gzip
import hashlib
import importlib.util
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PAGE = Path(__file__).parent / "page"

ASK_AGAIN = "no-cache"
"""Our own files may change with each version: a browser asks each time, and is mostly told that nothing changed."""

A_DAY = "public, max-age=86400"
"""Files of packages, which are large and change with an update of the package."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_DATA_URL = re.compile(rb"url\(\s*[\"']?data:[^)]*\)")
"""A picture within a style sheet, which the content security policy forbids."""


class Source(NamedTuple):
    """A file that is served: where it lies, and how long a browser may keep it."""

    file: Path
    caching: str


class Body(NamedTuple):
    """A file as it is sent."""

    plain: bytes
    zipped: bytes
    tag: str


def routes() -> list[Route]:
    """Return the routes of ``/``, ``/page/…``, ``/plotly.min.js``, ``/docs`` and ``/docs/…``, for GET and HEAD."""
    return [Route(path, _answers(source), name=path, include_in_schema=False) for path, source in _sources().items()]


def _sources() -> dict[str, Source]:
    """Return each served path with its file."""
    swagger = _package("fastapi_offline") / "static"
    own = {file.name: Source(file, ASK_AGAIN) for file in sorted(PAGE.iterdir()) if file.suffix in _TYPES}
    return {
        "/": own["index.html"],
        "/docs": own["docs.html"],
        "/favicon.ico": own["icon.svg"],  # asked for by a browser where a document names no icon, as one of JSON
        **{f"/page/{name}": source for name, source in own.items()},
        "/plotly.min.js": Source(_package("plotly") / "package_data" / "plotly.min.js", A_DAY),
        **{f"/docs/{name}": Source(swagger / name, A_DAY) for name in ("swagger-ui.css", "swagger-ui-bundle.js")},
    }


def _package(name: str) -> Path:
    """Return the folder of an installed package without importing it: plotly's import takes a while."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"the package {name}, of which files are served, is not installed", name=name)
    return Path(found.origin).parent


@cache
def _body(file: Path) -> Body:
    """Read a file once and press it once; few files are served, and all of them stay."""
    plain = file.read_bytes()
    if file.suffix == ".css":
        plain = _DATA_URL.sub(b"none", plain)
    return Body(plain, gzip.compress(plain, 6, mtime=0), hashlib.sha256(plain).hexdigest()[:20])


def _answers(source: Source) -> Callable[[Request], Response]:
    # no coroutine: it runs in a thread, since the first answer presses megabytes
    def answer(request: Request) -> Response:
        body = _body(source.file)
        headers = {"ETag": f'W/"{body.tag}"', "Cache-Control": source.caching, "Vary": "Accept-Encoding"}
        known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
        if f'"{body.tag}"' in known or known == ["*"]:
            return Response(status_code=304, headers=headers)
        content = body.plain
        if "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["Content-Encoding"] = body.zipped, "gzip"
        return Response(content, media_type=_TYPES[source.file.suffix], headers=headers)

    return answer
