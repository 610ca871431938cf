"""Where settings come from: which file, how its bytes are read, which environment variables are set."""

import codecs
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from pricetracker_dagster.errors import PricetrackerError, in_one_line, is_utf8

CONFIG_VARIABLE = "PRICETRACKER_CONFIG"
PREFIX = "PRICETRACKER_"
NAME = "pricetracker.toml"
PROJECT_PACKAGE = "pricetracker_dagster"

PROJECT = Path(__file__).resolve().parents[2]
"""The folder that the package lies in: a checkout, or where packages are installed."""

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class SettingsError(PricetrackerError, ValueError):
    """The settings cannot be used. Each line of the message names file, key, value and remedy."""


def config_file() -> Path:
    """Return the settings file: ``PRICETRACKER_CONFIG``, else ``pricetracker.toml`` here, above, or in the checkout.

    Raises:
        SettingsError: there is none, it cannot be looked for or named, or the nearest one belongs to another checkout
            than this code.
    """
    if named := os.environ.get(CONFIG_VARIABLE):
        return _refuse_other_than_utf8(_named_file(named))
    here = working_directory()
    above = [here, *here.parents] if here else []
    for folder in above:
        if is_there(folder / NAME):
            _refuse_another_checkout(folder)
            return _refuse_other_than_utf8(folder / NAME)
    _refuse_another_checkout(Path(sys.prefix).parent)  # an environment that was copied with its checkout
    if _is_checkout(PROJECT) and (PROJECT / NAME).is_file():
        return PROJECT / NAME
    searched = [f"{here} and the folders above it"] if here else []
    searched += [f"the checkout {PROJECT}"] if _is_checkout(PROJECT) else []
    raise SettingsError(
        f"there is no settings file: {CONFIG_VARIABLE} is not set, and no {NAME} is in "
        f"{', nor in '.join(searched) or 'the working folder, which is gone'}: `pricetracker init` writes one here"
    )


def _named_file(named: str) -> Path:
    try:
        return Path(named).expanduser().absolute()
    except RuntimeError:
        why = "no such user"
    except FileNotFoundError:
        why = "it is looked for in the working folder, which is gone"
    raise SettingsError(f"environment {CONFIG_VARIABLE} {in_one_line(named)}: {why}: name the file by its whole path")


def _refuse_other_than_utf8(file: Path) -> Path:
    if not is_utf8(file):
        raise SettingsError(f"{in_one_line(file)}: its path is not in UTF-8: move it to a folder whose name is")
    return file


def is_there(file: Path) -> bool:
    """Say whether a settings file is there; raise SettingsError where this user has no right to know."""
    try:
        return file.is_file()
    except OSError as error:
        raise cannot_be_read(file, error) from error


def cannot_be_read(file: Path, error: OSError) -> SettingsError:
    """Return the error of a settings file that cannot be looked for or read."""
    way = f"check who owns the file and its folders, or name another one with {CONFIG_VARIABLE}"
    return SettingsError(f"{in_one_line(file)}: {error.strerror}: {way}")


def working_directory() -> Path | None:
    """Return the working folder; None where it was deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def _is_checkout(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file() and (folder / PROJECT_PACKAGE / "__init__.py").is_file()


def _refuse_another_checkout(folder: Path) -> None:
    """Refuse to work on the settings of one checkout with the code of another.

    A copied or moved checkout's .venv keeps the paths of the original.
    """
    if _is_checkout(folder) and folder.resolve() != PROJECT:
        raise SettingsError(
            f"{folder} is a checkout of its own, but this pricetracker runs the code of {PROJECT}: run `make run` "
            f"there, which makes its .venv anew, or name the settings that you mean with {CONFIG_VARIABLE}"
        )


def read_file(path: Path) -> dict[str, Any]:
    """Return what a settings file says; a byte order mark before it is no fault.

    Raises:
        SettingsError: it cannot be read, is not in UTF-8, or no TOML.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise cannot_be_read(path, error) from error
    if encoding := _other_encoding(content):
        raise SettingsError(f"{path.name}: not in UTF-8, it looks like {encoding}: save it as UTF-8; see {path}")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name}: not valid TOML: {error}; see {path}") from error
    except ValueError as error:  # Python's limit, 4,300 digits
        raise SettingsError(f"{path.name}: a number in it has thousands of digits: shorten it; see {path}") from error
    except RecursionError as error:
        raise SettingsError(f"{path.name}: brackets in it are nested too deeply; see {path}") from error


def _other_encoding(content: bytes) -> str | None:
    """Name the encoding that a text seems to have where it is not UTF-8."""
    for mark, name in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return name
    if b"\0" in content[:100]:  # Latin letters of two or four bytes, without a mark
        return "UTF-32" if b"\0\0" in content[:100] else "UTF-16"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        # Windows-1252 is Latin-1 with printable characters where that has control codes
        windows = any(0x80 <= byte <= 0x9F for byte in content)
        return f"{'Windows-1252' if windows else 'Latin-1'} (line {line}, byte 0x{content[error.start]:02x})"
    return None


def variables() -> Mapping[str, str]:
    """Return the environment variables that set something, or seem to; an empty one is not set.

    The variables by which Kubernetes announces services called pricetracker or pricetracker-… are left out.
    """
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name.upper().startswith(PREFIX) and value and not _is_of_kubernetes(name, value)
    }


def _is_of_kubernetes(name: str, value: str) -> bool:
    """Say whether a variable is one of those by which containers find a service, e.g. ``…_PORT_3000_TCP_ADDR``."""
    told = r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
    if re.fullmatch(rf"{PREFIX}(\w+_)?({told})", name):
        return True
    # a bare number in …_PORT is a mistake of the user's
    return bool(re.fullmatch(rf"{PREFIX}(\w+_)?PORT", name) and re.match(r"(tcp|udp|sctp)://", value))


def source_of(*location: int | str) -> str:
    """Name the place that decides a key: an environment variable, else the file."""
    names = takewhile(lambda part: isinstance(part, str), location)
    key = f"{PREFIX}{'__'.join(map(str, names))}".upper()
    for variable in variables():
        given = variable.upper()
        if given == key or key.startswith(f"{given}__") or given.startswith(f"{key}__"):
            return f"environment {variable}"
    return config_file().name
