"""Since when a metric is tracked, where a clock that was ahead wrote it down."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pricetracker_dagster.store.tracked import note_tracked

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=3), timedelta(days=400)])
def test_a_moment_that_is_yet_to_come_is_ignored(tmp_path: Path, ahead: timedelta) -> None:
    file = tmp_path / "tracked.json"
    before = NOON - timedelta(days=1)
    moments = {"A:BUSD": (datetime.now(UTC) + ahead).isoformat(), "A:CUSD": before.isoformat()}
    file.write_text(json.dumps(moments), encoding="utf-8")
    assert note_tracked(tmp_path, ["A:BUSD", "A:CUSD"], NOON) == {"A:BUSD": NOON, "A:CUSD": before}
