"""The published file: what is in it, what is left of it when somebody has it open, who may open it."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from pricetracker_dagster import open_prices
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.publishing.access import NotPublished
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.schema import TABLES, VIEWS, comments
from pricetracker_dagster.store.store import Store, store_in

AS_OF = datetime(2026, 3, 3, 12, 4, tzinfo=UTC)
NOW = AS_OF + timedelta(seconds=63)
OLD_DUCKDB = Path(__file__).parents[2] / ".venv" / "duckdb-1.2"

TIME = "TIMESTAMP WITH TIME ZONE"
PROMISED = {  # table or view, its columns and their types, as users were promised them
    "minute_prices": {
        "metric": "VARCHAR",
        "minute": TIME,
        "open": "DOUBLE",
        "high": "DOUBLE",
        "low": "DOUBLE",
        "close": "DOUBLE",
        "volume": "DOUBLE",
        "trades": "BIGINT",
        "fetched_at": TIME,
    },
    "history_24h": {"metric": "VARCHAR", "measure": "VARCHAR", "minute": TIME, "value": "DOUBLE"},
    "metric_rank": {
        "measure": "VARCHAR",
        "rank": "BIGINT",
        "of": "BIGINT",
        "metric": "VARCHAR",
        "stddev": "DOUBLE",
        "mean": "DOUBLE",
        "relative_stddev": "DOUBLE",
        "observations": "BIGINT",
        "as_of": TIME,
    },
    "available_metrics": {
        "metric": "VARCHAR",
        "measure": "VARCHAR",
        "observations": "BIGINT",
        "first_minute": TIME,
        "last_minute": TIME,
        "last_value": "DOUBLE",
    },
    "missed_minutes": {"metric": "VARCHAR", "minute": TIME, "cause": "VARCHAR"},
    "alerts": {
        "id": "VARCHAR",
        "rule": "VARCHAR",
        "metric": "VARCHAR",
        "measure": "VARCHAR",
        "minute": TIME,
        "state": "VARCHAR",
        "value": "DOUBLE",
        "average": "DOUBLE",
        "ratio": "DOUBLE",
        "factor": "DOUBLE",
        "last_minute": TIME,
        "minutes": "BIGINT",
        "peak": "DOUBLE",
        "peak_ratio": "DOUBLE",
        "peak_minute": TIME,
        "fired_at": TIME,
        "resolved_at": TIME,
        "ended_because": "VARCHAR",
        "sent": "BOOLEAN",
        "held_by": "VARCHAR",
        "transitions": "BIGINT",
        "rule_kind": "VARCHAR",
        "others": "BIGINT",
        "acknowledged_by": "VARCHAR",
        "acknowledged_at": TIME,
    },
    "messages": {
        "id": "VARCHAR",
        "fact": "VARCHAR",
        "subject": "VARCHAR",
        "event": "VARCHAR",
        "number": "BIGINT",
        "recorded_at": TIME,
        "channels": "VARCHAR[]",
        "headline": "VARCHAR",
        "text": "VARCHAR",
        "held_by": "VARCHAR",
    },
    "deliveries": {
        "id": "VARCHAR",
        "subject": "VARCHAR",
        "event": "VARCHAR",
        "channel": "VARCHAR",
        "attempt": "BIGINT",
        "attempted_at": TIME,
        "delivered": "BOOLEAN",
        "error": "VARCHAR",
        "retry_at": TIME,
    },
    "incidents": {
        "id": "VARCHAR",
        "state": "VARCHAR",
        "cause": "VARCHAR",
        "reason": "VARCHAR",
        "first": TIME,
        "last": TIME,
        "count": "BIGINT",
        "metrics": "VARCHAR[]",
        "missing": "BIGINT",
        "opened_at": TIME,
        "resolved_at": TIME,
        "causes": "VARCHAR",
        "out": "VARCHAR[]",
        "told_out": "VARCHAR[]",
        "grown_at": TIME,
        "flaps": "BOOLEAN",
        "exchange": "VARCHAR",
        "held_by": "VARCHAR",
        "transitions": "BIGINT",
        "acknowledged_by": "VARCHAR",
        "acknowledged_at": TIME,
    },
    "silences": {
        "id": "VARCHAR",
        "metrics": "VARCHAR",
        "rule": "VARCHAR",
        "reason": "VARCHAR",
        "who": "VARCHAR",
        "made_at": TIME,
        "until": TIME,
        "ended_at": TIME,
        "ended_by": "VARCHAR",
    },
    "acknowledgements": {
        "fact": "VARCHAR",
        "subject": "VARCHAR",
        "who": "VARCHAR",
        "made_at": TIME,
        "note": "VARCHAR",
    },
    "markets": {
        "market": "VARCHAR",
        "exchange": "VARCHAR",
        "metric": "VARCHAR",
        "base": "VARCHAR",
        "quote": "VARCHAR",
        "last_price": "DOUBLE",
        "last_minute": TIME,
        "volume_24h": "DOUBLE",
        "volume_share": "DOUBLE",
        "weighted_price": "DOUBLE",
        "deviation_bps": "DOUBLE",
        "deviation_minute": TIME,
        "largest_deviation_bps": "DOUBLE",
        "largest_deviation_minute": TIME,
    },
    "snapshot": {
        "as_of": TIME,
        "published_at": TIME,
        "metrics": "BIGINT",
        "rows": "BIGINT",
        "schema_version": "INTEGER",
    },
}

READER = """
import json, sys
import duckdb
try:
    connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read")
