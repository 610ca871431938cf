"""Dagster's view of the data. Thin: an asset calls one function below resources.py and reports what happened.

Nothing here computes, holds SQL or asks an exchange.
"""

import dagster as dg

from pricetracker_dagster.assets.alerts import acknowledgements, alerts, incidents, silences
from pricetracker_dagster.assets.answers import charts_24h, history_24h, metric_rank
from pricetracker_dagster.assets.checks import price_checks
from pricetracker_dagster.assets.minute_prices import minute_prices
from pricetracker_dagster.assets.storage import storage

default_assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
    *(minute_prices, history_24h, metric_rank, charts_24h),
    storage,
    *(alerts, incidents, silences, acknowledgements),
]
default_asset_checks = [price_checks]
