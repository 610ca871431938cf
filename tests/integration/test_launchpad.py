"""A tick that is started from the Launchpad, where nobody names a partition or a minute."""

from collections.abc import Callable

import dagster as dg

from pricetracker_dagster.definitions import build_defs
from tests.integration.conftest import Bench, tracker


def test_without_partition_and_minute_it_is_for_the_newest_closed_minute(
    start: Callable[..., Bench], instance: dg.DagsterInstance
) -> None:
    bench = start("BTCUSD")
    job = build_defs(tracker(bench)).resolve_job_def("minute_tick")
    result = job.execute_in_process(instance=instance, raise_on_error=True)
    assert result.success
    assert bench.store.prices.newest(["SIMULATED:BTCUSD"], bench.minute) == {"SIMULATED:BTCUSD": bench.minute}
    partitions = instance.get_materialized_partitions(dg.AssetKey("minute_prices"))
    assert f"{bench.minute:%Y-%m-%d}" in partitions
