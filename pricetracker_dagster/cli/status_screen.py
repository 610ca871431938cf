"""The command ``status``: how everything is, on one screen. What that is judged from is in ``alerts/status.py``."""

import json
import sys
from collections.abc import Sized
from datetime import UTC, datetime
from typing import Any

import click

from pricetracker_dagster.cli.output import without_dagsters_warnings
from pricetracker_dagster.process.secrets import masked
from pricetracker_dagster.reading.values import as_json
from pricetracker_dagster.settings import load_settings


@click.command()
@click.option("--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(output_format: str) -> None:
    """Show how all is on one screen; exit status 0 only if all is well. It makes nothing and needs nothing to run."""
    settings = load_settings()  # first: numpy cannot be imported in a working folder that is gone
    without_dagsters_warnings()
    from pricetracker_dagster.alerts.status import status as look
    from pricetracker_dagster.local.probes import read_work

    now = datetime.now(UTC)
    found = look(settings, now, lambda: read_work(settings, now))
    if output_format == "json":
        click.echo(masked(json.dumps(as_json(found))))
    else:
        click.echo(masked("\n".join(lines(found))))
    sys.exit(0 if found["well"] else 1)


def lines(found: dict[str, Any]) -> list[str]:
    """Return what was found as a person reads it, a line each."""
    from pricetracker_dagster.alerts.watchdog.judge import clock_reason

    said = [f"{'all is well' if found['well'] else 'NOT WELL'}   {_time(found['now'])}   {found['data']}"]
    said += [f"  ✗ {trouble}" for trouble in found["troubles"]]
    if "metrics" not in found:
        return said
    age = found["as_of_age_seconds"]
    said.append(f"as of       {_time(found['as_of'])}" + ("" if age is None else f", over for {age:,} s"))
    wide = max((20, *(len(each["metric"]) for each in found["metrics"])))
    for each in found["metrics"]:
        newest = f"newest {_time(each['newest_minute'])}, {each['missing']} missing of 24 h"
        said.append(f"metric      {each['metric']:<{wide}} {newest}")
    at_work = ", ".join(f"{job} ({count})" for job, count in found["runs_in_progress"].items()) or "none"
    said.append(f"up          {found['up'] or 'does not run'}")
    said.append(f"runs        {at_work}")
    if found["last_tick_seconds"] is not None:
        said.append(f"last tick   {found['last_tick_seconds']:.1f} s, ended {_time(found['last_tick_ended_at'])}")
    for each in found["evaluations"]:
        trouble = f"  {each['trouble']}" if each["trouble"] else ""
        said.append(f"evaluated   {each['part']:<30} {_time(each['last'])}{trouble}")
    said.append(f"open        {_count(found['alerts_open'], 'alert')}, {_count(found['incidents_open'], 'incident')}")
    for each in (*found["alerts_open"], *found["incidents_open"]):
        if each["acknowledged_by"] is not None:
            by = f"by {each['acknowledged_by']} {_time(each['acknowledged_at'])}"
            said.append(f"acknowledged {each['id']} {by}")
    for each in found["silences"]:
        rule = "" if each["rule"] is None else f", the rule {each['rule']}"
        reason = "" if each["reason"] is None else f": {each['reason']}"
        until = f"until {_time(each['until'])} by {each['who']}"
        said.append(f"silent      {each['id']} {each['metrics']}{rule} {until}{reason}")
    doubts, told = found["doubts"], "none"
    if doubts["count"]:
        of = ", ".join(f"{metric} {count:,}" for metric, count in doubts["metrics"].items())
        told = f"{doubts['count']:,} answers take trades away from stored minutes and wait for a second one: {of}"
        told += f"; oldest {_time(doubts['oldest'])}"
    said.append(f"doubts      {told}")
    for channel in found["channels"]:
        outcome = {None: "nothing sent yet", True: "delivered", False: f"not delivered: {channel['error']}"}
        when = "" if channel["last_attempt_at"] is None else f" {_time(channel['last_attempt_at'])}"
        said.append(f"channel     {channel['channel']}{when} {outcome[channel['delivered']]}")
    free = found["disk_free_bytes"]
    said.append(f"disk        {'unknown' if free is None else f'{free / 1e9:,.1f} GB'} free")
    clocks = [clock_reason(name, ahead) for name, ahead in found["clock_difference_seconds"].items()]
    said.append(f"clock       {'; '.join(clocks) or 'not compared with an exchange of late'}")
    sizes = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in found["sizes_bytes"].items())
    said.append(f"sizes       {sizes}")
    return said


def _count(rows: Sized, what: str) -> str:
    return f"{len(rows)} {what}{'s' if len(rows) != 1 else ''}"


def _time(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
