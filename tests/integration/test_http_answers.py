"""The HTTP API over a real server: each answer against SQL and pandas, its forms, its errors, what is kept of it."""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import requests

from pricetracker_dagster import open_prices
from pricetracker_dagster.reading.prices import Prices
from pricetracker_dagster.settings import CONFIG_VARIABLE, load_settings
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.web.app import build_app
from tests.market import AS_OF, METRICS, market, one_minute_more
from tests.serving import served
from tests.waiting import until

BTC = METRICS[0]
RANK = "metricsrank?measure_name=price"
HISTORY = f"historicalprices?metric_name={BTC}&measure_name=price"

Served = tuple[str, Store, Prices]


def get(url: str, **headers: str) -> requests.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(url, headers={"Accept-Encoding": "identity", **names}, timeout=20)


def rows(url: str) -> list[dict[str, Any]]:
    answer = get(url)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a market that nobody changes."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "pricetracker.toml").write_text(
        'metrics = ["KRAKEN:BTCUSD"]\n[http]\nlargest_answer = 5000\nrequests_per_second = 0\n'
    )
    store, _ = market(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CONFIG_VARIABLE, str(folder / "pricetracker.toml"))
        with served(build_app(load_settings())) as url:
            yield f"{url}/pricetracker", store, open_prices(folder / "data")


@pytest.mark.parametrize(
    ("path", "statement"),
    [
        ("metrics", "FROM available_metrics"),
        (RANK, "SELECT * FROM metric_rank WHERE measure = 'price' ORDER BY rank"),
        (
            "metricsrank?measure_name=change_percent",
            "SELECT * FROM metric_rank WHERE measure = 'change_percentage' ORDER BY rank",
        ),
        (HISTORY, f"FROM history_24h WHERE metric = '{BTC}' AND measure = 'price' ORDER BY minute"),
        (
            f"candles?metric_name={BTC}",
            f"""SELECT metric, minute, open, high, low, close, volume, trades, 1 AS minutes FROM minute_prices
            WHERE metric = '{BTC}' AND minute > TIMESTAMPTZ '2026-03-02 12:04Z' ORDER BY minute""",  # noqa: S608
        ),
        ("markets", "FROM markets ORDER BY market"),
        ("markets?market_name=ETHUSD", "FROM markets WHERE market = 'ETH/USD'"),
        (
            "markethistory?market_name=BTC/USD",
            f"""SELECT 'BTC/USD' AS market, 'KRAKEN' AS exchange, metric, minute, value AS price,
            NULL::DOUBLE AS weighted_price, NULL::DOUBLE AS deviation_bps
            FROM history_24h WHERE metric = '{BTC}' AND measure = 'price' ORDER BY minute""",  # noqa: S608
        ),
        ("missed", "FROM missed_minutes ORDER BY metric, minute"),
        ("alerts", "FROM alerts"),
        ("incidents", "FROM incidents"),
        ("snapshot", "FROM snapshot"),
    ],
)
def test_each_path_answers_what_sql_answers_in_each_form(api: Served, path: str, statement: str) -> None:
    url, _, prices = api
    expected = prices.sql(statement)
    columns = expected.columns
    json_rows = rows(f"{url}/{path}")
    told = [list(row) for row in json.loads(expected.df().to_json(orient="values", date_format="iso"))]
    assert [list(row) for row in json_rows] == [columns] * len(json_rows)
    assert len(json_rows) == len(told)
    for row, values in zip(json_rows, told, strict=True):
        for got, value in zip(row.values(), values, strict=True):
            if isinstance(value, float):
                assert got == pytest.approx(value, rel=1e-9, abs=1e-10)
            elif isinstance(value, str) and value[:2] == "20":
                assert pd.Timestamp(got) == pytest.approx(pd.Timestamp(value), abs=pd.Timedelta("1ms"))
            else:
                assert got == value
    query = "&" if "?" in path else "?"
    text = get(f"{url}/{path}{query}format=csv")
    assert text.headers["content-type"] == "text/csv; charset=utf-8"
    assert pd.read_csv(io.StringIO(text.text)).columns.tolist() == columns
    assert len(text.text.splitlines()) == len(told) + 1
    arrow = get(f"{url}/{path}", Accept="application/vnd.apache.arrow.stream")
    assert arrow.headers["content-type"] == "application/vnd.apache.arrow.stream"
    with pa.ipc.open_stream(arrow.content) as stream:
        assert stream.read_all().to_pylist() == expected.to_arrow_table().to_pylist()


def test_the_rank_has_numbers_and_the_envelope_says_up_to_when(api: Served) -> None:
    answer = get(f"{api[0]}/{RANK}").json()
    assert answer["as_of"] == "2026-03-03T12:04:00Z"
    assert [row["rank"] for row in answer["data"]] == [1, 2, 3]
    assert {row["as_of"] for row in answer["data"]} == {"2026-03-03T12:04:00Z"}


