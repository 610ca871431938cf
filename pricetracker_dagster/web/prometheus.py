"""/metrics: what monitoring keeps over time, in Prometheus' text format or OpenMetrics, as the scraper asks.

Figures of the data come from the published file, those of the machine and of Dagster from the judgement of /health.
What cannot be had is left out, rather than be told as 0. Names are those of Prometheus' conventions: base units.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from fastapi import APIRouter, Request
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import Response

from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.reading import questions
from pricetracker_dagster.reading.published import PublishedFile
from pricetracker_dagster.web.health import Judge, newest
from pricetracker_dagster.web.request_counts import RequestCounts
from pricetracker_dagster.web.shared_work import SharedWork

PATH = "/metrics"

_PATIENCE = 8.0
"""Seconds for which the figures are waited for: a scraper waits for ten."""

_FOR_GOOD = float("inf")

_VERSION = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2} *")


class Figures(NamedTuple):
    """What one published file says: times in seconds since 1970, missed minutes of the last 24 hours by metric."""

    as_of: float | None
    published_at: float
    metrics: int
    rows: int
    missed: Mapping[str, int]
    alerts: int
    incidents: int


def figures(published: Path) -> Figures | None:
    """Read the figures of a published file; None where there is none, or it cannot be read: /health says why."""
    try:
        with closing(PublishedFile(published)) as file:
            snapshot = file.answer(questions.of_snapshot())
            columns = "epoch(as_of), epoch(published_at), metrics, rows"
            [(as_of, published_at, metrics, rows)] = snapshot.project(columns).fetchall()
            missed = dict(file.answer(questions.of_missed_counts()).fetchall())
            alerts, incidents = (
                len(file.answer(question))
                for question in (questions.of_alerts(only_open=True), questions.of_incidents(only_open=True))
            )
    except (PricetrackerError, duckdb.Error, OSError):
        return None
    return Figures(as_of, published_at, metrics, rows, missed, alerts, incidents)


class Scrape(Collector):
    """What one scrape is given."""

    def __init__(
        self, published: Figures | None, found: Mapping[str, Any], requests: RequestCounts, now: float
    ) -> None:
        """Hold what was read.

        Args:
            published: the figures of the published file, if there is one.
            found: what status() found.
            requests: how many were answered.
            now: seconds since 1970.
        """
        self._published, self._found, self._requests, self._now = published, found, requests, now

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield _gauge("healthy", "1 if all is well, 0 if /health names a trouble", float(self._found["well"]))
        if self._published is not None:
            yield from _of_data(self._published, self._now)
        yield from _of_operation(self._found)
        worker = {"worker": self._requests.worker} if self._requests.worker else {}
        labels = ["path", "status", *worker]
        counted = CounterMetricFamily("pricetracker_http_requests", "Requests that were answered", labels=labels)
        for path, status, times in self._requests:
            counted.add_metric([path, str(status), *worker.values()], times)
        yield counted


def _of_data(published: Figures, now: float) -> Iterator[Metric]:
    if published.as_of is not None:
        yield _gauge("as_of_timestamp_seconds", "The newest published minute: its open time", published.as_of)
        age = now - published.as_of - 60
        yield _gauge("newest_minute_age_seconds", "How long ago the newest published minute was over", age)
    yield _gauge("published_timestamp_seconds", "When it was last published", published.published_at)
    yield _gauge("metrics", "Metrics with a value in the last 24 hours", published.metrics)
    yield _gauge("rows", "Stored minutes of all metrics, of all time", published.rows)
    told = "Closed minutes of the last 24 hours that are not stored"
    yield _gauge("missed_minutes", told, published.missed, "metric")
    yield _gauge("open_alerts", "Alerts that are not resolved", published.alerts)
    yield _gauge("open_incidents", "Incidents that are open", published.incidents)


def _of_operation(found: Mapping[str, Any]) -> Iterator[Metric]:
    if found.get("last_tick_seconds") is not None:
        ended: datetime = found["last_tick_ended_at"]
        yield _gauge("last_tick_duration_seconds", "How long the last tick took", found["last_tick_seconds"])
        yield _gauge("last_tick_ended_timestamp_seconds", "When the last tick ended", ended.timestamp())
    if "sizes_bytes" in found:
        told = "Bytes on disk: the data folder, of that the published file and what Dagster keeps"
        yield _gauge("size_bytes", told, found["sizes_bytes"], "part")
    if found.get("disk_free_bytes") is not None:
        yield _gauge("disk_free_bytes", "Free where the data lie", found["disk_free_bytes"])
    if found.get("clock_difference_seconds"):
        told = "So much this machine's clock is ahead of the exchange's"
        yield _gauge("clock_difference_seconds", told, found["clock_difference_seconds"], "exchange")


def _gauge(name: str, told: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    """Return a gauge of one value, or of one for each value of a label."""
    if not isinstance(value, Mapping):
        return GaugeMetricFamily(f"pricetracker_{name}", told, value)
    family = GaugeMetricFamily(f"pricetracker_{name}", told, labels=[label])
    for of, each in value.items():
        family.add_metric([of], each)
    return family


def routes(
    published: Path, judge: Judge, requests: RequestCounts, *, now: Callable[[], float] = time.time
) -> APIRouter:
    """Return the path /metrics.

    Args:
        published: where the published file is, now or later.
        judge: of /health.
        requests: how many were answered.
        now: returns the seconds since 1970.
    """
    router = APIRouter(tags=["operation"])
    read = SharedWork(partial(figures, published), keep=_FOR_GOOD, depends_on=partial(newest, published))

    async def of_published() -> Figures | None:
        try:
            return await read.result(_PATIENCE)
        except TimeoutError:
            return None

    async def metrics(request: Request) -> Response:
        """Figures for monitoring, in Prometheus' text format, or OpenMetrics where that is accepted."""
        of_data, judgement = await asyncio.gather(of_published(), judge.judgement(_PATIENCE))
        encode, media_type = _encoder(request.headers.get("accept", ""))
        body = encode(Scrape(of_data, judgement.found, requests, now()))
        return Response(body, headers={"Cache-Control": "no-store", "Content-Type": media_type, "Vary": "Accept"})

    router.add_api_route(PATH, metrics, methods=["GET"], responses=_ANSWERS, response_class=Response)
    router.add_api_route(PATH, metrics, methods=["HEAD"], include_in_schema=False)
    return router


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return what writes the form that is accepted, and its media type."""
    # the library compares versions as numbers, and its media type repeats what was asked for
    numbered = all(_VERSION.fullmatch(each) for each in re.findall("version=([^;,]*)", accept))
    return choose_encoder(accept if numbered else "")


_TEXT = {"schema": {"type": "string"}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "the figures", "content": {"text/plain": _TEXT, "application/openmetrics-text": _TEXT}}
}
