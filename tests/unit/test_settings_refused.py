"""What cannot work is refused when settings load, with key, value and way out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pricetracker_dagster.settings import SettingsError, load_settings

Write = Callable[[str], Path]
BTC = 'metrics = ["KRAKEN:BTCUSD"]'


def refusal() -> str:
    with pytest.raises(SettingsError) as error:
        load_settings()
    return str(error.value)


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("", "empty: write an address"),
        ("  ", "empty: write an address"),
        ("http://127.0.0.1:3000", "not a host: no scheme, port or path"),
        ("127.0.0.1:3000", "not a host: no scheme, port or path"),
        ("127.0.0.1/24", "not a host: no scheme, port or path"),
        ("[::1]", 'not a host: write it without brackets, "::1"'),
        ("*", "not a host: write an address"),
        ("my host", "not a host: write an address"),
        ("-rf", "not a host: write an address"),
        # a resolver takes each of these for an address, some of them for every address of the machine
        ("0", "not an IP address: write an address"),
        ("127.1", "not an IP address: write an address"),
        ("0x7f000001", "not an IP address: write an address"),
        ("256.0.0.1", "not an IP address: write an address"),
    ],
)
def test_a_host_that_is_none_is_refused(write_settings: Write, host: str, why: str) -> None:
    write_settings(f'{BTC}\n[ui]\nhost = "{host}"')
    assert refusal().startswith(f'pricetracker.toml: ui.host "{host}": {why}')


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "0.0.0.0", "::1", "::", "localhost", "ui.example.org", "box-1", "10.0.0.7"],  # noqa: S104
)
def test_a_host_that_is_named_is_taken(write_settings: Write, host: str) -> None:
    write_settings(f'{BTC}\n[ui]\nhost = "{host}"')
    assert load_settings().ui.host == host


def test_a_link_puts_an_ipv6_address_into_brackets(write_settings: Write) -> None:
    write_settings(f'{BTC}\n[ui]\nhost = "::1"')
    assert load_settings().ui.link == "http://[::1]:3000"
