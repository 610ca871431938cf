"""GET /health over a real server: the judgement of `pricetracker status`, its status, what it hides, what it costs."""

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi import FastAPI

from pricetracker_dagster.alerts.status import status
from pricetracker_dagster.alerts.watchdog.observation import Sign, Work
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.settings import Settings, config_file, load_settings
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.web import health
from pricetracker_dagster.web.app import build_app
from tests.integration.conftest import Bench
from tests.published_day import publish_a_day
from tests.serving import served
from tests.waiting import until
from tests.webhook import Webhook


def app_of(judge: health.Judge, patience: float = health.PATIENCE) -> FastAPI:
    app = FastAPI()
    app.include_router(health.routes(judge, patience))
    app.add_api_route("/quick", lambda: "quick")
    return app


@pytest.fixture
def bench(start: Callable[..., Bench], webhook: Webhook) -> Bench:
    bench = start("BTCUSD", extra=f'[alerts]\nchannels = ["{webhook.channel()}"]\n[watch]\nfree_disk_mb = 1\n')
    collect_minute(bench.settings, bench.minute, now=lambda: bench.now)
    publish(bench.store, [str(metric) for metric in bench.settings.tracked], now=bench.now)
    return bench


def alive(_: Settings, now: datetime) -> Work:
    return Work([Sign("the daemon", now), Sign("the schedule every_minute", now)])


def test_where_all_is_well_it_is_the_judgement_of_the_command_without_the_place_and_without_secrets(
    bench: Bench, webhook: Webhook
) -> None:
    before = set(bench.settings.folder.rglob("*"))
    with served(app_of(health.Judge(bench.settings, work=alive, now=lambda: bench.now))) as url:
        answer = requests.get(f"{url}/health", timeout=30)
        head = requests.head(f"{url}/health", timeout=30)
    assert (answer.status_code, head.status_code, head.content) == (200, 200, b"")
    assert answer.headers["cache-control"] == head.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    found = status(bench.settings, bench.now, lambda: alive(bench.settings, bench.now))
    shown = answer.json()
    assert shown.keys() == (found.keys() - {"data"}) | {"simulated", "ui"}
    assert shown["well"] is True
    assert shown["troubles"] == []
    assert shown["as_of"] == "2026-03-03T11:59:00Z"
    assert (shown["as_of_age_seconds"], shown["now"]) == (5, "2026-03-03T12:00:05Z")
    assert (shown["simulated"], shown["ui"]) == (True, "http://127.0.0.1:3000")
    assert str(bench.settings.folder) not in answer.text
    assert webhook.address not in answer.text
    assert set(bench.settings.folder.rglob("*")) == before


def test_settings_that_change_while_it_runs_are_judged_as_they_are_now(bench: Bench) -> None:
    def judged() -> dict[str, Any]:
        return dict(json.loads(asyncio.run(judge.judgement(30)).body))

    judge = health.Judge(bench.settings, work=lambda *_: Work(), now=lambda: bench.now)
    file = config_file()
    file.write_text(file.read_text().replace('["KRAKEN:BTCUSD"]', '["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]'))
    found = judged()
    assert [each["metric"] for each in found["metrics"]] == ["SIMULATED:BTCUSD", "SIMULATED:ETHUSD"]
    assert "SIMULATED:ETHUSD: nothing is stored of the last 24 hours" in found["troubles"]
    assert found["runs_in_progress"] == {}
    judge = health.Judge(bench.settings, work=alive, now=lambda: bench.now)
    file.write_text("metrics = []")
    [trouble] = judged()["troubles"]
    assert trouble == 'pricetracker.toml: metrics is an empty list: name at least one, e.g. "KRAKEN:BTCUSD"'


def test_stale_prices_are_503_with_the_reason_by_the_whole_app_and_dagsters_own_storage(
    write_settings: Callable[[str], Path], tmp_path: Path
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\ntoken = "a-token-that-nobody-knows"\n')
    publish_a_day(tmp_path / "data")
    with served(build_app(load_settings())) as url:
        answer = requests.get(f"{url}/health", timeout=60)
        described = requests.get(f"{url}/openapi.json", timeout=60).json()["paths"]["/health"]
    assert answer.status_code == 503
    shown = answer.json()
    assert shown["well"] is False
    assert shown["as_of"] == "2026-03-03T12:04:00Z"
    assert "KRAKEN:BTCUSD: nothing is stored of the last 24 hours" in shown["troubles"]
    assert any("no sign of life" in trouble and "the daemon" in trouble for trouble in shown["troubles"])
    assert str(tmp_path) not in answer.text
    assert "nobody-knows" not in answer.text
    assert described["get"]["responses"].keys() == {"200", "401", "421", "429", "503"}
    assert "head" not in described


def test_a_folder_that_is_not_there_and_a_storage_that_cannot_be_read_are_named_without_the_place(
    bench: Bench, tmp_path: Path
) -> None:
    def broken(settings: Settings, _: datetime) -> Work:
        raise OSError(f"{settings.folder}/dagster/runs.db is not a database")

    with served(app_of(health.Judge(bench.settings, work=broken, now=lambda: bench.now))) as url:
        shown = requests.get(f"{url}/health", timeout=30).json()
    assert shown["troubles"] == ["Dagster's storage cannot be read: the data folder/dagster/runs.db is not a database"]
    elsewhere = bench.settings.model_copy(update={"simulated": False, "data": str(tmp_path / "nowhere")})
    with served(app_of(health.Judge(elsewhere))) as url:
        shown = requests.get(f"{url}/health", timeout=30).json()
    assert shown["troubles"] == ["the data folder is not there: nothing has run yet; start `pricetracker up`"]
    assert (shown["as_of"], shown["as_of_age_seconds"]) == (None, None)
    assert not (tmp_path / "nowhere").exists()


def test_a_mistake_of_ours_is_503_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pricetracker_dagster.alerts.status.judge", lambda: "takes nothing")
    with served(app_of(health.Judge(bench.settings, work=alive, now=lambda: bench.now))) as url:
        answer = requests.get(f"{url}/health", timeout=30)
    assert answer.status_code == 503
    assert "by a mistake of pricetracker" in answer.json()["troubles"][0]


def test_a_judgement_that_hangs_is_503_in_time_and_keeps_nobody_else_waiting(bench: Bench) -> None:
    may_go_on, calls = threading.Event(), []

    def hanging(settings: Settings, now: datetime) -> Work:
        calls.append(now)
        may_go_on.wait(60)
        return alive(settings, now)

    with served(app_of(health.Judge(bench.settings, work=hanging, now=lambda: bench.now), 1.0)) as url:
        with ThreadPoolExecutor(20) as pool:
            waiting = [pool.submit(requests.get, f"{url}/health", timeout=30) for _ in range(20)]
            assert requests.get(f"{url}/quick", timeout=30).elapsed.total_seconds() < 1
            answers = [each.result() for each in waiting]
        assert {each.status_code for each in answers} == {503}
        assert "could not be judged within 1 s" in answers[0].json()["troubles"][0]
        assert requests.get(f"{url}/health", timeout=30).elapsed.total_seconds() < 1  # its time is over already
        assert len(calls) == 1
        may_go_on.set()
        until(lambda: requests.get(f"{url}/health", timeout=30).ok, 30, "the judgement that hung is done")
        assert len(calls) == 1
