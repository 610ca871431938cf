"""Settings: what is accepted, and what each mistake says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.settings import PROJECT, SettingsError, command, load_settings

Write = Callable[[str], Path]
BTC = 'metrics = ["KRAKEN:BTCUSD"]'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('metric = ["KRAKEN:BTCUSD"]', "pricetracker.toml: metric: no such key; did you mean metrics?"),
        (
            f'{BTC}\n[exchanges.kraken]\nurll = "x"',
            "pricetracker.toml: exchanges.kraken.urll: no such key; did you mean url?",
        ),
        (
            f'{BTC}\n[exchanges.krakn]\nurl = "x"',
            "pricetracker.toml: exchanges.krakn: no such key; did you mean kraken?",
        ),
        (
            'metrics = ["KRAKEN:BTCUSD", "BTCUSD"]',
            'pricetracker.toml: metrics[1] "BTCUSD" is not a metric: write EXCHANGE:BASEQUOTE, e.g. KRAKEN:BTCUSD',
        ),
        (
            'metrics = ["kraken:btcusd"]',
            (
                'pricetracker.toml: metrics[0] "kraken:btcusd" is not a metric: write EXCHANGE:BASEQUOTE, '
                "e.g. KRAKEN:BTCUSD; did you mean KRAKEN:BTCUSD?"
            ),
        ),
        (
            'metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:BTCUSD"]',
            'pricetracker.toml: metrics[2] "KRAKEN:BTCUSD" is listed twice: remove one',
        ),
        (
            'metrics = ["KRAKN:BTCUSD"]',
            'pricetracker.toml: metrics[0] "KRAKN:BTCUSD": no exchange KRAKN; did you mean KRAKEN?',
        ),
        (
            'metrics = ["SIMULATED:BTCUSD"]',
            (
                'pricetracker.toml: metrics[0] "SIMULATED:BTCUSD": invented prices are never kept beside real ones: '
                "list KRAKEN:… and set simulated = true"
            ),
        ),
        (
            f'{BTC}\ndata = "/"',
            'pricetracker.toml: data "/": not a folder to keep data in: name one below it',
        ),
        (
            f"{BTC}\n[collect]\nbudget_seconds = 45",
            "pricetracker.toml: collect.budget_seconds 45: input should be less than or equal to 42",
        ),
        ("metrics = []", 'pricetracker.toml: metrics is an empty list: name at least one, e.g. "KRAKEN:BTCUSD"'),
        (
            'metrics = "KRAKEN:BTCUSD"',
            'pricetracker.toml: metrics "KRAKEN:BTCUSD": not a list: write e.g. ["KRAKEN:BTCUSD"]',
        ),
        (f"{BTC}\nui = 3000", "pricetracker.toml: ui 3000: not a table: write [ui] and its keys below"),
        (
            f'{BTC}\n[ui]\nport = "x"',
            'pricetracker.toml: ui.port "x": input should be a valid integer, unable to parse string as an integer',
        ),
        (
            f"{BTC}\n[exchanges.kraken]\nrequests_per_second = 0",
            "pricetracker.toml: exchanges.kraken.requests_per_second 0: input should be greater than 0",
        ),
        (
            f'{BTC}\n[exchanges.kraken]\nurl = "api.kraken.com"',
            'pricetracker.toml: exchanges.kraken.url "api.kraken.com": not a URL: write e.g. https://api.kraken.com',
        ),
        (
            f'{BTC}\ndata = "s3://bucket/prices"',
            (
                'pricetracker.toml: data "s3://***": object stores are not supported by this version: '
                "name a folder on this machine"
            ),
        ),
        (f'{BTC}\ndata = " "', 'pricetracker.toml: data is empty: name a folder, e.g. "data"'),
        (
            f'{BTC}\ndata = "~nobody-of-that-name/prices"',
            'pricetracker.toml: data "~nobody-of-that-name/prices": no such user: name a folder by its path',
        ),
        ('metrics = ["KRAKEN:BTCUSD"', "pricetracker.toml: not valid TOML:"),
        ("", "pricetracker.toml: metrics is missing: see "),
    ],
)
def test_a_mistake_in_the_file_is_named_with_key_value_and_remedy(
    write_settings: Write, text: str, message: str
) -> None:
    write_settings(text)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert any(line.startswith(message) for line in str(error.value).splitlines())


def test_several_mistakes_are_told_at_once(write_settings: Write) -> None:
    write_settings('metrics = ["BTCUSD"]\nfolder = "x"')
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert len(str(error.value).splitlines()) == 2


def test_an_absent_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICETRACKER_CONFIG", str(tmp_path / "nowhere.toml"))
    with pytest.raises(SettingsError, match=r"nowhere.toml: no such settings file; .* PRICETRACKER_CONFIG"):
        load_settings()


def test_the_environment_comes_before_the_file(write_settings: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings(f"{BTC}\n[exchanges.kraken]\nrequests_per_second = 2.5")
    monkeypatch.setenv("PRICETRACKER_METRICS", '["KRAKEN:ETHUSD"]')
    monkeypatch.setenv("PRICETRACKER_EXCHANGES__KRAKEN__URL", "http://127.0.0.1:9/")
    settings = load_settings()
    assert settings.tracked == (Metric("KRAKEN", "ETHUSD"),)
    assert settings.exchanges.kraken.url == "http://127.0.0.1:9"
    assert settings.exchanges.kraken.requests_per_second == 2.5  # what the environment does not name stays


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "PRICETRACKER_METRIX",
            "[]",
            "environment: PRICETRACKER_METRIX: no such setting; did you mean PRICETRACKER_METRICS?",
        ),
        (
            "PRICETRACKER_METRICS",
            "KRAKEN:BTCUSD",
            'environment PRICETRACKER_METRICS "KRAKEN:BTCUSD": not JSON: write e.g. ["KRAKEN:BTCUSD"]',
        ),
        (
            "PRICETRACKER_EXCHANGES__KRAKEN",
            "http://127.0.0.1:9",
            (
                "environment PRICETRACKER_EXCHANGES__KRAKEN (not shown, it may hold secrets): not JSON: write e.g. "
                '{"key": "value"}'
            ),
        ),
        ("PRICETRACKER_METRICS", '["BTC"]', 'environment PRICETRACKER_METRICS: metrics[0] "BTC" is not a metric'),
        (
            "PRICETRACKER_EXCHANGES__KRAKEN__URLL",
            "x",
            "environment PRICETRACKER_EXCHANGES__KRAKEN__URLL: exchanges.kraken.urll: no such key; did you mean url?",
        ),
        (
            "PRICETRACKER_UI__PORT",
            "0",
            'environment PRICETRACKER_UI__PORT: ui.port "0": input should be greater than or equal to 1',
        ),
    ],
)
def test_a_mistake_in_the_environment_is_named_as_such(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    write_settings(BTC)
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value).startswith(message)


def test_a_mistake_in_the_file_is_told_of_the_file_also_where_the_environment_sets_its_neighbour(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(f"{BTC}\n[exchanges.kraken]\nrequests_per_second = -2")
    monkeypatch.setenv("PRICETRACKER_EXCHANGES__KRAKEN__URL", "http://127.0.0.1:9")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value) == (
        "pricetracker.toml: exchanges.kraken.requests_per_second -2: input should be greater than 0"
    )


def test_a_tracked_metric_is_named_by_its_place(write_settings: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings('simulated = true\nmetrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]')
    place = load_settings().place_of(Metric("SIMULATED", "ETHUSD"))
    assert place == 'pricetracker.toml: metrics[1] "KRAKEN:ETHUSD"'
    monkeypatch.setenv("PRICETRACKER_METRICS", '["KRAKEN:ETHUSD"]')
    place = load_settings().place_of(Metric("SIMULATED", "ETHUSD"))
    assert place == 'environment PRICETRACKER_METRICS: metrics[0] "KRAKEN:ETHUSD"'


def test_the_data_folder_is_relative_to_the_file(write_settings: Write) -> None:
    path = write_settings(f'{BTC}\ndata = "here/prices"')
    assert load_settings().folder == path.parent / "here/prices"


def test_simulated_prices_have_names_and_a_folder_of_their_own(write_settings: Write) -> None:
    path = write_settings('metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]\nsimulated = true')
    settings = load_settings()
    assert [str(metric) for metric in settings.tracked] == ["SIMULATED:BTCUSD", "SIMULATED:ETHUSD"]
    assert settings.folder == path.parent / "data-simulated"
    assert load_settings(simulated=False).folder == path.parent / "data"


def test_the_environment_can_ask_for_simulated_prices(write_settings: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_settings(f'{BTC}\ndata = "prices/"')
    monkeypatch.setenv("PRICETRACKER_SIMULATED", "true")
    assert load_settings().folder == path.parent / "prices-simulated"
    assert [str(metric) for metric in load_settings().tracked] == ["SIMULATED:BTCUSD"]
    monkeypatch.setenv("PRICETRACKER_DATA", str(path.parent / "elsewhere"))
    assert load_settings().folder == path.parent / "elsewhere-simulated"


def test_the_list_is_read_afresh_each_time(write_settings: Write) -> None:
    write_settings(BTC)
    assert len(load_settings().tracked) == 1
    write_settings('metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]')
    assert len(load_settings().tracked) == 2


def test_the_file_of_the_project_is_the_default_and_loads() -> None:
    settings = load_settings()
    assert settings.folder == PROJECT / "data"
    assert settings.exchanges.kraken.url == "https://api.kraken.com"
    assert settings.exchanges.kraken.requests_per_second == 1.0
    assert [str(metric) for metric in settings.tracked] == [
        "KRAKEN:BTCUSD",
        "KRAKEN:ETHUSD",
        "KRAKEN:XRPUSD",
        "COINBASE:BTCUSD",
        "COINBASE:ETHUSD",
        "BINANCE:BTCUSDT",
        "BINANCE:ETHUSDT",
    ]


def test_commands_reach_the_simulator_that_was_started_beside_them(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(f"{BTC}\nsimulated = true")
    settings = load_settings()
    assert settings.exchange("SIMULATED").url == "http://127.0.0.1:8650"
    settings.state.mkdir(parents=True)
    settings.simulator_file.write_bytes(b"\xff\xfe\x00\x81")  # damaged
    assert settings.exchange("SIMULATED").url == "http://127.0.0.1:8650"
    settings.simulator_file.write_text("http://127.0.0.1:4711")
    assert settings.exchange("SIMULATED").url == "http://127.0.0.1:4711"
    monkeypatch.setenv("PRICETRACKER_EXCHANGES__SIMULATED__URL", "http://127.0.0.1:4712")  # said is said
    assert load_settings().exchange("SIMULATED").url == "http://127.0.0.1:4712"


def test_a_command_to_copy_names_the_settings_that_are_in_force(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_settings(BTC)
    assert command(simulated=True) == f"PRICETRACKER_CONFIG={file} .venv/bin/pricetracker --simulated"
    monkeypatch.delenv("PRICETRACKER_CONFIG")
    assert command(simulated=False) == ".venv/bin/pricetracker"
    monkeypatch.chdir("/")  # where a relative path would lead elsewhere
    assert command(simulated=False).endswith("/.venv/bin/pricetracker")
    assert Path(command(simulated=False)).exists()
