"""Ctrl-C ends every command with one word and the status that shells expect, also where a library takes it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from pricetracker_dagster import sql
from pricetracker_dagster.cli.errors import plain_errors
from pricetracker_dagster.collect.result import in_plain_words

HOURS = "SELECT count(*) FROM range(100000000) a, range(100000) b"


pytestmark = pytest.mark.usefixtures("ctrl_c_is_heeded")


def ask() -> None:
    """Let the database work in this thread, and press Ctrl-C meanwhile."""
    press = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    press.start()
    sql.connect().execute(HOURS)


def ask_within_a_boundary() -> None:
    try:
        ask()
    except Exception as error:
        in_plain_words(error)


def lost() -> None:
    """Press Ctrl-C where a library makes another error of it."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise ImportError("initialization failed") from None


@pytest.mark.parametrize("command", [ask, ask_within_a_boundary, lost])
def test_what_a_library_makes_of_it_is_told_as_what_it_is(
    command: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        plain_errors()(command)()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "Interrupted\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_after_a_command_that_was_interrupted_is_missing_again() -> None:
    with pytest.raises(SystemExit):
        plain_errors()(lost)()

    @plain_errors()
    def wrong() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wrong()


def test_a_program_around_it_keeps_its_own_way() -> None:
    def of_the_program(*_: object) -> None: ...

    @plain_errors()
    def command() -> None:
        assert signal.getsignal(signal.SIGINT) is of_the_program

    signal.signal(signal.SIGINT, of_the_program)
    command()
    assert signal.getsignal(signal.SIGINT) is of_the_program


WHILE_IMPORTING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Pressed:
    def find_spec(name, *_):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Pressed)
from pricetracker_dagster.cli import main
main(["rank", "price"])
"""


@pytest.mark.parametrize("module", ["click", "pyarrow.lib", "pricetracker_dagster.reading.questions"])
def test_while_a_command_still_imports_there_is_no_traceback(module: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", WHILE_IMPORTING, module]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (130, "", "Interrupted\n")
