"""A minute-price tracker built on Dagster, Delta Lake and DuckDB. In Python its prices are read by open_prices()."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from pricetracker_dagster.reading.prices import Prices

__all__ = ["open_prices"]


def open_prices(source: "str | os.PathLike[str] | None" = None, *, token: str | None = None) -> "Prices":
    """Open what is published, to be read: metrics, ranking, history, candles, alerts, any SQL.

    Args:
        source: a published file or the data folder it lies in; the URL of the HTTP API; None: the published file of
            the settings in force.
        token: of the HTTP API, where it wants one; None: that of PRICETRACKER_HTTP__TOKEN, if set.

    Returns:
        What answers questions by DuckDB relations. It follows the newest published file; each answer is of one.

    Raises:
        SettingsError: there are no settings that can be used, and no source.
        NotPublished: there is no published file yet.
    """
    from pricetracker_dagster.reading.opening import opened  # here, so that the package itself imports nothing

    return opened(source, token)
