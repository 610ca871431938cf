"""Every command under every state of a data folder that goes wrong: an exit status, a line, never a traceback."""

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pricetracker_dagster import open_prices
from pricetracker_dagster.cli import main
from pricetracker_dagster.settings import CONFIG_VARIABLE, load_settings
from pricetracker_dagster.simulator import Simulator
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import store_in
from tests.commands import COMMAND

METRIC = "SIMULATED:BTCUSD"
HOUR_AGO = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%MZ}"

WRITE = {
    "tick": ["tick"],
    "backfill": ["backfill", "--from", HOUR_AGO],
    "import": ["import", "XBTUSD_1.csv"],
}
READ = {
    "metrics": ["metrics"],
    "rank": ["rank", "price"],
    "history": ["history", METRIC, "price"],
    "sql": ["sql", "SELECT count(*) FROM minute_prices"],
    "sql incidents": ["sql", "FROM incidents"],
    "alerts": ["alerts"],
    "incidents": ["incidents"],
}
OTHERS = {
    "backtest": ["alerts", "backtest", "--from", HOUR_AGO],
    "repair": ["repair"],
    "repair --yes": ["repair", "--yes"],
    # these end with 1 already since nothing runs, and no channel is set
    "status": ["status"],
    "watch": ["watch"],
    "alerts test": ["alerts", "test"],
}
COMMANDS = WRITE | READ | OTHERS
ALWAYS_1 = {"status", "watch", "alerts test"}


def newest(folder: Path, table: str) -> Path:
    return max((folder / table / "_delta_log").glob("*.json"))


def sound(folder: Path) -> None:
    assert folder.is_dir()


def torn(folder: Path) -> None:
    newest(folder, "minute_prices").write_bytes(newest(folder, "minute_prices").read_bytes()[:200])


def torn_incidents(folder: Path) -> None:
    newest(folder, "incidents").write_bytes(b"")


def gone(folder: Path) -> None:
    for file in store_in(folder).prices.files():
        Path(file).unlink()


def empty_checkpoint(folder: Path) -> None:
    table = store_in(folder).prices.open()
    assert table is not None
    table.create_checkpoint()
    (folder / "minute_prices" / "_delta_log" / f"{table.version():020}.checkpoint.parquet").write_bytes(b"")


def damaged_published(folder: Path) -> None:
    (folder / "pricetracker.duckdb").chmod(0o644)
    (folder / "pricetracker.duckdb").write_bytes(b"no database")


def damaged_database(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = bytearray((folder / "dagster" / name).read_bytes())
        content[:200] = b"x" * 200
        (folder / "dagster" / name).write_bytes(content)

    return damage


def runs_db_a_folder(folder: Path) -> None:
    (folder / "dagster" / "history" / "runs.db").unlink()
    (folder / "dagster" / "history" / "runs.db").mkdir()


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"")


def not_there(folder: Path) -> None:
    shutil.rmtree(folder)


def moved(folder: Path) -> None:
    old = folder.with_name("old place")
    folder.rename(old)
    publish(store_in(old), [METRIC], now=datetime.now(UTC))
    shutil.copytree(old, folder)
    shutil.rmtree(old)


@dataclass(frozen=True)
class Fault:
    """A state of the data folder.

    Attributes:
        make: brings it about.
        fails: the commands that end with exit status 1 by it.
        says: what each of these has to say.
    """

    make: Callable[[Path], None]
    fails: set[str] = field(default_factory=set)
    says: str = ""