def test_ranges_and_widths(api: Served) -> None:
    url = api[0]
    found = rows(f"{url}/candles?metric_name={BTC}&start=2026-03-03T10:55Z&end=2026-03-03T11:10Z&every=5m")
    assert [(row["minute"], row["minutes"]) for row in found] == [
        ("2026-03-03T10:55:00Z", 5),
        ("2026-03-03T11:05:00Z", 5),
    ]
    hourly = rows(f"{url}/{HISTORY}&start=2026-03-02&end=2026-03-03&every=1h")
    assert [row["minute"] for row in hourly[:2]] == ["2026-03-02T00:00:00Z", "2026-03-02T01:00:00Z"]
    assert len(hourly) == 24
    with_zone = rows(f"{url}/candles?metric_name={BTC}&start=2026-03-03T12:00%2B01:00&end=2026-03-03T11:30Z&every=30m")
    assert [row["minute"] for row in with_zone] == ["2026-03-03T11:00:00Z"]


def test_the_overview_has_a_row_a_metric_with_its_change_and_shape(api: Served) -> None:
    url, _, prices = api
    day = prices.sql("FROM minute_prices WHERE minute > TIMESTAMPTZ '2026-03-02 12:04Z'").df()
    found = rows(f"{url}/overview?measure_name=price")
    ranked = [row["metric"] for row in rows(f"{url}/{RANK}")]
    assert [row["metric"] for row in found] == ranked
    for row in found:
        own = day[day["metric"] == row["metric"]].sort_values("minute").set_index("minute")["close"]
        assert row["last_value"] == own.iloc[-1]
        assert row["change_24h_percent"] == pytest.approx((own.iloc[-1] / own.iloc[0] - 1) * 100)
        ago = (AS_OF - own.index) // pd.Timedelta("30min")
        halves = own.groupby(47 - ago).mean()
        shape = ((halves - halves.min()) / (halves.max() - halves.min()) * 100).round().astype(int)
        assert row["sparkline"] == pytest.approx(list(shape), abs=1)
        assert (min(row["sparkline"]), max(row["sparkline"]), len(row["sparkline"])) == (0, 100, 48)
        assert row["firing"] == 0


@pytest.mark.parametrize(
    ("path", "status", "said", "parameter"),
    [
        ("metricsrank?measure_name=prise", 404, "no measure prise; did you mean price?", None),
        (f"{HISTORY}x", 404, "no measure pricex; did you mean price?", None),
        (
            "historicalprices?metric_name=KRAKEN:BTCUS&measure_name=price",
            404,
            "no values of KRAKEN:BTCUS in the last 24 hours; did you mean KRAKEN:BTCUSD?",
            None,
        ),
        ("candles", 422, "metric_name is missing: EXCHANGE:BASEQUOTE, e.g. KRAKEN:BTCUSD", "metric_name"),
        (
            "candles?metric_name=kraken:btcusd",
            422,
            "write EXCHANGE:BASEQUOTE, e.g. KRAKEN:BTCUSD; did you mean KRAKEN:BTCUSD?",
            "metric_name",
        ),
        (f"candles?metric_name={BTC}&every=0m", 422, 'every "0m": write whole minutes, hours or days', "every"),
        (f"candles?metric_name={BTC}&start=now", 422, 'start "now" is no time between 1970 and 2999', "start"),
        (f"candles?metric_name={BTC}&start=2026-03-04&end=2026-03-03", 422, "is not before end", "start"),
        (
            f"candles?metric_name={BTC}&start=2026-01-01",
            422,
            "rows, at most 5,000 are given",
            "every",
        ),
        ("alerts?since=x", 422, 'since "x" is no time', "since"),
        ("alerts?open=perhaps", 422, 'open "perhaps": write true or false', "open"),
        ("metrics?format=xml", 422, 'format "xml": write json, csv or arrow', "format"),
        ("metrics?fromat=csv", 422, 'there is no parameter "fromat"; did you mean format?', "fromat"),
        ("metric", 404, "there is nothing at /pricetracker/metric: /docs lists what there is", None),
    ],
)
def test_what_is_wrong_is_told_as_problem_details(
    api: Served, path: str, status: int, said: str, parameter: str | None
) -> None:
    answer = get(f"{api[0]}/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    told = answer.json()
    assert (told["status"], told.get("parameter")) == (status, parameter)
    assert said in told["detail"]
    assert "etag" not in answer.headers


def test_other_methods_are_refused_and_head_has_the_headers_alone(api: Served) -> None:
    url = f"{api[0]}/{RANK}"
    assert requests.post(url, timeout=20).status_code == 405
    head, whole = requests.head(url, headers={"Accept-Encoding": "identity"}, timeout=20), get(url)
    assert head.content == b""
    assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))


