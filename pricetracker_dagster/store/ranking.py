"""The ranking as plain rows, for those who must not import pandas: a tick reports it every minute."""

from pathlib import Path
from typing import Any

from pricetracker_dagster import sql

_HERE = Path(__file__).parent


def ranking(published: Path) -> list[dict[str, Any]]:
    """Return the rows of metric_rank in the published file, ordered by measure and rank.

    Keys are the table's columns.
    """
    with sql.attached(published) as connection:
        answer = connection.execute(sql.load(_HERE / "sql" / "ranking.sql"))
        names = [column[0] for column in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
