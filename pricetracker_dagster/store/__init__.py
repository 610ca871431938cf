"""Where prices live: the Delta tables, their maintenance, the published DuckDB file, and how a person reads it.

SQL is in sql/. Nothing here asks an exchange or knows Dagster; time comes in as an argument.
"""
