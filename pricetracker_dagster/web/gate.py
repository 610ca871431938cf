"""Who gets in: by the name under which the server is asked, by how often a client asks, and by the token.

What is asked for is no matter here. The gate stands before every answer, so it only looks at the head of a request.
"""

import math
import time
from collections.abc import Callable
from urllib.parse import quote

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pricetracker_dagster.settings.http import HttpSettings
from pricetracker_dagster.web.headers import Headers
from pricetracker_dagster.web.hosts import Hosts
from pricetracker_dagster.web.limits import Limit
from pricetracker_dagster.web.problems import problem
from pricetracker_dagster.web.sign_in import PATHS, SIGN_IN, SignIn
from pricetracker_dagster.web.token import CHALLENGE, Token

_LEAST_BURST = 50.0
"""Requests that a client may always send at once: opening the page takes some dozen."""

_WRONG_TOKEN_COSTS = 10.0
"""As so many requests counts one with a wrong token."""

_PAGES = ("/", "/docs")
"""What is shown to people, who are led to the form; everything else is asked by programs."""


_ICON = "/page/icon.svg"
"""The one file of the page that the form shows, too."""


def guarded(app: ASGIApp, http: HttpSettings) -> ASGIApp:
    """Return an application behind the gate, with the headers that every answer has; to other sites as listed."""
    inner: ASGIApp = Gate(app, http)
    if http.cors:
        # outside of the gate: a browser asks first whether it may ask, without the token. No credentials: a page of
        # another site bears the token itself, the cookie of who has signed in is not for it
        inner = CORSMiddleware(
            inner,
            allow_origins=http.cors,
            allow_methods=("GET", "HEAD"),
            allow_headers=("Authorization", "If-None-Match"),
            expose_headers=("ETag", "Retry-After"),
        )
    return Headers(inner)


class Gate:
    """Lets a request through to the application, or answers it itself."""

    def __init__(self, app: ASGIApp, http: HttpSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Stand before an application, by the settings.

        Args:
            app: what answers whoever is let in.
            http: the settings.
            clock: seconds of a clock that cannot be set.
        """
        secret = http.token.get_secret_value()
        self._app, self._clock = app, clock
        self._token = Token(secret) if secret else None
        # with a token another site's page gains nothing by our address, and what is public is for everybody
        self._hosts = None if secret or http.public else Hosts(http)
        rate = http.requests_per_second
        self._limit = Limit(rate, max(2 * rate, _LEAST_BURST))
        self._sign_in = SignIn(self._token, http, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let it be answered."""
        answer = self._app if scope["type"] != "http" else self._who_answers(scope)
        await answer(scope, receive, send)

    def _who_answers(self, scope: Scope) -> ASGIApp:
        """Return what answers a request: the application or one of our own answers."""
        host = authorization = cookies = None
        for name, value in scope["headers"]:
            if name == b"host":
                if host is not None:
                    return problem(400, "the request has two headers Host: send one")
                host = value
            elif name == b"authorization":
                authorization = value
            elif name == b"cookie":
                cookies = value if cookies is None else cookies + b";" + value
        if self._hosts is not None and (host is None or not self._hosts.have(host)):
            return problem(421, "this server is not called so: ask by the address that it prints, or set http.url")
        client = (scope.get("client") or ("",))[0]
        if wait := self._limit.wait(client, self._clock()):
            return too_many(wait, "more requests than http.requests_per_second lets a client send")
        path = scope["path"]
        if path in PATHS:
            return self._sign_in
        if self._token is None or path == _ICON or (cookies is not None and self._token.is_in(cookies)):
            return self._app
        if authorization is not None:
            if self._token.is_borne(authorization):
                return self._app
            self._limit.fine(client, self._clock(), _WRONG_TOKEN_COSTS - 1)
        elif path in _PAGES and scope["method"] in ("GET", "HEAD"):
            query = scope["query_string"].decode("latin-1")
            back = quote(f"{path}?{query}" if query else path, safe="")
            return RedirectResponse(f"{SIGN_IN}?next={back}", 303, {"Cache-Control": "no-store"})
        said = "this is not the token" if authorization is not None else "a token is needed"
        detail = f"{said}: send the header Authorization: Bearer … with the value of the setting http.token"
        return problem(401, detail, headers=CHALLENGE)


def too_many(wait: float, why: str) -> ASGIApp:
    """Return the answer to a client that is to wait so many seconds."""
    seconds = max(1, math.ceil(wait))
    return problem(429, f"{why}: ask again in {seconds} s", headers={"Retry-After": str(seconds)})
