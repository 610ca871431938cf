"""The small tables and the file of what is tracked: one row a key, whoever writes, whatever is in it."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange
from pricetracker_dagster.store.delta import opened_once
from pricetracker_dagster.store.records import (
    NOT_RUN,
    Records,
    Row,
)
from pricetracker_dagster.store.schema import (
    ACKNOWLEDGEMENTS,
    ALERTS,
    CAUSES,
    DELIVERIES,
    INCIDENTS,
    MESSAGES,
    SILENCES,
)
from pricetracker_dagster.store.store import store_in
from pricetracker_dagster.store.tracked import note_tracked

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
BTC, ETH, XRP = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"


def at(minute: int) -> datetime:
    return NOON + minute * MINUTE


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return store_in(tmp_path / "data of its own").records


def alert(minute: int, metric: str = BTC, **other: Any) -> Row:
    found: Row = {
        "id": f"spike|{metric}|volume|{minute}",
        "rule": "spike",
        "metric": metric,
        "measure": "volume",
        "minute": at(minute),
        "state": "firing",
        "value": 301.0,
        "average": 100.0,
        "ratio": 3.01,
        "factor": 3.0,
        "last_minute": at(minute),
        "minutes": 1,
        "peak": 301.0,
        "peak_ratio": 3.01,
        "peak_minute": at(minute),
        "fired_at": at(minute + 1) + timedelta(microseconds=1),
        "resolved_at": None,
        "ended_because": None,
        "sent": True,
        "held_by": None,
        "transitions": 2**40,
        "rule_kind": "spike",
        "others": None,
    }
    return {**found, **other}


def incident(**other: Any) -> Row:
    found: Row = {
        "id": "not run|2026-03-03T12:00Z",
        "state": "open",
        "cause": NOT_RUN,
        "reason": "no tick was run for them",
        "first": at(0),
        "last": at(4),
        "count": 5,
        "metrics": [BTC, ETH],
        "missing": 10,
        "opened_at": at(7),
        "resolved_at": None,
        "causes": '{"not run": 5}',
        "out": [ETH],
        "told_out": [BTC, ETH],
        "grown_at": at(4),
        "flaps": False,
        "exchange": None,
        "held_by": None,
        "transitions": 1,
    }
    return {**found, **other}


def cause(minute: int, metric: str = BTC, **other: Any) -> Row:
    found: Row = {
        "metric": metric,
        "minute": at(minute),
        "cause": "exchange error",
        "reason": "HTTP 502",
        "noted_at": at(minute + 1),
    }
    return {**found, **other}


def delivery(attempt: int, **other: Any) -> Row:
    found: Row = {
        "id": "spike|x",
        "subject": "alert",
        "event": "firing",
        "channel": "json-12345678",
        "attempt": attempt,
        "attempted_at": at(attempt),
        "delivered": False,
        "error": "not taken",
        "retry_at": at(2),
    }
    return {**found, **other}


def test_tables_that_were_never_written_answer_and_make_nothing(records: Records) -> None:
    for table in records:
        assert table.rows() == []
        assert table.rows(NOON) == []
        put = table.upsert([])
        assert (put.inserted, put.updated) == (0, 0)
    assert records.note_not_run({}, NOON).inserted == 0
    assert not records.alerts.path.parent.exists()


def test_the_tables_are_named_and_each_column_is_described(records: Records) -> None:
    assert [table.path.name for table in records] == [
        "alerts",
        "messages",
        "deliveries",
        "incidents",
        "causes",
        "silences",
        "acknowledgements",
    ]
    assert [table.schema for table in records] == [
        ALERTS.columns,
        MESSAGES.columns,
        DELIVERIES.columns,
        INCIDENTS.columns,
        CAUSES.columns,
        SILENCES.columns,
        ACKNOWLEDGEMENTS.columns,
    ]
    for table in records:
        assert all(field.metadata[b"comment"] for field in table.schema)


def test_what_is_put_is_read_back_exactly_oldest_first(records: Records) -> None:
    rows = [
        alert(2, value=0.1 + 0.2, average=5e-324, ratio=1e300, minutes=2**53),
        alert(0, state="pending", fired_at=None, sent=False),
        alert(1, state="resolved", resolved_at=at(9), ended_because="below again"),
    ]
    put = records.alerts.upsert(rows)
    assert (put.inserted, put.updated) == (3, 0)
    answer = records.alerts.rows()
    assert answer == [rows[1], rows[2], rows[0]]
    assert all(list(row) == ALERTS.names for row in answer)
    moment = answer[0]["minute"]
    assert moment.utcoffset() == timedelta(0)


def test_lists_come_back_as_lists(records: Records) -> None:
    rows = [incident(), incident(id="other", metrics=[], opened_at=at(8))]
    records.incidents.upsert(rows)
    assert records.incidents.rows() == rows
    records.incidents.upsert([incident(metrics=[BTC, ETH, XRP])])
    assert records.incidents.rows()[0]["metrics"] == [BTC, ETH, XRP]


@pytest.mark.parametrize(
    "text",
    [
        "it's",
        'say "no"',
        "'; DROP TABLE alerts; --",
        "two\nlines\t\\ and \\n",
        "${name} $1 ? %s {}",
        "▲ 3.01× Ünïcödé 🚀",
        "",
        " ",
        "NULL",
        "x" * 100_000,
    ],
)
def test_text_of_any_kind_is_kept_as_it_is(records: Records, text: str) -> None:
    records.incidents.upsert([incident(reason=text, metrics=[text])])
    records.incidents.upsert([incident(reason=text, metrics=[text])])
    [row] = records.incidents.rows()
    assert (row["reason"], row["metrics"]) == (text, [text])
    records.causes.upsert([cause(0, text)])
    records.causes.upsert([cause(0, text, reason="another")])
    assert [(row["metric"], row["reason"]) for row in records.causes.rows()] == [(text, "another")]


def test_a_row_of_the_same_key_takes_the_place_of_the_one_before(records: Records) -> None:
    records.alerts.upsert([alert(0), alert(1)])
    put = records.alerts.upsert([alert(0, state="resolved", resolved_at=at(9)), alert(2)])
    assert (put.inserted, put.updated) == (1, 1)
    assert records.alerts.rows() == [alert(0, state="resolved", resolved_at=at(9)), alert(1), alert(2)]


def test_what_was_known_can_become_unknown_and_the_other_way_round(records: Records) -> None:
    records.alerts.upsert([alert(0)])
    assert records.alerts.upsert([alert(0, fired_at=None, ended_because="x")]).updated == 1
    assert records.alerts.rows() == [alert(0, fired_at=None, ended_because="x")]
    assert records.alerts.upsert([alert(0)]).updated == 1
    assert records.alerts.rows() == [alert(0)]


def test_putting_the_same_again_changes_nothing(records: Records) -> None:
    rows = [alert(0), alert(1, resolved_at=at(7))]
    records.alerts.upsert(rows)
    put = records.alerts.upsert(rows)
    assert (put.inserted, put.updated) == (0, 0)
    assert records.alerts.rows() == rows


def test_rows_that_are_there_can_be_left_alone(records: Records) -> None:
    records.causes.upsert([cause(0), cause(1)])
    put = records.causes.upsert([cause(1, cause=NOT_RUN), cause(2, cause=NOT_RUN)], replace=False)
    assert (put.inserted, put.updated) == (1, 0)
    assert records.causes.rows() == [cause(0), cause(1), cause(2, cause=NOT_RUN)]


def test_a_row_has_a_key_of_several_columns_where_the_table_says_so(records: Records) -> None:
    rows = [delivery(1), delivery(2), delivery(3, delivered=True, error=None), delivery(4, channel="slack-87654321")]
    rows += [delivery(5, event="resolved"), delivery(6, id="spike|y")]
    records.deliveries.upsert(rows)
    assert records.deliveries.rows() == rows
    records.deliveries.upsert([delivery(2, error="HTTP 500")])
    assert [row["error"] for row in records.deliveries.rows()][:3] == ["not taken", "HTTP 500", None]


def test_rows_of_late_are_read_from_their_minute_on(records: Records) -> None:
    for minute in (0, 10, 20):  # in files of their own
        records.alerts.upsert([alert(minute), alert(minute + 1)])
    assert [row["minute"] for row in records.alerts.rows(at(10))] == [at(10), at(11), at(20), at(21)]
    assert [row["minute"] for row in records.alerts.rows(at(10) + timedelta(seconds=1))] == [at(11), at(20), at(21)]
    assert records.alerts.rows(at(22)) == []


def test_rows_are_chosen_by_a_condition_too(records: Records) -> None:
    records.alerts.upsert([alert(0, state="resolved"), alert(1), alert(2), alert(3, state="resolved")])
    resolved = "state = $state"
    assert [row["minute"] for row in records.alerts.rows(None, resolved, state="resolved")] == [at(0), at(3)]
    assert [row["minute"] for row in records.alerts.rows(at(1), resolved, state="resolved")] == [at(3)]


def test_a_relation_has_the_same_rows(records: Records) -> None:
    records.alerts.upsert([alert(0), alert(1)])
    connection = sql.connect()
    assert records.alerts.relation(connection, at(1)).fetchall() == [tuple(alert(1).values())]
    assert records.alerts.to_relation(connection, [alert(1)]).fetchall() == [tuple(alert(1).values())]
    assert records.incidents.relation(connection).fetchall() == []


def test_an_old_row_is_replaced_though_newer_ones_stand_in_other_files(records: Records) -> None:
    for day in range(4):
        records.alerts.upsert([alert(day * 1440)])
    records.alerts.upsert([alert(0, state="resolved"), alert(4 * 1440)])
    assert [row["state"] for row in records.alerts.rows()] == ["resolved", "firing", "firing", "firing", "firing"]


WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pricetracker_dagster.store.store import store_in

records, own = store_in(Path(sys.argv[1])).records, sys.argv[2]
noon = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
print("ready", flush=True)
sys.stdin.readline()
for minute in range(6):
    row = {"metric": "KRAKEN:BTCUSD", "minute": noon + timedelta(minutes=minute), "cause": "exchange error"}
    records.causes.upsert([{**row, "reason": own, "noted_at": noon}], replace=sys.argv[3] == "replace")
"""


