"""Dagster's migrations are read once a process, and say the same."""

from pathlib import Path

import dagster as dg
import pytest
from alembic.script import Script

from pricetracker_dagster.instance import migrations


def test_an_instance_that_is_opened_again_reads_no_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrations.read_once()
    (tmp_path / "dagster.yaml").touch()
    for _ in range(2):
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            assert instance.get_runs() == []
        monkeypatch.setattr(Script, "_from_path", lambda *_: pytest.fail("a migration is read"))
