"""The list of published tables in README.md, made from schema.py: `python -m pricetracker_dagster.store.readme`.

For developers: nothing of the program reads it.
"""

from pathlib import Path

from pricetracker_dagster.store.schema import SOURCES, TABLES, VIEWS

README = Path(__file__).parents[2] / "README.md"
"""There is one in a checkout only."""

_BEGIN = "<!-- published tables: made by `python -m pricetracker_dagster.store.readme` -->"
_END = "<!-- end of published tables -->"


def with_tables(text: str) -> str:
    """Return the README's text with the list of published tables between its two comments renewed.

    Raises:
        ValueError: the two comments are not there.
    """
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    return f"{before}{_BEGIN}\n{_tables()}\n{_END}{after}"


def _tables() -> str:
    rows = [
        f"| `{table.name}` | {table.comment} | {', '.join(table.names)} |"
        for table in (*VIEWS, *TABLES)
        if table is not SOURCES
    ]
    return "\n".join(["| name | what it holds | columns |", "|---|---|---|", *rows])


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