FAULTS = {
    "sound": Fault(sound),
    "a torn commit": Fault(torn, {*WRITE, "backtest", "repair"}, "_delta_log/"),
    "a torn small table": Fault(torn_incidents, {"repair"}, "incidents"),
    "a missing data file": Fault(gone, {*WRITE, "history", "sql", "backtest", "repair"}, ".parquet"),
    "an empty checkpoint": Fault(empty_checkpoint, {*WRITE, "backtest", "repair"}, ".checkpoint.parquet"),
    "a damaged published file": Fault(damaged_published, {*READ, "repair"}, "pricetracker.duckdb"),
    "a damaged runs.db": Fault(damaged_database("history/runs.db"), {"tick", "repair"}, "runs.db"),
    "a damaged index.db": Fault(damaged_database("history/runs/index.db"), {"tick", "repair"}, "index.db"),
    "a damaged schedules.db": Fault(damaged_database("schedules/schedules.db"), {"tick", "repair"}, "schedules.db"),
    "a folder for runs.db": Fault(runs_db_a_folder, {"tick", "repair"}, "is no file"),
    "a file for a folder": Fault(a_file, set(COMMANDS) - ALWAYS_1, "is a file"),
    "nothing there": Fault(not_there, {*READ, "repair", "repair --yes"}, "yet"),
    "a moved folder": Fault(moved, {"repair"}, "moved or copied"),
}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A data folder in which a tick has run, with an incident; the exchange goes on answering."""
    place = tmp_path_factory.mktemp("grown")
    with pytest.MonkeyPatch.context() as patch, Simulator() as simulator:
        patch.setenv("PRICETRACKER_EXCHANGES__SIMULATED__URL", simulator.url)
        _settings_in(place, patch)
        ended = CliRunner().invoke(main, ["tick"])
        assert ended.exit_code == 0, ended.output
        folder, now = load_settings().folder, datetime.now(UTC)
        times = dict.fromkeys(("first", "last", "opened_at", "resolved_at"), now)
        incident = {"id": "1", "state": "resolved", "cause": "not run", "reason": "", "count": 1, "missing": 0}
        for count in (1, 2):
            store_in(folder).records.incidents.upsert([incident | times | {"metrics": [METRIC], "count": count}])
        yield folder, simulator.url


def _settings_in(place: Path, patch: pytest.MonkeyPatch) -> None:
    settings = place / "pricetracker.toml"
    settings.write_text(
        'simulated = true\nmetrics = ["KRAKEN:BTCUSD"]\n[collect]\nbudget_seconds = 5\n', encoding="utf-8"
    )
    patch.setenv(CONFIG_VARIABLE, str(settings))


@pytest.fixture
def folder(grown: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in force, with a file to import beside."""
    _settings_in(tmp_path, monkeypatch)
    monkeypatch.setenv("PRICETRACKER_EXCHANGES__SIMULATED__URL", grown[1])
    monkeypatch.chdir(tmp_path)
    copy = load_settings().folder
    shutil.copytree(grown[0], copy)
    publish(store_in(copy), [METRIC], now=datetime.now(UTC))
    minute = int(min(row[0] for row in _minutes(copy)).timestamp())
    (tmp_path / "XBTUSD_1.csv").write_text(f"{minute},1,1,1,1,1,1\n", encoding="ascii")
    return copy


def _minutes(folder: Path) -> list[tuple[datetime]]:
    frame = open_prices(folder / "pricetracker.duckdb").sql("SELECT minute FROM minute_prices").df()
    return [(moment.to_pydatetime(),) for moment in frame["minute"]]


def check(ended: Result, what: str) -> None:
    """No traceback, no exception that went through, and no more lines than one would read."""
    assert ended.exception is None or isinstance(ended.exception, SystemExit), (what, ended.exception)
    check_lines(ended.stderr, ended.output, what)


def check_lines(stderr: str, output: str, what: str) -> None:
    """No traceback, and no more lines than one would read."""
    assert "Traceback" not in output, what
    assert "panicked" not in output, what
    assert len(stderr.splitlines()) <= 3, (what, stderr)
    for named in ("sqlalche.me", "[SQL:", "DeltaError", "LINE 1", "_internal", "pricetracker_dagster."):
        assert named not in stderr, (what, stderr)


SAME_AS_RUNS_DB = ("a damaged index.db", "a damaged schedules.db")


@pytest.mark.parametrize(
    "fault", [pytest.param(each, marks=[pytest.mark.long] * (each in SAME_AS_RUNS_DB)) for each in FAULTS]
)
def test_every_command_says_in_a_line_or_two_what_is_wrong(folder: Path, tmp_path: Path, fault: str) -> None:
    FAULTS[fault].make(folder)
    saved = tmp_path / "saved"
    if folder.is_dir():
        shutil.copytree(folder, saved)
    for name, command in COMMANDS.items():
        if saved.exists():
            shutil.rmtree(folder)
            shutil.copytree(saved, folder)
        elif folder.is_dir():
            shutil.rmtree(folder)
        ended = CliRunner().invoke(main, command)
        what = f"{name}: {ended.output}"
        check(ended, what)
        fails = name in FAULTS[fault].fails
        assert ended.exit_code == (1 if fails or name in ALWAYS_1 else 0), what
        if fails:
            assert FAULTS[fault].says in ended.output, what
            assert name.startswith("repair") or ended.stderr.startswith(("Error: ", "Warning: ")), what


def test_debug_shows_the_traceback_beside_the_line(folder: Path) -> None:
    torn(folder)
    ended = CliRunner().invoke(main, ["--debug", "backfill", "--from", HOUR_AGO])
    assert "Traceback" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("Error: the table minute_prices is damaged")


