"""Ticks whose run failed: the cause that is noted of their minutes, since the ticks themselves could not note it."""

from datetime import datetime

from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.records import NOT_RUN, RUN_FAILED
from pricetracker_dagster.store.store import open_store


def note_failed_run(settings: Settings, minute: datetime, reason: str) -> list[str]:
    """Note why the minute of a failed tick is missing, where the tick itself could not.

    What a later tick has noted meanwhile, that none was run for it, is put right: one was.

    Args:
        settings: what is tracked.
        minute: the minute the tick was for, UTC.
        reason: what ended the run, in plain words.

    Returns:
        The metrics whose minute is missing, or was when the tick failed.
    """
    store = open_store(settings)
    records = store.records
    metrics = [str(metric) for metric in settings.tracked]
    noted = {row["metric"]: row["cause"] for row in records.causes.rows(minute) if row["minute"] == minute}
    missing = store.prices.gaps(metrics, minute, minute)
    unexplained = {metric for metric in {*missing, *noted} if noted.get(metric, NOT_RUN) == NOT_RUN}
    records.causes.upsert(
        [
            {"metric": metric, "minute": minute, "cause": RUN_FAILED, "reason": reason, "noted_at": minute}
            for metric in sorted(unexplained)
        ]
    )
    return sorted({*noted, *missing})
