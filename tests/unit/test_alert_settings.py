"""What is set of alerts: the defaults, what each mistake says, and that no secret is ever said."""

import io
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster._utils.error import serializable_error_info_from_exc_info

from pricetracker_dagster.settings import (
    AlertRule,
    AlertSettings,
    Settings,
    SettingsError,
    changed_rules,
    is_channel,
    load_settings,
    rules_of_kind,
)
from pricetracker_dagster.settings.kept import as_json, restored

Write = Callable[[str], Path]
BTC = 'metrics = ["KRAKEN:BTCUSD"]\n'
SECRET = "SECRET123"  # noqa: S105 - of nobody
RULE = f'{BTC}[[alerts.rules]]\nname = "burst"\n'


def mistake() -> str:
    """What loading the settings says; nothing about the error may hold the secret."""
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert_nothing_is_given_away(error.value)
    return str(error.value)


def assert_nothing_is_given_away(error: BaseException) -> None:
    """What is printed, logged or kept by Dagster of an error and of those it came from does not hold the secret."""
    assert error.__traceback__ is not None
    kept_by_dagster = serializable_error_info_from_exc_info((type(error), error, error.__traceback__))
    for text in (str(error), repr(error), "".join(traceback.format_exception(error)), str(kept_by_dagster)):
        assert SECRET not in text


def behind(error: BaseException) -> Iterator[BaseException]:
    """Everything that a logger may find at an error."""
    for each in (error.__cause__, error.__context__):
        if each is not None:
            yield each
            yield from behind(each)


# --- what is not set ---


def test_a_rule_of_which_nothing_is_set_is_the_one_that_users_asked_for() -> None:
    assert AlertRule().model_dump() == {
        "name": "spike",
        "kind": "spike",
        "metrics": ("*",),
        "measures": ("price", "volume"),
        "factor": 3.0,
        "window_minutes": 60,
        "min_points": 30,
        "min_average": 0.0,
        "for_minutes": 1,
        "resolve_after_minutes": 5,
    }


def test_a_rule_of_kind_divergence_has_keys_of_its_own_and_is_called_so() -> None:
    rule = AlertRule.model_validate({"kind": "divergence"})
    assert rule.model_dump() == {
        "name": "divergence",
        "kind": "divergence",
        "metrics": ("*",),
        "for_minutes": 1,
        "resolve_after_minutes": 5,
        "basis_points": 50.0,
        "others": 3,
    }
    assert AlertRule.model_validate(rule.model_dump()) == rule
    assert AlertRule.model_validate({"kind": "divergence", "name": "apart"}).name == "apart"


def test_a_rule_of_each_kind_stand_in_one_file_and_are_kept_as_they_are(write_settings: Write) -> None:
    write_settings(f'{BTC}[[alerts.rules]]\n[[alerts.rules]]\nkind = "divergence"\nbasis_points = 25\nothers = 4')
    settings = load_settings()
    assert [(rule.name, rule.kind, rule.limit) for rule in settings.rules] == [
        ("spike", "spike", 3.0),
        ("divergence", "divergence", 25.0),
    ]
    kept = restored(as_json(settings), settings.folder)
    assert kept is not None
    assert kept.rules == settings.rules


def test_without_a_word_about_alerts_there_is_one_rule_and_nobody_is_told(write_settings: Write) -> None:
    write_settings(BTC)
    alerts = load_settings().alerts
    assert alerts.rules == (AlertRule(),)
    assert alerts.channels == ()
    assert alerts.heartbeat_url.get_secret_value() == ""
    assert (alerts.max_age_minutes, alerts.repeat_minutes, alerts.missed_grace_minutes) == (15, 60, 2)
    assert set(AlertSettings.model_fields) == {
        "rules",
        "channels",
        "max_age_minutes",
        "repeat_minutes",
        "missed_grace_minutes",
        "incident_resolve_after_minutes",
        "heartbeat_url",
        "routes",
        "keep_days",
    }


# --- what is set ---


