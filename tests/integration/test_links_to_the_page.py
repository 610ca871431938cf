"""What Dagster shows of an asset links to the page, where the same is shown to everybody else."""

import re
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.assets.alerts import what_changed
from pricetracker_dagster.definitions import build_defs
from pricetracker_dagster.local.tick_by_hand import run_minute_tick
from pricetracker_dagster.store.schema import ALERTS, INCIDENTS
from tests.integration.conftest import Bench, tracker
from tests.unit.test_packaging import ROOT


def page_of(instance: dg.DagsterInstance, asset: str) -> dg.MetadataValue[Any]:
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata["page"]


@pytest.mark.parametrize(
    ("extra", "address"),
    [
        ("", "http://127.0.0.1:8000"),
        ('[http]\nurl = "https://prices.example.org/now/"\n', "https://prices.example.org/now"),
    ],
)
def test_what_is_materialized_links_to_the_page_where_it_is_shown(
    start: Callable[..., Bench], instance: dg.DagsterInstance, extra: str, address: str
) -> None:
    bench = start("ETHUSD", "BTCUSD", extra=extra)
    assert run_minute_tick(tracker(bench), instance).success
    charts = build_defs(tracker(bench)).resolve_implicit_global_asset_job_def()
    assert charts.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("charts_24h")]).success
    assert page_of(instance, "metric_rank") == dg.MetadataValue.url(f"{address}/")
    for asset in ("minute_prices", "history_24h", "charts_24h"):
        assert page_of(instance, asset) == dg.MetadataValue.url(f"{address}/#metric=SIMULATED:ETHUSD")


def test_alarms_link_to_those_of_the_page(start: Callable[..., Bench]) -> None:
    bench = start()
    alert, incident = ({**dict.fromkeys(table.names), "state": "open"} for table in (ALERTS, INCIDENTS))
    events = what_changed(SensorOutcome(alerts=[alert], incidents=[incident]), bench.settings)
    pages = {event.asset_key.to_user_string(): event.metadata["page"] for event in events}
    expected = dg.MetadataValue.url("http://127.0.0.1:8000/#view=alarms")
    assert pages == {"alerts": expected, "incidents": expected}


def test_the_page_knows_what_the_links_ask_for() -> None:
    known = (ROOT / "pricetracker_dagster" / "web" / "page" / "address.js").read_text(encoding="utf-8")
    usual = re.search(r"const USUAL = \{(.*?)\}", known, re.DOTALL)
    assert usual is not None
    assert {"view", "metric"} <= set(re.findall(r"(\w+):", usual[1]))
    assert re.search(r'view: \[.*"alarms"', known)
