"""Every setting that can hold a secret holds one, everything fails, and every byte that was written is searched."""

import base64
import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import dagster as dg
import duckdb
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info
from pydantic import BaseModel, SecretStr

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.exchanges.kraken.client import Kraken
from pricetracker_dagster.local.tick_by_hand import run_minute_tick
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.sensors.alarms import missed_minutes, run_failure, spike_alerts
from pricetracker_dagster.sensors.heartbeat import heartbeat
from pricetracker_dagster.settings import CONFIG_VARIABLE, Settings, SettingsError, load_settings
from pricetracker_dagster.store.store import open_store
from tests.odd_kraken import NOW, OddKraken, send
from tests.webhook import Webhook

PROJECT = Path(__file__).parents[2]

HOLD_NONE = {
    "metrics",
    "data",
    "exchanges.kraken.options",
    "exchanges.simulated.options",
    "ui.host",
    "http.host",
    "http.cors",
    "markets.usd_like",
    "alerts.rules.name",
    "alerts.rules.kind",
    "alerts.rules.metrics",
    "alerts.rules.measures",
    "alerts.routes.match.metrics",
    "alerts.routes.match.rules",
    "alerts.routes.match.measures",
    "alerts.routes.match.kind",
    "alerts.routes.quiet_hours.time_zone",
}
"""Settings of text that are names, and shown."""

PLANTED: dict[str, Any] = {
    "exchanges.kraken.url": "http://{s}user:{s}p%40ss@{exchange}",
    "exchanges.kraken.login": None,  # what the URL holds
    "exchanges.simulated.url": "http://127.0.0.1:1/{s}pathofagateway",
    "exchanges.simulated.login": "{s}user:{s}pass",
    "ui.url": "https://{s}user:{s}pass@ui.example/",
    "http.url": "https://{s}user:{s}pass@prices.example/",
    "http.token": "{s}token-of-the-api",
    "alerts.channels": [
        "json://{s}user:{s}pass@{broken}/{s}broken?token={s}query",
        "json://127.0.0.1:1/{s}refused",
        "json://{webhook}/{s}500",
        "json://user:{s}pass@channel.invalid/{s}proxied",
        "slack://{s}AAA/{s}BBB/{s}CCCcccccccccccccccccc",
    ],
    "alerts.heartbeat_url": "http://beat.invalid/{s}beat?key={s}query",
    "alerts.routes.channels": ["json://{broken}/{s}route"],
    "alerts.routes.escalate_to": ["json://127.0.0.1:1/{s}escalated"],
}
"""What is set; ``{s}`` is a secret of the setting's own."""

PAIRS = ("BTCUSD", "ETHUSD", "SOLUSD", "XRPUSD")

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def leaves(kind: Any, path: str = "") -> Iterator[tuple[str, bool]]:
    """Every setting that is a text or a list of them, and whether its type says that it is a secret."""
    kinds = set(flat(kind))
    tables = [each for each in kinds if isinstance(each, type) and issubclass(each, BaseModel)]
    for table in tables:
        for name, field in table.model_fields.items():
            yield from leaves(field.annotation, f"{path}.{name}".lstrip("."))
    if not tables and kinds & {str, SecretStr}:
        yield path, SecretStr in kinds
    elif not tables and any(isinstance(each, str) for each in kinds):  # one of some words
        yield path, False


def flat(kind: Any) -> Iterator[Any]:
    yield kind
    for each in get_args(kind):
        yield from flat(each)


def secret_of(name: str) -> str:
    return f"PLANTED{len(name):02d}{name[-3:].upper()}{sum(name.encode())}"


def written(places: Mapping[str, str]) -> dict[str, Any]:
    """All settings, each with its secret."""
    found: dict[str, Any] = {"metrics": [f"KRAKEN:{pair}" for pair in PAIRS], "collect": {"budget_seconds": 20}}

    def fill(value: Any, path: str) -> Any:
        if isinstance(value, list):
            return [fill(each, path) for each in value]
        return value.format(s=secret_of(path), **places)

    for path, value in PLANTED.items():
        if value is not None:
            table = found
            *tables, key = path.split(".")
            for each in tables:
                table = table.setdefault(each, {})
            table[key] = fill(value, path)
    found["exchanges"]["kraken"]["requests_per_second"] = 1000
    found["alerts"]["routes"] = [
        found["alerts"]["routes"] | {"escalate_after_minutes": 1},
        {"channels": [f"{url}" for url in found["alerts"]["channels"]]},
    ]
    return found


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {toml(each)}' for key, each in value.items())}}}"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else json.dumps(value)


