"""The same questions over the HTTP API."""

from typing import Any

import duckdb

from pricetracker_dagster.reading.prices import Prices


class PricesOverHttp(Prices):
    """What an HTTP API publishes."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """Keep where it is."""
        super().__init__(url)
        self.url, self.token = url, token

    def _answer(self, what: str, **given: Any) -> duckdb.DuckDBPyRelation:
        raise NotImplementedError
