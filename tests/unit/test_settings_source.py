"""Where settings come from: the environment's odd variables, a file's odd bytes."""

import errno
import os
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


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"x = {'9' * 5000}", "a number in it has thousands of digits: shorten it"),
        (f"x = {'[' * 3000}{']' * 3000}", "brackets in it are nested too deeply"),
    ],
)
def test_what_no_parser_takes_is_told_in_a_line(write_settings: Write, text: str, why: str) -> None:
    path = write_settings(text)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value) == f"pricetracker.toml: {why}; see {path}"


@pytest.mark.parametrize("value", ["[" * 100_000, "x:" * 50_000, "a:/" * 30_000, f"[{'9' * 5000}]"])
def test_a_variable_that_no_parser_takes_is_told_in_a_line(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    write_settings(BTC)
    monkeypatch.setenv("PRICETRACKER_METRICS", value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value) == (
        f'environment PRICETRACKER_METRICS "{value[:400]} …": not JSON: write e.g. ["KRAKEN:BTCUSD"]'
    )


@pytest.mark.parametrize("variable", ["DATA", "METRICS", "UI__HOST", "ALERTS__HEARTBEAT_URL"])
def test_a_variable_whose_bytes_are_no_text_is_refused(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    write_settings(BTC)
    monkeypatch.setenv(f"PRICETRACKER_{variable}", os.fsdecode(b'["KRAKEN:\xff"]'))
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value) == f"environment PRICETRACKER_{variable}: its value is not in UTF-8: write it so"


@pytest.mark.parametrize("data", ["data", "~/data"])
def test_a_folder_whose_path_is_no_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    folder = tmp_path / os.fsdecode(b"d\xff")
    folder.mkdir()
    (folder / "pricetracker.toml").write_text(BTC)
    (tmp_path / "pricetracker.toml").write_text(f'{BTC}\ndata = "{data}"')
    monkeypatch.setenv("HOME", str(folder))
    of_home = data.startswith("~")
    monkeypatch.setenv("PRICETRACKER_CONFIG", str((tmp_path if of_home else folder) / "pricetracker.toml"))
    with pytest.raises(SettingsError, match=r"d\\udcff.* is not in UTF-8: "):
        load_settings()


def test_a_settings_file_of_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICETRACKER_CONFIG", "~nobody-of-this-name/pt.toml")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value) == (
        "environment PRICETRACKER_CONFIG ~nobody-of-this-name/pt.toml: no such user: name the file by its whole path"
    )


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("method", ["is_file", "read_bytes"])
def test_a_file_that_this_user_may_not_look_at_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, is_named: bool
) -> None:
    file = tmp_path / "pricetracker.toml"
    file.write_text(BTC)
    monkeypatch.chdir(tmp_path)
    if is_named:
        monkeypatch.setenv("PRICETRACKER_CONFIG", str(file))
    usual = getattr(Path, method)

    def denied(path: Path) -> object:
        if path == file:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return usual(path)

    monkeypatch.setattr(Path, method, denied)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value) == (
        f"{file}: Permission denied: check who owns the file and its folders, or name another one with "
        "PRICETRACKER_CONFIG"
    )


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
