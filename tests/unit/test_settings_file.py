"""Which settings file is taken, what is said where there is none, and what `init` writes."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from pricetracker_dagster.cli import main
from pricetracker_dagster.settings import (
    PROJECT,
    Settings,
    SettingsError,
    command,
    command_line,
    config_file,
    load_settings,
    source,
)
from pricetracker_dagster.settings.template import template
from tests.commands import COMMAND

BTC = 'metrics = ["KRAKEN:BTCUSD"]\n'


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if the package were installed elsewhere: its folder is no checkout."""
    packages = tmp_path / "site-packages"
    packages.mkdir()
    for module in (source, command_line):
        monkeypatch.setattr(module, "PROJECT", packages)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    return packages


def checkout(folder: Path) -> Path:
    """Make what a checkout is known by."""
    (folder / "pricetracker_dagster").mkdir(parents=True)
    (folder / "pricetracker_dagster" / "__init__.py").touch()
    (folder / "pyproject.toml").touch()
    (folder / "pricetracker.toml").write_text(BTC)
    return folder


def test_the_working_folder_comes_before_those_above_it_and_they_before_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert config_file() == PROJECT / "pricetracker.toml"
    (tmp_path / "pricetracker.toml").write_text(BTC)
    assert config_file() == tmp_path / "pricetracker.toml"
    (below / "pricetracker.toml").write_text(BTC)
    assert config_file() == below / "pricetracker.toml"
    monkeypatch.setenv("PRICETRACKER_CONFIG", "other.toml")
    assert config_file() == below / "other.toml"


def test_where_there_is_none_every_place_is_named_and_init(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value) == (
        "there is no settings file: PRICETRACKER_CONFIG is not set, and no pricetracker.toml is in "
        f"{tmp_path} and the folders above it: `pricetracker init` writes one here"
    )
    (tmp_path / "pricetracker.toml").write_text(template())
    assert load_settings().folder == tmp_path / "data"


def test_the_settings_of_another_checkout_are_refused_unless_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = checkout(tmp_path / "copy")
    (copy / "docs").mkdir()
    for place in (copy, copy / "docs"):
        monkeypatch.chdir(place)
        with pytest.raises(SettingsError) as error:
            load_settings()
        assert f"{copy} is a checkout of its own, but this pricetracker runs the code of {PROJECT}" in str(error.value)
    monkeypatch.setenv("PRICETRACKER_CONFIG", str(copy / "pricetracker.toml"))
    assert load_settings().folder == copy / "data"


def test_an_environment_that_was_copied_with_its_checkout_is_refused_wherever_it_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = checkout(tmp_path / "copy")
    monkeypatch.setattr(sys, "prefix", str(copy / ".venv"))
    monkeypatch.chdir("/")
    with pytest.raises(SettingsError, match=f"^{copy} is a checkout of its own"):
        load_settings()


def test_what_init_writes_is_every_key_with_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pricetracker.toml"
    monkeypatch.setenv("PRICETRACKER_CONFIG", str(path))
    path.write_text(BTC)
    defaults = load_settings().model_dump(exclude={"metrics"})
    path.write_text(template())
    assert load_settings().model_dump(exclude={"metrics"}) == defaults
    # a key is "# name = value", a sentence is not
    lines = [re.sub(r"^# (\w+ = )", r"\1", line) for line in template().splitlines()]
    path.write_text("\n".join(lines))
    assert load_settings().model_dump(exclude={"metrics"}) == defaults
    written = tomllib.loads("\n".join(lines))
    assert written.keys() == Settings.model_fields.keys()
    assert written["ui"].keys() == type(load_settings().ui).model_fields.keys()
    assert {*written["alerts"], "routes"} == type(load_settings().alerts).model_fields.keys()


def test_what_init_writes_shows_a_route_as_it_might_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uncommented it loads, once its channels are some that are there, and every key is in it."""
    path = tmp_path / "pricetracker.toml"
    monkeypatch.setenv("PRICETRACKER_CONFIG", str(path))
    lines = [re.sub(r"^#   ", "", line) for line in template().splitlines()]
    text = re.sub(r'"(slack|pagerduty)-[0-9a-f]{8}"', r'"json://\1.example"', "\n".join(lines))
    path.write_text(text)
    [route] = load_settings().alerts.routes
    [written] = tomllib.loads(text)["alerts"]["routes"]
    assert written.keys() == type(route).model_fields.keys()


def test_init_writes_into_the_working_folder_and_replaces_nothing_unasked(tmp_path: Path) -> None:
    def init(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, "init", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    path = tmp_path / "pricetracker.toml"
    answer = init()
    assert (answer.returncode, path.read_text()) == (0, template())
    path.write_text("# mine")
    answer = init()
    assert (answer.returncode, answer.stderr) == (1, f"Error: {path} is there already: --force replaces it\n")
    assert path.read_text() == "# mine"
    assert init("--force").returncode == 0
    assert path.read_text() == template()


def test_a_command_to_copy_is_one_that_can_be_called(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "pricetracker.toml"
    file.write_text(BTC)
    script = tmp_path / "bin" / "pricetracker"
    script.parent.mkdir()
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    monkeypatch.setenv("PATH", "")
    named = f"PRICETRACKER_CONFIG={file}"
    assert command(simulated=False) == f"{named} {sys.executable} -m pricetracker_dagster.cli"
    shutil.copy(sys.executable if Path(sys.executable).exists() else "/bin/sh", script)
    assert command(simulated=True) == f"{named} {script} --simulated"
    monkeypatch.setenv("PATH", str(script.parent))
    assert command(simulated=False) == f"{named} pricetracker"


def test_init_says_where_another_file_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRICETRACKER_CONFIG", "/etc/other.toml")
    ended = CliRunner().invoke(main, ["init"])
    mine = tmp_path / "pricetracker.toml"
    assert (ended.exit_code, ended.stdout) == (
        0,
        (
            f"{mine} is written, but commands use /etc/other.toml, which PRICETRACKER_CONFIG names: unset it, or "
            f"set it to {mine}; then change what you like, and: pricetracker up\n"
        ),
    )
    monkeypatch.setenv("PRICETRACKER_CONFIG", str(mine))
    ended = CliRunner().invoke(main, ["init", "--force"])
    assert ended.stdout == f"{mine} is written; change what you like, then: pricetracker up\n"


def test_in_a_working_folder_that_is_gone_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    ended = CliRunner().invoke(main, ["init"])
    assert (ended.exit_code, ended.stderr) == (
        1,
        "Error: the working folder is gone: change into another one (cd), then: pricetracker init\n",
    )
    monkeypatch.setenv("PRICETRACKER_CONFIG", "pt.toml")
    ended = CliRunner().invoke(main, ["status"])
    assert (ended.exit_code, ended.stderr) == (
        1,
        (
            "Error: environment PRICETRACKER_CONFIG pt.toml: it is looked for in the working folder, which is gone: "
            "name the file by its whole path\n"
        ),
    )
    (tmp_path / "pt.toml").write_text(BTC)
    monkeypatch.setenv("PRICETRACKER_CONFIG", str(tmp_path / "pt.toml"))
    assert command(simulated=False).startswith(f"PRICETRACKER_CONFIG={tmp_path}/pt.toml ")