except duckdb.Error as error:
    sys.exit(f"refused: {error}")
if sys.argv[2] == "write":  # something that stays in the session's own log until it ends
    connection.execute("SET checkpoint_threshold = '1 GB'")
    connection.execute("CREATE TABLE scribbles AS SELECT 1 AS x")
print(json.dumps(duckdb.__version__), flush=True)
for line in sys.stdin:
    rows = connection.execute(line).fetchall()
    print(json.dumps(rows, default=str), flush=True)
"""


class Session:
    """A user's session on the published file, in a process of its own."""

    def __init__(self, published: Path, mode: str = "read", environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", READER, str(published), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            text=True,
        )
        self.version = self._answer()

    def ask(self, statement: str) -> object:
        assert self.process.stdin
        self.process.stdin.write(statement + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> object:
        assert self.process.stdout
        assert self.process.stderr
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_in(tmp_path / "it's [my] 100 % données")  # people name folders as they like


@pytest.fixture
def sessions() -> Iterator[list[Session]]:
    opened: list[Session] = []
    yield opened
    for session in opened:
        session.kill()


def candles(
    metric: str, first: datetime, closes: list[float], opens: list[float] | None = None, volume: float = 1.0
) -> pa.Table:
    """Consecutive minutes of one metric."""
    rows = []
    for i, close in enumerate(closes):
        begin = opens[i] if opens else close
        prices = (begin, max(begin, close), min(begin, close), close)
        rows.append((metric, first + i * MINUTE, *prices, volume, 1, NOW))
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=SCHEMA)


def ask(store: Store, statement: str) -> list[tuple[object, ...]]:
    return list(open_prices(store.folder.published).sql(statement).df().itertuples(index=False, name=None))


def upsert(store: Store, *tables: pa.Table) -> None:
    store.prices.upsert(pa.concat_tables(tables))


SAMPLES = {
    pa.string(): "it's",
    pa.float64(): 0.1,
    pa.int64(): 7,
    pa.bool_(): True,
    pa.timestamp("us", tz="UTC"): AS_OF,
    pa.list_(pa.string()): ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"],
}


def columns_in(store: Store) -> dict[str, dict[str, str]]:
    with duckdb.connect(str(store.folder.published), read_only=True) as connection:
        return {
            name: {row[0]: row[1] for row in connection.execute(f"DESCRIBE {name}").fetchall()} for name in PROMISED
        }


def test_tables_and_views_have_the_promised_columns(store: Store) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF, [10.0]))
    publish(store, None, now=NOW)
    assert {table.name for table in (*TABLES, *VIEWS)} - {"sources"} == PROMISED.keys()
    assert columns_in(store) == PROMISED
    assert [list(columns) for columns in columns_in(store).values()] == [list(columns) for columns in PROMISED.values()]


