"""What cannot work is refused when settings load, with key, value and way out."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pricetracker_dagster.candles.pair_names import own_name
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


REFUSED = [
    ("[ui]\nport = true", "ui.port true", "not a number: write one"),
    ("keep_runs_hours = true", "keep_runs_hours true", "not a number: write one"),
    ("keep_days = true", "keep_days true", "not a number: write one"),
    ("keep_days = 1", "keep_days 1", "write 2 or more"),
    ("[alerts]\nkeep_days = 0", "alerts.keep_days 0", "greater than or equal to 1"),
    ("[collect]\nbudget_seconds = true", "collect.budget_seconds true", "not a number: write one"),
    ("[[alerts.rules]]\nfactor = false", "alerts.rules[0].factor false", "not a number: write one"),
    ("keep_runs_hours = 99999999999", "keep_runs_hours 99999999999", "less than or equal to 876000"),
    ("[alerts]\nmax_age_minutes = 99999999999", "alerts.max_age_minutes 99999999999", "less than or equal to"),
    ("[alerts]\nrepeat_minutes = 99999999999", "alerts.repeat_minutes 99999999999", "less than or equal to"),
    ("[exchanges.kraken]\nrequests_per_second = 1e-9", "exchanges.kraken.requests_per_second 1e-09", "too few"),
    ("[exchanges.kraken]\nrequests_per_second = 0.049", "exchanges.kraken.requests_per_second 0.049", "too few"),
    ("[exchanges.kraken]\nrequests_per_second = nan", "exchanges.kraken.requests_per_second nan", "finite number"),
    ("[exchanges.kraken]\nrequests_per_second = inf", "exchanges.kraken.requests_per_second inf", ""),
    ("[exchanges.kraken]\ntimeout_seconds = 1e-9", "exchanges.kraken.timeout_seconds 1e-09", "equal to 0.1"),
    ("[collect]\nbudget_seconds = nan", "collect.budget_seconds nan", "finite number"),
    ("[[alerts.rules]]\nfactor = inf", "alerts.rules[0].factor inf", ""),
    ("[[alerts.rules]]\nfactor = 1e308", "alerts.rules[0].factor 1e+308", ""),
    ("[[alerts.rules]]\nmin_average = nan", "alerts.rules[0].min_average nan", "finite number"),
    ('[exchanges.kraken]\nurl = "https://host:99999"', 'exchanges.kraken.url "https://host:99999"', "not a URL"),
    ('[exchanges.kraken]\nurl = "https://:80"', 'exchanges.kraken.url "https://:80"', "not a URL"),
    ('[exchanges.kraken]\nurl = "https://host?a=1"', 'exchanges.kraken.url "https://host?***"', "no query"),
    ('[ui]\nurl = "prices.example.org"', 'ui.url "prices.example.org"', "not a URL"),
    ('data = "$HOME/pt"', 'data "$HOME/pt"', "variables are not put in"),
    ('data = "${DATA}"', 'data "${DATA}"', "variables are not put in"),
    ('data = "a\\u0000b"', r'data "a\x00b"', "a control character"),
    ('data = "a\\nb"', r'data "a\nb"', "a control character"),
    ('ui.host = "a\\n\\u001b[2Jb"', r'ui.host "a\n\x1b[2Jb"', "not a host"),
    ("[exchanges.kraken]\nrequests_per_second = true", "exchanges.kraken.requests_per_second true", "not a number"),
    (f"ui.port = 0x{'f' * 5000}", "ui.port (thousands of digits)", ""),
    ('data = "pricetracker.toml"', 'data "pricetracker.toml"', "is a file: name a folder"),
    ('data = "pricetracker.toml/below"', 'data "pricetracker.toml/below"', "is a file: name a folder"),
    (f'data = "{"x" * 300}"', f'data "{"x" * 300}"', "too long"),
]


@pytest.mark.parametrize(("text", "what", "why"), REFUSED)
def test_what_cannot_work_is_refused_with_key_value_and_reason(
    write_settings: Write, text: str, what: str, why: str
) -> None:
    write_settings(f"{BTC}\n{text}")
    said = refusal()
    assert said.startswith(f"pricetracker.toml: {what}: ")
    assert why in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("pair", "ours"),
    [
        ("XBTUSD", "BTCUSD"),
        ("XDGUSD", "DOGEUSD"),
        ("ETHXBT", "ETHBTC"),
        ("XDGXBT", "DOGEBTC"),
        ("XBTUSDT", "BTCUSDT"),
        # keys of Kraken's AssetPairs
        ("XXBTZUSD", "BTCUSD"),
        ("XETHZUSD", "ETHUSD"),
        ("XETHXXBT", "ETHBTC"),
        ("XXDGXXBT", "DOGEBTC"),
        ("USDTZUSD", "USDTUSD"),
        ("ZEURZUSD", "EURUSD"),
        ("ZUSDZJPY", "USDJPY"),
        ("XZECZEUR", "ZECEUR"),
    ],
)
def test_a_pair_under_the_exchange_s_own_name_is_refused_and_named_as_it_is_here(
    write_settings: Write, pair: str, ours: str
) -> None:
    write_settings(f'metrics = ["KRAKEN:{ours}", "KRAKEN:{pair}"]')
    assert refusal() == (
        f'pricetracker.toml: metrics[1] "KRAKEN:{pair}" is called KRAKEN:{ours} here: write KRAKEN:{ours}'
    )
    write_settings(f'{BTC}\n[[alerts.rules]]\nmetrics = ["KRAKEN:{pair}"]')
    assert f'alerts.rules[0].metrics[0] "KRAKEN:{pair}" is called KRAKEN:{ours} here' in refusal()


def test_every_name_that_kraken_lists_for_a_pair_is_known_as_one(recorded: Path) -> None:
    pairs = json.loads((recorded / "rest" / "AssetPairs_397.json").read_text())["result"]
    ours = {"XBT": "BTC", "XDG": "DOGE"}
    for key, facts in pairs.items():
        if "wsname" in facts:
            base, quote = (ours.get(asset, asset) for asset in facts["wsname"].split("/"))
            names = {own_name(f"KRAKEN:{name}") for name in (key, facts["altname"], base + quote)}
            assert names == {f"KRAKEN:{base}{quote}"}


@pytest.mark.parametrize("metric", ["KRAKEN:BTC\\nUSD", "KRAKEN:BTCUSD\\n", "a\\r\\nb"])
def test_a_metric_of_two_lines_is_refused_in_one(write_settings: Write, metric: str) -> None:
    write_settings(f'metrics = ["{metric}"]')
    assert refusal().startswith(f'pricetracker.toml: metrics[0] "{metric}" is not a metric: ')
    assert len(refusal().splitlines()) == 1


def test_of_a_table_of_an_exchange_one_key_may_be_set_in_the_file_and_one_by_a_variable(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(f"{BTC}\n[exchanges.kraken]\nrequests_per_second = 2")
    monkeypatch.setenv("PRICETRACKER_EXCHANGES__KRAKEN__TIMEOUT_SECONDS", "7")
    kraken = load_settings().exchanges.kraken
    assert (kraken.url, kraken.requests_per_second, kraken.timeout_seconds) == ("https://api.kraken.com", 2.0, 7.0)
    assert load_settings().exchanges.simulated.requests_per_second == 100.0


@pytest.mark.parametrize("pair", ["BTCUSD", "XTZUSD", "DOGEBTC", "AXBTCUSD", "XRPUSD", "XTZXRP", "ZECUSD", "ZRXEUR"])
def test_a_pair_that_only_resembles_one_is_taken(write_settings: Write, pair: str) -> None:
    write_settings(f'metrics = ["KRAKEN:{pair}"]')
    assert [metric.pair for metric in load_settings().tracked] == [pair]
