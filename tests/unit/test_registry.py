"""A line in the table of exchanges is all that opens one: its module, its section of the settings, its limits."""

from pathlib import Path

import pytest

from pricetracker_dagster.exchanges.kraken.client import Kraken
from pricetracker_dagster.exchanges.registry import ExchangeKind, kind_of, open_exchange
from pricetracker_dagster.settings import Exchanges, Settings
from pricetracker_dagster.settings.exchanges import LISTED


@pytest.mark.parametrize("name", list(LISTED))
def test_each_listed_exchange_has_a_class_and_a_section_with_its_defaults(name: str, tmp_path: Path) -> None:
    section = getattr(Exchanges(), name.lower())
    assert (section.url, section.requests_per_second) == (LISTED[name].url, LISTED[name].requests_per_second)
    settings = Settings(metrics=("KRAKEN:BTCUSD",), data=str(tmp_path))
    assert open_exchange(name, settings).name == name


def test_the_simulator_speaks_kraken_s_dialect() -> None:
    kraken: ExchangeKind = Kraken
    assert kind_of("KRAKEN") is kind_of("SIMULATED") is kraken
