"""GET /metrics over a real server, read by Prometheus' own parser: figures of real files, of Dagster, of requests."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
import requests
import yaml
from fastapi import FastAPI
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from pricetracker_dagster.alerts.watchdog.observation import Sign, Tick, Work
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.settings import Settings, load_settings
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.web import prometheus
from pricetracker_dagster.web.app import build_app
from pricetracker_dagster.web.gate import guarded
from pricetracker_dagster.web.health import Judge
from pricetracker_dagster.web.request_counts import RequestCounts
from tests.integration.conftest import Bench
from tests.published_day import AS_OF, METRICS, publish_a_day
from tests.serving import served
from tests.unit.test_packaging import ROOT
from tests.waiting import until

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
ENDED = datetime(2026, 3, 3, 12, 0, 3, tzinfo=UTC)


def series(text: str) -> Series:
    """Each sample of an answer, by its name and labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(each.name, frozenset(each.labels.items())): each.value for each in samples}
    assert len(found) == len(samples)
    return found


def scraped(url: str, **headers: str) -> Series:
    answer = requests.get(f"{url}/metrics", headers=headers, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.headers["cache-control"] == "no-store"
    return series(answer.text)


def value(found: Series, name: str, **labels: str) -> float:
    return found[f"pricetracker_{name}", frozenset(labels.items())]


@pytest.fixture
def day(write_settings: Callable[[str], Path], tmp_path: Path) -> Path:
    """The published file of a day, long ago."""
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0\n')
    return publish_a_day(tmp_path / "data").published


def test_figures_of_the_data_are_those_of_the_published_file(day: Path) -> None:
    with duckdb.connect(str(day), read_only=True) as connection:
        rows, missed, open_alerts, open_incidents = connection.execute(
            """SELECT
                (SELECT count(*) FROM minute_prices), (SELECT count(*) FROM missed_minutes),
                (SELECT count(*) FROM alerts WHERE state <> 'resolved'),
                (SELECT count(*) FROM incidents WHERE state = 'open')"""
        ).fetchall()[0]
    app = FastAPI()
    judge = Judge(load_settings(), work=lambda *_: Work())
    app.include_router(prometheus.routes(day, judge, RequestCounts(), now=lambda: AS_OF.timestamp() + 75))
    with served(app) as url:
        found = scraped(url)
    assert value(found, "as_of_timestamp_seconds") == AS_OF.timestamp()
    assert value(found, "newest_minute_age_seconds") == 15  # it was over 60 seconds after it began
    assert value(found, "published_timestamp_seconds") == AS_OF.timestamp() + 65
    assert value(found, "metrics") == 3
    assert value(found, "rows") == rows == 3 * 1560 - 10
    assert {metric: value(found, "missed_minutes", metric=metric) for metric in METRICS} == {
        "KRAKEN:BTCUSD": missed,
        "KRAKEN:ETHUSD": 0,
        "KRAKEN:GRTETH": 0,
    }
    assert (missed, open_alerts, open_incidents) == (10, 1, 0)
    assert value(found, "open_alerts") == open_alerts
    assert value(found, "open_incidents") == open_incidents
    assert value(found, "size_bytes", part="published") == day.stat().st_size
    assert value(found, "healthy") == 0
    assert ("pricetracker_last_tick_duration_seconds", frozenset()) not in found


@pytest.fixture
def bench_url(start: Callable[..., Bench]) -> Iterator[tuple[str, Bench]]:
    bench = start("BTCUSD", "ETHUSD", extra="[watch]\nfree_disk_mb = 1\n")
    tracked = [str(metric) for metric in bench.settings.tracked]
    collect_minute(bench.settings, bench.minute, now=lambda: bench.now)
    publish(bench.store, tracked, now=bench.now)

    def work(_: Settings, now: datetime) -> Work:
        return Work([Sign("the daemon", now), Sign("the schedule", now)], last_tick=Tick(2.75, ENDED))

    app, counts = FastAPI(), RequestCounts("2")
    judge = Judge(bench.settings, work=work, now=lambda: bench.now)
    app.include_router(prometheus.routes(bench.store.folder.published, judge, counts, now=lambda: 0.0))
    with served(counts.counted(app)) as url:
        yield url, bench


def test_figures_of_operation_are_those_of_the_judgement(bench_url: tuple[str, Bench]) -> None:
    url, bench = bench_url
    found = scraped(url)
    assert requests.head(f"{url}/metrics", timeout=60).status_code == 200
    assert value(found, "healthy") == 1
    assert value(found, "last_tick_duration_seconds") == 2.75
    assert value(found, "last_tick_ended_timestamp_seconds") == ENDED.timestamp()
    assert value(found, "clock_difference_seconds", exchange="SIMULATED") == 0
    assert value(found, "disk_free_bytes") > 0
    files = [file for file in bench.settings.folder.rglob("*") if not file.is_dir()]
    assert value(found, "size_bytes", part="data") == sum(file.lstat().st_size for file in files)


def test_a_newer_published_file_is_told_at_the_next_scrape(bench_url: tuple[str, Bench]) -> None:
    url, bench = bench_url
    before = value(scraped(url), "as_of_timestamp_seconds")
    bench.now = bench.now.replace(minute=bench.now.minute + 1)
    collect_minute(bench.settings, bench.minute, now=lambda: bench.now)
    publish(bench.store, [str(metric) for metric in bench.settings.tracked], now=bench.now)
    until(lambda: value(scraped(url), "as_of_timestamp_seconds") == before + 60, 10, "the new file is told")


def test_openmetrics_is_given_to_who_asks_for_it_and_an_odd_wish_is_no_error(bench_url: tuple[str, Bench]) -> None:
    url, _ = bench_url
    wish = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3"
    answer = requests.get(f"{url}/metrics", headers={"Accept": wish}, timeout=60)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(answer.text)}  # type: ignore[no-untyped-call]
    assert families["pricetracker_rows"].samples[0].value == 2 * 719
    for odd in ("application/openmetrics-text;version=x", "text/plain;version=one", ";;,=", "text/plain;version=9.é"):
        answer = requests.get(f"{url}/metrics", headers={"Accept": odd.encode("latin-1")}, timeout=60)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "pricetracker_rows" in answer.text


