"""The published DuckDB file: when it is built, what is in it, what is kept for the next one, and how it is opened.

SQL is in sql/. What is asked of the file is in reading/, what its tables and columns are called in store/schema.py.
"""
