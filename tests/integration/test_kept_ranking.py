"""What one published file takes over from the one before, against all rows of the 24 hours, worked out in Python."""

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.publishing.full_pass import compare_in_full
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import Store, store_in

START = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
Prices = dict[tuple[str, datetime], tuple[float, float, float]]
"""Open, close and volume by metric and minute: what is stored."""

SCALES = {"K:TINY": 1e-8, "K:HUGE": 1e8, "K:STILL": 0.1, "K:FREE": 1.0, "K:PLAIN": 50.0}


def candle(metric: str, number: int) -> tuple[float, float, float]:
    """A made-up open, close and volume: one metric never moves, one opens at 0 now and then."""
    scale = SCALES[metric]
    if metric == "K:STILL":
        return scale, scale, scale
    first, last = (1 + 0.01 * ((number * step) % 97) for step in (31, 57))
    return (0.0 if metric == "K:FREE" and number % 3 == 0 else scale * first), scale * last, 1 + number % 13 / 7


def put(store: Store, stored: Prices, new: Prices) -> None:
    """Store candles; the model keeps what the store has been given last."""
    rows = [
        (metric, minute, opened, max(opened, close), min(opened, close), close, volume, 1, START)
        for (metric, minute), (opened, close, volume) in sorted(new.items())
    ]
    if rows:
        assert not store.prices.upsert(pa.table([list(each) for each in zip(*rows, strict=True)], schema=SCHEMA)).doubts
        stored |= new


def measures(opened: float, close: float, volume: float) -> dict[str, float]:
    values = {"price": close, "volume": volume, "change_absolute": close - opened}
    return values | ({"change_percentage": (close - opened) / opened * 100} if opened else {})


def expected(stored: Prices, as_of: datetime) -> dict[tuple[str, str], tuple[object, ...]]:
    """By metric and measure: stddev, mean, how many, first and last minute, last value; by exact sums."""
    series: dict[tuple[str, str], list[tuple[datetime, float]]] = {}
    for (metric, minute), values in sorted(stored.items()):
        if as_of - DAY < minute <= as_of:
            for measure, value in measures(*values).items():
                series.setdefault((metric, measure), []).append((minute, value))
    answer: dict[tuple[str, str], tuple[object, ...]] = {}
    for key, points in series.items():
        values_of = [value for _, value in points]
        mean = math.fsum(values_of) / len(values_of)
        m2 = math.fsum((value - mean) ** 2 for value in values_of) if len(set(values_of)) > 1 else 0.0
        stddev = math.sqrt(m2 / (len(values_of) - 1)) if len(values_of) > 1 else None
        largest = max(map(abs, values_of))
        close_to = pytest.approx(mean, rel=1e-9, abs=1e-12 * largest)
        deviation = stddev if not stddev else pytest.approx(stddev, rel=1e-9)
        answer[key] = (deviation, close_to, len(points), points[0][0], points[-1][0], values_of[-1])
    return answer


@contextmanager
def reading(store: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(store.folder.published), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def told(store: Store) -> dict[tuple[str, str], tuple[object, ...]]:
    with reading(store) as connection:
        rows = connection.execute(
            "SELECT metric, measure, stddev, mean, observations, first_minute, last_minute, last_value "
            "FROM metric_rank JOIN available_metrics USING (metric, measure, observations)"
        ).fetchall()
    return {(metric, measure): tuple(rest) for metric, measure, *rest in rows}


def history(store: Store) -> dict[tuple[str, str, datetime], float]:
    with reading(store) as connection:
        rows = connection.execute("SELECT metric, measure, minute, value FROM history_24h").fetchall()
    answer = {(metric, measure, minute): value for metric, measure, minute, value in rows}
    assert len(answer) == len(rows)
    return answer


def missed(store: Store) -> set[tuple[str, datetime]]:
    with reading(store) as connection:
        return set(connection.execute("SELECT metric, minute FROM missed_minutes").fetchall())


def expected_history(stored: Prices, as_of: datetime) -> dict[tuple[str, str, datetime], float]:
    return {
        (metric, measure, minute): value
        for (metric, minute), values in stored.items()
        if as_of - DAY < minute <= as_of
        for measure, value in measures(*values).items()
    }


def expected_missed(stored: Prices, as_of: datetime) -> set[tuple[str, datetime]]:
    """Minutes without a row since a metric's first one, which counts for seven days."""
    window = [as_of - i * MINUTE for i in range(1440)]
    answer = set()
    for metric in SCALES:
        of_it = [minute for each, minute in stored if each == metric and window[-1] - 7 * DAY <= minute <= as_of]
        if any(minute >= window[-1] for minute in of_it):
            answer |= {(metric, at) for at in window if at > min(of_it) and (metric, at) not in stored}
    return answer


steps = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, 2, 29, 60, 61, 1440]),  # minutes on
        st.sets(st.sampled_from(sorted(SCALES)), min_size=1),  # whose
        st.integers(0, 1500),  # a stored minute so long ago is corrected, 0: none
        st.booleans(),  # small files are joined
    ),
    min_size=3,
    max_size=7,
)