def test_compressed_and_plain_are_the_same_and_a_weight_of_0_is_a_no(api: Served) -> None:
    url = f"{api[0]}/{HISTORY}"
    plain, small = get(url), requests.get(url, headers={"Accept-Encoding": "gzip"}, timeout=20, stream=True)
    raw = small.raw.read(decode_content=False)
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) == len(raw) < len(plain.content) / 3
    assert gzip.decompress(raw) == plain.content
    assert "content-encoding" not in get(url, Accept_Encoding="gzip;q=0").headers
    assert "Accept-Encoding" in plain.headers["vary"]


def test_what_is_unchanged_is_a_304_and_a_new_file_is_noticed_within_a_second(
    tmp_path: Path, write_settings: Callable[[str], Path]
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0')
    with served(build_app(load_settings())) as url:
        empty = get(f"{url}/pricetracker/{RANK}")
        assert (empty.status_code, empty.headers["retry-after"]) == (503, "10")
        assert "nothing is published yet" in empty.json()["detail"]
        store, _ = market(tmp_path / "data", days=1)
        first = until(lambda: _ok(get(f"{url}/pricetracker/{RANK}")), 10, "the first file is served")
        etag = first.headers["etag"]
        same = get(f"{url}/pricetracker/{RANK}", If_None_Match=f'"other", {etag}')
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
        assert get(f"{url}/pricetracker/{RANK}", If_None_Match='W/"other"').status_code == 200
        minute = one_minute_more(store, AS_OF)
        until(
            lambda: get(f"{url}/pricetracker/{RANK}", If_None_Match=etag).status_code == 200, 5, "it is noticed", 0.02
        )
        assert get(f"{url}/pricetracker/{RANK}").json()["as_of"] == f"{minute:%Y-%m-%dT%H:%M:%SZ}"
        store.folder.published.chmod(0o600)
        store.folder.published.write_bytes(b"torn")  # readers go on with what they have
        one = get(f"{url}/pricetracker/{RANK}")
        assert (one.status_code, one.json()["as_of"]) == (200, f"{minute:%Y-%m-%dT%H:%M:%SZ}")
        later = one_minute_more(store, minute)
        until(
            lambda: get(f"{url}/pricetracker/snapshot").json()["as_of"] == f"{later:%Y-%m-%dT%H:%M:%SZ}",
            5,
            "the next file is served",
        )


def test_a_long_answer_is_streamed_in_each_form(
    tmp_path: Path, write_settings: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pricetracker_dagster.web.answers.WHOLE_BYTES", 100_000)
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0')
    _, candles = market(tmp_path / "data", days=7, metrics=METRICS[:1])
    begin = candles["minute"].min() - timedelta(hours=1)
    with served(build_app(load_settings())) as url:
        address = f"{url}/pricetracker/candles?metric_name={BTC}&start={begin:%Y-%m-%dT%H:%MZ}"
        for accept in ("gzip", "identity"):
            answer = get(address, Accept_Encoding=accept)
            assert answer.headers.get("transfer-encoding") == "chunked"
            assert len(answer.json()["data"]) == len(candles)
        text = get(f"{address}&format=csv", Accept_Encoding="gzip").text
        assert list(pd.read_csv(io.StringIO(text))["close"]) == pytest.approx(list(candles["close"]), rel=1e-12)
        with pa.ipc.open_stream(get(f"{address}&format=arrow").content) as stream:
            assert stream.read_all().num_rows == len(candles)


def test_what_takes_too_long_is_a_503_that_says_so(tmp_path: Path, write_settings: Callable[[str], Path]) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[http]\nrequests_per_second = 0\ntimeout_seconds = 0.5\n')
    market(tmp_path / "data", days=1)
    with served(build_app(load_settings())) as url, pytest.MonkeyPatch.context() as patch:
        slow = (
            "SELECT count(*) FROM range(1000000) a, range(9000) b WHERE a.range * b.range % 7 = 3 AND $metric IS NULL"
        )
        patch.setattr("pricetracker_dagster.reading.questions.sql.load", lambda _: slow)
        answer = get(f"{url}/pricetracker/missed")
        assert answer.status_code == 503
        assert "longer than 0.5 s (http.timeout_seconds)" in answer.json()["detail"]
        patch.undo()
        until(lambda: get(f"{url}/pricetracker/missed").status_code == 200, 20, "what is quick is answered")


def _ok(answer: requests.Response) -> requests.Response | None:
    return answer if answer.status_code == 200 else None
