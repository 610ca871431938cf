"""What counts as a secret, that it is found however it is written, and that nothing else is hidden."""

import base64
import io
import json
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from dagster._utils.error import serializable_error_info_from_exc_info
from deltalake.exceptions import DeltaError

from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange
from pricetracker_dagster.collect.result import in_plain_words
from pricetracker_dagster.errors import PricetrackerError, first_line, mendable, plain
from pricetracker_dagster.exchanges.registry import exchange_times
from pricetracker_dagster.files.data_folder import DataFolder
from pricetracker_dagster.instance import home as instance
from pricetracker_dagster.process.guard import guard
from pricetracker_dagster.process.secret_forms import without_login
from pricetracker_dagster.process.secrets import (
    keep_address,
    keep_channel,
    keep_login,
    keep_proxies,
    masked,
)
from pricetracker_dagster.settings import Settings, SettingsError, channel_name, load, load_settings
from pricetracker_dagster.store.errors import cannot_be_used
from pricetracker_dagster.store.store import store_in
from tests.odd_kraken import OddKraken, send

Write = Callable[[str], Path]
BTC = 'metrics = ["KRAKEN:BTCUSD"]\n'

CHANNELS = {
    "json://admin:SECRET%40pass1@host.example:8080/hooks/SECRETpath2?token=SECRETvalue3&to=x": [
        "SECRET%40pass1",
        "SECRET@pass1",
        "SECRETpath2",
        "SECRETvalue3",
        base64.b64encode(b"admin:SECRET@pass1").decode(),
    ],
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ": ["T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ"],
    "tgram://123456789:abcdefg_hijklmnop/12315544/": ["123456789", "abcdefg_hijklmnop", "12315544"],
    "pover://uSERKEYuserkey1234@tOKENtoken123456": ["uSERKEYuserkey1234", "tOKENtoken123456"],
    "sns://AKIAKEY1KEY/wJalr+XUtnFEMI/K7MDENG/us-east-1/+12223334444": [
        "AKIAKEY1KEY",
        "wJalr+XUtnFEMI",
        "+12223334444",
    ],
    "mailtos://me:hunter2@smtp.example:587/?to=friend@mail.example": ["hunter2", "friend@mail.example"],
    "https://hc-ping.example/c6c5a5f4-1111-4222-8333-444455556666": ["c6c5a5f4-1111-4222-8333-444455556666"],
    "ntfys://tk_abc123def@ntfy.example/my-quiet-topic": ["tk_abc123def", "my-quiet-topic"],
    "json://user:pä%22ss%5Cwörd@host.example/": ['pä"ss\\wörd'],
}


@pytest.mark.parametrize("url", CHANNELS)
def test_no_part_of_a_channel_is_left_however_it_is_written(url: str) -> None:
    keep_channel(url)
    assert masked(f"no answer from {url} at all") == "no answer from *** at all"
    for part in CHANNELS[url]:
        written = {
            part,
            part if "%" in part else quote(part, safe=""),
            json.dumps(part)[1:-1],
            repr(part)[1:-1],
            f"({part})",
            f'"{part}",',
        }
        for text in written:
            assert masked(f"it said {text} and ended") != f"it said {text} and ended"
            assert part not in masked(f"it said {text} and ended")
    for sign in ("%2F", "%2f"):
        text = f"Failed: {sign}{quote(CHANNELS[url][-1], safe='')}{sign}"
        assert masked(text) == f"Failed: {sign}***{sign}"


SAID = [
    "✗ minutes missed: exchange error: KRAKEN: OHLC of BTCUSD: no answer within 10 s from https://api.kraken.com",
    "▲ KRAKEN:BTCUSD price 301 = 3.01× its average 100 at 2026-03-03 12:00 UTC (spike: above 3×)",
    "http://127.0.0.1:3000/assets/alerts",
    "http://localhost:3000/assets/incidents",
    "1 channel did not take the message; volume 123456.123456, 1234567, 20260303",
    "alerts.channels[0] (not shown, it may hold secrets): no URL that apprise can use",
    "x ab abc Connection refused by the host hc-ping.example",
]


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1:9/alerts",
        "json://localhost/x/ab/abc",
        "json://price:kraken@api.kraken.com/assets/message",
        "json://host:usd@hc-ping.example:3000/answer?volume=average&format=text",
        "json://a:b@127.0.0.1/123456/20260?minute=12345",
        "https://hc-ping.example/alerts",
        "json://me:secrets@localhost:3000/incidents/channel",
        "json://BTCUSD:KRAKEN@host.example/BTCUSD",
        "slack://apprise/price/spike",
    ],
)
def test_words_numbers_hosts_and_metrics_are_shown_whatever_a_channel_holds(url: str) -> None:
    keep_channel(url, ["KRAKEN:BTCUSD"])
    assert [masked(text) for text in SAID] == SAID