courses = given(st.sampled_from([0, 1, 30, 57, 58, 59]), st.integers(2, 5), steps)


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@courses
def test_what_is_taken_over_and_merged_says_what_all_rows_say(
    begin: int, sparse: int, course: list[tuple[int, set[str], int, bool]]
) -> None:
    follow(begin, sparse, course)


@pytest.mark.long
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@courses
def test_whatever_happens_what_is_taken_over_says_what_all_rows_say(
    begin: int, sparse: int, course: list[tuple[int, set[str], int, bool]]
) -> None:
    follow(begin, sparse, course)


def follow(begin: int, sparse: int, course: list[tuple[int, set[str], int, bool]]) -> None:
    """Store, correct, join and publish in turn, and compare each publication with all rows."""
    with tempfile.TemporaryDirectory() as folder:
        store, stored, as_of = store_in(Path(folder) / "data"), Prices(), START + begin * MINUTE
        whole = {
            (metric, as_of - i * MINUTE): candle(metric, i)
            for i in range(1, 1600)
            for metric in SCALES
            if metric != "K:PLAIN" and (metric != "K:HUGE" or i % sparse) and not 200 < i < 200 + 40 * sparse
        }
        put(store, stored, whole)
        for number, (minutes, whose, ago, joined) in enumerate(course):
            as_of += minutes * MINUTE
            new = {(metric, as_of): candle(metric, number) for metric in whose}
            for (metric, minute), (opened, close, volume) in stored.items():
                if ago and minute == as_of - ago * MINUTE and metric != "K:STILL":
                    new[metric, minute] = (opened, close * 1.5, volume + 1)
            put(store, stored, new)
            if joined:
                maintain(store)
            assert publish(store, None, now=as_of + timedelta(seconds=63)).as_of == as_of
            assert told(store) == expected(stored, as_of)
            assert missed(store) == expected_missed(stored, as_of)
        assert history(store) == expected_history(stored, as_of)
        assert compare_in_full(store, as_of + timedelta(seconds=63)) == []


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_in(tmp_path / "it's [my] 100 % données")


@pytest.fixture
def stored(store: Store) -> Prices:
    """A day and a half of one metric, as one file a day, published up to 12:29."""
    prices = Prices()
    put(store, prices, {("K:PLAIN", START + i * MINUTE): candle("K:PLAIN", i) for i in range(-2000, 30)})
    maintain(store)
    publish(store, None, now=START + 30 * MINUTE)
    return prices


def next_minute(store: Store, stored: Prices, minute: int) -> None:
    """Store the minute of the hour that comes, and publish it."""
    put(store, stored, {("K:PLAIN", START + minute * MINUTE): candle("K:PLAIN", minute)})
    assert publish(store, None, now=START + (minute + 1) * MINUTE).built


def tamper(store: Store, statement: str) -> None:
    """Change the published file as nobody may."""
    store.folder.published.chmod(0o644)
    with duckdb.connect(str(store.folder.published)) as connection:
        connection.execute(statement)


def test_whole_hours_are_not_read_again(store: Store, stored: Prices) -> None:
    for file in store.prices.files(last=START - 13 * 60 * MINUTE):  # the day before, which the window begins in
        zero_a_third(file)
    next_minute(store, stored, 30)
    assert told(store) == expected(stored, START + 30 * MINUTE)
    with pytest.raises(StoreError, match="date=2026-03-02"):
        compare_in_full(store, START + 31 * MINUTE)


def zero_a_third(file: str) -> None:
    """Make a Parquet file one that can be opened, since everything is named at its end, and not be read."""
    content = Path(file).read_bytes()
    third = len(content) // 3
    Path(file).write_bytes(b"\0" * third + content[third:])


def test_hours_are_merged_again_without_being_read_again(store: Store, stored: Prices) -> None:
    for file in store.prices.files(last=START - 13 * 60 * MINUTE):
        zero_a_third(file)
    tamper(store, "DELETE FROM kept_3.parts")
    next_minute(store, stored, 30)
    assert told(store) == expected(stored, START + 30 * MINUTE)