def test_requests_are_counted_by_path_and_status_whoever_answers_them(day: Path) -> None:
    settings, counts = load_settings(), RequestCounts("2")
    asked = Counter[tuple[str, str]]()
    with served(counts.counted(guarded(build_app(settings, counts), settings.http))) as url:
        for target, headers, path, status in [
            ("/pricetracker/metricsrank?measure_name=price", {}, "/pricetracker/metricsrank", 200),
            ("/pricetracker/metricsrank?measure_name=price", {}, "/pricetracker/metricsrank", 200),
            ("/pricetracker/metricsrank?measure_name=nothing", {}, "/pricetracker/metricsrank", 404),
            ("/pricetracker/candles", {}, "/pricetracker/candles", 422),
            ("/", {}, "/", 200),
            ("/page/main.js", {}, "/page/main.js", 200),
            ("/docs", {}, "/docs", 200),
            ("/openapi.json", {}, "/openapi.json", 200),
            ("/made-up/by/a/client?a=b", {}, "other", 404),
            ("/pricetracker/snapshot", {"Host": "elsewhere.example"}, "/pricetracker/snapshot", 421),
            ("/health", {}, "/health", 503),
        ]:
            answer = requests.get(url + target, headers=headers, timeout=60, allow_redirects=False)
            assert answer.status_code == status, target
            asked[path, str(status)] += 1
        etag = requests.get(f"{url}/pricetracker/metrics", timeout=60).headers["etag"]
        requests.get(f"{url}/pricetracker/metrics", headers={"If-None-Match": etag}, timeout=60)
        asked |= {("/pricetracker/metrics", "200"): 1, ("/pricetracker/metrics", "304"): 1}
        found = scraped(url)
    counted = {
        (labels["path"], labels["status"]): times
        for (name, pairs), times in found.items()
        if name == "pricetracker_http_requests_total" and (labels := dict(pairs))["worker"] == "2"
    }
    assert counted == asked


def test_where_nothing_is_published_the_figures_of_data_are_left_out(
    write_settings: Callable[[str], Path], tmp_path: Path
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n')
    with served(build_app(load_settings())) as url:
        found = scraped(url)
    assert found == {("pricetracker_healthy", frozenset()): 0}
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_is_none_is_told_and_no_error(write_settings: Callable[[str], Path], tmp_path: Path) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n')
    settings = load_settings()
    (tmp_path / "data").write_text("a file, put there since")
    with served(build_app(settings)) as url:
        assert requests.get(f"{url}/health", timeout=60).json()["well"] is False
        assert value(scraped(url), "healthy") == 0


def names(url: str) -> set[str]:
    """The names of the metrics that are given."""
    scraped(url)  # a request that is counted
    return {name for name, _ in scraped(url)}


def test_the_document_names_each_metric_with_its_labels(bench_url: tuple[str, Bench]) -> None:
    url, _ = bench_url
    section = (
        (ROOT / "docs" / "reading.md").read_text(encoding="utf-8").partition("## Grafana")[2].partition("\n## ")[0]
    )
    told = "".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    documented = {f"pricetracker_{name}" for name in re.findall(r"`([a-z_]+)[`{]", told)}
    assert documented == names(url)
    config = yaml.safe_load(section.partition("```yaml")[2].partition("```")[0])
    [job] = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8000"]}]
    assert "metrics_path" not in job  # it is what Prometheus asks for by default


def test_the_dashboard_asks_for_metrics_and_labels_that_are_given(bench_url: tuple[str, Bench]) -> None:
    url, _ = bench_url
    scraped(url)
    found = scraped(url)
    labels = {label for _, pairs in found for label, _ in pairs} | {"instance"}
    board = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    variables = {each["name"] for each in board["templating"]["list"]}
    targets = [target for panel in board["panels"] for target in panel["targets"]]
    expressions = [target["expr"] for target in targets]
    expressions += [each["expr"] for each in board["annotations"]["list"]]
    expressions += [each["definition"] for each in board["templating"]["list"] if "definition" in each]
    asked = {name for each in expressions for name in re.findall(r"pricetracker_\w+", each)}
    assert asked <= names(url)
    grouped = {
        label
        for each in expressions
        for label in re.findall(r"by \((\w+)\)|\{(\w+)=~|, (\w+)\)$", each)
        for label in label
    }
    legends = {label for target in targets for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])}
    assert (grouped | legends) - {""} <= labels
    used = {name for each in expressions for name in re.findall(r"\$(\w+)", each)}
    assert used <= variables | {"__rate_interval"}
    assert {target["datasource"]["uid"] for target in targets} == {"${datasource}"}


def test_the_panels_of_the_dashboard_have_a_place_and_a_number_of_their_own() -> None:
    panels = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = Counter(
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )
    assert set(cells.values()) == {1}
    assert {x for x, _ in cells} == set(range(24))