def test_each_table_view_and_column_carries_its_comment(store: Store) -> None:
    publish(store, None, now=NOW)
    published = [*TABLES, *VIEWS]
    told = (
        "SELECT table_name, comment FROM duckdb_tables() WHERE schema_name = 'main' UNION ALL "
        "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"
    )
    assert sorted(ask(store, told)) == sorted((table.name, table.comment) for table in published)
    columns = ask(
        store,
        "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal AND schema_name = 'main'",
    )
    assert {(table, column): comment for table, column, comment in columns} == {
        (table.name, name): comment for table in published for name, comment in comments(table.columns).items()
    }


def test_an_empty_store_is_published_with_the_same_columns_and_no_rows(store: Store) -> None:
    done = publish(store, ["KRAKEN:BTCUSD"], now=NOW)
    assert (done.as_of, done.rows, done.metrics, done.values, done.built) == (None, 0, 0, 0, True)
    assert columns_in(store) == PROMISED
    for name in PROMISED.keys() - {"snapshot"}:
        assert ask(store, f"FROM {name}") == []
    assert ask(store, "SELECT as_of IS NULL, epoch(published_at), metrics, rows, schema_version FROM snapshot") == [
        (True, NOW.timestamp(), 0, 0, 1)
    ]


def test_an_empty_store_published_for_a_minute_misses_nothing_of_unknown_beginning(store: Store) -> None:
    done = publish(store, ["KRAKEN:BTCUSD"], now=NOW, minute=AS_OF)
    assert done.as_of == AS_OF
    assert ask(store, "SELECT count(*) FROM missed_minutes") == [(0,)]
    assert ask(store, "SELECT epoch(as_of), metrics FROM snapshot") == [(AS_OF.timestamp(), 0)]


def test_the_file_says_what_it_is(store: Store) -> None:
    upsert(
        store, candles("KRAKEN:BTCUSD", AS_OF - 2 * DAY, [9.0]), candles("KRAKEN:BTCUSD", AS_OF - MINUTE, [10.0, 11.0])
    )
    done = publish(store, None, now=NOW)
    assert (done.path, done.as_of, done.rows, done.metrics, done.values) == (store.folder.published, AS_OF, 3, 1, 8)
    [row] = ask(store, "SELECT epoch(as_of), epoch(published_at), metrics, rows, schema_version FROM snapshot")
    assert row == (AS_OF.timestamp(), NOW.timestamp(), 1, 3, 1)


def test_history_holds_the_1440_minutes_up_to_as_of_and_whole_history_is_in_minute_prices(store: Store) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF - DAY, [float(i) for i in range(1, 1442)]))
    publish(store, None, now=NOW)
    assert ask(store, "SELECT count(*) FROM minute_prices") == [(1441,)]
    edges = "SELECT measure, count(*), epoch(min(minute)), epoch(max(minute)) FROM history_24h GROUP BY 1 ORDER BY 1"
    first, last = (AS_OF - DAY + MINUTE).timestamp(), AS_OF.timestamp()
    assert ask(store, edges) == [
        (measure, 1440, first, last) for measure in ("change_absolute", "change_percentage", "price", "volume")
    ]


def test_measures_are_what_their_names_say(store: Store) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF, closes=[12.5], opens=[10.0], volume=3.0))
    publish(store, None, now=NOW)
    assert ask(store, "SELECT measure, value FROM history_24h ORDER BY measure") == [
        ("change_absolute", 2.5),
        ("change_percentage", 25.0),
        ("price", 12.5),
        ("volume", 3.0),
    ]