@pytest.mark.parametrize(
    "damaged",
    [lambda _: None, lambda _: b"", lambda content: content[:-9], lambda content: content[:-9] + b"\1" + content[-8:]],
    ids=["lost", "empty", "cut", "changed"],
)
def test_of_hours_whose_files_are_damaged_the_rows_are_read_again(
    store: Store, stored: Prices, damaged: Callable[[bytes], bytes | None]
) -> None:
    files = [*store.folder.kept_hours.iterdir()]
    assert len(files) > 23
    for file in files:
        content = damaged(file.read_bytes())
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
    tamper(store, "DELETE FROM kept_3.parts")
    for minute in (30, 31):
        next_minute(store, stored, minute)
        assert told(store) == expected(stored, START + minute * MINUTE)
    assert {file.name for file in store.folder.kept_hours.iterdir()} == {file.name for file in files}


def test_what_cannot_be_deleted_beside_kept_hours_stops_no_publication(store: Store, stored: Prices) -> None:
    (store.folder.kept_hours / "a folder").mkdir()
    next_minute(store, stored, 61)
    assert publish(store, None, now=START + 62 * MINUTE, in_full=True).built
    assert told(store) == expected(stored, START + 61 * MINUTE)


def test_files_of_hours_that_are_over_are_deleted(store: Store, stored: Prices) -> None:
    for minute in (30, 61, 125):
        next_minute(store, stored, minute)
        assert told(store) == expected(stored, START + minute * MINUTE)
    hours = {int(file.name.partition("-")[0]) for file in store.folder.kept_hours.iterdir()}
    newest = int(START.timestamp()) // 3600 + 2
    assert hours == set(range(newest - 24, newest))


def test_a_full_pass_says_where_the_ranking_differed_and_publishes_it_anew(store: Store, stored: Prices) -> None:
    store.folder.published.chmod(0o644)
    with duckdb.connect(str(store.folder.published)) as connection:
        [(content,)] = connection.execute("SELECT content FROM kept_3.parts WHERE hour IS NULL").fetchall()
        batch = pa.ipc.open_stream(content).read_next_batch()
        place = batch.schema.get_field_index("price_m2")
        wrong = batch.set_column(place, "price_m2", pa.array([batch.column(place)[0].as_py() + 1]))
        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, batch.schema) as writer:
            writer.write_batch(wrong)
        changed = {"content": stream.getvalue().to_pybytes()}
        connection.execute("UPDATE kept_3.parts SET content = $content WHERE hour IS NULL", changed)
    next_minute(store, stored, 30)
    [line] = compare_in_full(store, START + 31 * MINUTE)
    assert "price of K:PLAIN: stddev" in line
    assert "volume" not in line
    assert told(store) == expected(stored, START + 30 * MINUTE)
    assert compare_in_full(store, START + 31 * MINUTE) == []


@pytest.mark.parametrize(
    "statement", ["DROP SCHEMA kept_3 CASCADE", "DELETE FROM kept_3.hours", "UPDATE kept_3.parts SET content = 'torn'"]
)
def test_a_file_that_keeps_nothing_or_something_else_is_followed_by_one_that_does(
    store: Store, stored: Prices, statement: str
) -> None:
    tamper(store, statement)
    for minute in (30, 31):
        next_minute(store, stored, minute)
        assert told(store) == expected(stored, START + minute * MINUTE)
    with reading(store) as connection:
        assert connection.execute("SELECT count(*) FROM kept_3.hours WHERE kind = 'partials'").fetchall() == [(23,)]


def test_a_file_with_a_torn_block_is_published_over(store: Store, stored: Prices) -> None:
    content = bytearray(store.folder.published.read_bytes())
    for block in range(3 * 4096 + 100, len(content), 4096):  # behind the headers, by which a file is opened
        content[block] ^= 0xFF
    store.folder.published.chmod(0o644)
    store.folder.published.write_bytes(content)
    next_minute(store, stored, 30)
    assert told(store) == expected(stored, START + 30 * MINUTE)


def test_nothing_is_taken_from_a_file_of_another_folder(store: Store, stored: Prices, tmp_path: Path) -> None:
    other, own = store_in(tmp_path / "other"), Prices()
    put(other, own, {("K:TINY", START + i * MINUTE): candle("K:TINY", i) for i in range(-100, 31)})
    shutil.copy(store.folder.published, other.folder.published)
    assert publish(other, None, now=START + 31 * MINUTE).built
    assert told(other) == expected(own, START + 30 * MINUTE)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_value_that_is_no_number_leaves_other_metrics_alone(store: Store, stored: Prices, wrong: float) -> None:
    put(store, stored, {("K:HUGE", START - i * MINUTE): (1.0, wrong if i == 200 else 2.0, 1.0) for i in range(300)})
    next_minute(store, stored, 30)
    answer: Mapping[tuple[str, str], tuple[object, ...]] = told(store)
    assert math.isnan(float(str(answer["K:HUGE", "price"][0])))
    assert answer["K:PLAIN", "price"] == expected(stored, START + 30 * MINUTE)["K:PLAIN", "price"]
