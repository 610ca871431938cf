"""How long Dagster remembers, on SQLite and on a real Postgres: it stops growing, and days stay materialized."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from benchmarks.dagster_runs import record_ticks, rows
from pricetracker_dagster.assets.minute_prices import DAYS
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.instance import retention
from pricetracker_dagster.instance.retention import KEPT, Limits, forget
from pricetracker_dagster.instance.tags import HOURLY, TICK
from tests.integration.test_dagster import PRICES
from tests.postgres import DAGSTER_POSTGRES, postgres

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
FIRST = TODAY - 40 * DAY
TAGS = (TICK, HOURLY)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def kept(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance of its own on one of the storages."""
    if request.param == "sqlite":
        yield request.getfixturevalue("instance")
        return
    url = request.getfixturevalue("database")
    monkeypatch.setattr(sys, "path", [*sys.path, str(DAGSTER_POSTGRES)])
    storage = {"postgres": {"postgres_url": url}}
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home"), overrides={"storage": storage}) as instance:
        instance.wipe()
        yield instance


@dg.asset(name=PRICES.path[0], partitions_def=DAYS, check_specs=[dg.AssetCheckSpec("stored", asset=PRICES)])
def prices() -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    yield dg.MaterializeResult(metadata={"dagster/partition_row_count": 7, "missing": 0})
    yield dg.AssetCheckResult(passed=True, check_name="stored")


@dg.asset(deps=[prices])
def metric_rank() -> None: ...


@pytest.fixture
def tick(kept: dg.DagsterInstance) -> str:
    """The id of a run as a tick's: it materialized a partition and an asset without any, on the first day."""
    tags = {TICK: "true"}
    ran = dg.materialize([prices, metric_rank], instance=kept, partition_key=f"{FIRST:%Y-%m-%d}", tags=tags)
    return ran.run_id


def day(number: int, ticks: int = 1) -> list[datetime]:
    """Return moments of so many ticks on a day, the first being 1."""
    return [FIRST + number * DAY + each * timedelta(hours=24 / ticks) + MINUTE for each in range(ticks)]


def days_shown(instance: dg.DagsterInstance) -> set[str]:
    return instance.get_materialized_partitions(PRICES)


@pytest.mark.parametrize("days", [8, pytest.param(30, marks=pytest.mark.long)])
def test_once_days_are_forgotten_it_grows_by_a_line_a_day_and_each_day_is_materialized(
    kept: dg.DagsterInstance, tick: str, days: int
) -> None:
    held = {}
    for number in range(1, days + 1):
        record_ticks(kept, tick, day(number))
        forget(kept, TAGS, FIRST + (number - 1) * DAY)
        held[number] = rows(kept)
    assert held[days]["event_logs"] - held[4]["event_logs"] == days - 4
    assert {**held[days], "event_logs": 0} == {**held[4], "event_logs": 0}
    assert held[days]["runs"] == 1 + 2 * 1  # the template is of today, whatever its partition
    assert days_shown(kept) == {f"{FIRST + number * DAY:%Y-%m-%d}" for number in range(days + 1)}
    assert kept.get_latest_materialization_event(metric_rank.key) is not None
    of_day = kept.fetch_materializations(dg.AssetRecordsFilter(PRICES, asset_partitions=[f"{FIRST + DAY:%Y-%m-%d}"]), 9)
    [forgotten] = [record.asset_materialization for record in of_day.records]
    assert forgotten is not None
    assert {name: each.value for name, each in forgotten.metadata.items()} == {"dagster/partition_row_count": 7}


def test_what_piled_up_for_months_goes_in_bounded_steps_until_nothing_is_left(
    kept: dg.DagsterInstance, tick: str
) -> None:
    for number in range(1, 4):
        record_ticks(kept, tick, day(number, 2))
    turns: list[int] = []
    few = Limits(runs=4)
    forgotten = [forget(kept, TAGS, FIRST + 5 * DAY, limits=few, before_each=lambda: turns.append(0)) for _ in range(3)]
    assert [(each.runs, each.left) for each in forgotten] == [(4, True), (2, False), (0, False)]
    assert len(turns) >= 3 * 3
    assert days_shown(kept) == {f"{FIRST + number * DAY:%Y-%m-%d}" for number in range(4)}


def test_failed_runs_are_kept_longer_than_good_ones_and_the_newest_of_many(
    kept: dg.DagsterInstance, tick: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "FAILED_AT_MOST", 3)
    old = record_ticks(kept, tick, day(1, 2), failed=True)
    failed = record_ticks(kept, tick, day(35, 4), failed=True)
    good = record_ticks(kept, tick, day(35, 2))
    forget(kept, TAGS, FIRST + 36 * DAY)
    left = {record.dagster_run.run_id for record in kept.get_run_records()}
    assert left == {tick, *failed[1:]}
    assert not left & {*old, *good}


def test_runs_that_an_earlier_version_kept_for_good_give_way_to_a_line_each(
    kept: dg.DagsterInstance, tick: str
) -> None:
    [run] = record_ticks(kept, tick, day(1, 1))
    kept.add_run_tags(run, {TICK: KEPT})
    assert forget(kept, TAGS, FIRST + 3 * DAY).runs == 1
    assert not kept.has_run(run)
    assert f"{FIRST + DAY:%Y-%m-%d}" in days_shown(kept)


def test_what_a_person_has_started_is_left_alone(kept: dg.DagsterInstance, tick: str) -> None:
    [run] = record_ticks(kept, tick, day(1, 1))
    kept.add_run_tags(run, {TICK: "false"})
    assert forget(kept, TAGS, FIRST + 3 * DAY).runs == 0
    assert kept.has_run(run)


def test_of_what_sensors_report_the_newest_stays_whatever_its_age(kept: dg.DagsterInstance) -> None:
    alerts, said = dg.AssetKey("alerts"), 5
    for number in range(said):
        kept.report_runless_asset_event(dg.AssetMaterialization(alerts, metadata={"changed": number}))
    assert forget(kept, TAGS, datetime.now(UTC) + timedelta(days=29)).rows == 0
    assert forget(kept, TAGS, datetime.now(UTC) + timedelta(days=31)).rows == said - 1
    [event] = kept.fetch_materializations(alerts, limit=9).records
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["changed"].value == said - 1


def test_files_of_runs_and_evaluations_that_are_gone_go_after_days(instance: dg.DagsterInstance) -> None:
    storage = Path(instance.storage_directory())
    gone, other = storage / "00000000-0000-4000-8000-000000000000", storage / "mine"
    log = storage / "__repository__" / "spike_alerts" / "20260303_120000.err"
    for file in (gone / "compute_logs" / "a.err", other / "a.txt", log):
        file.parent.mkdir(parents=True)
        file.write_text("said")
    assert forget(instance, TAGS, datetime.now(UTC) + timedelta(days=4)).files == 0
    assert forget(instance, TAGS, datetime.now(UTC) + timedelta(days=6)).files == 2
    assert (gone.exists(), log.exists(), other.exists()) == (False, False, True)
