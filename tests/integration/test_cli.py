"""The command line, against a real store and the simulated exchange."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from pricetracker_dagster.candles.minutes import MINUTE, newest_closed_minute
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.simulator import Simulator
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import open_store
from tests.commands import pricetracker as in_its_own_process
from tests.commands import pricetracker_here as pricetracker

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
CLOSES = {"KRAKEN:BTCUSD": [64000.1, 64000.3, 64000.2], "KRAKEN:ETHUSD": [3200.0, 3210.0, 3220.0]}


@pytest.fixture
def published(write_settings: Callable[[str], Path]) -> Path:
    """Three minutes of two metrics, stored and published."""
    write_settings('metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]')
    store = open_store(load_settings())
    rows = [
        (metric, int((NOON + i * MINUTE).timestamp()), close, close, close, close, i, i)
        for metric, closes in CLOSES.items()
        for i, close in enumerate(closes)
    ]
    later = NOON + 3 * MINUTE  # when all three are over
    store.prices.upsert(validate_rows(rows, later).kept)
    publish(store, list(CLOSES), now=later)
    return store.folder.published


@pytest.fixture
def exchange(
    write_settings: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Simulator, Callable[[Sequence[str]], Path]]]:
    """A simulated exchange of the present, and a way to list metrics."""

    def listed(metrics: Sequence[str]) -> Path:
        return write_settings(
            f"simulated = true\nmetrics = {json.dumps(list(metrics))}\n[collect]\nbudget_seconds = 10"
        )

    with Simulator() as simulator:
        monkeypatch.setenv("PRICETRACKER_EXCHANGES__SIMULATED__URL", simulator.url)
        yield simulator, listed


def test_history_as_csv_has_every_digit_and_utc_times(published: Path) -> None:
    answer = in_its_own_process("history", "KRAKEN:BTCUSD", "price", "--format", "csv")
    assert answer.returncode == 0, answer.stderr
    rows = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert rows[0] == {
        "metric": "KRAKEN:BTCUSD",
        "measure": "price",
        "minute": "2026-03-03T12:00:00Z",
        "value": "64000.1",
    }
    assert [float(row["value"]) for row in rows] == CLOSES["KRAKEN:BTCUSD"]


def test_rank_as_json_is_an_array_of_rows(published: Path) -> None:
    rows = json.loads(pricetracker("rank", "price", "--format", "json").stdout)
    assert [(row["rank"], row["of"], row["metric"]) for row in rows] == [
        (1, 2, "KRAKEN:ETHUSD"),
        (2, 2, "KRAKEN:BTCUSD"),
    ]
    assert rows[0]["stddev"] == 10.0  # of 3200, 3210, 3220, by hand
    assert rows[0]["as_of"] == "2026-03-03T12:02:00Z"
    [pi] = json.loads(pricetracker("sql", "SELECT pi() AS pi, NULL AS nothing", "--format", "json").stdout)
    assert pi == {"pi": 3.141592653589793, "nothing": None}


@pytest.mark.parametrize("name", ["BTCUSD", "BTC/USD"])
def test_markets_shows_one_market_by_its_name_with_or_without_a_slash(published: Path, name: str) -> None:
    [row] = json.loads(pricetracker("markets", name, "--format", "json").stdout)
    assert (row["market"], row["exchange"], row["last_price"], row["volume_24h"]) == ("BTC/USD", "KRAKEN", 64000.2, 3.0)
    assert pricetracker("markets", name).returncode == 0
    both = csv.DictReader(io.StringIO(pricetracker("markets", "--format", "csv").stdout))
    assert [each["market"] for each in both] == ["BTC/USD", "ETH/USD"]


@pytest.mark.parametrize(
    ("name", "hint"), [("BTCUDS", "did you mean BTC/USD?"), ("btcusd", "did you mean BTC/USD?"), ("X", "there is BTC/")]
)
def test_an_unknown_market_is_status_2_and_what_is_like_it(published: Path, name: str, hint: str) -> None:
    answer = pricetracker("markets", name)
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"Error: no market {name}; {hint}")


def test_json_has_only_what_json_can_write(published: Path) -> None:
    statement = """SELECT 'NaN'::DOUBLE AS nan, 'inf'::DOUBLE AS inf, [1, 2] AS list, {'a': 0.1} AS struct,
        DATE '2026-03-03' AS day, 12345678901234567.89::DECIMAL(20, 2) AS exact,
        TIMESTAMPTZ '2026-03-03 12:00:00.25+00' AS moment, true AS yes"""
    [row] = json.loads(pricetracker("sql", statement, "--format", "json").stdout, parse_constant=pytest.fail)
    assert row == {
        "nan": None,
        "inf": None,
        "list": [1, 2],
        "struct": {"a": 0.1},
        "day": "2026-03-03T00:00:00",  # a day is a timestamp to pandas
        "exact": 12345678901234567.89,
        "moment": "2026-03-03T12:00:00.250000Z",
        "yes": True,
    }


def test_what_a_table_holds_is_printed_as_it_is(published: Path) -> None:
    table = pricetracker("sql", "SELECT '[bold]x[/bold]' AS \"[red]\", NULL AS nothing, 1 AS one").stdout
    assert [line.split() for line in table.splitlines() if line.strip(" ─")] == [
        ["[red]", "nothing", "one"],
        ["[bold]x[/bold]", "1"],
    ]


def test_a_piped_table_has_whole_lines(published: Path) -> None:
    table = pricetracker("rank", "price").stdout
    line = next(line for line in table.splitlines() if "ETHUSD" in line)
    assert line.split() == [
        "price",
        "1",
        "2",
        "KRAKEN:ETHUSD",
        "10",
        "3210",
        "0.003115264798",
        "3",
        "2026-03-03T12:02:00Z",
    ]


def test_metrics_lists_what_has_values(published: Path) -> None:
    rows = json.loads(pricetracker("metrics", "--format", "json").stdout)
    assert {(row["metric"], row["measure"]) for row in rows} == {
        (metric, measure)
        for metric in CLOSES
        for measure in ("price", "volume", "change_absolute", "change_percentage")
    }


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ("history", "KRAKEN:BTCUS", "price"),
            "no values of KRAKEN:BTCUS in the last 24 hours; did you mean KRAKEN:BTCUSD?",
        ),
        (("history", "NOPE", "price"), "there is KRAKEN:BTCUSD, KRAKEN:ETHUSD"),
        (("history", "KRAKEN:BTCUSD", "vol"), "no measure vol; did you mean volume?"),
        (("rank", "close"), "no measure close; there is price, volume, change_absolute, change_percentage"),
    ],
)
def test_an_unknown_name_is_status_2_and_what_there_is(published: Path, command: tuple[str, ...], said: str) -> None:
    answer = pricetracker(*command)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert said in answer.stderr


@pytest.mark.parametrize(
    ("statement", "said"),
    [("SELEC 1", "syntax error"), ("FROM nowhere", "nowhere"), ("DELETE FROM metric_rank", "read-only")],
)
def test_a_statement_that_cannot_be_answered_is_an_error_without_a_trace(
    published: Path, statement: str, said: str
) -> None:
    answer = pricetracker("sql", statement)
    assert answer.returncode == 1
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_error_of_the_database_is_one_line_without_the_statement(published: Path) -> None:
    answer = pricetracker("sql", "SELECT measure,\n  rnk\nFROM metric_rank")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.count("\n") == 1
    assert 'Candidate bindings: "rank"' in answer.stderr
    assert "LINE" not in answer.stderr


@pytest.mark.parametrize("statement", ["", " ; ", "/* nothing */"])
def test_an_empty_statement_is_wrong_use(published: Path, statement: str) -> None:
    answer = pricetracker("sql", statement)
    assert answer.returncode == 2
    assert 'the statement is empty: write e.g. "FROM metric_rank"' in answer.stderr


@pytest.mark.parametrize("output_format", ["table", "csv"])
def test_a_reader_that_has_seen_enough_is_no_error(published: Path, output_format: str) -> None:
    command = (
        f"{sys.executable} -W ignore -m pricetracker_dagster.cli sql 'FROM range(20000)' "
        f"--format {output_format} | head -n 1"
    )
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (answer.stdout.strip(), answer.stderr) == ("range" if output_format == "csv" else "", "")


@pytest.mark.parametrize(
    "statement", ["COPY (SELECT 1) TO 'there.csv'", "SET threads = 1", "FROM read_text('/etc/hostname')"]
)
def test_a_statement_reaches_other_files_and_sets_the_engine_only_unlocked(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.chdir(tmp_path)
    locked = pricetracker("sql", statement)
    assert locked.returncode == 1
    assert locked.stderr.startswith("Error: ")
    assert locked.stderr.endswith(
        "a statement reaches the published tables alone, and sets nothing; with --unlocked it may\n"
    )
    assert not (tmp_path / "there.csv").exists()
    assert pricetracker("sql", "--unlocked", statement).returncode == 0
    assert (tmp_path / "there.csv").exists() == ("COPY" in statement)


def test_before_anything_is_published_it_says_what_to_run(write_settings: Callable[[str], Path]) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    answer = pricetracker("rank", "price")
    assert answer.returncode == 1
    assert "nothing is published at" in answer.stderr
    assert "run `pricetracker up` or `pricetracker tick` first" in answer.stderr


def test_simulated_prices_are_never_shown_as_real_ones(write_settings: Callable[[str], Path]) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    invented = open_store(load_settings(simulated=True))
    invented.prices.upsert(validate_rows([("SIMULATED:BTCUSD", int(NOON.timestamp()), 1, 1, 1, 1, 1, 1)], NOON).kept)
    publish(invented, None, now=NOON)
    publish(open_store(load_settings()), None, now=NOON)  # as a tick that failed has left it: empty
    answer = pricetracker("metrics")
    assert answer.returncode == 1
    assert "Simulated prices are there: pricetracker --simulated" in answer.stderr
    assert pricetracker("--simulated", "metrics").returncode == 0


def test_a_folder_that_cannot_be_made_is_named_in_one_line(write_settings: Callable[[str], Path]) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\ndata = "/proc/nowhere"')
    answer = pricetracker("tick")
    assert answer.returncode == 1
    assert answer.stderr.startswith("Error: /proc/nowhere")
    assert answer.stderr.count("\n") == 1


def test_a_tick_by_hand_says_one_line(exchange: tuple[Simulator, Callable[[Sequence[str]], Path]]) -> None:
    _, listed = exchange
    listed(["KRAKEN:BTCUSD"])
    answer = pricetracker("tick")
    assert answer.returncode == 0
    assert answer.stdout.count("\n") == 1
    assert answer.stderr == ""


def test_a_mistake_in_the_settings_is_one_line(write_settings: Callable[[str], Path]) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD", "KRAKEN:BTCUSD"]')
    answer = pricetracker("metrics")
    assert answer.returncode == 1
    assert answer.stderr == 'Error: pricetracker.toml: metrics[1] "KRAKEN:BTCUSD" is listed twice: remove one\n'


def test_a_tick_is_recorded_and_a_metric_added_to_the_file_is_in_the_next_one(
    exchange: tuple[Simulator, Callable[[Sequence[str]], Path]],
) -> None:
    _, listed = exchange
    listed(["KRAKEN:BTCUSD"])
    assert pricetracker("tick").returncode == 0
    listed(["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"])
    assert pricetracker("tick").returncode == 0
    settings = load_settings()
    assert set(open_store(settings).prices.newest(["SIMULATED:BTCUSD", "SIMULATED:ETHUSD"], NOON)) == {
        "SIMULATED:BTCUSD",
        "SIMULATED:ETHUSD",
    }
    with dg.DagsterInstance.from_config(str(settings.folder / "dagster")) as instance:
        statuses = [record.dagster_run.status for record in instance.get_run_records()]
    assert statuses == [dg.DagsterRunStatus.SUCCESS] * 2


def test_a_tick_with_a_wrong_pair_stores_the_others_and_fails_naming_its_place(
    exchange: tuple[Simulator, Callable[[Sequence[str]], Path]],
) -> None:
    _, listed = exchange
    listed(["KRAKEN:BTCUSD", "KRAKEN:BTCUDS"])
    answer = pricetracker("tick")
    assert answer.returncode == 1
    assert 'pricetracker.toml: metrics[1] "KRAKEN:BTCUDS": no such pair on SIMULATED; did you mean' in answer.stderr
    assert list(open_store(load_settings()).prices.newest(["SIMULATED:BTCUSD", "SIMULATED:BTCUDS"], NOON)) == [
        "SIMULATED:BTCUSD"
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tick", "--minute", "2026-03-03T12:00:30Z"), "is not a whole minute"),
        (("tick", "--minute", "2999-01-01T00:00Z"), "is not over yet; the newest closed minute is"),
        (("tick", "--minute", "noon"), "'noon' is not a time: write e.g. 2026-11-24T12:04Z"),
        (("backfill",), "say either --from ISO [--to ISO] or --hours N"),
        (("backfill", "--hours", "2", "--from", "2026-03-03"), "say either --from ISO [--to ISO] or --hours N"),
        (
            ("backfill", "--from", "2026-03-04", "--to", "2026-03-03"),
            "--from 2026-03-04 00:00 is after --to 2026-03-03 00:00",
        ),
        (("backfill", "--from", "2026-03-04", "--to", "2999-03-03"), "is not over yet"),
        (("up", "--live", "--simulated"), "--live and --simulated contradict each other"),
    ],
)
def test_wrong_use_is_status_2_with_the_way_out(published: Path, arguments: tuple[str, ...], said: str) -> None:
    answer = pricetracker(*arguments)
    assert answer.returncode == 2
    assert said in answer.stderr


def test_a_backfill_goes_on_where_it_was_and_names_what_stays_missing(
    exchange: tuple[Simulator, Callable[[Sequence[str]], Path]],
) -> None:
    simulator, listed = exchange
    listed(["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"])
    last = newest_closed_minute(datetime.now(UTC)) - 5 * MINUTE
    span = ("--from", f"{last - timedelta(hours=3) + MINUTE:%Y-%m-%dT%H:%MZ}", "--to", f"{last:%Y-%m-%dT%H:%MZ}")
    delisted = simulator.faults.add("delisted", pair="ETHUSD")
    partly = pricetracker("backfill", *span)
    assert partly.returncode == 1
    assert "180 minutes added" in partly.stdout
    assert "SIMULATED:ETHUSD:" in partly.stderr
    assert "no such pair on SIMULATED" in partly.stderr
    simulator.faults.remove(delisted)
    (load_settings().state / "simulated_pairs.json").unlink()
    rest = pricetracker("backfill", *span)
    assert (rest.returncode, "180 minutes added" in rest.stdout) == (0, True)
    again = pricetracker("backfill", *span)
    assert (again.returncode, "0 minutes added, 0 corrected" in again.stdout) == (0, True)


def test_recorded_files_are_imported_and_ranked(recorded: Path, write_settings: Callable[[str], Path]) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    files = sorted((recorded / "ohlcvt").glob("*.csv"))
    answer = pricetracker("import", *map(str, files))
    assert answer.returncode == 0, answer.stderr
    assert "XBTUSDT_1.csv: KRAKEN:BTCUSDT: 1,798 minutes, 584 of them" in answer.stdout
    rows = json.loads(pricetracker("sql", "SELECT count(*) AS n FROM metric_rank", "--format", "json").stdout)
    assert rows == [{"n": 6 * 4}]


def test_a_file_that_is_not_krakens_is_refused_and_the_others_are_imported(
    recorded: Path, write_settings: Callable[[str], Path], tmp_path: Path
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    hourly = tmp_path / "XBTUSD_60.csv"
    hourly.write_text("1678147200,1,1,1,1,1,1\n")
    answer = pricetracker("import", str(recorded / "ohlcvt/XBTUSD_1.csv"), str(hourly))
    assert answer.returncode == 1
    assert "candles of 60 minutes; take the file XBTUSD_1.csv" in answer.stderr
    assert open_store(load_settings()).prices.rows() == 1800  # a line a minute of the other file


def imported_by(*command: str) -> set[str]:
    """The modules that a command imports."""
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-W", "ignore", "-m", "pricetracker_dagster.cli", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-500:]
    return {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}


@pytest.mark.parametrize(
    "command",
    [
        ["rank", "price"],
        ["history", "KRAKEN:BTCUSD", "price"],
        ["metrics"],
        ["markets", "BTCUSD"],
        ["alerts"],
        ["incidents"],
    ],
)
def test_a_reading_command_does_not_import_pandas(published: Path, command: list[str]) -> None:
    imported = imported_by(*command)
    assert "duckdb" in imported
    assert not imported & {"pandas", "dagster"}


def test_a_tick_does_not_import_pandas(exchange: tuple[Simulator, Callable[[Sequence[str]], Path]]) -> None:
    _, listed = exchange
    listed(["KRAKEN:BTCUSD"])
    imported = imported_by("tick")
    assert "deltalake" in imported
    assert not imported & {"pandas", "matplotlib"}
