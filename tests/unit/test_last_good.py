"""The last settings that could be read: kept for their owner alone, found again whatever has become of the file."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.settings import AlertRoute, SettingsError, channel_name, config_file, load_settings
from pricetracker_dagster.settings import last_good as module
from pricetracker_dagster.settings.last_good import SettingsKeeper, last_good

Write = Callable[[str], Path]

GOOD = """metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]
data = "prices"
[alerts]
channels = ["json://user:secret@example.org/path"]
repeat_minutes = 7
heartbeat_url = "https://beat.example.org/secret"
[[alerts.rules]]
name = "slow"
factor = 2.5
[[alerts.routes]]
match = { metrics = ["KRAKEN:BTC*"], rules = ["slow"] }
channels = ["json://user:secret@example.org/path"]
quiet_hours = { from = "22:00", to = "7:00", time_zone = "Europe/Zurich" }
"""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITTEN_WITHIN", 0.0)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


@pytest.fixture
def kept(write_settings: Write) -> Path:
    """Return the file in which good settings are kept."""
    write_settings(GOOD)
    return keep()


def keep() -> Path:
    load_settings().folder.mkdir(exist_ok=True)
    settings = SettingsKeeper(load_settings).load()
    return settings.state / StateFile.LAST_SETTINGS


def test_they_are_the_same_again_but_for_where_they_come_from(kept: Path) -> None:
    before = load_settings()
    config_file().write_text("no toml", encoding="utf-8")
    found = last_good()
    assert found is not None
    assert found.model_dump(exclude={"data"}) == before.model_dump(exclude={"data"})
    assert found.alerts.channels[0].get_secret_value() == "json://user:secret@example.org/path"
    assert found.folder == kept.parent.parent
    assert "secret" not in repr(found)


def test_the_file_is_its_owners_alone_at_every_moment(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    replace = Path.replace

    def noted(self: Path, target: Path) -> Path:
        modes.append(stat.S_IMODE(self.stat().st_mode))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    kept.unlink()
    mask = os.umask(0)
    try:
        keep()
    finally:
        os.umask(mask)
    assert [stat.S_IMODE(kept.stat().st_mode), *modes] == [0o600, 0o600]
    kept.chmod(0o644)  # as a copy may be
    keep()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_other_small_files_are_written_as_the_umask_says(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "x", "y")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_it_is_written_only_when_something_has_changed(kept: Path) -> None:
    before = kept.stat()
    keep()
    assert kept.stat().st_ino == before.st_ino
    config_file().write_text(GOOD.replace("7", "8"), encoding="utf-8")
    keep()
    assert kept.stat().st_ino != before.st_ino


def test_no_data_folder_is_made_for_it(write_settings: Write) -> None:
    write_settings(GOOD)
    SettingsKeeper(load_settings).load()
    assert not load_settings().folder.exists()


@pytest.mark.parametrize(
    "broken",
    [
        GOOD.replace("= 7", "= seven"),  # no TOML
        GOOD.replace('"KRAKEN:BTCUSD"', '"KRAKEN:NOPE'),
        GOOD.replace("[alerts]", "[alarms]"),
        GOOD.replace('data = "prices"', "data = 5"),
        GOOD.replace('data = "prices"', 'data = "pri'),
        GOOD.replace('data = "prices"', 'data = "prices" # where all is\nsimulated = nope'),
        "",
        "\x00" * 100,
    ],
    ids=["number", "quote", "key", "data is none", "data is cut", "simulated", "empty", "NUL"],
)
def test_a_fresh_process_finds_them_whatever_is_wrong_with_the_file(kept: Path, broken: str) -> None:
    config_file().write_text(broken, encoding="utf-8")
    settings, trouble = SettingsKeeper(load_settings).load_or_last_good()
    assert settings.folder == kept.parent.parent
    assert settings.alerts.repeat_minutes == 7
    assert trouble is not None
    assert "pricetracker.toml" in trouble
    assert "\n" not in trouble


def test_they_are_found_where_the_file_is_gone_or_a_variable_is_wrong(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRICETRACKER_UI__PORT", "many")
    settings, trouble = SettingsKeeper(load_settings).load_or_last_good()
    assert settings.folder == kept.parent.parent
    assert "environment PRICETRACKER_UI__PORT" in str(trouble)
    monkeypatch.delenv("PRICETRACKER_UI__PORT")
    monkeypatch.setenv("PRICETRACKER_METRICS", "no JSON")  # which no source may read that is asked for the last ones
    assert SettingsKeeper(load_settings).load_or_last_good()[0].folder == kept.parent.parent
    monkeypatch.delenv("PRICETRACKER_METRICS")
    config_file().unlink()
    settings, trouble = SettingsKeeper(load_settings).load_or_last_good()
    assert settings.folder == kept.parent.parent
    assert "no such settings file" in str(trouble)


def test_of_real_and_invented_prices_those_are_found_that_the_settings_name(kept: Path) -> None:
    config_file().write_text(f"simulated = true\n{GOOD}", encoding="utf-8")
    simulated = keep()
    assert simulated.parent.parent.name == "prices-simulated"
    for line, expected in (("simulated = true", simulated), ("simulated = false", kept)):
        config_file().write_text(f"{line}\n{GOOD}[", encoding="utf-8")
        found = last_good()
        assert found is not None
        assert found.folder == expected.parent.parent


def test_dagsters_home_leads_to_a_data_folder_that_lies_elsewhere(
    write_settings: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "far" / "away"
    elsewhere.mkdir(parents=True)
    write_settings(GOOD.replace('"prices"', f'"{elsewhere}"'))
    keep()
    config_file().write_text(GOOD.replace('"prices"', "5"), encoding="utf-8")
    assert last_good() is None
    monkeypatch.setenv("DAGSTER_HOME", str(elsewhere / "dagster"))
    found = last_good()
    assert found is not None
    assert found.folder == elsewhere
    # another tracker's are nobody else's
    other = tmp_path / "other.toml"
    other.write_text("data = 5", encoding="utf-8")
    monkeypatch.setenv("PRICETRACKER_CONFIG", str(other))
    assert last_good() is None


@pytest.mark.parametrize("text", ["", "[" * 100_000, "{}", '{"settings": []}', '{"settings": {"metrics": []}}', "\x00"])
def test_a_damaged_file_is_none(kept: Path, text: str) -> None:
    kept.write_text(text, encoding="utf-8")
    config_file().write_text("no toml", encoding="utf-8")
    assert last_good() is None
    with pytest.raises(SettingsError):
        SettingsKeeper(load_settings).load_or_last_good()


def test_what_another_version_kept_or_is_wrong_is_left_out_alone(kept: Path) -> None:
    content = json.loads(kept.read_text(encoding="utf-8"))
    values = content["settings"]
    values |= {"of_tomorrow": 1, "keep_runs_hours": -1}
    values["alerts"] |= {"channels": ["nonsense", *values["alerts"]["channels"]], "of_tomorrow": {}}
    kept.write_text(json.dumps(content), encoding="utf-8")
    found = last_good()
    assert found is not None
    assert (found.keep_runs_hours, found.alerts.repeat_minutes, len(found.alerts.channels)) == (48, 7, 1)


A, B, C = (f"json://{name}.example.org/" for name in "abc")
ROUTE = {"channels": [A], "match": {"kind": "alert"}}


@pytest.mark.parametrize(
    ("kept_route", "expected"),
    [
        ({"channels": ["nonsense", B]}, {"channels": [B]}),
        ({"channels": ["jsn://x", 5, None, B, channel_name(C)]}, {"channels": [B, channel_name(C)]}),
        ({"channels": [channel_name("nonsense"), channel_name(A)]}, {"channels": [channel_name(A)]}),
        ({"channels": ["nonsense"]}, None),
        ({"channels": []}, None),
        ({"channels": "nonsense"}, None),
        ({}, None),
        ("nonsense", None),
        (
            {"channels": [B], "escalate_to": ["nonsense", C], "escalate_after_minutes": 5},
            {"channels": [B], "escalate_to": [C], "escalate_after_minutes": 5},
        ),
        ({"channels": [B], "escalate_to": ["nonsense"], "escalate_after_minutes": 5}, {"channels": [B]}),
        ({"channels": [B], "escalate_to": [C]}, None),  # after how long is lost
        (
            {"channels": [B], "quiet_hours": {"from": "22:00", "to": "07:00", "time_zone": "Nowhere/Gone"}},
            {"channels": [B]},
        ),
        ({"channels": [B], "quiet_hours": {"from": "late", "to": "07:00", "time_zone": "UTC"}}, {"channels": [B]}),
        ({"channels": [B], "repeat_minutes": -1, "of_tomorrow": 1}, {"channels": [B]}),
        ({"channels": [B], "match": {"rules": ["gone", "spike"]}}, {"channels": [B], "match": {"rules": ["spike"]}}),
        ({"channels": [B], "match": {"rules": ["gone"], "kind": "alert"}}, ROUTE | {"channels": [B]}),
        ({"channels": [B], "match": {"measures": ["gone"]}}, {"channels": [B]}),
    ],
)
def test_what_is_wrong_with_a_kept_route_costs_no_other_route_and_no_other_setting(
    kept: Path, kept_route: Any, expected: dict[str, Any] | None
) -> None:
    content = json.loads(kept.read_text(encoding="utf-8"))
    content["settings"]["alerts"] |= {
        "channels": ["nonsense", C],
        "rules": [{"name": "spike"}],
        "routes": [ROUTE, kept_route, ROUTE | {"repeat_minutes": 9}],
    }
    kept.write_text(json.dumps(content), encoding="utf-8")
    found = last_good()
    assert found is not None
    assert [each.get_secret_value() for each in found.alerts.channels] == [C]
    assert found.alerts.repeat_minutes == 7
    routes = [ROUTE, *([expected] if expected else []), ROUTE | {"repeat_minutes": 9}]
    assert found.alerts.routes == tuple(AlertRoute.model_validate(each) for each in routes)


def test_a_process_remembers_them_where_no_disk_takes_them(kept: Path) -> None:
    keeper = SettingsKeeper(load_settings)
    keeper.load()
    kept.unlink()
    config_file().write_text("no toml", encoding="utf-8")
    settings, trouble = keeper.load_or_last_good()
    assert settings.folder == kept.parent.parent
    assert trouble


def test_a_file_that_is_being_written_is_no_trouble(kept: Path) -> None:
    asked = []

    def load() -> object:
        asked.append(1)
        if len(asked) == 1:
            raise SettingsError("cut short")
        return load_settings()

    _, trouble = SettingsKeeper(load).load_or_last_good()  # type: ignore[arg-type]
    assert trouble is None


def test_a_mistake_of_ours_keeps_no_alarm_from_being_told(kept: Path) -> None:
    _, trouble = SettingsKeeper(lambda: 1 / 0).load_or_last_good()  # type: ignore[arg-type,return-value]
    assert trouble == "a mistake of pricetracker while reading the settings: ZeroDivisionError: division by zero"
