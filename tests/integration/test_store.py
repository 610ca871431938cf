"""The Delta table: what an upsert changes and leaves alone, what is missing, what upkeep keeps."""

import json
import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store.coverage import missing
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.maintenance import Maintained, maintain
from pricetracker_dagster.store.store import Store, store_in
from tests.quick import examples

MIDNIGHT = datetime(2026, 3, 4, tzinfo=UTC)
NOW = datetime(2026, 3, 4, 1, 0, 3, tzinfo=UTC)
BTC, ETH, XRP = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"
EVER = (MIDNIGHT - 400 * DAY, MIDNIGHT + 400 * DAY)

Row = tuple[str, datetime, float, float, float, float, float, int, datetime]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_in(tmp_path / "data")


def row(metric: str, minute: int, price: float = 10.0, fetched_at: datetime = NOW) -> Row:
    """A candle ``minute`` minutes after midnight; negative: the day before."""
    return metric, MIDNIGHT + minute * MINUTE, price, price, price, price, 1.5, 3, fetched_at


def table(rows: Iterable[Row]) -> pa.Table:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return pa.table(columns, schema=SCHEMA) if columns else SCHEMA.empty_table()


def rows_in(store: Store) -> list[Row]:
    return [tuple(each.values()) for each in store.prices.candles([BTC, ETH, XRP], *EVER).to_pylist()]


def test_a_store_that_was_never_written_answers_and_makes_nothing(store: Store) -> None:
    assert store.prices.open() is None
    assert store.prices.rows() == store.prices.day_rows(date(2026, 3, 4)) == 0
    assert store.prices.files() == []
    assert store.prices.newest([BTC], MIDNIGHT) == {}
    assert missing(store.prices, {BTC: None}, MIDNIGHT, MIDNIGHT) == {}
    assert store.prices.gaps([BTC], MIDNIGHT, NOW) == {BTC: [MinuteRange(MIDNIGHT, NOW)]}
    assert store.prices.invalid(*EVER) == []
    assert store.prices.candles([BTC], *EVER) == SCHEMA.empty_table()
    assert maintain(store) == Maintained((), 0, 0, 0, ())
    assert not store.folder.path.exists()


def test_what_is_upserted_is_read_back_exactly(store: Store) -> None:
    rows = [
        (BTC, MIDNIGHT - MINUTE, 0.1, 1e300, 5e-324, 0.30000000000000004, 0.0, 2**53, NOW),
        (BTC, MIDNIGHT, 22414.9, 22414.9, 22414.9, 22414.9, 0.0933166, 15, NOW + timedelta(microseconds=1)),
        (ETH, MIDNIGHT, 1.0, 1.0, 1.0, 1.0, 1.0, 1, NOW),
    ]
    done = store.prices.upsert(table(reversed(rows)))
    assert (done.inserted, done.updated) == (3, 0)
    assert rows_in(store) == rows
    assert store.prices.candles([ETH], *EVER).schema == SCHEMA
    assert store.prices.candles([BTC], MIDNIGHT, MIDNIGHT).num_rows == 1


def test_an_upsert_repeated_changes_nothing(store: Store) -> None:
    rows = [row(BTC, minute) for minute in range(-5, 5)]
    store.prices.upsert(table(rows))
    files = store.prices.files()
    again = store.prices.upsert(table(rows))
    assert (again.inserted, again.updated) == (0, 0)
    assert store.prices.files() == files
    assert rows_in(store) == rows


def test_a_row_fetched_again_without_change_keeps_its_first_fetched_at(store: Store) -> None:
    store.prices.upsert(table([row(BTC, 0), row(BTC, 1)]))
    files = store.prices.files()
    later = NOW + timedelta(hours=1)
    done = store.prices.upsert(table([row(BTC, 0, fetched_at=later), row(BTC, 1, fetched_at=later)]))
    assert (done.inserted, done.updated) == (0, 0)
    assert store.prices.files() == files
    assert rows_in(store) == [row(BTC, 0), row(BTC, 1)]