def test_an_open_of_zero_has_no_percentage_and_the_other_measures_all_the_same(store: Store) -> None:
    upsert(
        store,
        candles("KRAKEN:FREEUSD", AS_OF - MINUTE, closes=[1.0, 3.0], opens=[0.0, 0.0]),
        candles("KRAKEN:HALFUSD", AS_OF - MINUTE, closes=[3.0, 1.0], opens=[2.0, 0.0]),
    )
    publish(store, None, now=NOW)
    assert ask(store, "SELECT metric, value, epoch(minute) FROM history_24h WHERE measure = 'change_percentage'") == [
        ("KRAKEN:HALFUSD", 50.0, (AS_OF - MINUTE).timestamp())
    ]
    assert ask(
        store,
        "SELECT metric, observations, epoch(last_minute), last_value FROM available_metrics "
        "WHERE measure = 'change_percentage'",
    ) == [("KRAKEN:HALFUSD", 1, (AS_OF - MINUTE).timestamp(), 50.0)]
    assert ask(store, "SELECT metric, observations FROM metric_rank WHERE measure = 'price' ORDER BY metric") == [
        ("KRAKEN:FREEUSD", 2),
        ("KRAKEN:HALFUSD", 2),
    ]
    assert ask(store, "SELECT rank, \"of\", metric FROM metric_rank WHERE measure = 'change_percentage'") == [
        (1, 1, "KRAKEN:HALFUSD")
    ]


def test_equal_deviations_rank_by_name_and_metrics_without_one_come_last(store: Store) -> None:
    upsert(
        store,
        candles("KRAKEN:BBB", AS_OF - MINUTE, [1.0, 3.0]),
        candles("KRAKEN:AAA", AS_OF - MINUTE, [11.0, 13.0]),
        candles("KRAKEN:ONE", AS_OF, [1000.0]),  # one observation has no sample deviation
        candles("KRAKEN:ALONE", AS_OF, [5.0]),
        candles("KRAKEN:WILD", AS_OF - MINUTE, [1.0, 100.0]),
        candles("KRAKEN:STILL", AS_OF - MINUTE, [7.0, 7.0]),
    )
    publish(store, None, now=NOW)
    rank = ask(
        store, "SELECT rank, \"of\", metric, round(stddev, 6) FROM metric_rank WHERE measure = 'price' ORDER BY rank"
    )
    assert [row[:3] for row in rank] == [
        (1, 6, "KRAKEN:WILD"),
        (2, 6, "KRAKEN:AAA"),
        (3, 6, "KRAKEN:BBB"),
        (4, 6, "KRAKEN:STILL"),
        (5, 6, "KRAKEN:ALONE"),
        (6, 6, "KRAKEN:ONE"),
    ]
    # of two values, the deviation is their difference by the square root of 2: 99, 2, 2, 0
    assert [row[3] for row in rank[:4]] == [70.003571, 1.414214, 1.414214, 0.0]
    assert all(pd.isna(row[3]) for row in rank[4:])  # type: ignore[call-overload]


def test_the_relative_deviation_is_of_the_means_size_and_absent_where_the_mean_is_zero(store: Store) -> None:
    upsert(
        store,
        candles("KRAKEN:DOWN", AS_OF - MINUTE, closes=[9.0, 7.0], opens=[10.0, 10.0]),  # -1 and -3
        candles("KRAKEN:EVEN", AS_OF - MINUTE, closes=[11.0, 9.0], opens=[10.0, 10.0]),  # 1 and -1
    )
    publish(store, None, now=NOW)
    down, even = ask(
        store, "SELECT mean, relative_stddev FROM metric_rank WHERE measure = 'change_absolute' ORDER BY metric"
    )
    assert down == (-2.0, pytest.approx(2**0.5 / 2))
    assert even[0] == 0.0
    assert pd.isna(even[1])  # type: ignore[call-overload]


def test_only_minutes_since_a_metrics_first_row_are_missed(store: Store) -> None:
    upsert(
        store,
        candles("KRAKEN:NEW", AS_OF - 5 * MINUTE, [1.0, 1.0]),  # began 5 minutes ago; minutes -3 to 0 are missed
        candles("KRAKEN:OLD", AS_OF - DAY - MINUTE, [1.0]),  # began before the 24 hours; all but minute -2 are missed
        candles("KRAKEN:OLD", AS_OF - 2 * MINUTE, [1.0]),
        candles("KRAKEN:HELD", AS_OF - 2 * MINUTE, [1.0, 1.0, 1.0]),
    )
    publish(store, ["KRAKEN:NEW", "KRAKEN:OLD", "KRAKEN:HELD", "KRAKEN:NEVER"], now=NOW)
    missed: dict[str, list[int]] = {}
    for metric, unix in ask(store, "SELECT metric, epoch(minute)::BIGINT FROM missed_minutes ORDER BY ALL"):
        missed.setdefault(str(metric), []).append((int(str(unix)) - int(AS_OF.timestamp())) // 60)
    assert missed == {
        "KRAKEN:NEW": [-3, -2, -1, 0],
        "KRAKEN:OLD": [minute for minute in range(-1439, 1) if minute != -2],
    }


def test_a_minute_of_which_nothing_was_stored_is_covered_and_missed(store: Store) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF - MINUTE, [1.0]))
    assert publish(store, ["KRAKEN:BTCUSD"], now=NOW, minute=AS_OF).as_of == AS_OF
    assert ask(store, "SELECT epoch(minute) FROM missed_minutes") == [(AS_OF.timestamp(),)]


