"""Where prices live: the Delta table, its upkeep, the published DuckDB file, and how a person reads it.

SQL is in sql/. Nothing here asks an exchange or knows Dagster; time comes in as an argument.
"""
