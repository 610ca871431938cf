"""The command ``serve``: the HTTP API and the page, answered by one process or by several."""

import signal
import socket
import threading

import click

from pricetracker_dagster.cli.output import without_dagsters_warnings
from pricetracker_dagster.settings import Settings, load_settings


@click.command()
@click.option("--host", help="Where it listens. [default: http.host, 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="[default: http.port, 8000, or the next free one]")
@click.option("--workers", type=click.IntRange(1, 64), help="So many processes. [default: http.workers, 1]")
@click.option("--descriptor", type=int, hidden=True, help="A socket that is open already.")
@click.option("--worker", default="", hidden=True, help="Which of several this one is.")
def serve(*, host: str | None, port: int | None, workers: int | None, descriptor: int | None, worker: str) -> None:
    """Serve prices over HTTP: an API and a page, from the published file alone.

    Beyond this machine it starts only with http.token, or with http.public = true.
    """
    from pricetracker_dagster.local.serving import READY, keep_workers, listen

    settings = load_settings()
    if descriptor is not None:
        opened, answers = socket.socket(fileno=descriptor), READY
    else:
        (opened, address), said = listen(settings.http, host, port)
        answers = f"prices    {address.url}"
        if said:
            click.echo(said)
    workers = workers or settings.http.workers
    with opened as listening:
        if worker or workers == 1:
            _answer(settings, listening, answers, worker)
            return
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        keep_workers(listening, workers, stop, on_ready=lambda: click.echo(answers))


def _answer(settings: Settings, listening: socket.socket, line: str, worker: str) -> None:
    """Answer in this process until the end is asked for; print a line once it does."""
    from pricetracker_dagster.web import server
    from pricetracker_dagster.web.app import build_app
    from pricetracker_dagster.web.gate import guarded
    from pricetracker_dagster.web.request_counts import RequestCounts

    without_dagsters_warnings()  # which /health imports
    requests = RequestCounts(worker)
    app = requests.counted(guarded(build_app(settings, requests), settings.http))
    server.serve(app, listening, lambda: click.echo(line))