def test_words_of_every_folder_of_our_own_code_are_shown() -> None:
    keep_channel("json://host.example/minute_prices/incident_resolve_after_minutes/exchange_time/hook_of_nobody_1")
    said = "minute_prices: incident_resolve_after_minutes, exchange_time"
    assert masked(f"{said}, hook_of_nobody_1") == f"{said}, ***"


def test_what_is_spared_as_a_word_is_masked_in_its_place() -> None:
    keep_channel("json://price:minute@host.example:80/alerts/test?q=text")
    for text in (
        "http://price:minute@host.example:80/ refused",
        'host.example:80 "POST /alerts/test?q=text HTTP/1.1" 500 0',
        'host.example:80 "POST /alerts/test HTTP/1.1" 500 0',
        "Max retries exceeded with url: /alerts/test?q=text (Caused by …)",
        "POST host.example:80/alerts/test",
        f"Authorization: Basic {base64.b64encode(b'price:minute').decode()}",
    ):
        assert "***" in masked(text)
        assert not any(each in masked(text) for each in (":minute@", "/alerts/test", "cHJpY2U6bWludXRl"))


def test_short_passwords_are_masked_as_words_and_long_ones_within_them() -> None:
    keep_login("me:pw12")
    keep_login("me:SECRETpass77")
    assert masked("pw12 xpw12y (pw12) pw123") == "*** xpw12y (***) pw123"
    assert masked("xSECRETpass77y") == "x***y"
    keep_login("me:12345678")
    assert masked("12345678, 112345678 12345678.5 0.12345678 pin=12345678.") == (
        "***, 112345678 12345678.5 0.12345678 pin=***."
    )


def test_passwords_of_proxies_are_known_also_without_a_scheme() -> None:
    keep_proxies(
        {
            "HTTP_PROXY": "http://corp:Proxy-Pass-1@proxy.example:3128",
            "all_proxy": "corp2:Proxy-Pass-2@proxy.example:3128",
            "https_proxy": "http://proxy.example",
            "no_proxy": "127.0.0.1",
            "PATH": "http://x:not-a-proxy@y",
        }
    )
    text = "Proxy-Pass-1 Proxy-Pass-2 http://corp:Proxy-Pass-1@proxy.example:3128 not-a-proxy"
    assert masked(text) == "*** *** http://***@proxy.example:3128 not-a-proxy"
    assert masked(base64.b64encode(b"corp:Proxy-Pass-1").decode()).rstrip("=") == "***"


def test_an_address_is_shown_without_its_login() -> None:
    url = "https://reader:SECRETpass1@gateway.example/kraken-rest/v1/k3y8SECRET2LONGER"
    keep_address(url)
    assert masked(f"no connection to {url}") == "no connection to https://***@gateway.example/kraken-rest/v1/***"
    assert without_login(url)[1] == "reader:SECRETpass1"
    assert without_login("http://host/@home") == ("http://host/@home", "")


# --- the ways out of the process ---


@pytest.fixture
def log() -> Callable[[], str]:
    written = io.StringIO()
    logger = logging.getLogger("of_a_library")
    logger.handlers = [logging.StreamHandler(written)]
    logger.setLevel(logging.DEBUG)
    return written.getvalue


class Odd:
    """Something whose text is only made when it is logged."""

    def __str__(self) -> str:
        return "SECRETtoken42"


@pytest.fixture
def _kept() -> None:
    guard()
    keep_login("SECRETtoken42")


