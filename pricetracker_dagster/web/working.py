"""Has an answer worked out by an ASGI app: gives it as a whole, or sends it on as it comes where it is long."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from pricetracker_dagster.errors import first_line
from pricetracker_dagster.web.cache import Headers, Kept
from pricetracker_dagster.web.problems import Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)


class _Enough(Exception):
    """Nobody wants the rest of what the app answers."""


async def ask(
    app: App, scope: Scope, receive: Receive, send: Send, begins: Callable[[Headers], Headers]
) -> Kept | None:
    """Ask an app.

    Args:
        app: what is asked; of HEAD it gives the headers and the body of GET.
        scope: the request.
        receive: of the client.
        send: to the client, for an answer of unknown length.
        begins: is called before such an answer is sent, with its headers, and returns those to send. It may raise a
            Problem, which is the answer then.

    Returns:
        The answer, of any status; None where it was sent, to its end or as far as it went.
    """
    start: Message = {}
    parts: list[bytes] = []
    streamed = False
    refused: Problem | None = None

    async def caught(message: Message) -> None:
        nonlocal streamed, refused
        if message["type"] == "http.response.start":
            start.update(message)
            if any(name == b"content-length" for name, _ in message["headers"]):
                return
            try:
                headers = begins(message["headers"])
            except Problem as problem:  # the app would take it for a mistake of its own
                refused = problem
                raise _Enough from None
            streamed = True
            await send({**message, "headers": headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                raise _Enough
        elif streamed:
            await send(message)
        else:
            parts.append(message.get("body", b""))

    try:
        await app({**scope, "method": "GET"}, receive, caught)
    except _Enough:
        return None if refused is None else whole(refused)
    except Exception as error:
        if not start:
            raise
        if not streamed:
            _log.exception("a mistake of pricetracker in the answer of %s", scope["path"])
        else:  # the client sees that the end is missing
            _log.warning("the answer of %s was cut off: %s", scope["path"], first_line(error.__cause__ or error))
    return None if streamed or not start else Kept(start["headers"], b"".join(parts), start["status"])


def whole(problem: Problem) -> Kept:
    """Return a problem as an answer."""
    response = problem.response()
    return Kept(response.raw_headers, bytes(response.body), response.status_code)