def test_a_later_file_never_covers_less(store: Store) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF, [10.0]))
    publish(store, ["KRAKEN:BTCUSD"], now=NOW + 3 * MINUTE, minute=AS_OF + 3 * MINUTE)
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF + MINUTE, [10.0]))
    done = publish(store, ["KRAKEN:BTCUSD"], now=NOW + 3 * MINUTE)
    assert (done.built, done.as_of) == (True, AS_OF + 3 * MINUTE)
    missed = open_prices(store.folder.published).sql("FROM missed_minutes").df()
    assert missed[["minute", "cause"]].values.tolist() == [
        [AS_OF + 2 * MINUTE, "not run"],
        [AS_OF + 3 * MINUTE, "not run"],
    ]


def test_what_is_no_longer_tracked_is_history_but_not_missed(store: Store) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF, [1.0]), candles("KRAKEN:GONE", AS_OF - 9 * MINUTE, [1.0]))
    publish(store, ["KRAKEN:BTCUSD"], now=NOW)
    assert ask(store, "FROM missed_minutes") == []
    assert ask(store, "SELECT DISTINCT metric FROM history_24h ORDER BY 1") == [("KRAKEN:BTCUSD",), ("KRAKEN:GONE",)]
    publish(store, None, now=NOW)
    assert ask(store, "SELECT DISTINCT metric, count(*) FROM missed_minutes GROUP BY 1") == [("KRAKEN:GONE", 9)]


def test_publishing_again_what_stands_there_builds_nothing(store: Store) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF, [1.0]))
    first = publish(store, ["KRAKEN:BTCUSD"], now=NOW)
    before = store.folder.published.stat()
    again = publish(store, ["KRAKEN:BTCUSD"], now=NOW + MINUTE, minute=AS_OF)
    assert first.built
    assert not again.built
    assert (again.as_of, again.rows, again.metrics, again.values) == (AS_OF, 1, 1, 4)
    assert (store.folder.published.stat().st_ino, store.folder.published.stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )


def test_a_new_row_another_list_of_metrics_or_a_later_minute_builds_it_anew(store: Store) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF - MINUTE, [1.0]))
    assert publish(store, ["KRAKEN:BTCUSD"], now=NOW).built
    assert publish(store, ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"], now=NOW).built
    assert publish(store, ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"], now=NOW, minute=AS_OF).built
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF - MINUTE, [2.0]))
    assert publish(store, ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"], now=NOW, minute=AS_OF).built
    assert ask(store, "SELECT last_value FROM available_metrics WHERE measure = 'price'") == [(2.0,)]


@pytest.mark.parametrize("content", [b"", b"no database", b"\x00" * 5000])
def test_a_damaged_file_is_replaced(store: Store, content: bytes) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF, [1.0]))
    store.folder.published.write_bytes(content)
    assert publish(store, None, now=NOW).built
    assert ask(store, "SELECT rows FROM snapshot") == [(1,)]


def test_the_file_is_readable_for_all_and_writable_for_none(store: Store) -> None:
    publish(store, None, now=NOW)
    assert stat.S_IMODE(store.folder.published.stat().st_mode) == 0o444


