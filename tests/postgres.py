"""A real Postgres for tests, on a socket in a temporary folder; what is not on this machine is a reason to skip."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import until

DAGSTER_POSTGRES = Path(sys.prefix) / "dagster-postgres"
"""Where `make test` puts Dagster's storage for Postgres: its newest release asks for a Dagster one patch older."""


def binaries() -> Path:
    """Return the folder of Postgres' programs, the newest there is; skip where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    if not found:
        pytest.skip("no Postgres on this machine: apt-get install postgresql")
    return found[-1].parent


@contextmanager
def postgres() -> Iterator[str]:
    """Start a Postgres of its own, and give the URL of its database."""
    programs = binaries()
    if not DAGSTER_POSTGRES.is_dir():
        pytest.skip("no dagster-postgres in this environment: `make test` puts it there")
    as_user: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if os.getuid() == 0:  # Postgres refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = folder / "data"
    initdb = [
        *map(str, [*as_user, programs / "initdb", "--no-sync", "--auth=trust", "--username=postgres", "-D", data])
    ]
    subprocess.run(initdb, check=True, capture_output=True, timeout=60)
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_wal_size=64MB"]
    server = subprocess.Popen(
        [*as_user, programs / "postgres", "-D", data, "-k", folder, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready = [*map(str, [programs / "pg_isready", "-q", "-h", folder, "-U", "postgres"])]
        until(lambda: subprocess.run(ready, check=False, timeout=10).returncode == 0, 60, "Postgres answers")
        yield f"postgresql+psycopg2://postgres@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # at once, without waiting for clients
        server.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)