@pytest.mark.parametrize("how", ["replace", "leave"])
def test_processes_that_put_the_same_keys_at_once_end_with_one_row_each(tmp_path: Path, how: str) -> None:
    arguments = [sys.executable, "-W", "ignore", "-c", WRITER, str(tmp_path / "data")]
    writers = [
        subprocess.Popen([*arguments, name, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:  # off, all at once; there is not even a table yet
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    rows = store_in(tmp_path / "data").records.causes.rows()
    assert [row["minute"] for row in rows] == [at(minute) for minute in range(6)]
    assert {row["reason"] for row in rows} <= {"one", "two", "three"}


def test_threads_that_put_the_same_keys_at_once_end_with_one_row_each(records: Records) -> None:
    failed: list[BaseException] = []

    def put(name: str) -> None:
        try:
            for minute in range(5):
                records.alerts.upsert([alert(minute, rule=name)])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=put, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [row["minute"] for row in records.alerts.rows()] == [at(minute) for minute in range(5)]


def test_a_table_that_another_creates_at_the_same_moment_is_taken_as_it_is(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = DeltaTable.create

    def second(*args: Any, **kwargs: Any) -> DeltaTable:
        """As delta-rs does now and then to one of several that create a table at once."""
        create(*args, **kwargs)
        raise DeltaError("Failed to commit transaction: Protocol changed since last commit: protocol changed")

    monkeypatch.setattr(DeltaTable, "create", second)
    assert records.alerts.upsert([alert(1)]).inserted == 1
    assert [row["minute"] for row in records.alerts.rows()] == [at(1)]


# --- what no tick has tried to store ---


def noted(records: Records) -> list[tuple[str, int, str]]:
    return sorted((row["metric"], (row["minute"] - NOON) // MINUTE, row["cause"]) for row in records.causes.rows())


def test_minutes_that_no_tick_was_run_for_are_noted_a_row_each(records: Records) -> None:
    gaps = {BTC: [MinuteRange(at(0), at(2)), MinuteRange(at(5), at(5))], ETH: [MinuteRange(at(2), at(3))], XRP: []}
    assert records.note_not_run(gaps, at(9)).inserted == 6
    assert noted(records) == [
        *((BTC, minute, NOT_RUN) for minute in (0, 1, 2, 5)),
        *((ETH, minute, NOT_RUN) for minute in (2, 3)),
    ]
    [first, *_] = records.causes.rows()
    assert (first["reason"], first["noted_at"]) == ("no tick was run for them", at(9))


def test_what_was_noted_before_stays(records: Records) -> None:
    records.causes.upsert([cause(1)])
    assert records.note_not_run({BTC: [MinuteRange(at(0), at(2))]}, at(9)).inserted == 2
    assert records.note_not_run({BTC: [MinuteRange(at(0), at(2))]}, at(10)).inserted == 0
    assert noted(records) == [(BTC, 0, NOT_RUN), (BTC, 1, "exchange error"), (BTC, 2, NOT_RUN)]
    assert {row["noted_at"] for row in records.causes.rows()} == {at(9), at(2)}


def test_nothing_is_noted_of_metrics_that_lack_nothing(records: Records) -> None:
    assert records.note_not_run({BTC: []}, NOON).inserted == 0
    assert records.causes.rows() == []


def test_a_day_of_a_hundred_metrics_is_noted_at_once(records: Records) -> None:
    day = MinuteRange(NOON - DAY, NOON - MINUTE)
    assert records.note_not_run({f"KRAKEN:X{i:02}USD": [day] for i in range(100)}, NOON).inserted == 144_000


# --- since when what is tracked ---


def tracked(state: Path, metrics: Sequence[str], minute: int) -> dict[str, int]:
    since = note_tracked(state, metrics, at(minute))
    assert all(moment.utcoffset() == timedelta(0) for moment in since.values())
    return {metric: (moment - NOON) // MINUTE for metric, moment in since.items()}


def test_at_first_everything_is_tracked_from_now_on(tmp_path: Path) -> None:
    assert tracked(tmp_path / "state", [BTC, ETH], 0) == {BTC: 0, ETH: 0}
    assert tracked(tmp_path / "state", [BTC, ETH], 7) == {BTC: 0, ETH: 0}


def test_a_metric_that_is_new_is_tracked_from_now_on_and_the_others_as_before(tmp_path: Path) -> None:
    tracked(tmp_path, [BTC], 0)
    assert tracked(tmp_path, [ETH, BTC], 5) == {BTC: 0, ETH: 5}
    assert tracked(tmp_path, [ETH, BTC], 9) == {BTC: 0, ETH: 5}


def test_a_metric_that_is_removed_is_forgotten_and_begins_anew_when_it_comes_back(tmp_path: Path) -> None:
    tracked(tmp_path, [BTC, ETH], 0)
    assert tracked(tmp_path, [BTC], 5) == {BTC: 0}
    assert tracked(tmp_path, [BTC, ETH], 9) == {BTC: 0, ETH: 9}
    assert tracked(tmp_path, [], 9) == {}


def test_the_file_is_written_only_when_the_list_changed_and_nothing_else_is_left(tmp_path: Path) -> None:
    tracked(tmp_path, [BTC], 0)
    [file] = tmp_path.iterdir()
    before = file.stat()
    tracked(tmp_path, [BTC], 5)
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    tracked(tmp_path, [BTC, ETH], 5)
    assert list(tmp_path.iterdir()) == [file]


def test_a_table_is_opened_once_in_a_look_and_anew_once_somebody_has_written(records: Records) -> None:
    by_another = store_in(records.alerts.path.parent).records
    with opened_once():
        assert records.alerts.rows() == []
        by_another.alerts.upsert([alert(0)])
        assert [row["minute"] for row in records.alerts.rows()] == [at(0)]
        assert records.alerts.open() is records.alerts.open()
        by_another.alerts.upsert([alert(1)])
        assert [row["minute"] for row in records.alerts.rows()] == [at(0), at(1)]
        opened = records.alerts.open()
        records.alerts.upsert([alert(2)])
        assert len(records.alerts.rows()) == 3
        assert records.alerts.open() is opened, "what it writes itself it need not read"
        with opened_once():
            assert records.alerts.open() is opened
        shutil.rmtree(records.alerts.path)
        assert records.alerts.rows() == []
        assert records.incidents.open() is None
    assert records.alerts.open() is None
    records.alerts.upsert([alert(0)])
    assert records.alerts.open() is not records.alerts.open()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\x00\xff\xfe",
        b"[]",
        b"5",
        b"null",
        b'"KRAKEN:BTCUSD"',
        json.dumps({BTC: "soon"}).encode(),
        json.dumps({BTC: None}).encode(),
        json.dumps({BTC: 5}).encode(),
        json.dumps({BTC: "2026-03-03T12:00:00"}).encode(),  # of no time zone
    ],
)
def test_a_damaged_file_begins_anew_in_silence(tmp_path: Path, content: bytes) -> None:
    tracked(tmp_path, [BTC], 0)
    [file] = tmp_path.iterdir()
    file.write_bytes(content)
    assert tracked(tmp_path, [BTC], 5) == {BTC: 5}
    assert tracked(tmp_path, [BTC], 9) == {BTC: 5}


def test_a_file_that_is_gone_begins_anew_in_silence(tmp_path: Path) -> None:
    tracked(tmp_path, [BTC], 0)
    [file] = tmp_path.iterdir()
    file.unlink()
    assert tracked(tmp_path, [BTC], 5) == {BTC: 5}