def test_rules_are_tables_of_the_file_of_which_any_key_may_be_left_away(write_settings: Write) -> None:
    write_settings(
        f"""{BTC}
[[alerts.rules]]
[[alerts.rules]]
name = "falls"
metrics = ["KRAKEN:*", "SIMULATED:BTCUSD"]
measures = ["change_percentage"]
factor = 5
window_minutes = 1440
min_points = 1440
min_average = 0.5
for_minutes = 2
resolve_after_minutes = 10
[alerts]
max_age_minutes = 1
repeat_minutes = 0
missed_grace_minutes = 0
"""
    )
    alerts = load_settings().alerts
    assert alerts.rules == (
        AlertRule(),
        AlertRule(
            name="falls",
            metrics=("KRAKEN:*", "SIMULATED:BTCUSD"),
            measures=("change_percentage",),
            factor=5.0,
            window_minutes=1440,
            min_points=1440,
            min_average=0.5,
            for_minutes=2,
            resolve_after_minutes=10,
        ),
    )
    assert (alerts.max_age_minutes, alerts.repeat_minutes, alerts.missed_grace_minutes) == (1, 0, 0)


def test_a_list_without_rules_is_possible(write_settings: Write) -> None:
    write_settings(f"{BTC}[alerts]\nrules = []")
    assert load_settings().alerts.rules == ()


CHANNELS = [
    f"json://user:{SECRET}@host.example/{SECRET}",
    f"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi{SECRET[:3]}7",
    f"discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js{SECRET}",
    f"tgram://123456789:abcdefg_hijklmnop{SECRET}/12315544/",
    f"mailtos://me:{SECRET}@smtp.example:587/?to=you@mail.example&from=me@mail.example",
]


def test_good_channels_load_from_the_file_and_are_not_shown(write_settings: Write) -> None:
    write_settings(f'{BTC}[alerts]\nchannels = {CHANNELS}\nheartbeat_url = "https://beat.example/{SECRET}"')
    settings = load_settings()
    assert [channel.get_secret_value() for channel in settings.alerts.channels] == CHANNELS
    assert settings.alerts.heartbeat_url.get_secret_value() == f"https://beat.example/{SECRET}"
    shown = (
        repr(settings),
        str(settings),
        f"{settings.alerts!r}",
        settings.model_dump_json(),
        repr(settings.model_dump()),
    )
    for text in shown:
        assert SECRET not in text
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own


