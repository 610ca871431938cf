"""What every answer has in its head, whoever gives it: what a browser may do with it. And no word of what answers here.

Headers that depend on the answer (ETag, Vary, Retry-After) belong to whoever gives it.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pricetracker_dagster.web.problems import problem

_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

SECURITY = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Nothing but what comes from this server itself runs, is shown or is asked; nobody frames it."""

_MISTAKE = "a mistake of pricetracker, which its log tells of; other requests are answered"
_ENDS = "the server is being stopped: ask again"


class Headers:
    """Puts the headers on every answer; one that fails before it has begun is a problem of status 500."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message = {**message, "headers": [*message.get("headers", ()), *SECURITY]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except (Exception, asyncio.CancelledError) as error:
            if not has_begun:
                ends = isinstance(error, asyncio.CancelledError)
                told = problem(503, _ENDS, headers={"Retry-After": "2"}) if ends else problem(500, _MISTAKE)
                await told(scope, receive, send_with_headers)
            raise  # the server logs it