def test_what_a_killed_publisher_or_a_writing_session_left_is_swept(store: Store) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF, [1.0]))
    publish(store, None, now=NOW)
    wal = store.folder.published.with_name("pricetracker.duckdb.wal")
    orphan = store.folder.published.with_name(".pricetracker.duckdb.4711.new")
    for left in (wal, orphan, orphan.with_name(orphan.name + ".wal")):
        left.write_bytes(b"left behind")
    assert not publish(store, None, now=NOW).built  # what stands there is still right
    assert sorted(path.name for path in store.folder.path.iterdir()) == [
        "minute_prices",
        "pricetracker.duckdb",
        "state",
    ]
    wal.write_bytes(b"left behind")
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF + MINUTE, [1.0]))
    assert publish(store, None, now=NOW).built
    assert ask(store, "SELECT rows FROM snapshot") == [(2,)]
    assert not wal.exists()


def test_an_open_session_neither_blocks_nor_breaks_while_the_file_is_swapped_fifteen_times(
    store: Store, sessions: list[Session]
) -> None:
    everything = "SELECT count(*), sum(close) FROM minute_prices"
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF, [1.0, 2.0]))
    publish(store, None, now=NOW)
    session = Session(store.folder.published)
    sessions.append(session)
    was = session.ask(everything)
    for swap in range(15):
        upsert(store, candles("KRAKEN:BTCUSD", AS_OF + (swap + 2) * MINUTE, [1.0]))
        assert publish(store, None, now=NOW).built
        if swap % 5 == 0:
            assert session.ask(everything) == was == [[2, 3.0]]
    done = maintain(store)
    assert done.files_after < done.files_before == 16
    publish(store, None, now=NOW)
    assert session.ask(everything) == was  # the Parquet files it reads were replaced, and are still there
    assert session.ask("SELECT count(*) FROM metric_rank, available_metrics") == [[16]]
    newcomer = Session(store.folder.published)
    sessions.append(newcomer)
    assert newcomer.ask(everything) == [[17, 18.0]]


def test_a_session_that_writes_all_the_same_changes_nothing_for_others(store: Store, sessions: list[Session]) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF, [1.0]))
    publish(store, None, now=NOW)
    writer = [sys.executable, "-c", READER, str(store.folder.published), "write"]
    if os.geteuid() != 0:  # root alone may write to a file of mode 0444
        refused = subprocess.run(writer, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        assert "refused" in refused.stderr
        return
    session = Session(store.folder.published, "write")
    sessions.append(session)
    wal = store.folder.published.with_name("pricetracker.duckdb.wal")
    assert wal.exists()
    for minute in range(1, 4):
        upsert(store, candles("KRAKEN:BTCUSD", AS_OF + minute * MINUTE, [1.0]))
        assert publish(store, None, now=NOW).rows == minute + 1
        reader = Session(store.folder.published)
        sessions.append(reader)
        assert reader.ask("SELECT count(*) FROM minute_prices") == [[minute + 1]]
        with pytest.raises(AssertionError, match="scribbles"):
            reader.ask("FROM scribbles")
    assert session.ask("SELECT count(*) FROM minute_prices, scribbles") == [[1]]
    session.ask("CHECKPOINT")
    session.ask("INSERT INTO scribbles VALUES (2)")  # begins a new log, beside a file that it is not of
    assert wal.exists()
    assert not publish(store, None, now=NOW).built
    again = Session(store.folder.published)
    sessions.append(again)
    assert again.ask("SELECT count(*) FROM minute_prices") == [[4]]
    session.ask("INSERT INTO scribbles VALUES (3)")
    session.kill()
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF + 4 * MINUTE, [1.0]))
    publish(store, None, now=NOW)
    assert ask(store, "SELECT rows FROM snapshot") == [(5,)]
    assert not wal.exists()


def test_a_writing_session_that_died_on_the_newest_file_leaves_it_to_be_built_anew(
    store: Store, sessions: list[Session]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can write to the published file")
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF, [1.0]))
    publish(store, None, now=NOW)
    session = Session(store.folder.published, "write")
    sessions.append(session)
    publish(store, None, now=NOW)  # it finds the file open elsewhere, and may not trust it
    session.kill()
    done = publish(store, None, now=NOW)
    assert done.rows == 1
    assert ask(store, "SELECT count(*) FROM minute_prices") == [(1,)]
    assert not store.folder.published.with_name("pricetracker.duckdb.wal").exists()