def test_good_channels_load_from_the_environment_beside_what_the_file_says(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(f'{BTC}[alerts]\nrepeat_minutes = 7\nchannels = ["json://other.example"]')
    monkeypatch.setenv("PRICETRACKER_ALERTS__CHANNELS", f'["json://host.example/{SECRET}"]')
    monkeypatch.setenv("PRICETRACKER_ALERTS__HEARTBEAT_URL", f"https://beat.example/{SECRET}")
    settings = load_settings()
    assert [channel.get_secret_value() for channel in settings.alerts.channels] == [f"json://host.example/{SECRET}"]
    assert settings.alerts.heartbeat_url.get_secret_value() == f"https://beat.example/{SECRET}"
    assert settings.alerts.repeat_minutes == 7
    assert SECRET not in repr(settings)


def test_a_whole_section_may_stand_in_one_variable(write_settings: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings(BTC)
    monkeypatch.setenv("PRICETRACKER_ALERTS", '{"repeat_minutes": 7, "rules": [{"factor": 4}]}')
    settings = load_settings()
    assert (settings.alerts.repeat_minutes, settings.alerts.rules) == (7, (AlertRule(factor=4),))


# --- mistakes ---


@pytest.mark.parametrize(
    ("text", "starts", "holds"),
    [
        (f"{RULE}factr = 5", "pricetracker.toml: alerts.rules[0].factr: no such key", "did you mean factor?"),
        (
            f"{RULE}window = 5",
            "pricetracker.toml: alerts.rules[0].window: no such key",
            "did you mean window_minutes?",
        ),
        (
            f"{BTC}[alerts]\nchanels = []",
            "pricetracker.toml: alerts.chanels: no such key",
            "did you mean channels?",
        ),
        (
            f'{RULE}measures = ["price", "volumes"]',
            'pricetracker.toml: alerts.rules[0].measures[1] "volumes": ',
            "'price', 'volume', 'change_absolute' or 'change_percentage'",
        ),
        (f"{RULE}factor = -3", "pricetracker.toml: alerts.rules[0].factor -3: ", "greater than 0"),
        (f"{RULE}factor = 0", "pricetracker.toml: alerts.rules[0].factor 0: ", "greater than 0"),
        (f"{RULE}factor = nan", "pricetracker.toml: alerts.rules[0].factor nan: ", ""),
        (f"{RULE}factor = inf", "pricetracker.toml: alerts.rules[0].factor inf: ", "finite number"),
        (
            f"{RULE}min_average = -1",
            "pricetracker.toml: alerts.rules[0].min_average -1: ",
            "greater than or equal to 0",
        ),
        (f"{RULE}window_minutes = 1441", "pricetracker.toml: alerts.rules[0].window_minutes 1441: ", "1440"),
        (f"{RULE}for_minutes = 0", "pricetracker.toml: alerts.rules[0].for_minutes 0: ", "equal to 1"),
        (
            f"{RULE}resolve_after_minutes = 1.5",
            "pricetracker.toml: alerts.rules[0].resolve_after_minutes 1.5: ",
            "integer",
        ),
        (
            f"{RULE}min_points = 61",
            "pricetracker.toml: alerts.rules[0] ",
            "min_points 61 is more than window_minutes 60: it would never fire",
        ),
        (
            f"{RULE}window_minutes = 10",
            "pricetracker.toml: alerts.rules[0] ",
            "min_points 30 is more than window_minutes 10: it would never fire",
        ),
        (
            f'{RULE}[[alerts.rules]]\nname = "burst"',
            'pricetracker.toml: alerts.rules[1] name "burst" is listed twice',
            "give it another",
        ),
        (
            f"{BTC}[[alerts.rules]]\n[[alerts.rules]]\nfactor = 5",
            'pricetracker.toml: alerts.rules[1] name "spike" is listed twice',
            "give it another",
        ),
        (f'{BTC}[[alerts.rules]]\nname = "my rule|x"', 'pricetracker.toml: alerts.rules[0].name "my rule|x": ', ""),
        (
            f'{RULE}kind = "divergence"\nfactor = 3.0',
            "pricetracker.toml: alerts.rules[0] ",
            'factor is a key of rules of kind "spike", and the kind of this one is "divergence": leave factor away, or',
        ),
        (
            f"{RULE}others = 3",
            "pricetracker.toml: alerts.rules[0] ",
            'others is a key of rules of kind "divergence", and the kind of this one is "spike": leave others away, or',
        ),
        (f'{RULE}kind = "jump"', 'pricetracker.toml: alerts.rules[0].kind "jump": ', "'spike' or 'divergence'"),
        (
            f'{RULE}kind = "divergence"\nbasis_points = 0',
            "pricetracker.toml: alerts.rules[0].basis_points 0: ",
            "greater than or equal to 0.01",
        ),
        (
            f'{RULE}kind = "divergence"\nothers = 0',
            "pricetracker.toml: alerts.rules[0].others 0: ",
            "greater than or equal to 1",
        ),
        (
            f'{BTC}[[alerts.rules]]\nkind = "divergence"\n[[alerts.rules]]\nkind = "divergence"',
            'pricetracker.toml: alerts.rules[1] name "divergence" is listed twice',
            "give it another",
        ),
        (f"{RULE}measures = []", "pricetracker.toml: alerts.rules[0].measures []: an empty list", "name one"),
        (f"{RULE}metrics = []", "pricetracker.toml: alerts.rules[0].metrics []: an empty list", "name one"),
        (
            f'{RULE}measures = "price"',
            'pricetracker.toml: alerts.rules[0].measures "price": not a list',
            'write e.g. ["price", "volume"]',
        ),
        (
            f'{RULE}metrics = "KRAKEN:*"',
            'pricetracker.toml: alerts.rules[0].metrics "KRAKEN:*": not a list',
            'write e.g. ["KRAKEN:*"]',
        ),
        (f"{BTC}[alerts.rules]\nfactor = 5", "pricetracker.toml: alerts.rules ", "[[alerts.rules]]"),
        (f"{BTC}[alerts]\nrules = 5", "pricetracker.toml: alerts.rules 5: not a list", "[[alerts.rules]]"),
        (f"{BTC}[alerts]\nmax_age_minutes = 0", "pricetracker.toml: alerts.max_age_minutes 0: ", "equal to 1"),
        (f"{BTC}[alerts]\nrepeat_minutes = -1", "pricetracker.toml: alerts.repeat_minutes -1: ", "equal to 0"),
        (f"{BTC}alerts = 5", "pricetracker.toml: alerts (not shown", "[alerts]"),
    ],
)
def test_a_mistake_names_file_key_and_remedy(write_settings: Write, text: str, starts: str, holds: str) -> None:
    write_settings(text)
    said = mistake()
    assert said.startswith(starts)
    assert holds in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "starts", "holds"),
    [
        (
            f'channels = ["json://host.example", "jsn://host.example/{SECRET}"]',
            "pricetracker.toml: alerts.channels[1] (not shown",
            "write e.g. slack://",
        ),
        (f'channels = ["{SECRET}"]', "pricetracker.toml: alerts.channels[0] (not shown", "write e.g. slack://"),
        (
            f'channels = [""]\nheartbeat_url = "https://x/{SECRET}"',
            "pricetracker.toml: alerts.channels[0]",
            "write e.g.",
        ),
        (f'channels = ["slack://{SECRET}"]', "pricetracker.toml: alerts.channels[0] (not shown", "write e.g. slack://"),
        (
            f'channels = ["tgram://{SECRET}/"]',
            "pricetracker.toml: alerts.channels[0] (not shown",
            "write e.g. slack://",
        ),
        (
            f'channels = ["json://[{SECRET}/"]',
            "pricetracker.toml: alerts.channels[0] (not shown",
            "write e.g. slack://",
        ),
        (
            f'channels = "json://host.example/{SECRET}"',
            "pricetracker.toml: alerts.channels (not shown",
            'not a list: write e.g. ["json://host/path"]',
        ),
        (f'channels = {{ slack = "{SECRET}" }}', "pricetracker.toml: alerts.channels (not shown", "not a list"),
        (
            f'channels = [["json://host.example/{SECRET}"]]',
            "pricetracker.toml: alerts.channels[0] (not shown",
            "should be a valid string",
        ),
        ("channels = [5]", "pricetracker.toml: alerts.channels[0] (not shown", "should be a valid string"),
        (
            f'channels = [{{ url = "json://host.example/{SECRET}" }}]',
            "pricetracker.toml: alerts.channels[0] (not shown",
            "should be a valid string",
        ),
        (
            f'heartbeat_url = "beat.example/{SECRET}"',
            "pricetracker.toml: alerts.heartbeat_url (not shown",
            "not a URL: write e.g. https://",
        ),
        (
            f'heartbeat_url = ["https://beat.example/{SECRET}"]',
            "pricetracker.toml: alerts.heartbeat_url (not shown",
            "should be a valid string",
        ),
        (f'chanels = ["json://host.example/{SECRET}"]', "pricetracker.toml: alerts.chanels: no such key", "channels?"),
        (
            f'max_age_minutes = "x"\nchannels = ["json://host.example/{SECRET}"]',
            'pricetracker.toml: alerts.max_age_minutes "x": ',
            "integer",
        ),
        (f'channels = ["json://host.example/{SECRET}"', "pricetracker.toml: not valid TOML: ", "; see /"),
        (f"channels = [json://host.example/{SECRET}]", "pricetracker.toml: not valid TOML: ", "line 3"),
    ],
)
def test_a_mistake_about_channels_names_file_key_and_remedy_and_no_secret(
    write_settings: Write, text: str, starts: str, holds: str
) -> None:
    write_settings(f"{BTC}[alerts]\n{text}")
    said = mistake()
    assert said.startswith(starts)
    assert holds in said


