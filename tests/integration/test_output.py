"""What the command line prints: every type, a million rows, a reader that leaves, a disk that is full, Ctrl-C."""

import csv
import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.cli.output import show, show_answer
from pricetracker_dagster.cli.table import TABLE_ROWS
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import open_store
from tests.commands import COMMAND
from tests.waiting import until

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def published(write_settings: Callable[[str], Path]) -> Path:
    """One minute of one metric, stored and published."""
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    store = open_store(load_settings())
    store.prices.upsert(validate_rows([("KRAKEN:BTCUSD", int(NOON.timestamp()), 1, 1, 1, 1, 1, 1)], NOON).kept)
    publish(store, None, now=NOON)
    return store.folder.published


@pytest.fixture
def printed(capsys: Capture) -> Callable[[str, str], str]:
    """Print what a statement answers, and return that."""

    def run(statement: str, output_format: str) -> str:
        with duckdb.connect() as connection:
            connection.execute("SET GLOBAL TimeZone = 'UTC'")
            show_answer(connection, lambda: connection.sql(statement), output_format)
        return capsys.readouterr().out

    return run


def row_of_json(text: str) -> Any:
    """Read one row, with its numbers as they are written."""
    [row] = json.loads(text, parse_float=Decimal, parse_constant=pytest.fail)
    return row


TYPES: Sequence[tuple[str, str | None, Any]] = [
    # expression, in CSV, in JSON
    ("9007199254740993::BIGINT", "9007199254740993", 9007199254740993),
    ("170141183460469231731687303715884105727::HUGEINT", str(2**127 - 1), 2**127 - 1),
    ("(-1)::TINYINT", "-1", -1),
    ("0.1::DECIMAL(9, 4)", "0.1000", Decimal("0.1000")),
    ("0.12345678901234567890::DECIMAL(38, 20)", "0.12345678901234567890", Decimal("0.12345678901234567890")),
    ("64000.1::DOUBLE", "64000.1", Decimal("64000.1")),
    ("1e300::DOUBLE", "1e+300", Decimal("1e+300")),
    ("0.1::FLOAT", "0.1", Decimal("0.1")),
    ("'nan'::DOUBLE", "", None),
    ("'-inf'::DOUBLE", "", None),
    ("true", "True", True),
    ("NULL::BOOLEAN", "", None),
    ("'a,b'", "a,b", "a,b"),
    ("'say \"hi\"' || chr(10) || 'é'", 'say "hi"\né', 'say "hi"\né'),
    ("''", "", ""),
    ("TIMESTAMPTZ '2026-01-01 00:00:00+02'", "2025-12-31T22:00:00Z", "2025-12-31T22:00:00Z"),
    ("TIMESTAMPTZ '2026-01-01 00:00:00.25Z'", "2026-01-01T00:00:00.250000Z", "2026-01-01T00:00:00.250000Z"),
    ("TIMESTAMP '0001-01-01 00:00:01'", "0001-01-01T00:00:01", "0001-01-01T00:00:01"),
    ("'infinity'::TIMESTAMP", "infinity", "infinity"),
    (
        "'2026-01-01 00:00:00.123456789'::TIMESTAMP_NS",
        "2026-01-01T00:00:00.123456789",
        "2026-01-01T00:00:00.123456789",
    ),
    ("DATE '9999-12-31'", "9999-12-31", "9999-12-31T00:00:00"),
    ("TIME '12:00'", "12:00:00", "12:00:00"),
    ("INTERVAL 1 DAY", "1 day", "1 day"),
    ("'ab'::BLOB", "ab", "ab"),
    ("'a'::ENUM('a', 'b')", "a", "a"),
    ("'{\"a\": 1}'::JSON", '{"a": 1}', '{"a": 1}'),
    (
        "'5ee4bb6c-9c80-4e10-8f2b-5b1f6c5f0f6d'::UUID",
        "5ee4bb6c-9c80-4e10-8f2b-5b1f6c5f0f6d",
        "5ee4bb6c-9c80-4e10-8f2b-5b1f6c5f0f6d",
    ),
    ("['x', 'y,z', NULL]", '["x", "y,z", null]', ["x", "y,z", None]),
    ("[]::INTEGER[]", "[]", []),
    ("NULL::INTEGER[]", "", None),
    ("[1.5, 'nan'::DOUBLE]", "[1.5, null]", [Decimal("1.5"), None]),
    ("[[1], NULL, []]", "[[1], null, []]", [[1], None, []]),
    ("[1, 2]::INTEGER[2]", "[1, 2]", [1, 2]),
    ("[TIMESTAMPTZ '2026-01-01 00:00:00+02']", '["2025-12-31T22:00:00Z"]', ["2025-12-31T22:00:00Z"]),
    ("[170141183460469231731687303715884105727]", None, [2**127 - 1]),
    ("[0.10::DECIMAL(4, 2)]", "[0.10]", [Decimal("0.10")]),
    ("{'k': 1, 'it''s': [NULL, true]}", '{"k": 1, "it\'s": [null, true]}', {"k": 1, "it's": [None, True]}),
    ("row(1, 'a')", '[1, "a"]', [1, "a"]),
    ("MAP {'a': [1], 'b \"c\"': NULL}", None, {"a": [1], 'b "c"': None}),
    ("MAP {DATE '2026-01-01': {'deep': [{'er': 1}]}}", None, {"2026-01-01": {"deep": [{"er": 1}]}}),
]