def test_a_publication_that_fails_leaves_the_old_file_and_can_be_tried_again(store: Store) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF - DAY, [1.0]))  # no part of the 24 hours
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF - 20 * 60 * MINUTE, [2.0]), candles("KRAKEN:BTCUSD", AS_OF, [2.0]))
    publish(store, None, now=NOW)
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF, [3.0]))
    [yesterdays] = store.prices.files(AS_OF - 20 * 60 * MINUTE, AS_OF - 20 * 60 * MINUTE)
    away = Path(yesterdays).rename(store.folder.path / "away")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"minute_prices is damaged: date=2026.* is gone, and with it 1 row\."):
            publish(store, None, now=NOW)
        assert ask(store, "SELECT max(last_value) FROM available_metrics WHERE measure = 'price'") == [(2.0,)]
    away.rename(yesterdays)
    publish(store, None, now=NOW)
    assert ask(store, "SELECT last_value FROM available_metrics WHERE measure = 'price'") == [(3.0,)]
    assert sorted(path.name for path in store.folder.path.iterdir()) == [
        "minute_prices",
        "pricetracker.duckdb",
        "state",
    ]


def test_duckdb_1_2_opens_the_file_and_reads_the_same(store: Store, sessions: list[Session]) -> None:
    if not OLD_DUCKDB.is_dir():
        pytest.skip(f"no DuckDB 1.2 at {OLD_DUCKDB}: `make test` installs it")
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF - 9 * MINUTE, [1.5, 2.5, 4.5]), candles("KRAKEN:ETHUSD", AS_OF, [7.0]))
    for records in store.records:
        records.upsert(
            [{name: SAMPLES[kind] for name, kind in zip(records.schema.names, records.schema.types, strict=True)}]
        )
    publish(store, ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"], now=NOW)
    old = Session(store.folder.published, environment={"PYTHONPATH": str(OLD_DUCKDB)})
    new = Session(store.folder.published)
    sessions.extend((old, new))
    assert old.version == "1.2.2"
    assert new.version == duckdb.__version__ != "1.2.2"
    for name in PROMISED:
        # the two print the texts of a list with and without quotes
        everything = f"FROM {name} SELECT replace(COLUMNS(*)::VARCHAR, chr(39), '') ORDER BY ALL"
        rows = old.ask(everything)
        assert rows
        assert rows == new.ask(everything)
    assert old.ask("SELECT metric, rank, observations FROM metric_rank WHERE measure = 'price' ORDER BY rank") == [
        ["KRAKEN:BTCUSD", 1, 3],
        ["KRAKEN:ETHUSD", 2, 1],
    ]


def test_a_person_who_asks_before_anything_is_published_is_told_what_makes_it(store: Store) -> None:
    with pytest.raises(NotPublished, match="pricetracker"):
        open_prices(store.folder.published).metrics().df()


def test_a_statement_that_would_write_is_refused(store: Store) -> None:
    publish(store, None, now=NOW)
    with pytest.raises(duckdb.Error, match="read-only"):
        open_prices(store.folder.published).sql("CREATE TABLE t (x INTEGER)").df()


def test_an_answer_keeps_its_rows_and_the_next_one_is_of_the_newest_file(store: Store) -> None:
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF - MINUTE, [10.0]))
    publish(store, None, now=NOW)
    prices = "SELECT close FROM minute_prices ORDER BY minute"
    earlier = open_prices(store.folder.published).sql(prices)
    ranked = open_prices(store.folder.published).rank("price")
    upsert(store, candles("KRAKEN:BTCUSD", AS_OF, [11.0]))
    publish(store, None, now=NOW)
    assert open_prices(store.folder.published).sql(prices).fetchall() == [(10.0,), (11.0,)]
    assert [row["observations"] for row in open_prices(store.folder.published).rank("price").to_dicts()] == [2]
    assert earlier.fetchall() == [(10.0,)]
    assert earlier.to_arrow_table().to_pylist() == [{"close": 10.0}]
    assert [row["observations"] for row in ranked.to_dicts()] == [1]
