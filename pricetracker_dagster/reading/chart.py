"""Charts of prices as plotly figures."""

from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    import plotly.graph_objects as go


def chart(
    metric: str,
    what: str,
    rows: duckdb.DuckDBPyRelation,
    missed: duckdb.DuckDBPyRelation,
    alerts: duckdb.DuckDBPyRelation,
) -> "go.Figure":
    """Return a figure."""
    raise NotImplementedError
