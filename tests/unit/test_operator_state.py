"""What silences and acknowledgements mean for an alert or an incident."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.alerts.operators.state import OperatorState, end_of, is_in_force
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.records import RecordTable, Row
from pricetracker_dagster.store.store import store_in

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
BTC, ETH, XRP = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"


def silence(own: str, metrics: str = "*", rule: str | None = None, **other: Any) -> Row:
    """A silence from eleven to one."""
    found: Row = {
        "id": own,
        "metrics": metrics,
        "rule": rule,
        "reason": None,
        "who": "ann",
        "made_at": NOON - HOUR,
        "until": NOON + HOUR,
        "ended_at": None,
        "ended_by": None,
    }
    return {**found, **other}


def acknowledgement(fact: str, at: datetime, who: str = "ann") -> Row:
    return {"fact": fact, "subject": "alert", "who": who, "made_at": at, "note": None}


ALERT: Row = {"id": "spike|a", "metric": BTC, "rule": "spike", "fired_at": NOON}


@pytest.mark.parametrize(
    ("other", "in_force"),
    [
        ({}, True),
        ({"until": NOON + timedelta(microseconds=1)}, True),
        ({"until": NOON}, False),
        ({"made_at": NOON}, True),
        ({"made_at": NOON + timedelta(seconds=9)}, True),  # written while this was about to look
        ({"made_at": NOON + timedelta(seconds=11)}, False),
        ({"ended_at": NOON - timedelta(minutes=1)}, False),
        ({"ended_at": NOON}, False),
        ({"ended_at": NOON + timedelta(minutes=1)}, True),  # by a clock that was ahead
        ({"ended_at": NOON + 2 * HOUR, "until": NOON - timedelta(minutes=1)}, False),
    ],
)
def test_a_silence_is_in_force_from_when_it_is_made_until_its_end(other: dict[str, Any], *, in_force: bool) -> None:
    assert is_in_force(silence("s1", **other), NOON) == in_force
    desk = OperatorState([silence("s1", **other)])
    assert desk.silence_of(ALERT, "alert", NOON) == ("s1" if in_force else None)


@pytest.mark.parametrize(
    ("silences", "of"),
    [
        ([], None),
        ([silence("s1", BTC)], "s1"),
        ([silence("s1", "KRAKEN:*")], "s1"),
        ([silence("s1", "*:BTCUS?")], "s1"),
        ([silence("s1", ETH)], None),
        ([silence("s1", "KRAKEN:BTC")], None),
        ([silence("s1", BTC, "spike")], "s1"),
        ([silence("s1", BTC, "burst")], None),
        # of several the one that ends last: until then it is silent
        ([silence("s1"), silence("s2", until=NOON + 2 * HOUR), silence("s3")], "s2"),
        ([silence("s1"), silence("s2", until=NOON + 2 * HOUR, ended_at=NOON)], "s1"),
    ],
)
def test_an_alert_is_silenced_by_metric_and_rule(silences: list[Row], of: str | None) -> None:
    assert OperatorState(silences).silence_of(ALERT, "alert", NOON) == of


@pytest.mark.parametrize(
    ("silences", "out", "metrics", "of"),
    [
        ([silence("s1", BTC)], [BTC], [BTC], "s1"),
        ([silence("s1", BTC)], [BTC, ETH], [BTC, ETH], None),
        ([silence("s1", "KRAKEN:*")], [BTC, ETH], [BTC, ETH], "s1"),
        # ETH is back
        ([silence("s1", BTC)], [BTC], [BTC, ETH], "s1"),
        # all are back, or it is of an earlier version
        ([silence("s1", BTC)], [], [BTC, ETH], None),
        ([silence("s1", BTC)], None, [BTC, ETH], None),
        ([silence("s1", BTC)], None, [BTC], "s1"),
        # one silence each: it is silent until the first of them ends
        ([silence("s1", BTC, until=NOON + 2 * HOUR), silence("s2", ETH)], [BTC, ETH], [BTC, ETH], "s2"),
        # a silence of a rule is of its alerts alone
        ([silence("s1", "*", "spike")], [BTC], [BTC], None),
        ([silence("s1", BTC), silence("s2", ETH, "spike")], [BTC, ETH], [BTC, ETH], None),
        # what stands still has no metrics, and is never silent
        ([silence("s1", "*")], [], [], None),
        ([silence("s1", "*")], None, None, None),
    ],
)
def test_an_incident_is_silenced_where_each_metric_that_is_out_is(
    silences: list[Row], out: list[str] | None, metrics: list[str] | None, of: str | None
) -> None:
    row = {"id": "not run|x", "out": out, "metrics": metrics}
    assert OperatorState(silences).silence_of(row, "incident", NOON) == of


def test_an_acknowledgement_is_of_one_fact_and_of_this_time() -> None:
    before, first, second = (acknowledgement("spike|a", NOON + i * HOUR, f"p{i}") for i in (-1, 1, 2))
    other = acknowledgement("spike|b", NOON + HOUR)
    assert OperatorState([], [before, other]).acknowledgement_of(ALERT) is None
    assert OperatorState([], [first, before]).acknowledgement_of(ALERT) == first
    assert OperatorState([], [second, first]).acknowledgement_of(ALERT) == second
    assert OperatorState([], [first]).acknowledgement_of({**ALERT, "fired_at": NOON + HOUR}) == first
    assert (
        OperatorState([], [first]).acknowledgement_of({**ALERT, "fired_at": NOON + 2 * HOUR}) is None
    )  # it fired anew after that
    incident = {"id": "spike|b", "opened_at": NOON}
    assert OperatorState([], [first, other]).acknowledgement_of(incident) == other
    assert OperatorState([], [other]).acknowledgement_of({**ALERT, "id": "spike|b", "fired_at": None}) == other


def test_silences_that_ended_meanwhile_are_told_once_each_in_their_order() -> None:
    by_time = silence("s1", until=NOON)
    by_hand = silence("s2", ended_at=NOON - timedelta(minutes=30))
    desk = OperatorState([by_time, by_hand, silence("s3"), silence("s4", until=NOON - 2 * HOUR)])
    assert desk.ended_since(NOON - HOUR, NOON) == [by_hand, by_time]
    assert desk.ended_since(NOON - HOUR, NOON - timedelta(seconds=1)) == [by_hand]
    assert desk.ended_since(NOON, NOON + HOUR - timedelta(seconds=1)) == []
    assert [row["id"] for row in desk.ended_since(NOON, NOON + HOUR)] == ["s3"]
    # ended by hand after its time was over: it was over
    assert end_of(silence("s5", until=NOON, ended_at=NOON + HOUR)) == NOON


def test_what_a_clock_that_was_ahead_has_written_is_not_there_yet(tmp_path: Path) -> None:
    records = store_in(tmp_path).records
    ahead = NOON + 5 * HOUR
    records.silences.upsert([silence("s1"), silence("s2", made_at=ahead, until=ahead + HOUR)])
    records.acknowledgements.upsert([acknowledgement("spike|a", ahead), acknowledgement("spike|a", NOON)])
    desk = OperatorState.read(records, NOON)
    assert [row["id"] for row in desk.silences] == ["s1"]
    found = desk.acknowledgement_of(ALERT)
    assert found is not None
    assert found["made_at"] == NOON


def test_an_empty_folder_has_an_empty_desk(tmp_path: Path) -> None:
    assert OperatorState.read(store_in(tmp_path).records, NOON) == OperatorState()


def test_a_damaged_table_of_silences_keeps_nothing_back_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = store_in(tmp_path).records
    records.silences.upsert([silence("s1")])
    records.acknowledgements.upsert([acknowledgement("spike|a", NOON)])
    rows = RecordTable.rows

    def torn(table: RecordTable, *arguments: Any) -> list[Row]:
        if table.path.name == "silences":
            raise StoreError("the table silences is damaged", "")
        return rows(table, *arguments)

    monkeypatch.setattr(RecordTable, "rows", torn)
    desk = OperatorState.read(records, NOON)
    assert desk.silence_of(ALERT, "alert", NOON) is None
    assert desk.acknowledgement_of(ALERT) is not None
    [trouble] = desk.troubles
    assert "the table silences is damaged" in trouble
