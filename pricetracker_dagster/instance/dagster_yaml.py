"""The file dagster.yaml in the folder of a data folder's instance: the project's own, or one that a user put there.

The project's own is renewed whenever it changes in the project; we recognise it by its digest, since we note that of
each file that we write. Any other file is the user's, e.g. one that names a Postgres database, and stays as it is.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import yaml

from pricetracker_dagster.files.data_folder import DataFolder, StateFile
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in
from pricetracker_dagster.settings import PROJECT

FILE = "dagster.yaml"

_BEFORE_DIGESTS_WERE_NOTED = (
    "6600de4e9778e4062f5320768cf9ab2524d554e2e15fddcb4e7326c9d8059d34",
    "99b33f4679d7c28d3266dfcb9d02ad08bebf013a59ffdce0b3d5f7d521b778bc",
)
"""SHA-256 of the project's dagster.yaml in the versions that noted none."""


def project_file() -> Path:
    """Return the project's file: at the root of a checkout, at the root of the package where that is installed."""
    checkout = PROJECT / FILE
    return checkout if checkout.exists() else Path(__file__).parents[1] / FILE


def renew(folder: DataFolder) -> bool:
    """Put the project's file into an instance's folder, in the place of an older one of ours; leave a user's alone.

    A file that is empty, or all zeros as a crash of the machine leaves it, is no user's.

    Returns whether the file is the project's; raises OSError where it cannot be read or written.
    """
    file, note = folder.dagster_home / FILE, folder.state / StateFile.DAGSTER_YAML
    ours = project_file().read_bytes()
    there = file.read_bytes() if file.exists() or file.is_symlink() else b""
    noted = kept_in(note).get("written")
    written = noted if isinstance(noted, list) else []
    digest = hashlib.sha256(ours).hexdigest()
    known = [digest, *written, *_BEFORE_DIGESTS_WERE_NOTED]
    if there.strip(b"\0\r\n\t ") and hashlib.sha256(there).hexdigest() not in known:
        return False
    if digest not in written:
        with suppress(OSError):  # before the file: known as ours also after a crash between the two
            write_text(note, json.dumps({"written": [*written, digest]}))
    if there != ours:
        write_text(file, ours.decode())
    return True


def names_storage(home: Path) -> bool:
    """Say whether an instance's file names a storage of its own; else Dagster keeps SQLite files in its folder."""
    with suppress(OSError):
        return bool(re.search(rb"^(run_|schedule_|event_log_)?storage\s*:", (home / FILE).read_bytes(), re.MULTILINE))
    return False


def absent(instance: dg.DagsterInstance) -> Iterator[str]:
    """Yield each setting that we rely on and that an instance does not have, with the consequence."""
    queue = instance.get_concurrency_config().run_queue_config
    ours = yaml.safe_load(project_file().read_text(encoding="utf-8"))
    for limit in ours["concurrency"]["runs"]["tag_concurrency_limits"]:
        if queue is None or limit not in queue.tag_concurrency_limits:
            of = f"{limit['key']}, limit {limit['limit']}"
            yield f"concurrency.runs.tag_concurrency_limits of {of} (its runs overlap)"
    if getattr(instance.run_coordinator, "dequeue_interval_seconds", 5) >= 5:
        yield "run_queue.dequeue_interval_seconds (each tick begins up to 5 s late)"
    monitoring = instance.get_settings("run_monitoring")
    if not monitoring.get("enabled"):
        yield "run_monitoring.enabled (a run that hangs holds up all later ones)"
    elif "poll_interval_seconds" not in monitoring:
        yield "run_monitoring.poll_interval_seconds (a run that hangs holds up later ones for 2 minutes more)"
    if not instance.get_settings("freshness").get("enabled"):
        yield "freshness.enabled (the UI does not show what is out of date)"
    retention = instance.get_settings("retention")
    for kind in ("schedule", "sensor"):
        if kind not in retention:
            yield f"retention.{kind} (what Dagster notes of each evaluation grows without end)"