@pytest.mark.parametrize(
    ("variable", "value", "starts", "holds"),
    [
        (
            "PRICETRACKER_ALERTS__CHANNELS",
            f"json://host.example/{SECRET}",
            "environment PRICETRACKER_ALERTS__CHANNELS (not shown",
            'not JSON: write e.g. ["json://host/path"]',
        ),
        (
            "PRICETRACKER_ALERTS__CHANNELS",
            f'"json://host.example/{SECRET}"',
            "environment PRICETRACKER_ALERTS__CHANNELS: alerts.channels (not shown",
            "not a list",
        ),
        (
            "PRICETRACKER_ALERTS__CHANNELS",
            f'["{SECRET}"]',
            "environment PRICETRACKER_ALERTS__CHANNELS: alerts.channels[0] (not shown",
            "write e.g. slack://",
        ),
        (
            "PRICETRACKER_ALERTS__CHANNELS__0",
            f"json://host.example/{SECRET}",
            "environment PRICETRACKER_ALERTS__CHANNELS__0: alerts.channels (not shown",
            'not a list: write e.g. ["json://host/path"]',
        ),
        (
            "pricetracker_alerts__channels",
            f"json://host.example/{SECRET}",
            "environment pricetracker_alerts__channels (not shown",
            "not JSON",
        ),
        (
            "PRICETRACKER_ALERTS",
            f'{{"channels": ["json://host.example/{SECRET}"',
            "environment PRICETRACKER_ALERTS (not shown",
            "not JSON",
        ),
        (
            "PRICETRACKER_ALERTS",
            f'["json://host.example/{SECRET}"]',
            "environment PRICETRACKER_ALERTS: alerts (not shown",
            "not a table",
        ),
        (
            "PRICETRACKER_ALERTS",
            f'{{"channels": "json://host.example/{SECRET}"}}',
            "environment PRICETRACKER_ALERTS: alerts.channels (not shown",
            "not a list",
        ),
        (
            "PRICETRACKER_ALERTS__CHANELS",
            f'["json://host.example/{SECRET}"]',
            "environment PRICETRACKER_ALERTS__CHANELS: alerts.chanels: no such key",
            "did you mean channels?",
        ),
        (
            "PRICETRACKER_ALERTS_CHANNELS",
            f'["json://host.example/{SECRET}"]',
            "environment: PRICETRACKER_ALERTS_CHANNELS: no such setting",
            "did you mean PRICETRACKER_ALERTS__CHANNELS?",
        ),
        (
            "PRICETRACKER_ALERTS__HEARTBEAT_URL",
            SECRET,
            "environment PRICETRACKER_ALERTS__HEARTBEAT_URL: alerts.heartbeat_url (not shown",
            "write e.g. https://",
        ),
        (
            "PRICETRACKER_ALERTS__RULES",
            "spike",
            'environment PRICETRACKER_ALERTS__RULES "spike": not JSON',
            "[[alerts.rules]]",
        ),
    ],
)
def test_a_mistake_in_the_environment_names_variable_key_and_remedy_and_no_secret(
    write_settings: Write, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, starts: str, holds: str
) -> None:
    write_settings(BTC)
    monkeypatch.setenv(variable, value)
    said = mistake()
    assert said.startswith(starts)
    assert holds in said