@pytest.mark.parametrize("database", ["history/runs.db", "schedules/schedules.db"])
def test_after_the_repair_of_a_database_ticks_go_on(folder: Path, database: str) -> None:
    damaged_database(database)(folder)
    assert CliRunner().invoke(main, ["tick"]).exit_code == 1
    assert CliRunner().invoke(main, ["repair", "--yes"]).exit_code == 0
    ended = CliRunner().invoke(main, ["tick"])
    assert ended.exit_code == 0, ended.output


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """Put the folder on a disk of its own, of so many bytes.

    Only root may; the test is skipped where it cannot.
    """
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a disk of its own for the test")
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Write until the disk has no room left."""
    with (folder / "fill").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65536))


ON_A_DISK = {
    "read-only": {*WRITE},
    "full": {*WRITE},
}


@pytest.mark.parametrize("state", ON_A_DISK)
@pytest.mark.long
def test_a_full_or_read_only_disk_is_one_line_of_every_command(folder: Path, state: str) -> None:
    with mounted(folder, 30_000_000):
        if state == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        else:
            fill(folder)
            assert shutil.disk_usage(folder).free == 0
        for name, command in COMMANDS.items():
            ended = CliRunner().invoke(main, command)
            what = f"{name}: {ended.output}"
            check(ended, what)
            fails = name in ON_A_DISK[state]
            assert ended.exit_code == (1 if fails or name in ALWAYS_1 else 0), what
            if fails:
                assert ("read-only" in what.lower()) if state == "read-only" else ("is full" in what), what
        up = subprocess.run(
            [*COMMAND, "up", "--simulated"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert up.returncode == 1
        assert "Traceback" not in up.stderr
        assert up.stderr.splitlines()[-1].startswith("Error: ")
        assert len(up.stderr.splitlines()) <= 3


_EACH = """
import json, sys
from click.testing import CliRunner
from pricetracker_dagster.cli import main
for name, command in json.loads(sys.argv[1]).items():
    ended = CliRunner().invoke(main, command)
    mistake = None if isinstance(ended.exception, SystemExit) else repr(ended.exception) * bool(ended.exception)
    print(json.dumps([name, ended.exit_code, ended.output, ended.stderr, mistake]), flush=True)
"""

NOBODY = 65534


@pytest.mark.parametrize(("mode", "fails"), [(0o755, {*WRITE}), (0o700, set(COMMANDS) - {"alerts test"})])
@pytest.mark.long
def test_another_users_folder_is_one_line_of_every_command(folder: Path, mode: int, fails: set[str]) -> None:
    # root without the right to pass over permissions is a user like any other, who finds the same Python
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]
    if os.geteuid() != 0 or subprocess.run([*drop, "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root can make another user's folder for the test")
    for place in (folder, *folder.rglob("*")):
        os.chown(place, NOBODY, NOBODY)
        place.chmod(mode if place.is_dir() else mode & 0o644)
    ended = subprocess.run(
        [*drop, sys.executable, "-W", "ignore", "-c", _EACH, json.dumps(COMMANDS)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [name for name, *_ in told] == [*COMMANDS], ended.stderr
    for name, status, output, stderr, mistake in told:
        what = f"{name}: {output}"
        assert not mistake, (what, mistake)
        check_lines(stderr, output, what)
        assert status == (1 if name in fails or name in ALWAYS_1 else 0), what
        if name in fails:
            assert "ermission denied" in output or "cannot be written" in output, what
            assert str(folder) in output, what


@pytest.mark.parametrize(
    "what",
    ["newest commit", "data file", *(pytest.param(what, marks=pytest.mark.long) for what in ("log", "published file"))],
)
def test_what_another_user_keeps_to_himself_is_not_damaged_and_nothing_is_mended(folder: Path, what: str) -> None:
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]
    if os.geteuid() != 0 or subprocess.run([*drop, "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root can make another user's file for the test")
    theirs = {
        "newest commit": newest(folder, "minute_prices"),
        "data file": Path(store_in(folder).prices.files()[-1]),
        "log": folder / "minute_prices" / "_delta_log",
        "published file": folder / "pricetracker.duckdb",
    }[what]
    os.chown(theirs, NOBODY, NOBODY)
    theirs.chmod(0o700 if theirs.is_dir() else 0o600)
    before = {file for file in folder.rglob("*") if file.parent.name not in {"state", "dagster"}}
    commands = {name: COMMANDS[name] for name in ("repair", "repair --yes", "sql")}
    if what in ("newest commit", "log"):
        del commands["sql"]  # it needs the published file alone
    ended = subprocess.run(
        [*drop, sys.executable, "-W", "ignore", "-c", _EACH, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [name for name, *_ in told] == [*commands], ended.stderr
    owner, me = (pwd.getpwuid(user).pw_name for user in (NOBODY, 0))
    for name, status, output, stderr, _ in told:
        assert status == 1, (name, output)
        assert stderr.startswith(f"Error: {theirs} belongs to {owner} and cannot be read by {me}: "), (name, output)
        assert f"`sudo chown -R {me} {folder}`" in stderr
        assert len(stderr.splitlines()) == 1
    assert {file for file in folder.rglob("*") if file.parent.name not in {"state", "dagster"}} == before
