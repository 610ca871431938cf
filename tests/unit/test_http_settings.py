"""The table [http]: what cannot work, or would let everybody in by mistake, is refused with key, value and way out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pricetracker_dagster.settings import SettingsError, load_settings

Write = Callable[[str], Path]
BTC = 'metrics = ["KRAKEN:BTCUSD"]\n[http]\n'
TOKEN = "http.token (not shown, it may hold secrets)"  # noqa: S105 - what stands in its place
RANDOM = "take a random one, e.g. of: python -c 'import secrets"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('token = "fifteen-letters"', f"{TOKEN}: has 15 characters, not 16 to 1000: {RANDOM}"),
        ('token = "sixteen letters-"', f"{TOKEN}: only letters of ASCII, digits and signs"),
        ('token = "sechzehn-Zeichen-ä"', f"{TOKEN}: only letters of ASCII"),
        ('cors = ["*"]', 'http.cors[0] "*": no origin: list each site by itself, e.g. "https://charts.example.org"'),
        ('cors = ["null"]', 'http.cors[0] "null": no origin'),
        ('cors = ["charts.example.org"]', 'http.cors[0] "charts.example.org": not a URL: write e.g. "https://'),
        ('cors = ["https://a.example/page"]', 'host and port alone: write "https://a.example"'),
        ('cors = ["https://user:pass@a.example"]', 'host and port alone: write "https://a.example"'),
        ('cors = "https://a.example"', 'not a list: write e.g. ["https://charts.example.org"]'),
        ('url = "prices.example.org"', 'http.url "prices.example.org": not a URL: write e.g. https://prices.example.org'),
        ('url = "ftp://prices.example.org"', 'http.url "ftp://'),
        ('host = "0"', 'http.host "0": not an IP address'),
        ("port = 0", "http.port 0: "),
        ("workers = true", "http.workers true: not a number"),
        ("workers = 0", "http.workers 0: "),
        ("requests_per_second = -1", "http.requests_per_second -1: "),
        ("requests_per_second = nan", "http.requests_per_second nan: "),
        ('public = "perhaps"', 'http.public "perhaps": '),
        ('tokens = "x"', "http.tokens: no such key; did you mean token?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_key_value_and_remedy(write_settings: Write, line: str, said: str) -> None:
    write_settings(BTC + line)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value).startswith("pricetracker.toml: http.")
    assert said in str(error.value)
    assert "sixteen" not in str(error.value)


def test_what_is_right_is_taken(write_settings: Write) -> None:
    write_settings(
        f'{BTC}token = "sixteen-letters-"\nurl = "https://me:pass@prices.example.org/tracker/"\n'
        'cors = ["HTTPS://Charts.example.org/", "http://127.0.0.1:8080"]'
    )
    http = load_settings().http
    assert http.token.get_secret_value() == "sixteen-letters-"
    assert http.url == http.link == "https://prices.example.org/tracker"
    assert http.cors == ("https://charts.example.org", "http://127.0.0.1:8080")


def test_by_default_it_listens_on_this_machine_alone_and_asks_nobody(write_settings: Write) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    http = load_settings().http
    assert (http.host, http.port, http.public, http.cors, http.workers) == ("127.0.0.1", 8000, False, (), 1)
    assert not http.token.get_secret_value()
    assert http.link == "http://127.0.0.1:8000"


def test_the_token_may_come_from_the_environment_and_is_shown_nowhere(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    monkeypatch.setenv("PRICETRACKER_HTTP__TOKEN", "Sixteen-letters-of-it")
    settings = load_settings()
    assert settings.http.token.get_secret_value() == "Sixteen-letters-of-it"
    assert "Sixteen" not in f"{settings!r} {settings.model_dump_json()}"
