"""The ranking as plain rows, for those who must not import pandas: a tick reports it every minute."""

from collections.abc import Iterable, Mapping
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


def fewer_observations(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return which rows of a ranking stand on fewer minutes than the others: their deviation is over less time.

    Args:
        rows: rows of metric_rank, of any number of measures.

    Returns:
        For each such measure and metric, how many minutes have a value and how many those of the fullest metric have.
    """
    ranked = list(rows)
    most: dict[str, int] = {}
    for row in ranked:
        most[row["measure"]] = max(most.get(row["measure"], 0), row["observations"])
    return {
        (row["measure"], row["metric"]): (row["observations"], most[row["measure"]])
        for row in ranked
        if row["observations"] < most[row["measure"]]
    }