@pytest.mark.parametrize("column", range(2, 8))
def test_a_correction_of_any_value_is_stored_with_its_own_fetched_at(store: Store, column: int) -> None:
    store.prices.upsert(table([row(BTC, 0), row(ETH, 0)]))
    corrected = list(row(BTC, 0, fetched_at=NOW + MINUTE))
    corrected[column] = 7
    done = store.prices.upsert(table([tuple(corrected), row(ETH, 0, fetched_at=NOW + MINUTE)]))  # type: ignore[list-item]
    assert (done.inserted, done.updated) == (0, 1)
    assert rows_in(store) == [tuple(corrected), row(ETH, 0)]


def test_new_rows_leave_every_file_that_is_there_alone(store: Store) -> None:
    store.prices.upsert(table(row(BTC, minute) for minute in (-2, -1, 0, 1)))
    before = set(store.prices.files())
    done = store.prices.upsert(table([row(BTC, 1), row(BTC, 2)]))
    assert (done.inserted, done.updated) == (1, 0)
    assert before < set(store.prices.files())


def test_a_correction_rewrites_the_files_that_hold_its_minute_and_no_other(store: Store) -> None:
    for day in (-2, -1, 0):
        store.prices.upsert(table(row(BTC, day * 1440 + minute) for minute in range(10)))
        store.prices.upsert(table(row(BTC, day * 1440 + minute) for minute in range(20, 30)))
    before = set(store.prices.files())
    [holds_it] = store.prices.files(MIDNIGHT - DAY + 25 * MINUTE, MIDNIGHT - DAY + 25 * MINUTE)
    assert store.prices.upsert(table([row(BTC, -1440 + 25, price=11.0)])).updated == 1
    assert before - set(store.prices.files()) == {holds_it}
    assert store.prices.rows() == 60


def test_a_table_of_another_schema_is_refused_with_nothing_stored(store: Store) -> None:
    right = table([row(BTC, 0)])
    for wrong in (
        right.drop_columns(["trades"]),
        right.select(list(reversed(SCHEMA.names))),
        right.cast(pa.schema([field.with_nullable(True) for field in SCHEMA])),
        right.set_column(
            1, pa.field("minute", pa.timestamp("us"), nullable=False), right["minute"].cast("timestamp[us]")
        ),
    ):
        with pytest.raises(ValueError, match="these are no candles"):
            store.prices.upsert(wrong)
    assert not store.folder.path.exists()


def test_two_candles_for_one_minute_are_refused_with_nothing_stored(store: Store) -> None:
    with pytest.raises(ValueError, match="two candles for KRAKEN:ETHUSD 2026-03-04 00:01"):
        store.prices.upsert(table([row(BTC, 1), row(ETH, 1), row(ETH, 1, price=11.0)]))
    assert not store.folder.path.exists()


def test_no_candles_at_all_are_stored_in_no_time(store: Store) -> None:
    done = store.prices.upsert(SCHEMA.empty_table())
    assert (done.inserted, done.updated) == (0, 0)


