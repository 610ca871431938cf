"""The page that one command makes of all benchmarks: rows, table, JSON, comparison, HTML."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import running
from benchmarks.__main__ import main
from benchmarks.report import margin, page
from benchmarks.results import Figure, Run, as_changes, as_table, changes, missing, of_row, read, summary, write
from benchmarks.rows import Row, absent, bounded, faster, share

PUBLISH = of_row("publish", faster("publish 1,000 metrics", "ms", 40, 240, "pandas", at_least=5))
TICK = of_row("minute", share("CPU of a tick", "s of CPU", 1.0, 2.0, "an empty run", at_most=0.4))
IMPORT = of_row("import_csv", bounded("import", "lines/s", 1_200_000, at_least=1_000_000))
SERVER = of_row("publish", absent("rank by a server", "ms", 9.0, "<= 1 x", "Debian: apt-get install victoria-metrics"))
BROKEN = Figure("serve", "serve", failed="exit status 1: OSError: <no> room")
ROWS = [PUBLISH, TICK, IMPORT, SERVER, BROKEN]
RUN = Run(
    "2026-11-27 02:40 UTC", "abc", {"cores": "2"}, {"pandas": "3.1", "polars": "absent: pip install polars"}, ROWS
)


def test_a_run_is_read_back_from_its_json_as_it_was_and_has_the_promised_keys(tmp_path: Path) -> None:
    write(RUN, tmp_path / "out" / "results.json")
    assert read(tmp_path / "out" / "results.json") == RUN
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    assert told.keys() >= {"rows", "machine", "versions", "commit"}
    promised = ("name", "ours", "peer", "ratio", "goal", "held")
    assert [tuple(row[key] for key in promised) for row in told["rows"][:3]] == [
        ("publish 1,000 metrics", 40, 240, 6.0, ">= 5 x", True),
        ("CPU of a tick", 1.0, 2.0, 0.5, "<= 0.4 x", False),
        ("import", 1_200_000, None, None, ">= 1,000,000 lines/s", True),
    ]


def test_results_of_another_version_are_read_with_what_they_have(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text('{"rows": [{"name": "old", "ours": 3, "colour": "red"}]}')
    assert read(file).rows == [Figure("", "old", ours=3)]
    file.write_text("[]")
    with pytest.raises(ValueError, match=r"results\.json is no results\.json of the benchmarks"):
        read(file)


def test_the_table_says_held_missed_absent_and_failed() -> None:
    lines = as_table(ROWS).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["held", "MISSED", "held", "compared", "FAILED"]
    assert "pandas 240  6  " in " ".join(lines[1].split()).replace(" 6 ", "  6  ")
    assert "absent: Debian: apt-get install victoria-metrics" in lines[4]
    assert "1,200,000 lines/s" in lines[3]
    assert summary(ROWS) == "2 goals held, 1 missed, 1 not compared, 1 benchmarks failed"


@pytest.mark.parametrize(
    ("row", "now", "gain"),
    [
        (PUBLISH, {"ours": 80, "peer": 480}, 1.0),  # the machine was twice as slow, for both
        (PUBLISH, {"ours": 20, "ratio": 12.0}, 2.0),
        (TICK, {"ours": 0.5, "ratio": 0.25}, 2.0),
        (TICK, {"goal": "", "held": None, "ours": 0.5, "ratio": 0.25}, 2.0),
        (replace(PUBLISH, goal="", held=None), {"ours": 20, "ratio": 12.0}, 2.0),
        (IMPORT, {"ours": 600_000}, 0.5),
        (SERVER, {"ours": 18.0}, 0.5),
    ],
)
def test_what_has_become_better_is_told_by_its_ratio_or_else_by_the_figure(
    row: Figure, now: dict[str, float], gain: float
) -> None:
    [change] = changes([replace(row, **now)], [row])  # type: ignore[arg-type]
    assert change.gain == pytest.approx(gain)


def test_a_comparison_tells_the_largest_change_first_and_what_is_no_longer_measured() -> None:
    now = [
        replace(PUBLISH, ours=48, ratio=5.0),
        replace(TICK, ours=2.0, ratio=1.0),
        Figure("import_csv", "import_csv", failed="x"),
    ]
    lines = as_changes(changes(now, ROWS)).splitlines()
    assert lines[0].startswith("2.00 x worse: CPU of a tick: 1 then, 2 s of CPU now")
    assert lines[1].startswith("1.20 x worse: publish 1,000 metrics")
    assert lines[2] == "0 of 2 figures are as before"
    assert missing(now, ROWS) == [IMPORT, SERVER]


@pytest.mark.parametrize(
    ("row", "expected"), [(PUBLISH, 1.2), (TICK, 0.8), (IMPORT, 1.2), (SERVER, None), (BROKEN, None)]
)
def test_the_margin_is_how_many_times_better_than_its_goal_a_figure_is(row: Figure, expected: float | None) -> None:
    assert margin(row) == (None if expected is None else pytest.approx(expected))


def test_the_page_is_whole_in_itself_and_shows_text_as_text() -> None:
    text = page(RUN, replace(RUN, commit="before", rows=[replace(PUBLISH, ours=120, ratio=2.0)]))
    shown = text.partition("<main>")[2]
    assert 'src="http' not in text
    assert "Plotly.newPlot" in shown
    assert "&lt;no&gt; room" in shown
    assert "<no>" not in shown
    for part in ("commit abc", "Beside before", "3.00 x better", "absent: pip install polars", "MISSED".lower()):
        assert part in shown


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of benchmarks in a place of its own, whose children find the rows of this one."""
    place = tmp_path / "benchmarks"
    place.mkdir()
    for name in ("__init__", "rows", "results", "running"):
        (place / f"{name}.py").write_text((Path(running.__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
    row = "Row('fine', 'ms', 1.0, None, None, '', None, '')"
    (place / "one.py").write_text(
        f"from benchmarks.rows import Row\ndef measure():\n    yield {row}\n    raise OSError('full')\n"
    )
    (place / "two.py").write_text(f"from benchmarks.rows import Row\ndef measure():\n    yield {row}\n")
    (place / "part.py").write_text("def measure(folder):\n    pass\n")
    (place / "later.py").write_text(
        "ON_REQUEST = 'takes long'\ndef measure(minutes=20):\n    import time; time.sleep(60)\n"
    )
    monkeypatch.setattr(running, "HERE", place)
    return place


def test_benchmarks_are_what_can_be_measured_without_arguments(folder: Path) -> None:
    assert running.benchmarks(folder) == {"later": True, "one": False, "two": False}


def test_one_that_fails_keeps_its_rows_and_costs_no_other(folder: Path) -> None:
    first, failed, second = running.all_figures(["one", "two"])
    row = Row("fine", "ms", 1.0, None, None, "", None, "")
    assert (first, second) == (of_row("one", row), of_row("two", row))
    assert (failed.benchmark, failed.ours, failed.failed) == ("one", None, "exit status 1: OSError: full")


def test_one_that_hangs_is_ended(folder: Path) -> None:
    [failed] = running.figures("later", limit=0.5)
    assert failed.failed.startswith("ended after 0 s")


def test_an_unknown_benchmark_is_named_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["publisch"])
    assert 'there is no benchmark "publisch": there are ' in capsys.readouterr().err
