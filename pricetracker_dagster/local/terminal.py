"""What ``pricetracker up`` says on the terminal, and which lines of its processes belong there."""

import click

from pricetracker_dagster.process.secrets import masked


def say(label: str, text: str = "", *, error: bool = False) -> None:
    """Say something on the terminal."""
    line = f"{label:<10}{text}" if label and text else label or text
    click.echo(masked(line), err=error)


def matters(line: str) -> bool:
    """Say whether a line of a log belongs on the terminal: what failed and why, but not each step of it."""
    failed = (" - ERROR - " in line or " - CRITICAL - " in line) and " - STEP_FAILURE - " not in line
    return failed or "SettingsError: " in line
