"""The asset ``charts_24h``: the last 24 hours of each metric as a picture, hourly and on demand."""

import dagster as dg

from pricetracker_dagster.assets.history_24h import history_24h
from pricetracker_dagster.assets.ui_metadata import OWNER
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.store.charts import charts


@dg.asset(deps=[history_24h], group_name="answers", owners=[OWNER], kinds={"matplotlib", "pandas"})
def charts_24h(tracker: dg.ResourceParam[Tracker]) -> dg.MaterializeResult[None]:
    """Price and volume of each metric over the last 24 hours.

    Materialized at the first start, hourly and on demand: the pictures are kept in Dagster's event log, so not every
    minute.
    """
    drawn = charts(tracker.store().folder.published)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(chart.minutes for chart in drawn),
            **{
                chart.metric: dg.MetadataValue.md(f"![{chart.metric}](data:image/png;base64,{chart.png})")
                for chart in drawn
            },
        }
    )
