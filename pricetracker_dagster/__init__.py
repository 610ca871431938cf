"""A minute-price tracker built on Dagster, Delta Lake and DuckDB."""