@pytest.mark.parametrize(
    "text",
    [
        f'channels = ["{SECRET}"]',
        f'channels = "json://host.example/{SECRET}"',
        f'chanels = ["json://host.example/{SECRET}"]',
        f'heartbeat_url = "{SECRET}"',
        f"channels = [json://host.example/{SECRET}]",
    ],
)
def test_nor_do_the_errors_behind_a_mistake_hold_a_secret(write_settings: Write, text: str) -> None:
    write_settings(f"{BTC}[alerts]\n{text}")
    with pytest.raises(SettingsError) as error:
        load_settings()
    for each in behind(error.value):
        assert SECRET not in f"{each} {each!r}"


@pytest.mark.parametrize("url", CHANNELS)
def test_what_apprise_can_send_to_is_a_channel(url: str) -> None:
    assert is_channel(url)


@pytest.mark.parametrize(
    "url", ["", " ", "json", "json://", "host.example", f"nothing://{SECRET}", f"slack://{SECRET}"]
)
def test_what_it_cannot_is_none_and_it_says_nothing_about_it(
    url: str, root_log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not is_channel(url)
    assert SECRET not in "".join([root_log.getvalue(), *capfd.readouterr()])


# --- rules changed for a backtest ---


def test_changed_rules_keep_what_is_not_changed() -> None:
    rules = AlertRule(name="one", factor=4), AlertRule(name="two", min_average=7)
    changed = changed_rules(rules, {"factor": 5, "metrics": ("KRAKEN:*",)})
    assert changed == (
        AlertRule(name="one", factor=5, metrics=("KRAKEN:*",)),
        AlertRule(name="two", factor=5, metrics=("KRAKEN:*",), min_average=7),
    )
    assert changed_rules(rules, {}) == rules
    assert changed_rules((), {"factor": 5}) == ()


def test_each_rule_is_changed_in_what_its_kind_has() -> None:
    rules = AlertRule(), AlertRule(kind="divergence", name="apart")
    assert changed_rules(rules, {"factor": 5, "others": 2, "for_minutes": 4}) == (
        AlertRule(factor=5, for_minutes=4),
        AlertRule(kind="divergence", name="apart", others=2, for_minutes=4),
    )
    with pytest.raises(SettingsError) as error:
        changed_rules(rules[:1], {"others": 2})
    assert str(error.value) == 'others is no key of rules of kind "spike", and there are no others: add --kind'


def test_the_rules_of_a_kind_are_those_that_are_set_or_one_with_its_defaults() -> None:
    spike, apart = AlertRule(factor=4), AlertRule(kind="divergence", name="apart")
    assert rules_of_kind([spike, apart], None) == (spike, apart)
    assert rules_of_kind([spike, apart], "divergence") == (apart,)
    assert rules_of_kind([spike], "divergence") == (AlertRule(kind="divergence", name="divergence"),)
    assert rules_of_kind([], None) == ()


@pytest.mark.parametrize(
    ("instead", "says"),
    [
        ({"min_points": 61}, "min_points 61 is more than window_minutes 60"),
        ({"window_minutes": 10}, "min_points 30 is more than window_minutes 10"),
        ({"factor": -1}, "factor"),
        ({"factor": float("nan")}, "factor"),
        ({"measures": ("prices",)}, "measures"),
    ],
)
def test_rules_that_are_changed_for_the_worse_are_refused_by_their_key(instead: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as error:
        changed_rules([AlertRule()], instead)
    assert says in str(error.value)


# --- what it costs ---

LOADED = """
import sys
from pricetracker_dagster.settings import load_settings
print(len(load_settings().alerts.channels), "apprise" in sys.modules)
"""


@pytest.mark.parametrize(("channels", "says"), [("[]", "0 False"), ('["json://host.example"]', "1 True")])
def test_without_channels_apprise_is_not_imported(write_settings: Write, channels: str, says: str) -> None:
    write_settings(f"{BTC}[alerts]\nchannels = {channels}")
    answer = subprocess.run([sys.executable, "-W", "ignore", "-c", LOADED], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == says


def test_settings_do_not_change(write_settings: Write) -> None:
    write_settings(BTC)
    settings: Settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.alerts.repeat_minutes = 5


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("kraken:*", '"kraken:*" matches no metric: write e.g. KRAKEN:BTCUSD or KRAKEN:*; did you mean KRAKEN:*?'),
        ("BTC/USD", '"BTC/USD" names no exchange: write e.g. KRAKEN:BTC/USD'),
        (
            "KRAKEN:[BE]*",
            (
                '"KRAKEN:[BE]*" matches no metric: write e.g. KRAKEN:BTCUSD or KRAKEN:*; '
                "in a pattern only * and ? have a meaning"
            ),
        ),
    ],
)
def test_a_pattern_that_no_metric_could_match_is_a_mistake(write_settings: Write, pattern: str, says: str) -> None:
    write_settings(f'metrics = ["KRAKEN:BTCUSD"]\n[[alerts.rules]]\nmetrics = ["*", "{pattern}"]')
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value) == f"pricetracker.toml: alerts.rules[0].metrics[1] {says}"


def test_on_the_simulator_a_rule_is_for_the_counterparts_of_its_metrics(write_settings: Write) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[[alerts.rules]]\nmetrics = ["KRAKEN:BTC*", "*"]')
    assert load_settings().rules[0].metrics == ("KRAKEN:BTC*", "*")
    assert load_settings(simulated=True).rules[0].metrics == ("SIMULATED:BTC*", "*")
