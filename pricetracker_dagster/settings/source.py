"""Where settings come from: which file, how its bytes are read, which environment variables are set.

Here belongs what is true of any settings, whatever their keys are.
"""

import codecs
import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from pricetracker_dagster.errors import PricetrackerError

CONFIG_VARIABLE = "PRICETRACKER_CONFIG"
PREFIX = "PRICETRACKER_"
NAME = "pricetracker.toml"

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
    """Return the settings file: ``PRICETRACKER_CONFIG``, else ``pricetracker.toml`` at the project's root."""
    return Path(os.environ.get(CONFIG_VARIABLE) or PROJECT / NAME).expanduser().absolute()


def command(*, simulated: bool) -> str:
    """Return how a person calls the command line for the settings in force."""
    file = config_file()
    named = "" if file == PROJECT / NAME else f"{CONFIG_VARIABLE}={shlex.quote(str(file))} "
    return f"{named}.venv/bin/pricetracker{' --simulated' if simulated else ''}"


def read_file(path: Path) -> dict[str, Any]:
    """Return what a settings file says; a byte order mark before it is no fault.

    Raises:
        SettingsError: it is not in UTF-8, or no TOML.
    """
    content = path.read_bytes()
    encoding = _other_encoding(content)
    if encoding:
        raise SettingsError(f"{path.name}: not in UTF-8, it looks like {encoding}: save it as UTF-8; see {path}")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name}: not valid TOML: {error}; see {path}") from error


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

    What Kubernetes tells each container of services called pricetracker or pricetracker-… is left out.
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
    # a bare number in …_PORT is somebody's mistake
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
