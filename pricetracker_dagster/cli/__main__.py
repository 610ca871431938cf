"""``python -m pricetracker_dagster.cli``: the command, for processes that start each other."""

from pricetracker_dagster.cli import main

main(prog_name="pricetracker")
