"""What make notices of the virtual environment before it uses it: another place's, a dead one, another Python's.

A whole set-up needs a package index and a minute: here make is asked what it would do (``make -n``).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


def make(checkout: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHON" and not name.startswith("MAKE")}
    command = ["make", "-C", str(checkout), "--no-print-directory", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**clean, **(env or {})}
    )


def would_set_up(checkout: Path, *arguments: str, env: Mapping[str, str] | None = None) -> bool:
    answer = make(checkout, "-n", "run", *arguments, env=env)
    assert answer.returncode == 0, answer.stderr
    assert "pricetracker up --while" in answer.stdout
    return "pip install" in answer.stdout


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that make has set up, as far as make can see."""
    checkout = tmp_path_factory.mktemp("ready") / "main"
    checkout.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(PROJECT / name, checkout)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=checkout, check=True, timeout=60)
    for name in ("run.stamp", "dev.stamp"):
        (checkout / ".venv" / name).touch()
    return checkout


@pytest.fixture
def copy(ready: Path, tmp_path: Path) -> Path:
    """The same at a place of its own, so that a test may damage it."""
    checkout = tmp_path / "own"
    shutil.copytree(ready, checkout, symlinks=True)
    config = checkout / ".venv" / "pyvenv.cfg"
    config.write_text(config.read_text().replace(str(ready), str(checkout)))  # as if it had been made here
    return checkout


def test_an_environment_that_was_made_here_is_used_as_it_is(ready: Path, copy: Path) -> None:
    assert not would_set_up(ready)
    assert not would_set_up(copy)


@pytest.mark.parametrize("name", ["copy", "with blanks", "it's $HOME (2) [x]*", "main.venv"])
def test_a_copied_checkout_gets_an_environment_of_its_own(ready: Path, tmp_path: Path, name: str) -> None:
    checkout = tmp_path / name
    shutil.copytree(ready, checkout, symlinks=True)
    assert would_set_up(checkout)
    assert not would_set_up(ready)


def test_a_moved_checkout_is_set_up_anew_and_moved_back_it_is_right_again(copy: Path) -> None:
    moved = copy.rename(copy.with_name("moved"))
    assert would_set_up(moved)
    moved.rename(copy)
    assert not would_set_up(copy)


def test_a_checkout_reached_through_a_link_is_the_same_place(copy: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(copy)
    assert not would_set_up(link)


def test_a_dead_interpreter_is_noticed(copy: Path) -> None:
    interpreter = copy / ".venv" / "bin" / "python"
    interpreter.unlink()
    interpreter.symlink_to("/nowhere/python3")
    assert would_set_up(copy)


def test_an_interpreter_that_does_not_start_is_noticed(copy: Path) -> None:
    interpreter = copy / ".venv" / "bin" / "python"
    interpreter.unlink()
    interpreter.write_text("#!/bin/sh\nexit 127\n")
    interpreter.chmod(0o755)
    assert would_set_up(copy)


@pytest.mark.parametrize("was", ["2.7.18", "3.1.4", "3.111.0"])
def test_an_interpreter_of_another_version_than_it_was_made_with_is_noticed(copy: Path, was: str) -> None:
    config = copy / ".venv" / "pyvenv.cfg"
    lines = [f"version = {was}" if line.startswith("version") else line for line in config.read_text().splitlines()]
    config.write_text("\n".join(lines) + "\n")
    assert would_set_up(copy)


def python_of(folder: Path, version: str) -> str:
    """A Python that says it is of some version."""
    python = folder / f"python{version}"
    python.write_text(f"#!/bin/sh\necho {version}\n")
    python.chmod(0o755)
    return str(python)


def test_another_python_that_is_asked_for_gets_an_environment_and_the_same_one_does_not(
    copy: Path, tmp_path: Path
) -> None:
    other, same = python_of(tmp_path, "3.99"), python_of(tmp_path, MINOR)
    assert would_set_up(copy, f"PYTHON={other}")
    assert would_set_up(copy, env={"PYTHON": other})
    assert not would_set_up(copy, f"PYTHON={same}")
    assert not would_set_up(copy, env={"PYTHON": same})
    assert not would_set_up(copy)  # not asked for: what is there is good


def test_a_python_that_is_not_there_is_named(copy: Path) -> None:
    answer = make(copy, "run", "PYTHON=python3.99")
    assert answer.returncode != 0
    assert "no python3.99 here" in answer.stderr
    assert (copy / ".venv" / "run.stamp").exists()  # and what is there is left as it is


@pytest.fixture
def without_pip(tmp_path: Path) -> str:
    """This Python, but its environments come without pip: that is enough to see, and takes no time and no index."""
    python = tmp_path / "python-without-pip"
    python.write_text(
        f'#!/bin/sh\n[ "$2" = venv ] && shift 2 && set -- -m venv --without-pip "$@"\nexec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    return str(python)


def test_an_environment_that_is_a_link_to_another_s_is_unlinked_and_the_other_stays_whole(
    copy: Path, tmp_path: Path, without_pip: str
) -> None:
    others = shutil.move(copy / ".venv", tmp_path / "others")
    (copy / ".venv").symlink_to(others)
    before = sorted(path.relative_to(others) for path in Path(others).rglob("*"))
    assert would_set_up(copy)
    answer = make(copy, ".venv/run.stamp", env={"PYTHON": without_pip})
    assert answer.returncode != 0  # there is no pip
    assert "making it anew" in answer.stdout
    assert str(copy / ".venv") in (copy / ".venv" / "pyvenv.cfg").read_text()
    assert not (copy / ".venv").is_symlink()
    assert sorted(path.relative_to(others) for path in Path(others).rglob("*")) == before


def test_an_environment_with_a_dead_interpreter_is_made_anew(copy: Path, without_pip: str) -> None:
    interpreter = copy / ".venv" / "bin" / "python"
    interpreter.unlink()
    interpreter.symlink_to("/nowhere/python3")
    make(copy, ".venv/run.stamp", env={"PYTHON": without_pip})
    subprocess.run([interpreter, "-c", ""], check=True, timeout=60)
    assert not (copy / ".venv" / "run.stamp").exists()  # nothing is installed yet: that is done again
