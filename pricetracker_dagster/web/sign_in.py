"""The form in which a person gives the token: a page of its own that needs no JavaScript, and signing out again.

Once the token was right, the browser keeps a cookie that stands for it (token.py). It does not send it where a link of
another site is followed, so the form has a button for who has signed in already. Neither form names an address: what
stands after the # in that of the page, which no server is told, goes with them, and with the redirection that follows.
"""

import html
import math
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from string import Template
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from pricetracker_dagster.settings.http import HttpSettings
from pricetracker_dagster.web.limits import Limit
from pricetracker_dagster.web.problems import problem
from pricetracker_dagster.web.token import CHALLENGE, COOKIE, Token

SIGN_IN, SIGN_OUT, _STYLE = "/sign-in", "/sign-out", "/sign-in.css"

PATHS = (SIGN_IN, SIGN_OUT, _STYLE)
"""What is reached without the token."""

MOST_BYTES = 4096
"""The largest body of a request: the form with a long token fits."""

_ATTEMPTS, _SECONDS_EACH = 5, 10.0
"""So many wrong tokens a client may give at once, then one in so many seconds."""

_KEPT_SECONDS = 30 * 86_400
"""How long a browser keeps the cookie."""

_FOLDER = Path(__file__).parent


class SignIn:
    """Answers /sign-in and /sign-out."""

    def __init__(self, token: Token | None, http: HttpSettings, clock: Callable[[], float]) -> None:
        """Take the token; None: nobody needs to sign in."""
        self._token, self._clock = token, clock
        self._attempts = Limit(1 / _SECONDS_EACH, _ATTEMPTS)
        self._over_https = http.url.startswith("https://")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        answer = await self._answer(request)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path, method = request.url.path, request.method
        allowed = {SIGN_IN: ("GET", "HEAD", "POST"), SIGN_OUT: ("POST",), _STYLE: ("GET", "HEAD")}[path]
        if method not in allowed:
            return problem(405, f"{path} takes {', '.join(allowed)}", headers={"Allow": ", ".join(allowed)})
        if path == _STYLE:
            return Response(_file("sign_in.css"), media_type="text/css", headers={"Cache-Control": "max-age=3600"})
        if self._token is None:
            return _to("/")
        signed_in = self._token.is_in(request.headers.get("cookie", "").encode("latin-1"))
        if path == SIGN_OUT:  # another site's page, whose requests come without the cookie, signs nobody out
            return self._with_cookie(_to(SIGN_IN), request, "", 0) if signed_in else _to(SIGN_IN)
        if method != "POST":
            back = _own_path(request.query_params.get("next", "/"))
            if not signed_in:
                return _form(200, back=back)
            return _to(back) if "go" in request.query_params else _page("signed_in.html", 200, back)
        return await self._judged(request, self._token)

    async def _judged(self, request: Request, token: Token) -> Response:
        body = b""
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    return problem(413, f"the form has more than {MOST_BYTES} bytes")
        except ClientDisconnect:
            return problem(400, "the form is not complete")  # which nobody hears any more
        given = parse_qs(body.decode("latin-1"), encoding="utf-8", errors="replace")
        back = _own_path(given.get("next", ["/"])[0])
        client = request.client.host if request.client else ""
        now = self._clock()
        if wait := self._attempts.wait(client, now, counts=False):
            seconds = max(1, math.ceil(wait))
            said = f"Too many attempts from your address. Try again in {seconds} s."
            return _form(429, said, back, headers={"Retry-After": str(seconds)})
        if not token.is_right(given.get("token", [""])[0].strip().encode("utf-8", "replace")):
            self._attempts.wait(client, now)
            return _form(401, "This is not the token.", back, headers=CHALLENGE)
        return self._with_cookie(_to(back), request, token.cookie, _KEPT_SECONDS)

    def _with_cookie(self, answer: Response, request: Request, value: str, seconds: int) -> Response:
        """Set or take away the cookie; where people come over https, be it by a proxy, it is for https alone."""
        secure = self._over_https or request.url.scheme == "https"
        answer.set_cookie(COOKIE, value, seconds, path="/", secure=secure, httponly=True, samesite="strict")
        return answer


def _form(status: int, said: str = "", back: str = "/", headers: dict[str, str] | None = None) -> Response:
    note = f'<p class="said" role="alert">{html.escape(said)}</p>' if said else ""
    return _page("sign_in.html", status, back, headers, note=note)


def _page(name: str, status: int, back: str, headers: dict[str, str] | None = None, **parts: str) -> Response:
    page = Template(_file(name)).substitute(parts, back=html.escape(back, quote=True))
    return HTMLResponse(page, status, {"Cache-Control": "no-store", **(headers or {})})


def _to(path: str) -> Response:
    return RedirectResponse(path, 303, {"Cache-Control": "no-store"})


def _own_path(text: str) -> str:
    """Return where to go on, if that is one of our own paths: two slashes would begin the name of another host."""
    return text if re.fullmatch(r"/(?![/\\])[!-~]*", text) and len(text) < 2000 else "/"


@cache
def _file(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")
