"""Where settings come from: the environment's odd variables, a file's odd bytes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pricetracker_dagster.settings import SettingsError, load_settings

Write = Callable[[str], Path]
BTC = 'metrics = ["KRAKEN:BTCUSD"]'


@pytest.mark.parametrize(
    "variable",
    [
        "PRICETRACKER_UI__HOST",
        "PRICETRACKER_UI__PORT",
        "pricetracker_ui__host",
        "PRICETRACKER_UI",
        "PRICETRACKER_METRICS",
        "PRICETRACKER_DATA",
        "PRICETRACKER_SIMULATED",
        "PRICETRACKER_KEEP_RUNS_HOURS",
        "PRICETRACKER_EXCHANGES__KRAKEN__URL",
        "PRICETRACKER_EXCHANGES__KRAKEN",
        "PRICETRACKER_ALERTS__CHANNELS",
        "PRICETRACKER_ALERTS__HEARTBEAT_URL",
        "PRICETRACKER_ALERTS__RULES",
        "PRICETRACKER_NO_SUCH_SETTING",
    ],
)
def test_an_empty_variable_is_not_set(write_settings: Write, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    write_settings(f'{BTC}\nkeep_runs_hours = 7\n[ui]\nport = 4711\n[exchanges.kraken]\nurl = "http://127.0.0.1:9"')
    without = load_settings()
    monkeypatch.setenv(variable, "")
    assert load_settings() == without
    assert load_settings().ui.host == "127.0.0.1"


def test_a_mistake_of_the_file_is_told_of_the_file_also_beside_an_empty_variable(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(f"{BTC}\n[ui]\nport = 0")
    monkeypatch.setenv("PRICETRACKER_UI__PORT", "")
    with pytest.raises(SettingsError, match=r"^pricetracker\.toml: ui\.port 0: "):
        load_settings()


# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
@pytest.mark.parametrize("service", ["PRICETRACKER", "PRICETRACKER_UI", "PRICETRACKER_METRICS"])
def test_what_kubernetes_tells_of_services_is_no_error(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    write_settings(BTC)
    without = load_settings()
    for name, value in {
        "SERVICE_HOST": "10.0.0.11",
        "SERVICE_PORT": "3000",
        "SERVICE_PORT_HTTP": "3000",
        "PORT": "tcp://10.0.0.11:3000",
        "PORT_3000_TCP": "tcp://10.0.0.11:3000",
        "PORT_3000_TCP_PROTO": "tcp",
        "PORT_3000_TCP_PORT": "3000",
        "PORT_3000_TCP_ADDR": "10.0.0.11",
        "PORT_53_UDP": "udp://10.0.0.11:53",
    }.items():
        monkeypatch.setenv(f"{service}_{name}", value)
    assert load_settings() == without


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("PRICETRACKER_UI_PORT", "PRICETRACKER_UI__PORT"),
        ("PRICETRACKER_PORT", "PRICETRACKER_UI__PORT"),
        ("PRICETRACKER_UI_HOST", "PRICETRACKER_UI__HOST"),
        ("PRICETRACKER_EXCHANGES_KRAKEN_URL", "PRICETRACKER_EXCHANGES__KRAKEN__URL"),
        ("PRICETRACKER_ALERTS_HEARTBEAT_URL", "PRICETRACKER_ALERTS__HEARTBEAT_URL"),
        ("PRICETRACKER_HEAL_DAYS", "PRICETRACKER_COLLECT__HEAL_DAYS"),
        ("PRICETRACKER_CONFG", "PRICETRACKER_CONFIG"),
    ],
)
def test_a_variable_that_is_none_names_the_one_that_was_meant(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    write_settings(BTC)
    monkeypatch.setenv(variable, "3001")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value) == f"environment: {variable}: no such setting; did you mean {meant}?"


def test_a_variable_that_resembles_none_names_what_there_is(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(BTC)
    monkeypatch.setenv("PRICETRACKER_ZZZ", "1")
    with pytest.raises(SettingsError, match=r"^environment: PRICETRACKER_ZZZ: no such setting; there is .*_METRICS"):
        load_settings()


def test_a_byte_order_mark_before_the_file_is_no_fault(write_settings: Write) -> None:
    write_settings("").write_bytes(b"\xef\xbb\xbf" + BTC.encode() + b"\r\n")
    assert [str(metric) for metric in load_settings().tracked] == ["KRAKEN:BTCUSD"]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (f"# caf\xe9\n{BTC}".encode("latin-1"), "Latin-1 (line 1, byte 0xe9)"),
        (f"{BTC}\n# B\xf6rse".encode("latin-1"), "Latin-1 (line 2, byte 0xf6)"),
        (f"# 5 \u20ac \xfc\n{BTC}".encode("cp1252"), "Windows-1252 (line 1, byte 0x80)"),
        (BTC.encode("utf-16"), "UTF-16"),
        (BTC.encode("utf-16-be"), "UTF-16"),
        (BTC.encode("utf-16-le"), "UTF-16"),
        (BTC.encode("utf-32"), "UTF-32"),
        (BTC.encode("utf-32-be"), "UTF-32"),
    ],
)
def test_a_file_in_another_encoding_is_told_which_one_it_looks_like_and_which_is_expected(
    write_settings: Write, content: bytes, encoding: str
) -> None:
    path = write_settings("")
    path.write_bytes(content)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value) == (
        f"pricetracker.toml: not in UTF-8, it looks like {encoding}: save it as UTF-8; see {path}"
    )