@pytest.mark.usefixtures("_kept")
def test_whatever_a_library_logs_holds_no_secret(
    log: Callable[[], str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("of_a_library")
    logger.debug("at SECRETtoken42")
    logger.info("%s of %d", "xSECRETtoken42x", 7)
    logger.warning("%(url)s", {"url": "/SECRETtoken42"})
    logger.warning(Odd())  # not a text
    logger.warning("%s", Odd(), stack_info=True)
    logger.warning("%d of %s", "no number", "SECRETtoken42")  # a mistake, which logging prints with its arguments
    logger.warning("100 % SECRETtoken42")
    try:
        raise KeyError("SECRETtoken42")
    except KeyError as error:
        try:
            raise RuntimeError("in between") from error
        except RuntimeError:
            logger.exception("it failed")
    out, err = capsys.readouterr()
    assert "SECRETtoken42" not in log() + out + err
    assert "x***x of 7" in log()
    assert "KeyError: '***'" in log()
    assert log().count("***") >= 8
    logger.info("%s of %d", "nothing secret", 7)
    assert log().endswith("nothing secret of 7\n")


@pytest.mark.usefixtures("_kept")
def test_a_record_without_a_secret_keeps_its_arguments() -> None:
    """Others group what is logged by them."""
    record = logging.makeLogRecord({})
    record = logging.getLogRecordFactory()("name", logging.INFO, __file__, 1, "%s of %d", ("one", 7), None)
    assert (record.msg, record.args) == ("%s of %d", ("one", 7))


@pytest.mark.usefixtures("_kept")
def test_no_traceback_holds_a_secret_whoever_writes_it(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        try:
            raise ExceptionGroup("SECRETtoken42", [OSError(5, "SECRETtoken42", "/SECRETtoken42")])
        except ExceptionGroup as error:
            error.add_note("SECRETtoken42")
            raise requests.ConnectionError(f"url: /{Odd()}") from error

    with pytest.raises(requests.ConnectionError) as caught:
        fail()
    error = caught.value
    texts = ["".join(traceback.format_exception(error)), *traceback.format_exception_only(error)]
    texts.append(str(serializable_error_info_from_exc_info((type(error), error, error.__traceback__))))  # type: ignore[arg-type]
    sys.excepthook(type(error), error, error.__traceback__)
    thread = threading.Thread(target=fail)
    threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, thread)))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        texts.append(warnings.formatwarning("SECRETtoken42", UserWarning, "x.py", 1))
    texts += capsys.readouterr()
    assert all("***" in text for text in texts if "Error" in text)
    assert not [text for text in texts if "SECRETtoken42" in text]


@pytest.mark.usefixtures("_kept")
def test_our_own_errors_and_foreign_text_in_them_hold_no_secret_also_where_they_are_cut() -> None:
    assert str(PricetrackerError("of SECRETtoken42")) == "of ***"
    assert first_line(ValueError("SECRETtoken42\nmore")) == "***"
    assert plain("a" * 110 + " SECRETtoken42 moreandmore") == f"{'a' * 110} *** morea …"
    assert plain(b"SECRETtoken42") == "***"


@pytest.mark.usefixtures("_kept")
@pytest.mark.parametrize("before", range(180, 320, 3))
def test_what_a_library_says_is_cut_only_without_secrets(before: int) -> None:
    said = "x" * before + " SECRETtoken42"
    watched = SensorOutcome()
    with watched.catching("it failed"):
        dict[str, str]()[said]
    texts = [
        *watched.troubles,
        *in_plain_words(DeltaError(said)),
        *in_plain_words(ValueError(said)),
        str(cannot_be_used(DataFolder(Path("/")).table("x"), DeltaError(said))),
        instance.in_plain_words(ValueError(said), DataFolder(Path("/"))),
        str(mendable(DeltaError(said))),
        load.as_key(f"{'x' * (before + 100)} SECRETtoken42"),
    ]
    assert not [text for text in texts if "SECR" in text]


# --- settings ---


