"""The figures of prices.chart(), read by their data: values, gaps, missed minutes, alerts, and what is written."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pricetracker_dagster import open_prices
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.errors import PricetrackerError, UnknownName
from pricetracker_dagster.reading.prices import Prices
from tests.published_day import AS_OF, GONE, METRICS, SPIKE, Day, publish_a_day

BITCOIN = METRICS[0]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    return publish_a_day(tmp_path_factory.mktemp("day"))


@pytest.fixture(scope="module")
def prices(day: Day) -> Prices:
    return open_prices(day.published)


@pytest.fixture
def connection(day: Day) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(day.published), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def trace(figure: Any, name: str) -> Any:
    [found] = [trace for trace in figure.data if trace.name == name]
    return found


def moments(trace: Any) -> list[datetime]:
    return [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in trace.x]


def test_a_line_has_each_value_of_the_day_at_its_minute(prices: Prices, connection: duckdb.DuckDBPyConnection) -> None:
    statement = "SELECT minute, value FROM history_24h WHERE metric = ? AND measure = ?"
    for measure in ("price", "volume", "change_absolute", "change_percentage"):
        line = trace(prices.chart(BITCOIN, measure), measure)
        drawn = {at: value for at, value in zip(moments(line), line.y, strict=True) if value is not None}
        assert drawn == dict(connection.execute(statement, [BITCOIN, measure]).fetchall())
        assert len(drawn) == 1430


def test_a_missed_minute_is_a_gap_that_no_line_crosses(prices: Prices) -> None:
    line = trace(prices.chart(BITCOIN, "price"), "price")
    assert line.connectgaps is False
    assert [at for at, value in zip(moments(line), line.y, strict=True) if value is None] == GONE
    assert moments(line) == [AS_OF - i * MINUTE for i in range(1439, -1, -1)]  # gaps have their place


def test_candles_of_some_minutes_and_their_volume_are_those_of_sql(
    prices: Prices, connection: duckdb.DuckDBPyConnection
) -> None:
    figure = prices.chart(BITCOIN, "candles")
    candles, volume = trace(figure, "price"), trace(figure, "volume")
    drawn = [
        row
        for row in zip(moments(candles), candles.open, candles.high, candles.low, candles.close, volume.y, strict=True)
        if row[1] is not None
    ]
    expected = connection.execute(
        "SELECT time_bucket(INTERVAL 5 MINUTES, minute) AS bin, first(open ORDER BY minute), max(high), min(low), "
        "last(close ORDER BY minute), sum(volume) FROM minute_prices "
        "WHERE metric = ? AND minute >= '2026-03-02 12:05Z' GROUP BY bin ORDER BY bin",
        [BITCOIN],
    ).fetchall()
    assert drawn == expected
    assert moments(volume) == moments(candles)
    # of the ten minutes that are gone, 09:54 to 10:03, one bin has nothing at all
    nothing = [at for at, value in zip(moments(candles), candles.close, strict=True) if value is None]
    assert nothing == [datetime(2026, 3, 3, 9, 55, tzinfo=UTC)]
    assert "5 minutes each" in figure.layout.title.text


def test_candles_of_a_few_hours_are_of_one_minute_and_those_of_a_week_of_more(prices: Prices) -> None:
    assert len(trace(prices.chart(BITCOIN, "candles", hours=3), "price").x) == 180
    week = moments(trace(prices.chart(BITCOIN, "candles", hours=168), "price"))
    assert {later - sooner for sooner, later in pairwise(week)} == {30 * MINUTE}
    assert week[-1] == datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
    halves = moments(trace(prices.chart(BITCOIN, "price", hours=0.5), "price"))
    assert halves == [AS_OF - i * MINUTE for i in range(29, -1, -1)]


@pytest.mark.parametrize("what", ["candles", "price", "volume"])
def test_missed_minutes_are_shaded_and_say_their_cause(prices: Prices, what: str) -> None:
    figure = prices.chart(BITCOIN, what)
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes] == [
        ("2026-03-03T09:54:00", "2026-03-03T10:00:00"),
        ("2026-03-03T10:00:00", "2026-03-03T10:04:00"),
    ]
    assert {(shape.yref, shape.y0, shape.y1) for shape in figure.layout.shapes} == {("paper", 0, 1)}
    causes = trace(figure, "missed minutes")
    assert moments(causes) == GONE
    assert causes.customdata[0] == "missed 2026-03-03 09:54 to 09:59 (6 minutes): exchange error"
    assert causes.customdata[-1] == "missed 2026-03-03 10:00 to 10:03 (4 minutes): not run"


def test_of_another_metric_and_of_a_time_without_any_nothing_is_shaded(prices: Prices) -> None:
    for figure in (prices.chart("KRAKEN:ETHUSD", "price"), prices.chart(BITCOIN, "price", hours=2)):
        assert not figure.layout.shapes
        assert [trace.name for trace in figure.data] == ["price"]


@pytest.mark.parametrize(("what", "axis"), [("volume", "y"), ("candles", "y2")])
def test_an_alert_is_marked_at_its_minute_with_value_and_average(prices: Prices, what: str, axis: str) -> None:
    alerts = trace(prices.chart(BITCOIN, what), "volume alerts")
    assert (moments(alerts), list(alerts.y), alerts.yaxis) == ([SPIKE], [301.0], axis)
    assert list(alerts.customdata[0]) == ["spike", "301", "2.25", "133.778", "firing"]  # 301 / 2.25 = 133.7777…
    assert "its average %{customdata[2]}" in alerts.hovertemplate
    assert "volume alerts" not in {trace.name for trace in prices.chart(BITCOIN, "price").data}


def test_axes_say_their_units_the_title_what_it_is_and_how_new(prices: Prices) -> None:
    layout = prices.chart(BITCOIN, "candles", hours=3).layout
    assert layout.title.text == "KRAKEN:BTCUSD · candles"
    assert layout.title.subtitle.text == "3 hours up to 2026-03-03 12:04 UTC (as_of)"
    assert layout.xaxis.title.text == "time (UTC)"
    assert layout.yaxis.title.text == "price (quote currency)"
    assert layout.yaxis2.title.text == "volume (base units)"
    assert prices.chart(BITCOIN, "change_percentage").layout.yaxis.title.text == "change_percentage (%)"


def test_numbers_on_hover_have_the_digits_that_the_data_have(prices: Prices) -> None:
    candles = trace(prices.chart("KRAKEN:GRTETH", "candles", hours=1), "price")
    i = moments(candles).index(AS_OF)  # the 1,559th minute: 1559 % 7 == 5, 1559 % 5 == 4
    assert list(candles.customdata[i]) == ["1.235e-05", "1.239e-05", "1.227e-05", "1.236e-05", "4.25", "4", "1"]
    line = trace(prices.chart(BITCOIN, "change_percentage"), "change_percentage")
    assert line.customdata[-1] == "0.0623052"  # 40 of 64200.1


def test_what_cannot_be_drawn_is_said_in_plain_words(prices: Prices) -> None:
    with pytest.raises(UnknownName, match=r"no values of KRAKEN:BTCUDS .*did you mean KRAKEN:BTCUSD\?"):
        prices.chart("KRAKEN:BTCUDS", "price")
    with pytest.raises(UnknownName, match="called candle; did you mean candles"):
        prices.chart(BITCOIN, "candle")
    for hours in (0, -1, float("nan"), 1e9):
        with pytest.raises(PricetrackerError, match="above 0"):
            prices.chart(BITCOIN, "price", hours=hours)


def test_the_name_of_the_system_before_draws_the_same(prices: Prices) -> None:
    assert trace(prices.chart(BITCOIN, "change_percent"), "change_percentage").y[-1] == pytest.approx(4000 / 64200.1)


def test_a_figure_can_be_written_as_a_page(prices: Prices, tmp_path: Path) -> None:
    prices.chart(BITCOIN, "candles").write_html(tmp_path / "chart.html", include_plotlyjs="directory")
    assert "KRAKEN:BTCUSD" in (tmp_path / "chart.html").read_text(encoding="utf-8")


def test_the_object_says_where_it_reads_and_how_new_that_is(prices: Prices, day: Day) -> None:
    assert repr(prices) == f"<prices of {day.published}: 3 metrics, up to 2026-03-03 12:04 UTC>"
