"""The API: a path a question. Each answers from one published file, and is the same until that is replaced.

Paths and parameters are those of the system that this one replaced, as far as it had them.
"""

import difflib
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.reading.asked import asked
from pricetracker_dagster.reading.every import NotAWidth, width
from pricetracker_dagster.reading.published import PublishedFile
from pricetracker_dagster.reading.questions import Question
from pricetracker_dagster.reading.times import WrongTimes, between
from pricetracker_dagster.settings.http import HttpSettings
from pricetracker_dagster.web import parameters as given
from pricetracker_dagster.web.answers import answer
from pricetracker_dagster.web.kept import COMPRESS, FILE, ROOT
from pricetracker_dagster.web.negotiation import ARROW, CSV, JSON, kind_of
from pricetracker_dagster.web.problems import Problem
from pricetracker_dagster.web.schemas import answers_of

F = TypeVar("F", bound=Callable[..., Any])

_KINDS = {"json": JSON, "csv": CSV, "arrow": ARROW}


def routes(settings: HttpSettings) -> APIRouter:
    """Return the paths below /pricetracker."""
    router = APIRouter(prefix=ROOT.rstrip("/"), tags=["prices"], dependencies=[Depends(_known_parameters)])
    most = settings.largest_answer

    def told(request: Request, form: str | None, question: Question) -> Response:
        kind = _KINDS[form] if form else kind_of(",".join(request.headers.getlist("accept")).encode("latin-1"))
        name = request.url.path.rpartition("/")[2]
        return answer(
            _file(request),
            question,
            kind,
            compress=request.scope[COMPRESS],
            seconds=settings.timeout_seconds,
            name=name,
        )

    def path(name: str, table: str, summary: str) -> Callable[[F], F]:
        return router.get(
            f"/{name}",
            name=name,
            summary=summary,
            responses=answers_of(table),
            response_class=Response,
        )

    @path("metrics", "available_metrics", "What there is")
    def metrics(request: Request, form: given.Form = None) -> Response:
        """What has values in the last 24 hours."""
        return told(request, form, asked("metrics", None))

    @path("metricsrank", "metric_rank", "The ranking by standard deviation")
    def metricsrank(
        request: Request,
        measure_name: given.AnyMeasureName = None,
        form: given.Form = None,
    ) -> Response:
        """The metrics by standard deviation over the last 24 hours, of one measure or of each."""
        return told(request, form, asked("rank", None, measure=measure_name))

    @path("historicalprices", "history_24h", "A measure over time")
    def historicalprices(
        request: Request,
        metric_name: given.MetricName,
        measure_name: given.MeasureName,
        start: given.Start = None,
        end: given.End = None,
        every: given.Every = None,
        form: given.Form = None,
    ) -> Response:
        """One measure of one metric over time, oldest first. A minute that is not stored is no row."""
        metric, times = given.checked_metric(metric_name), _times(request, start, end, every, most)
        return told(request, form, asked("history", _file(request).as_of, metric=metric, measure=measure_name, **times))

    @path("candles", "candles", "Candles, resampled")
    def candles(
        request: Request,
        metric_name: given.MetricName,
        start: given.Start = None,
        end: given.End = None,
        every: given.Every = None,
        form: given.Form = None,
    ) -> Response:
        """Candles of a metric, oldest first; ``minutes`` is how many minutes of a candle are stored."""
        metric, times = given.checked_metric(metric_name), _times(request, start, end, every, most)
        return told(request, form, asked("candles", _file(request).as_of, metric=metric, **times))

    @path("overview", "overview", "The ranking with newest values and shapes")
    def overview(
        request: Request,
        measure_name: given.MeasureName,
        form: given.Form = None,
    ) -> Response:
        """A row a metric in the order of its rank: newest value, change and shape over 24 hours, alerts that fire."""
        return told(request, form, asked("overview", None, measure=measure_name))

    @path("markets", "markets", "Exchanges side by side")
    def markets(
        request: Request,
        market_name: given.AnyMarketName = None,
        form: given.Form = None,
    ) -> Response:
        """What exchanges say of a market, or of each: newest price, volume, and how far from the others in 24 hours."""
        return told(request, form, asked("markets", None, market=market_name))

    @path("markethistory", "market_history", "Exchanges side by side, over time")
    def markethistory(
        request: Request,
        market_name: given.MarketName,
        form: given.Form = None,
    ) -> Response:
        """The prices of a market on each exchange over the last 24 hours, oldest first, beside their weighted mean."""
        return told(request, form, asked("market_history", None, market=market_name))

    @path("alerts", "alerts", "Alerts")
    def alerts(
        request: Request,
        only_open: given.OnlyOpen = False,
        since: given.Since = None,
        metric_name: given.AnyMetricName = None,
        form: given.Form = None,
    ) -> Response:
        """Values that exceeded a rule, newest first."""
        moment, metric = given.checked_time("since", since), given.checked_metric(metric_name)
        return told(request, form, asked("alerts", None, only_open=only_open, since=moment, metric=metric, most=most))

    @path("incidents", "incidents", "Incidents")
    def incidents(
        request: Request,
        only_open: given.OnlyOpen = False,
        since: given.Since = None,
        form: given.Form = None,
    ) -> Response:
        """Outages: minutes that were missed near each other, and what stood still; newest first."""
        moment = given.checked_time("since", since)
        return told(request, form, asked("incidents", None, only_open=only_open, since=moment, most=most))

    @path("missed", "missed_minutes", "Missed minutes")
    def missed(
        request: Request,
        metric_name: given.AnyMetricName = None,
        form: given.Form = None,
    ) -> Response:
        """The closed minutes of the last 24 hours that are not stored, with the cause."""
        return told(request, form, asked("missed", None, metric=given.checked_metric(metric_name)))

    @path("snapshot", "snapshot", "The published file")
    def snapshot(request: Request, form: given.Form = None) -> Response:
        """What the published file is, in one row."""
        return told(request, form, asked("snapshot", None))

    return router


