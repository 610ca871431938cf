"""Errors over HTTP, all of one shape: problem details (RFC 9457), whose ``detail`` is a plain line."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from pricetracker_dagster.process.secrets import masked

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A request that cannot be answered: becomes the answer that problem() makes of the same arguments."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        """Keep status, plain line, headers and further members."""
        super().__init__(detail)
        self.status, self.headers, self.more = status, headers, more

    def response(self) -> Response:
        """Return the answer."""
        return problem(self.status, str(self), headers=self.headers, **self.more)


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """Return an error as problem details.

    Args:
        status: the HTTP status, whose phrase is the title.
        detail: what is wrong and the way out, in one plain line. Secrets in it are masked.
        headers: further headers of the answer.
        more: further members, e.g. ``parameter``, ``value``, ``known``.
    """
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": masked(detail)}
    body = json.dumps({**told, **more}, ensure_ascii=False).encode("utf-8", "replace")
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return Response(body, status, kept, media_type=MEDIA_TYPE)
