"""What is set of ``[[alerts.routes]]``: what loads, and what each mistake says without a secret."""

from collections.abc import Callable
from datetime import time
from pathlib import Path

import pytest

from pricetracker_dagster.settings import SettingsError, channel_name, load_settings

Write = Callable[[str], Path]
SECRET = "SECRET123"  # noqa: S105 - of nobody
URL = f"json://host.example/{SECRET}"
NAME = channel_name(URL)
BEGIN = f'metrics = ["KRAKEN:BTCUSD"]\n[alerts]\nchannels = ["{URL}"]\n[[alerts.routes]]\n'
TOLD = f'{BEGIN}channels = ["{NAME}"]\n'
QUIET = '{{ from = {}, to = {}, time_zone = "{}" }}'


def quiet(begin: str = '"22:00"', to: str = '"07:00"', zone: str = "Europe/Zurich") -> str:
    return f"{TOLD}quiet_hours = {QUIET.format(begin, to, zone)}"


def test_a_route_of_which_all_is_set(write_settings: Write) -> None:
    write_settings(
        f"""{quiet()}
match = {{ metrics = ["KRAKEN:*"], rules = ["spike"], measures = ["volume"], kind = "alert" }}
repeat_minutes = 0
escalate_after_minutes = 15
escalate_to = ["json://other.example/{SECRET}"]
[[alerts.routes]]
channels = ["json://third.example/{SECRET}", "{channel_name(f"json://other.example/{SECRET}")}"]
"""
    )
    settings = load_settings()
    route, second = settings.alerts.routes
    assert route.quiet_hours is not None
    assert (route.quiet_hours.begin, route.quiet_hours.to) == (time(22), time(7))
    assert (route.match.kind, route.repeat_minutes, route.escalate_after_minutes) == ("alert", 0, 15)
    assert (second.match.kind, second.repeat_minutes, second.quiet_hours) == (None, None, None)
    assert SECRET not in repr(settings) + settings.model_dump_json()
    assert type(settings.alerts).model_validate(settings.alerts.model_dump()) == settings.alerts


def test_times_may_be_written_as_toml_writes_them(write_settings: Write) -> None:
    write_settings(quiet("22:00:00", "07:30:00"))
    hours = load_settings().alerts.routes[0].quiet_hours
    assert hours is not None
    assert (hours.begin, hours.to) == (time(22), time(7, 30))