def test_more_rows_than_are_merged_at_once_are_stored_once_each(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pricetracker_dagster.store.prices.CHUNK", 100)
    rows = [row(metric, day * 1440 + minute) for metric in (BTC, ETH) for day in range(-4, 1) for minute in range(30)]
    done = store.prices.upsert(table(rows))
    assert (done.inserted, done.updated) == (300, 0)
    assert done.version >= 2  # it took several commits
    assert store.prices.upsert(table(rows)).inserted == 0
    assert sorted(rows_in(store)) == sorted(rows)


def test_rows_of_a_day_are_counted_without_reading_them(store: Store) -> None:
    store.prices.upsert(table(row(metric, minute) for metric in (BTC, ETH) for minute in (-1, 0, 1)))
    for file in store.prices.files():
        os.truncate(file, 0)
    assert [store.prices.day_rows(date(2026, 3, day)) for day in (2, 3, 4)] == [0, 2, 4]
    assert store.prices.rows() == 6


def test_missed_minutes_are_those_without_a_row(store: Store) -> None:
    have = {BTC: {-3, -2, 1, 5, 6}, ETH: {2}, XRP: set(range(-4, 9))}
    store.prices.upsert(table(row(metric, minute) for metric, minutes in have.items() for minute in minutes))
    first, last = MIDNIGHT - 4 * MINUTE, MIDNIGHT + 8 * MINUTE

    def span(begin: int, end: int) -> MinuteRange:
        return MinuteRange(MIDNIGHT + begin * MINUTE, MIDNIGHT + end * MINUTE)

    asked = [BTC, ETH, XRP, "KRAKEN:NEVER"]
    assert store.prices.gaps(asked, first, last) == {
        BTC: [span(-4, -4), span(-1, 0), span(2, 4), span(7, 8)],
        ETH: [span(-4, 1), span(3, 8)],
        "KRAKEN:NEVER": [span(-4, 8)],
    }
    assert missing(store.prices, dict.fromkeys(asked), first, last) == {
        BTC: [span(-1, 0), span(2, 4), span(7, 8)],
        ETH: [span(3, 8)],
    }
    assert store.prices.gaps([XRP], last, first) == {}
    assert store.prices.gaps([], first, last) == {}


def test_the_newest_minute_of_each_metric_is_looked_for_between_bounds(store: Store) -> None:
    store.prices.upsert(table([row(BTC, -700), row(BTC, -3), row(BTC, 4), row(ETH, -700)]))
    early, late = MIDNIGHT - 10 * MINUTE, MIDNIGHT + 10 * MINUTE
    assert store.prices.newest([BTC, ETH, XRP], early) == {BTC: MIDNIGHT + 4 * MINUTE}
    assert store.prices.newest([BTC, ETH], early, MIDNIGHT) == {BTC: MIDNIGHT - 3 * MINUTE}
    assert store.prices.newest([ETH], MIDNIGHT - DAY, late) == {ETH: MIDNIGHT - 700 * MINUTE}
    assert store.prices.newest([BTC], late) == {}


def test_stored_rows_that_are_insane_are_named_with_their_problem(store: Store) -> None:
    nan = float("nan")
    store.prices.upsert(
        table(
            [
                row(BTC, 0),
                (BTC, MIDNIGHT + 1 * MINUTE, 10.0, 9.0, 10.0, 10.0, 1.0, 1, NOW),
                (BTC, MIDNIGHT + 2 * MINUTE, 10.0, 10.0, 10.0, nan, 1.0, 1, NOW),
                (ETH, MIDNIGHT + 1 * MINUTE + timedelta(seconds=1), 10.0, 10.0, 10.0, 10.0, 1.0, 1, NOW),
                (ETH, MIDNIGHT + 3 * MINUTE, 10.0, 10.0, 10.0, 10.0, -1.0, 1, NOW),
                (ETH, MIDNIGHT + 9 * MINUTE, 10.0, 10.0, 10.0, 10.0, 1.0, -1, NOW),
            ]
        )
    )
    found = store.prices.invalid(MIDNIGHT, MIDNIGHT + 8 * MINUTE)
    assert [(rejected.metric, rejected.minute, rejected.problem) for rejected in found] == [
        (BTC, MIDNIGHT + 1 * MINUTE, "high is below low"),
        (BTC, MIDNIGHT + 2 * MINUTE, "close is not a number"),
        (ETH, MIDNIGHT + 1 * MINUTE + timedelta(seconds=1), "time is not a whole minute"),
        (ETH, MIDNIGHT + 3 * MINUTE, "volume is negative"),
    ]
    assert found[0].row == "10.0,9.0,10.0,10.0,1.0,1"


Batch = dict[tuple[str, int], tuple[int, int]]
"""For a metric and minute, a price and in which hour it was fetched."""


@settings(max_examples=examples(20))
@given(
    st.lists(
        st.dictionaries(
            st.tuples(st.sampled_from([BTC, ETH, XRP]), st.integers(-4, 4)),
            st.tuples(st.integers(1, 3), st.integers(0, 9)),
            max_size=12,
        ),
        min_size=1,
        max_size=6,
    ),
    st.sets(st.integers(0, 5)),
)
def test_any_sequence_of_upserts_leaves_what_a_dictionary_would_hold(batches: list[Batch], upkeeps: set[int]) -> None:
    model: dict[tuple[str, int], Row] = {}
    with TemporaryDirectory() as folder:
        store = store_in(Path(folder))
        for i, batch in enumerate(batches):
            rows = {
                key: row(*key, price=float(price), fetched_at=NOW + timedelta(hours=hour))
                for key, (price, hour) in batch.items()
            }
            new = rows.keys() - model.keys()
            corrected = {key for key in rows.keys() & model.keys() if rows[key][:-1] != model[key][:-1]}
            done = store.prices.upsert(table(rows.values()))
            model |= {key: rows[key] for key in new | corrected}
            assert (done.inserted, done.updated) == (len(new), len(corrected))
            if i in upkeeps:
                maintain(store)
            assert rows_in(store) == [model[key] for key in sorted(model)]
        assert store.prices.rows() == len(model)
        assert store.prices.day_rows(date(2026, 3, 3)) == sum(minute < 0 for _, minute in model)
        newest = {metric: max(minute for of, minute in model if of == metric) for metric, _ in model}
        assert store.prices.newest([BTC, ETH, XRP], EVER[0]) == {
            metric: MIDNIGHT + minute * MINUTE for metric, minute in newest.items()
        }
        gaps = store.prices.gaps([BTC, ETH, XRP], MIDNIGHT - 5 * MINUTE, MIDNIGHT + 5 * MINUTE)
        lacking = {
            (metric, (gap.first - MIDNIGHT) // MINUTE + i)
            for metric, found in gaps.items()
            for gap in found
            for i in range(gap.length)
        }
        every_minute = {(metric, minute) for metric in (BTC, ETH, XRP) for minute in range(-5, 6)}
        assert lacking == every_minute - model.keys()


def many_small_files(store: Store) -> list[Row]:
    rows = [row(metric, minute) for minute in range(-6, 6) for metric in (BTC, ETH)]
    for i in range(0, len(rows), 2):
        store.prices.upsert(table(rows[i : i + 2]))
    return rows


def log_of(store: Store) -> list[Path]:
    return sorted((store.prices.path / "_delta_log").glob("*.json"))


def age_removals(store: Store, age: timedelta) -> None:
    """Make the log say that what it removed was removed so long ago."""
    for entry in log_of(store):
        actions = [json.loads(line) for line in entry.read_text(encoding="utf-8").splitlines()]
        for action in actions:
            if "remove" in action:
                action["remove"]["deletionTimestamp"] -= int(age.total_seconds() * 1000)
        entry.write_text("\n".join(map(json.dumps, actions)), encoding="utf-8")


def test_upkeep_joins_the_files_of_each_day_and_keeps_every_row(store: Store) -> None:
    rows = many_small_files(store)
    replaced = store.prices.files()
    assert len(replaced) == 12
    done = maintain(store)
    assert done == Maintained(("2026-03-03", "2026-03-04"), 12, 2, 0, ())
    assert len(store.prices.files()) == 2
    assert sorted(rows_in(store)) == sorted(rows)
    assert all(Path(file).exists() for file in replaced)  # for a week, for those who have the old list
    assert store.prices.upsert(table(rows)).inserted == 0


def test_upkeep_joins_the_files_of_the_small_tables_too(store: Store) -> None:
    store.prices.upsert(table([row(BTC, 0)]))
    causes = store.records.causes
    noted = {"cause": "not run", "reason": None, "noted_at": NOW}
    rows = [{"metric": BTC, "minute": MIDNIGHT + minute * MINUTE, **noted} for minute in range(10)]
    for each in rows:
        causes.upsert([each])
    opened = causes.open()
    assert opened is not None
    assert len(opened.file_uris()) == 10
    maintain(store)
    opened = causes.open()
    assert opened is not None
    assert len(opened.file_uris()) == 1
    assert causes.rows() == rows


def test_upkeep_leaves_a_day_of_few_files_alone(store: Store) -> None:
    for minute in range(4):
        store.prices.upsert(table([row(BTC, minute)]))
    files = store.prices.files()
    assert maintain(store) == Maintained((), 4, 4, 0, ())
    assert store.prices.files() == files


@pytest.mark.parametrize(("age", "stays"), [(timedelta(days=6, hours=22), True), (timedelta(days=7, hours=2), False)])
def test_a_replaced_file_stays_for_a_week(store: Store, age: timedelta, stays: bool) -> None:
    store.prices.upsert(table([row(BTC, 0)]))
    [replaced] = store.prices.files()
    store.prices.upsert(table([row(BTC, 0, price=11.0)]))
    age_removals(store, age)
    os.utime(replaced, (time.time() - 30 * 86400,) * 2)  # how old the file is does not matter
    done = maintain(store)
    assert Path(replaced).exists() == stays
    assert done.files_removed == (0 if stays else 1)
    for entry in log_of(store)[:-2]:
        entry.unlink()  # what the log's own clean-up does a day later: from now on the checkpoint has to know
    assert maintain(store).files_removed == 0
    assert Path(replaced).exists() == stays
    assert rows_in(store) == [row(BTC, 0, price=11.0)]


def test_upkeep_removes_in_time_what_a_killed_writer_left(store: Store) -> None:
    store.prices.upsert(table([row(BTC, 0)]))
    [live] = store.prices.files()
    old, young = Path(live).with_name("part-old.parquet"), Path(live).with_name("part-young.parquet")
    for orphan, age in ((old, timedelta(days=8)), (young, timedelta(hours=1))):
        orphan.write_bytes(Path(live).read_bytes())
        os.utime(orphan, (time.time() - age.total_seconds(),) * 2)
    os.utime(live, (time.time() - 9 * 86400,) * 2)
    assert maintain(store).files_removed == 1
    assert not old.exists()
    assert young.exists()
    assert rows_in(store) == [row(BTC, 0)]


def test_upkeep_shortens_the_log_to_a_day_and_the_table_still_reads(store: Store) -> None:
    rows = many_small_files(store)
    maintain(store)
    long_ago = {path for path in (store.prices.path / "_delta_log").iterdir() if path.is_file()}
    for path in long_ago:
        os.utime(path, (time.time() - 3 * 86400,) * 2)
    rows.append(row(BTC, 6))
    store.prices.upsert(table(rows))
    maintain(store)
    assert len(long_ago) > 12
    assert len([path for path in long_ago if path.exists()]) < 5
    assert sorted(rows_in(store)) == sorted(rows)
    assert store.prices.upsert(table([row(BTC, 7)])).inserted == 1


def test_a_writer_that_was_overtaken_tries_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.prices.upsert(table([row(BTC, 0), row(ETH, 0)]))
    opened: list[int] = []
    real: Callable[[Delta], DeltaTable] = Delta.load

    def open_and_be_overtaken(self: Delta) -> DeltaTable:
        opened_table = real(self)
        opened.append(opened_table.version())
        if len(opened) == 1:  # another process corrects the same file between this one's read and its commit
            other = store_in(store.folder.path)
            monkeypatch.setattr(Delta, "load", real)
            other.prices.upsert(table([row(ETH, 0, price=12.0)]))
            monkeypatch.setattr(Delta, "load", open_and_be_overtaken)
        return opened_table

    monkeypatch.setattr(Delta, "load", open_and_be_overtaken)
    assert store.prices.upsert(table([row(BTC, 0, price=11.0)])).updated == 1
    assert len(opened) == 2
    assert rows_in(store) == [row(BTC, 0, price=11.0), row(ETH, 0, price=12.0)]
