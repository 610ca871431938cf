"""A real server process with a small application, for what clients may do to a connection.

``python -m tests.served`` prints its address. ``/`` answers at once, ``/drip`` a little every now and then without end,
``/large`` 64 MB, ``/reads`` once it has read the body, ``/stuck`` never, ``/fails`` not.
"""

import asyncio
import socket
import sys

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from pricetracker_dagster.process.guard import guard
from pricetracker_dagster.settings.http import HttpSettings
from pricetracker_dagster.web import connection, server
from pricetracker_dagster.web.gate import guarded


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    match scope["path"]:
        case "/drip":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"drop\n", "more_body": True})
                await asyncio.sleep(0.05)
        case "/large":
            await PlainTextResponse(b"x" * 64_000_000)(scope, receive, send)
        case "/reads":
            while (await receive()).get("more_body"):
                pass
            await PlainTextResponse("read")(scope, receive, send)
        case "/stuck":
            await asyncio.sleep(3600)
        case "/fails":
            raise RuntimeError("a mistake of ours")
        case _:
            await PlainTextResponse("inside")(scope, receive, send)


if __name__ == "__main__":
    # patience and limits that a test can wait for
    connection.REQUEST_SECONDS, connection.STALLED_SECONDS, connection.MOST_CONNECTIONS = 1.0, 2.0, 20
    guard()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = guarded(application, HttpSettings(requests_per_second=0))
        port = listening.getsockname()[1]
        server.serve(app, listening, lambda: print(f"http://127.0.0.1:{port}", flush=True))
    sys.exit(0)
