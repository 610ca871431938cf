"""A divergence on the page: in words, not as so many times an average."""

from datetime import timedelta
from pathlib import Path

from playwright.sync_api import expect

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.store.publishing.publish import publish
from tests.browser.conftest import Open, Serve
from tests.published_day import AS_OF, JUMP, METRICS, publish_a_day


def test_a_divergence_is_told_with_price_median_and_how_far(tmp_path: Path, serve: Serve, open_page: Open) -> None:
    store = publish_a_day(tmp_path / "data").store
    [spike] = store.records.alerts.rows()
    apart = {
        **spike,
        "id": "divergence|of nobody",
        "rule": "apart",
        "rule_kind": "divergence",
        "metric": METRICS[1],
        "measure": "price",
        "minute": JUMP,
        "last_minute": JUMP + MINUTE,
        "value": 4300.0,
        "average": 4278.5,
        "ratio": 50.25,
        "peak_ratio": 60.5,
        "others": 4,
        "held_by": "incident of nobody",
    }
    store.records.alerts.upsert([apart])
    publish(store, list(METRICS), now=AS_OF + MINUTE + timedelta(seconds=8))
    with serve(tmp_path / "data") as url, open_page(url, "#view=alarms") as page:
        fact = page.locator(".fact", has_text=METRICS[1])
        said = "Price 4,300, 50.3 basis points above 4,278.5, the median of 4 others"
        expect(fact.locator(".fact-text")).to_have_text(said)
        expect(fact.locator(".fact-more")).to_contain_text("peak 60.5 basis points")
        expect(fact.locator(".fact-more")).to_contain_text("messages held by incident of nobody")
        expect(page.locator(".fact", has_text=METRICS[0]).first).to_contain_text("× the average of")