def paths(router: APIRouter) -> frozenset[str]:
    """Return the paths of the API."""
    return frozenset(route.path for route in router.routes if isinstance(route, APIRoute))


async def _known_parameters(request: Request) -> None:
    """Refuse a parameter that the path does not know, or that comes twice: one would be left out in silence."""
    known = [str(each.alias) for each in request.scope["route"].dependant.query_params]
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        shown = name[:100]
        if name not in known:
            close = difflib.get_close_matches(shown, known, n=1)
            said = f"; did you mean {close[0]}?" if close else f"; there is {', '.join(known)}"
            raise Problem(422, f'there is no parameter "{shown}"{said}', parameter=shown, known=known)
        if given.count(name) > 1:
            raise Problem(422, f"{name} is given {given.count(name)} times: give it once", parameter=name)


def _file(request: Request) -> PublishedFile:
    file = request.scope[FILE]
    assert isinstance(file, PublishedFile)  # noqa: S101 - kept.py has put it there
    return file


def _times(request: Request, start: str | None, end: str | None, every: str | None, most: int) -> dict[str, Any]:
    """Return the arguments of a question over time; raise a Problem where they mean none, or too large an answer."""
    times = {name: given.checked_time(name, text) for name, text in (("start", start), ("end", end))}
    try:
        wide = MINUTE if every is None else width(every)
    except NotAWidth as error:
        raise Problem(422, str(error), parameter="every", value=every) from None
    try:
        first, last = between(times["start"], times["end"], 24, _file(request).as_of)
    except WrongTimes as error:
        raise Problem(422, str(error), parameter="start", value=start) from None
    if (rows := (last - first) / wide) > most:
        said = (
            f"start to end every {every or '1m'} are {rows:,.0f} rows, at most {most:,} are given (http.largest_answer)"
        )
        raise Problem(422, f"{said}: ask for a shorter range or a wider every", parameter="every", value=every or "1m")
    return {**times, "every": every}
