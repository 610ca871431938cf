"""What open_prices() opens: a file, the HTTP API, or the file of the settings."""

import os

from pricetracker_dagster.reading.prices import LocalPrices, Prices
from pricetracker_dagster.reading.published import published_in


def opened(source: str | os.PathLike[str] | None, token: str | None) -> Prices:
    """Open what is named; see open_prices()."""
    if isinstance(source, str) and "://" in source:
        from pricetracker_dagster.reading.over_http import PricesOverHttp  # here: who reads a file needs no requests

        return PricesOverHttp(source, token)
    if source is not None:
        return LocalPrices(published_in(source))
    from pricetracker_dagster.settings import load_settings

    return LocalPrices(load_settings().data_folder.published)