@pytest.mark.parametrize(
    ("text", "starts", "holds"),
    [
        (f'{BEGIN}channels = ["json-00000000"]', 'alerts.routes[0].channels[0] "json-00000000": no channel', NAME),
        (f'{BEGIN}channels = ["jsn://{SECRET}"]', "alerts.routes[0].channels[0] (not shown", "nor the name of a"),
        (f'{BEGIN}channels = ["{SECRET}"]', "alerts.routes[0].channels[0] (not shown", "nor the name of a"),
        (f'{BEGIN}channels = "{URL}"', "alerts.routes[0].channels (not shown", 'write e.g. ["json://host/path"]'),
        (f"{BEGIN}channels = []", "alerts.routes[0].channels (not shown", "nobody would be told"),
        (f"{BEGIN}channels = [5]", "alerts.routes[0].channels[0] (not shown", "valid string"),
        (f"{BEGIN}repeat_minutes = 5", "alerts.routes[0].channels is missing", ""),
        (f'{TOLD}escalate_to = ["{SECRET}"]\nescalate_after_minutes = 5', "alerts.routes[0].escalate_to[0] (not", ""),
        (f'{TOLD}escalate_to = ["{URL}"]', "alerts.routes[0] (not shown", "escalate_after_minutes is not: set both"),
        (f"{TOLD}escalate_after_minutes = 5", "alerts.routes[0] (not shown", "escalate_to is not: set both"),
        (f"{TOLD}escalate_after_minutes = 0", "alerts.routes[0].escalate_after_minutes 0: ", "equal to 1"),
        (f"{TOLD}repeat_minutes = true", "alerts.routes[0].repeat_minutes true: not a number", ""),
        (f"{TOLD}repeat_minutes = -1", "alerts.routes[0].repeat_minutes -1: ", "equal to 0"),
        (f"{TOLD}chanels = []", "alerts.routes[0].chanels: no such key", "did you mean channels?"),
        (f'{TOLD}metrics = ["*"]', "alerts.routes[0].metrics: no such key", ""),
        (f"{TOLD}match = 5", "alerts.routes[0].match 5: not a table", ""),
        (f'{TOLD}match = {{ rule = ["spike"] }}', "alerts.routes[0].match.rule: no such key", "did you mean rules?"),
        (f'{TOLD}match = {{ rules = ["spik"] }}', 'alerts.routes[0].match.rules[0] "spik": no such rule', "spike?"),
        (f'{TOLD}match = {{ rules = "spike" }}', 'alerts.routes[0].match.rules "spike": not a list', '["spike"]'),
        (f"{TOLD}match = {{ metrics = [] }}", "alerts.routes[0].match.metrics []: an empty list", ""),
        (f'{TOLD}match = {{ metrics = ["kraken:*"] }}', "alerts.routes[0].match.metrics[0] ", "mean KRAKEN:*?"),
        (f'{TOLD}match = {{ measures = ["volumes"] }}', 'alerts.routes[0].match.measures[0] "volumes"', "'volume'"),
        (f'{TOLD}match = {{ kind = "alarm" }}', 'alerts.routes[0].match.kind "alarm"', "'alert' or 'incident'"),
        (
            f'{TOLD}match = {{ kind = "incident", rules = ["spike"] }}',
            "alerts.routes[0].match ",
            "an incident has neither rule nor measure",
        ),
        (quiet('"25:00"'), 'alerts.routes[0].quiet_hours.from "25:00": not a time of day', '"22:00"'),
        (quiet("22"), "alerts.routes[0].quiet_hours.from 22: not a time of day", '"22:00"'),
        (quiet(to='"7"'), 'alerts.routes[0].quiet_hours.to "7": not a time of day', ""),
        (quiet("22:00:30"), "alerts.routes[0].quiet_hours.from ", "not a time of day"),
        (quiet(to='"22:00"'), "alerts.routes[0].quiet_hours ", "from and to are both 22:00"),
        (quiet(zone="Zurich"), "alerts.routes[0].quiet_hours.time_zone ", "did you mean Europe/Zurich?"),
        (quiet(zone="europe/zurich"), "alerts.routes[0].quiet_hours.time_zone ", "did you mean Europe/Zurich?"),
        (quiet(zone="Europe/Züricht"), "alerts.routes[0].quiet_hours.time_zone ", "did you mean Europe/Zurich?"),
        (quiet(zone="New York"), "alerts.routes[0].quiet_hours.time_zone ", "did you mean America/New_York?"),
        (quiet(zone="Europe"), "alerts.routes[0].quiet_hours.time_zone ", "no such time zone"),
        (quiet(zone="../etc/passwd"), "alerts.routes[0].quiet_hours.time_zone ", "no such time zone"),
        (quiet(zone=""), "alerts.routes[0].quiet_hours.time_zone ", "no such time zone"),
        (f'{TOLD}quiet_hours = {{ from = "22:00" }}', "alerts.routes[0].quiet_hours.to is missing", "time_zone is"),
        (
            f'{TOLD}quiet_hours = {{ form = "22:00", to = "07:00", time_zone = "UTC" }}',
            "alerts.routes[0].quiet_hours.from is missing",
            "form: no such key; did you mean from?",
        ),
    ],
)
def test_a_mistake_names_file_key_and_remedy_and_no_secret(
    write_settings: Write, text: str, starts: str, holds: str
) -> None:
    write_settings(text)
    with pytest.raises(SettingsError) as error:
        load_settings()
    said = str(error.value)
    assert said.startswith(f"pricetracker.toml: {starts}")
    assert holds in said
    assert SECRET not in said


def test_routes_may_stand_in_a_variable(write_settings: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    monkeypatch.setenv("PRICETRACKER_ALERTS__ROUTES", f'[{{"channels": ["{URL}"], "match": {{"kind": "alert"}}}}]')
    [route] = load_settings().alerts.routes
    assert route.channels[0].get_secret_value() == URL
    monkeypatch.setenv("PRICETRACKER_ALERTS__ROUTES", f"channels={URL}")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value).startswith("environment PRICETRACKER_ALERTS__ROUTES (not shown, it may hold secrets)")