@pytest.fixture
def broken() -> Iterator[str]:
    """A server whose answers have a line that is no header; urllib3 logs the URL of such by itself."""

    def answer(taken: socket.socket) -> None:
        with taken:
            taken.recv(65536)
            taken.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\na line without a colon\r\nX: y\r\n\r\n")

    def listen() -> None:
        while True:
            try:
                taken, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(taken,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=listen, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def test_each_setting_is_known_as_one_that_can_hold_a_secret_or_as_one_that_cannot() -> None:
    """Whoever adds a setting plants a secret in it above, or says that it is a name."""
    found = dict(leaves(Settings))
    assert found.keys() == HOLD_NONE | PLANTED.keys()
    assert {path for path, is_secret in found.items() if is_secret} <= PLANTED.keys()


def test_no_byte_that_is_written_holds_a_secret(
    odd: OddKraken,
    webhook: Webhook,
    broken: str,
    tmp_path: Path,
    instance: dg.DagsterInstance,
    root_log: StringIO,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings_file = tmp_path / "pricetracker.toml"
    monkeypatch.setenv(CONFIG_VARIABLE, str(settings_file))
    for name in PROXIES:
        monkeypatch.setenv(name, f"http://{secret_of(name)}user:{secret_of(name)}pass@127.0.0.1:1")
    data = written({"exchange": odd.url.removeprefix("http://"), "broken": broken, "webhook": webhook.address})
    monkeypatch.setattr(webhook, "behaviour", dict.fromkeys([f"/{secret_of('alerts.channels')}500"], "500"))

    def write() -> None:
        settings_file.write_text("\n".join(f"{key} = {toml(value)}" for key, value in data.items()))

    write()
    odd.pairs |= {pair: (pair, f"{pair[:3]}/USD") for pair in PAIRS[2:]}
    texts: list[str] = []

    now = datetime.fromtimestamp(NOW, UTC)
    tracker = Tracker(load_settings, now=lambda: now)

    def tick() -> dg.DagsterRun:
        outcome = run_minute_tick(tracker, instance)
        texts.append(f"{outcome}")
        run = instance.get_run_by_id(outcome.run_id)
        assert run is not None
        return run

    def look(sensor: Any) -> None:
        with dg.build_sensor_context(instance, resources={"tracker": tracker}) as context:
            texts.append(f"{sensor(context)}")

    def told_of(run: dg.DagsterRun, sensor: Any) -> Any:
        kind = dg.DagsterEventType.PIPELINE_SUCCESS if run.is_success else dg.DagsterEventType.PIPELINE_FAILURE
        [record] = instance.get_records_for_run(run.run_id, of_type=kind).records
        return dg.build_run_status_sensor_context(
            sensor_name=sensor.name,
            dagster_event=record.event_log_entry.dagster_event,  # type: ignore[arg-type]
            dagster_instance=instance,
            dagster_run=run,
            resources={"tracker": tracker},
        )

    def fails_with(error: type[Exception], ask: Any) -> None:
        with pytest.raises(error) as caught:
            ask()
        logging.getLogger("of.dagster").error("it failed", exc_info=caught.value)
        info = (type(caught.value), caught.value, caught.value.__traceback__)
        texts.append(str(serializable_error_info_from_exc_info(info)))  # type: ignore[arg-type]

    # all is well, but for the heartbeat and the channels
    good = tick()
    assert good.is_success
    fails_with(Exception, lambda: heartbeat(told_of(good, heartbeat)))
    data["collect"]["budget_seconds"] = 4  # what fails need not be waited for
    write()
    # the exchange says what it was told, in a redirection and as no JSON, or hangs up; and mistakes of our own: of a
    # metric, of a step, of a sensor
    all_at_once = json.dumps(data) + " ".join(os.environ[name] for name in PROXIES)
    elsewhere = {"Location": data["exchanges"]["kraken"]["url"]}
    odd.write["OHLC", "XBTUSD"] = lambda handler: send(handler, b"", 302, elsewhere)
    odd.write["OHLC", "ETHUSD"] = lambda handler: send(handler, handler.headers["Authorization"].encode() * 5)
    odd.write["OHLC", "SOLUSD"] = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
    candles = Kraken.candles

    def mistaken(*_: object, **__: object) -> None:
        raise RuntimeError(all_at_once)

    def mistaken_of_one(exchange: Kraken, pair: str, *args: Any, **kwargs: Any) -> Any:
        return mistaken() if pair == "XRPUSD" else candles(exchange, pair, *args, **kwargs)

    odd.now += 60
    now += MINUTE
    with monkeypatch.context() as patched:
        patched.setattr(Kraken, "candles", mistaken_of_one)
        patched.setattr("pricetracker_dagster.assets.answers.publish", mistaken)
        run_failure(told_of(tick(), run_failure).for_run_failure())
    with monkeypatch.context() as patched:
        patched.setattr("pricetracker_dagster.sensors.alarms.watch_prices", mistaken)
        fails_with(RuntimeError, lambda: look(spike_alerts))
    now += MINUTE
    look(missed_minutes)
    reasons = [row["reason"] for row in open_store(tracker.settings()).records.causes.rows()]
    for said in ("302", "JSON", "RuntimeError", "no connection"):
        assert [reason for reason in reasons if said in reason], (said, reasons)

    # a mistake at each of the settings
    for path in PLANTED:
        *tables, key = path.split(".")
        texts_too = [] if key == "login" else [all_at_once]  # any text is a login
        for wrong in ({"a": all_at_once}, [[all_at_once]], *texts_too):
            changed = json.loads(json.dumps(data))
            table = changed
            for each in tables:
                table = table[each][0] if each == "routes" else table[each]
            table[key] = wrong
            fails_with(SettingsError, lambda changed=changed: load_settings(**changed))
    load_settings()

    # the command line, with every library at its most talkative; the exchange is away altogether
    odd.write["Time"] = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
    commands = [["alerts", "test"], ["tick"], ["status"], ["alerts", "--format", "json"], ["sql", "FROM incidents"]]
    code = (
        "import logging, sys\nlogging.basicConfig(level=1)\nfrom pricetracker_dagster.cli import main\n"
        f"for command in {commands}:\n  try: main(command)\n  except SystemExit as ended: print(ended.code)\n"
        f"from threading import Thread\ndef fail(): raise ValueError({all_at_once!r})\n"
        "thread = Thread(target=fail)\nthread.start(); thread.join()\nfail()\n"
    )
    script = tmp_path.with_name(f"{tmp_path.name}-script.py")
    script.write_text(code)
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"exec(compile(open({str(script)!r}).read(), '<made>', 'exec'))"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    texts += [ended.stdout, ended.stderr]
    assert ended.stderr.count("ValueError") == 2, ended.stderr
    assert "urllib3.connection" in ended.stderr

    # it was all tried
    records = open_store(tracker.settings()).records
    assert len({row["channel"] for row in records.deliveries.rows()}) >= 4
    assert not [row for row in records.deliveries.rows() if row["delivered"]]
    assert len(records.causes.rows()) > 4
    assert "***" in root_log.getvalue()

    texts += [root_log.getvalue(), *capfd.readouterr()]
    texts += [str(row) for table in records for row in table.rows()]
    texts += published(tracker.settings().data_folder.published)
    secrets = list(planted(data))
    assert len(secrets) > 40
    for text in texts:
        assert not [secret for secret in secrets if secret in text], text
    leaking = []
    for file in tmp_path.rglob("*"):
        if file.is_file() and not may_hold_secrets(file, settings_file):
            content = file.read_bytes() + b"".join(dumped(file))
            leaking += [(file, secret) for secret in secrets if secret.encode() in content]
    assert not leaking


def may_hold_secrets(file: Path, settings_file: Path) -> bool:
    """The settings themselves, and the last ones that could be read, which are for their owner alone."""
    return file == settings_file or (
        file.parent.name == "state" and "settings" in file.name and file.stat().st_mode & 0o077 == 0
    )


def planted(data: Mapping[str, Any]) -> Iterator[str]:
    """Every secret, as it may be written."""
    for name in (*PLANTED, *PROXIES):
        yield secret_of(name)
    values = [*PROXIES]
    logins = [unquote(data["exchanges"]["kraken"]["url"].partition("://")[2].rpartition("@")[0])]
    logins += [os.environ[name].partition("://")[2].rpartition("@")[0] for name in values]
    logins.append(data["exchanges"]["simulated"]["login"])
    for login in logins:
        for each in (login, *login.split(":"), login.partition(":")[2]):
            yield each
            encoded = base64.b64encode(each.encode()).decode().rstrip("=")
            yield from (encoded, encoded[:20])  # which is enough to tell who it is


def published(file: Path) -> Iterator[str]:
    with duckdb.connect(str(file), read_only=True) as connection:
        for (name,) in connection.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall():
            if name not in ("minute_prices", "history_24h"):
                yield str(connection.table(name).fetchall())
        for schema, name in connection.sql("SELECT schema_name, table_name FROM duckdb_tables()").fetchall():
            yield str(connection.table(f"{schema}.{name}").limit(1000).fetchall())


def dumped(file: Path) -> Iterator[bytes]:
    """What a database of SQLite holds, put together from its pages."""
    if file.read_bytes()[:15] == b"SQLite format 3":
        with closing(sqlite3.connect(file)) as connection:
            yield from (line.encode() for line in connection.iterdump())
