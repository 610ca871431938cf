"""Dagster's SQLite storages: an engine is made once a process and database, and answers stay the same."""

from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as db
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage

from pricetracker_dagster.instance import engines


def test_what_is_asked_again_makes_no_engine_and_lists_no_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.keep()
    (tmp_path / "dagster.yaml").touch()
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        for _ in range(2):
            assert instance.get_ticks("none", "none") == []
            assert instance.get_runs() == []
            assert instance.all_asset_keys() == []
            monkeypatch.setattr(db, "create_engine", lambda *_, **__: pytest.fail("an engine is made"))
            monkeypatch.setattr(
                SqlScheduleStorage, "_has_instigators_table", lambda *_: pytest.fail("tables are listed")
            )


def test_what_another_process_writes_is_read_by_an_engine_that_is_kept(tmp_path: Path) -> None:
    engines.keep()
    (tmp_path / "dagster.yaml").touch()
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("one"))
        keys = db.create_engine(f"sqlite:///{tmp_path}/history/runs/index.db", poolclass=db.pool.NullPool)
        with keys.begin() as another:
            another.execute(db.text("UPDATE asset_keys SET asset_key = '[\"two\"]'"))
        assert instance.all_asset_keys() == [dg.AssetKey("two")]
        with keys.connect() as another:  # nobody holds the file
            assert another.execute(db.text("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0] == 0


def test_a_database_that_is_replaced_is_made_ready_again(tmp_path: Path) -> None:
    engines.keep()
    (tmp_path / "dagster.yaml").touch()
    for _ in range(2):
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            assert instance.get_ticks("none", "none") == []
            assert instance.all_asset_keys() == []
            instance.report_runless_asset_event(dg.AssetMaterialization("one"))
        for file in [*tmp_path.glob("schedules/*"), *tmp_path.glob("history/**/*.db*")]:
            file.unlink()