@pytest.mark.parametrize(("expression", "in_csv", "in_json"), TYPES)
def test_a_value_keeps_its_digits_its_zone_and_its_shape(
    printed: Callable[[str, str], str], expression: str, in_csv: str | None, in_json: Any
) -> None:
    statement = f"SELECT {expression} AS value, 1 AS one"
    assert row_of_json(printed(statement, "json")) == {"value": in_json, "one": 1}
    header, row = csv.reader(io.StringIO(printed(statement, "csv"), newline=""))
    assert header == ["value", "one"]
    if in_csv is not None:
        assert row == [in_csv, "1"]


def test_an_integer_keeps_its_digits_beside_a_null(printed: Callable[[str, str], str]) -> None:
    statement = "SELECT 9007199254740993 AS n UNION ALL SELECT NULL ORDER BY 1 NULLS LAST"
    assert printed(statement, "csv") == 'n\n9007199254740993\n""\n'  # an empty line would be no row
    assert json.loads(printed(statement, "json")) == [{"n": 9007199254740993}, {"n": None}]


def test_no_rows_are_a_header_or_an_empty_list(printed: Callable[[str, str], str]) -> None:
    assert printed('SELECT 1 AS "a,b", 2 AS c WHERE false', "csv") == '"a,b",c\n'
    assert json.loads(printed("SELECT 1 AS a WHERE false", "json")) == []


def test_columns_of_one_name_stay_two(printed: Callable[[str, str], str]) -> None:
    assert json.loads(printed("SELECT 1 AS a, 2 AS a", "json")) == [{"a": 1, "a_1": 2}]
    assert printed("SELECT 1 AS a, 2 AS a", "csv") == "a,a\n1,2\n"


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("SELECT 1 AS a; SELECT 2 AS b -- the last one answers", "b\n2\n"),
        ("CREATE TEMP TABLE x AS SELECT 3 AS a; FROM x;", "a\n3\n"),
        ("SET threads = 1", "Success\n"),
        ("SET TimeZone = 'Asia/Tokyo'; SELECT TIMESTAMPTZ '2026-01-01 00:00Z' AS t", "t\n2026-01-01T00:00:00Z\n"),
        ("DESCRIBE SELECT 1 AS a", "column_name,column_type,null,key,default,extra\na,INTEGER,YES,,,\n"),
        ("FROM (VALUES (2), (1)) AS t(a) ORDER BY a", "a\n1\n2\n"),
    ],
)
def test_statements_of_every_kind_are_answered(printed: Callable[[str, str], str], statement: str, answer: str) -> None:
    assert printed(statement, "csv") == answer


def test_the_order_of_the_rows_is_kept(printed: Callable[[str, str], str]) -> None:
    rows = printed("SELECT (range * 7919) % 200003 AS x FROM range(200003) ORDER BY x DESC", "csv").split()[1:]
    assert rows == [str(x) for x in range(200002, -1, -1)]


def test_a_table_shows_the_digits_that_the_data_have(printed: Callable[[str, str], str]) -> None:
    table = printed("SELECT 64012.9::DOUBLE - 64000 AS change, [0.1::DOUBLE + 0.2, NULL] AS list, NULL AS x", "table")
    words = [word for word in table.split() if "─" not in word]
    assert words == ["change", "list", "x", "12.9", "0.3,"]


def test_a_table_ends_with_how_many_rows_there_are_and_how_to_get_them(printed: Callable[[str, str], str]) -> None:
    lines = printed("FROM range(54321)", "table").splitlines()
    assert lines[-1] == "1,000 of 54,321 rows; all of them: --format csv, or json"
    assert [line.strip() for line in lines[3:-2]] == [str(i) for i in range(TABLE_ROWS)]
    whole = printed(f"FROM range({TABLE_ROWS})", "table")
    assert "rows" not in whole
    assert str(TABLE_ROWS - 1) in whole


def test_rows_that_python_made_are_printed_alike(capsys: Capture) -> None:
    rows = [(NOON, 0.1 + 0.2, None, ["a", "b,c"], True), (NOON, math.nan, 2, [], False)]
    columns = ["minute", "value", "n", "names", "good"]
    show(columns, rows, "json")
    assert json.loads(capsys.readouterr().out) == [
        {
            "minute": "2026-03-03T12:00:00Z",
            "value": 0.30000000000000004,
            "n": None,
            "names": ["a", "b,c"],
            "good": True,
        },
        {"minute": "2026-03-03T12:00:00Z", "value": None, "n": 2, "names": [], "good": False},
    ]
    show(columns, rows, "csv")
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        columns,
        ["2026-03-03T12:00:00Z", "0.30000000000000004", "", '["a", "b,c"]', "True"],
        ["2026-03-03T12:00:00Z", "", "2", "[]", "False"],
    ]
    show(columns, rows, "table")
    assert capsys.readouterr().out.split()[6:] == [
        *("2026-03-03T12:00:00Z", "0.3", "a,", "b,c", "True"),
        *("2026-03-03T12:00:00Z", "2", "False"),
    ]


