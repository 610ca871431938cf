"""Puts the HTTP API and the page together: what stands before what, and how errors are told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import duckdb
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from pricetracker_dagster.errors import PricetrackerError, UnknownName
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.publishing.access import OfAnotherVersion
from pricetracker_dagster.web import api, health, pages, prometheus, sign_in
from pricetracker_dagster.web.generations import Generations
from pricetracker_dagster.web.kept import KeptAnswers
from pricetracker_dagster.web.openapi import describe
from pricetracker_dagster.web.parameters import FORMS
from pricetracker_dagster.web.problems import Problem, problem
from pricetracker_dagster.web.request_counts import RequestCounts
from pricetracker_dagster.web.working import App

_MB = 1024 * 1024


def build_app(settings: Settings, requests: RequestCounts | None = None) -> App:
    """Return the whole as an ASGI app.

    Args:
        settings: the published file of their data folder is followed; ``settings.http`` says who gets what.
        requests: of the answers of this process, whoever counts them; /metrics tells of them.
    """
    requests = requests or RequestCounts()
    router = api.routes(settings.http)
    judge = health.Judge(settings)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        kept.generations = Generations(settings.data_folder.published, settings.http.cache_mb * _MB, kept.prepare)
        await kept.generations.start()
        try:
            yield
        finally:
            await kept.generations.stop()

    app = FastAPI(
        title="pricetracker",
        version="1",
        summary="Minute prices: metrics, ranking, history, candles, alerts, what was missed.",
        lifespan=running,
        redirect_slashes=False,  # to an address that is made of the header Host
        generate_unique_id_function=lambda route: "_".join([*map(str, route.tags), route.name]),
        docs_url=None,
        redoc_url=None,
    )
    of_operation = health.routes(judge), prometheus.routes(settings.data_folder.published, judge, requests)
    for each in (router, *of_operation):
        app.include_router(each)
    app.router.routes.extend(pages.routes())
    describe(app, settings.http)
    app.add_exception_handler(Problem, _told)
    app.add_exception_handler(RequestValidationError, _not_of_its_form)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(PricetrackerError, _mendable)
    app.add_exception_handler(duckdb.Error, _of_the_engine)
    app.add_exception_handler(Exception, _own_mistake)
    kept = KeptAnswers(app, api.paths(router), settings.http.timeout_seconds)
    routes = [*app.routes, *(route for each in (router, *of_operation) for route in each.routes)]
    requests.paths = {*sign_in.PATHS, *(route.path for route in routes if isinstance(route, Route))}
    return kept


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for it
    return error.response()


async def _mendable(_: Request, error: Exception) -> Response:
    headers = {"Retry-After": "60"} if isinstance(error, OfAnotherVersion) else None  # the next tick mends it
    return problem(404 if isinstance(error, UnknownName) else 503, str(error), headers=headers)


async def _of_the_engine(_: Request, error: Exception) -> Response:
    if isinstance(error, duckdb.OutOfMemoryException):
        return problem(503, "the answer needs more memory than there is: ask for a shorter range")
    raise error


async def _own_mistake(_: Request, __: Exception) -> Response:
    return problem(500, "this is a mistake of pricetracker: its log has the traceback")


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    said = {404: f"there is nothing at {request.url.path}: /docs lists what there is", 405: "only GET is answered here"}
    return problem(error.status_code, said.get(error.status_code, str(error.detail)), headers=error.headers)


async def _not_of_its_form(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first: dict[str, Any] = error.errors()[0]
    name, value = str(first["loc"][-1]), first.get("input")
    form = FORMS.get(name, "")
    if first["type"] == "missing":
        return problem(422, f"{name} is missing: {form}", parameter=name)
    shown = value if isinstance(value, str) else repr(value)
    return problem(422, f'{name} "{shown[:100]}": write {form}', parameter=name, value=shown[:100])