def test_what_is_set_is_a_secret_of_the_process_from_then_on(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(
        f'{BTC}[alerts]\nchannels = ["json://h.example/SECRETone1"]\nheartbeat_url = "https://h.example/SECRETtwo2"\n'
        '[exchanges.kraken]\nurl = "http://u:SECRETthree3@127.0.0.1"\n[ui]\nurl = "https://u:SECRETfour4@ui.example/"\n'
    )
    monkeypatch.setenv("HTTPS_PROXY", "http://u:SECRETfive5@127.0.0.1:9")
    settings = load_settings()
    assert masked("SECRETone1 SECRETtwo2 SECRETthree3 SECRETfour4 SECRETfive5") == "*** *** *** *** ***"
    assert settings.exchange("KRAKEN").url == "http://127.0.0.1"
    assert settings.exchange("KRAKEN").login.get_secret_value() == "u:SECRETthree3"
    assert settings.ui.link == "https://ui.example"
    assert "SECRET" not in repr(settings) + str(settings.exchanges) + settings.exchanges.model_dump_json()


def test_settings_made_otherwise_are_kept_too(write_settings: Write) -> None:
    write_settings(BTC)
    made = Settings(alerts={"channels": ["json://h.example/SECRETone1"]})  # type: ignore[arg-type, call-arg]
    assert masked("SECRETone1") == "***"
    assert made.model_dump() == made.model_validate(made.model_dump()).model_dump()


def test_names_of_channels_in_routes_are_no_secrets(write_settings: Write) -> None:
    write_settings(f'{BTC}[alerts]\nchannels = ["json://h.example/SECRETone1"]\n')
    [channel] = load_settings().alerts.channels
    name = channel_name(channel.get_secret_value())
    write_settings(
        f'{BTC}[alerts]\nchannels = ["json://h.example/SECRETone1"]\n[[alerts.routes]]\nchannels = ["{name}", '
        '"json://h.example/SECRETtwo2"]\n'
    )
    load_settings()
    assert masked(f"{name} SECRETtwo2") == f"{name} ***"


@pytest.mark.parametrize(
    ("login", "sent"),
    [
        ("u:SECRETpass1", b"u:SECRETpass1"),
        ("u%3Av:pa%40ss%2Fw%3A1", b"u:v:pa@ss/w:1"),
        ("jürgen:päß€1", "jürgen:päß€1".encode()),
        ("SECRETtoken1", b"SECRETtoken1:"),
        (":onlyapassword", b":onlyapassword"),
    ],
)
def test_an_exchange_is_asked_with_its_login_which_no_url_holds(write_settings: Write, login: str, sent: bytes) -> None:
    asked: list[str | None] = []
    with OddKraken() as odd:

        def write(handler: BaseHTTPRequestHandler) -> None:
            asked.append(handler.headers["Authorization"])
            send(handler, json.dumps(odd.answer("Time", {})).encode())

        odd.write["Time"] = write
        for text in (
            f'{BTC}[exchanges.kraken]\nurl = "{odd.url.replace("://", f"://{login}@")}"',
            f'{BTC}[exchanges.kraken]\nurl = "{odd.url}"\nlogin = "{login}"',
        ):
            write_settings(text)
            settings = load_settings()
            assert settings.exchange("KRAKEN").url == odd.url
            exchange_times(settings)
    assert asked == [f"Basic {base64.b64encode(sent).decode()}"] * 2


MISTAKES = [
    '[exchanges.kraken]\nurl = "http://u:SECRETpass1@host.example"\nlogin = "u:SECRETpass2"',
    '[exchanges.kraken]\nurl = "http://u:SECRETpass1@host.example?a=SECRETpass2"',
    '[exchanges.kraken]\nurl = "http://u:SECRETpass1@host.example:99999"',
    '[exchanges.kraken]\nurl = "http://u:SECRETpa/ssSECRETpass2@host.example"',
    '[exchanges.kraken]\nurl = ["http://u:SECRETpass1@host.example"]',
    '[exchanges.kraken]\nlogin = ["u:SECRETpass1"]',
    '[exchanges.kraken]\nlogin = 5\nurls = "http://u:SECRETpass1@host.example"',
    '[exchanges]\nkraken = "http://u:SECRETpass1@host.example"',
    'exchanges = "http://u:SECRETpass1@host.example"',
    '[exchanges.krakn]\nurl = "http://u:SECRETpass1@host.example"',
    '[ui]\nurl = "u:SECRETpass1@host.example"',
    '[ui]\nurl = "https://u:SECRETpass1@host.example:x"',
    '[ui]\nhost = "https://u:SECRETpass1@host.example"',
    'data = "s3://key:SECRETpass1@bucket"',
    'data = ["json://h.example/SECRETpass1"]',
    '[alerts]\nrepeat_minutes = "json://h.example/SECRETpass1"',
    '[alerts]\n"json://h.example/SECRETpass1" = true',
    '[alerts]\nchannels = {"json://h.example/SECRETpass1" = 1}',
    '[alerts]\nchannels = "json://h.example/SECRETpass1"',
    '[alerts]\nchannels = ["json://h.example/SECRETpass1", 5]',
    '[alerts]\nchannels = [["json://h.example/SECRETpass1"]]',
    '[alerts]\nheartbeat_url = "SECRETpass1"',
    '[alerts]\nheartbeat_url = ["https://h.example/SECRETpass1"]',
    'alerts = "json://h.example/SECRETpass1"',
    '[[alerts.routes]]\nchannels = ["jsn://h.example/SECRETpass1"]',
    '[[alerts.routes]]\nchannels = ["SECRETpass1"]',
    '[[alerts.routes]]\nchannels = "json://h.example/SECRETpass1"',
    '[[alerts.rules]]\nname = "json://h.example/SECRETpass1"',
    '[[alerts.rules]]\nmetrics = ["json://h.example/SECRETpass1"]',
    "[alerts]\nchannels = ['json://h.example/SECRETpass1\"]",
    '[alerts]\nchannels = ["json://h.example/SECRETpass1"',
    "[alerts]\nchannels = json://h.example/SECRETpass1",
    '"json://h.example/SECRETpass1',
]


@pytest.mark.parametrize("text", MISTAKES)
def test_no_mistake_in_the_settings_is_told_with_a_secret(write_settings: Write, text: str) -> None:
    write_settings(f"{BTC}{text}")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    error = caught.value
    assert error.__traceback__ is not None
    told = serializable_error_info_from_exc_info((type(error), error, error.__traceback__))
    for said in (str(error), repr(error), "".join(traceback.format_exception(error)), str(told)):
        assert "SECRET" not in said
        assert "pricetracker.toml" in said


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PRICETRACKER_ALERTS__CHANNELS", "json://h.example/SECRETpass1"),
        ("PRICETRACKER_ALERTS", '{"channels": ["json://h.example/SECRETpass1"]'),
        ("PRICETRACKER_ALERTS__ROUTES", '[{"channels": ["json://h.example/SECRETpass1"]'),
        ("PRICETRACKER_EXCHANGES", '{"kraken": {"url": "http://u:SECRETpass1@h"}'),
        ("PRICETRACKER_EXCHANGES__KRAKEN__URL", "ftp://u:SECRETpass1@h"),
        ("PRICETRACKER_EXCHANGES__KRAKEN", "u:SECRETpass1"),
        ("PRICETRACKER_METRICS", "json://h.example/SECRETpass1"),
        ("PRICETRACKER_ALERTS__HEARTBEAT", "https://h.example/SECRETpass1"),
    ],
)
def test_nor_one_in_the_environment(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    write_settings(BTC)
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))
    assert variable in str(caught.value)


# --- what is recorded ---


def test_what_was_said_is_recorded_without_secrets_and_names_as_they_are(tmp_path: Path) -> None:
    keep_login("me:SECRETpass1")
    keep_channel("json://host.example/exchange/opened/KRAKEN", ["KRAKEN:BTCUSD"])
    records, noon = store_in(tmp_path).records, datetime(2026, 3, 3, 12, tzinfo=UTC)
    row = {"metric": "KRAKEN:BTCUSD", "minute": noon, "cause": "exchange error", "noted_at": noon}
    records.causes.upsert([{**row, "reason": "HTTP 401 for SECRETpass1"}])
    assert records.causes.rows() == [{**row, "reason": "HTTP 401 for ***"}]
    gap = MinuteRange(noon + MINUTE, noon + MINUTE)
    records.note_not_run({"KRAKEN:BTCUSD": [gap]}, noon, "the run failed: SECRETpass1")
    assert records.causes.rows()[1]["reason"] == "the run failed: ***"