def measured(arguments: Sequence[str]) -> tuple[int, float, float]:
    """Run a command with its output thrown away; return its exit status, seconds of CPU and peak memory in MiB."""
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)"
    )
    answer = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    status, seconds, memory = answer.stdout.split()
    return int(status), float(seconds), float(memory)


MILLION = """SELECT 'KRAKEN:BTCUSD' AS metric, TIMESTAMPTZ '2026-01-01 00:00Z' + INTERVAL (range) MINUTE AS minute,
    random() AS open, random() AS high, random() AS low, random() AS close, random() AS volume, range AS trades,
    now() AS fetched_at FROM range(1000000)"""


@pytest.mark.parametrize("output_format", ["csv", "json", "table"])
def test_a_million_rows_cost_neither_memory_nor_patience(published: Path, output_format: str) -> None:
    status, seconds, memory = measured([*COMMAND, "sql", MILLION, "--format", output_format])
    assert status == 0
    assert memory <= 250
    assert seconds < 10  # of CPU, so that a busy machine does not matter; it was 15 to 20


@pytest.mark.parametrize("output_format", ["csv", "json"])
def test_the_first_line_comes_at_once_and_a_reader_may_leave(published: Path, output_format: str) -> None:
    endless = [*COMMAND, "sql", "FROM range(10000000000000)", "--format", output_format]
    with subprocess.Popen(endless, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == ("range\n" if output_format == "csv" else '[{"range": 0},\n')
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0


@pytest.mark.usefixtures("ctrl_c_is_heeded")
@pytest.mark.parametrize(
    ("statement", "output_format"),
    [
        ("SELECT count(*) AS c FROM range(100000000) a, range(100000) b", "table"),
        ("SELECT sum(a.range * b.range) AS c FROM range(100000000) a, range(100000) b", "csv"),
        ("FROM range(10000000000000) WHERE range < 0", "json"),
    ],
)
def test_ctrl_c_ends_a_running_statement_with_one_line(
    published: Path, tmp_path: Path, statement: str, output_format: str
) -> None:
    begun = tmp_path / "begun.csv"
    command = [*COMMAND, "sql", f"COPY (SELECT 1) TO '{begun}'; {statement}", "--unlocked", "--format", output_format]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            until(begun.exists, 60, "the statement has begun")
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)  # by itself it would take hours
        finally:
            process.kill()
    assert (process.returncode, said) == (130, "Interrupted\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["sql", "SELECT 1"],
        ["sql", "FROM range(1000000)", "--format", "csv"],
        ["metrics", "--format", "json"],
        ["repair"],
        ["--help"],
        ["alerts", "backtest", "--help"],
        ["--version"],
    ],
)
def test_a_full_disk_behind_the_output_is_one_line(published: Path, arguments: Sequence[str]) -> None:
    with Path("/dev/full").open("w") as full:
        answer = subprocess.run(
            [*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (answer.returncode, answer.stderr) == (
        1,
        "Error: the output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("arguments", [["sql", "SELECT 1"], ["--help"], ["rank", "price", "--format", "csv"]])
def test_a_closed_output_is_one_line_and_nothing_is_written_into_another_file(
    published: Path, arguments: Sequence[str]
) -> None:
    before = published.read_bytes()
    answer = subprocess.run(
        ["bash", "-c", '"$@" >&-', "_", *COMMAND, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        env=dict(os.environ),
    )
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)
    assert answer.stderr.startswith("Error: standard output is closed")
    assert published.read_bytes() == before


@pytest.mark.parametrize("statement", ["-- newest\nSELECT 7 AS x", "--newest\nSELECT 7 AS x", "--a=b c\nSELECT 7 AS x"])
def test_a_statement_may_begin_with_a_comment(published: Path, statement: str) -> None:
    answer = subprocess.run(
        [*COMMAND, "sql", statement, "--format", "csv"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (answer.returncode, answer.stdout) == (0, "x\n7\n"), answer.stderr


def test_a_mistyped_option_is_still_one(published: Path) -> None:
    answer = subprocess.run(
        [*COMMAND, "sql", "--fromat", "csv", "SELECT 1"], capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 2
    assert "No such option '--fromat'" in answer.stderr


def test_reading_from_the_command_line_imports_no_pandas(published: Path) -> None:
    code = (
        "import sys\nfrom pricetracker_dagster.cli import main\n"
        "try: main(['sql', 'SELECT 1'])\nexcept SystemExit: pass\nassert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60, stdout=subprocess.DEVNULL)
