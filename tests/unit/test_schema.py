"""What the schema says of published tables is what the README lists."""

from pricetracker_dagster.store.readme import README, with_tables


def test_the_readme_lists_the_published_tables() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == with_tables(text), "renew it: python -m pricetracker_dagster.store.readme"
