"""The folder of Dagster's instance is made ready, whatever lies in it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pricetracker_dagster.instance.home import dagster_home
from pricetracker_dagster.settings import PROJECT, load_settings


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x81", b"", b"\0" * 512, "# \u00e9\n".encode("latin-1")])
def test_whatever_dagster_yaml_holds_is_replaced_by_the_projects_own(
    write_settings: Callable[[str], Path], content: bytes
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    file = load_settings().folder / "dagster" / "dagster.yaml"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    assert dagster_home(load_settings()) == file.parent
    assert file.read_bytes() == (PROJECT / "dagster.yaml").read_bytes()
