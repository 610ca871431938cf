"""Settings put together: arguments, environment, file; checked, and refused in one line: place, key, value, remedy."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError as SettingsSourceError

from pricetracker_dagster.errors import did_you_mean, in_one_line, is_utf8
from pricetracker_dagster.process.guard import guard
from pricetracker_dagster.process.secrets import shown_url
from pricetracker_dagster.settings.alerts import AlertRule, RuleKind
from pricetracker_dagster.settings.exchanges import Exchanges, ExchangeSettings, exchange_names
from pricetracker_dagster.settings.model import Settings
from pricetracker_dagster.settings.secret import holds_secrets
from pricetracker_dagster.settings.source import (
    CONFIG_VARIABLE,
    PREFIX,
    SettingsError,
    config_file,
    is_there,
    source_of,
    variables,
)


def load_settings(**overrides: Any) -> Settings:
    """Load and check the settings.

    Args:
        overrides: values that come before environment and file, by their top-level name.

    Raises:
        SettingsError: the file is absent or no TOML, or a key or value in file or environment is wrong.
    """
    guard()
    path = config_file()
    if not is_there(path):
        raise SettingsError(f"{path}: no such settings file; write one or name another with {CONFIG_VARIABLE}")
    wrong = [*_unknown_variables(), *_variables_that_are_no_text()]
    if wrong:
        raise SettingsError("\n".join(map(in_one_line, wrong)))
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(in_one_line(_message_of(details, path)) for details in error.errors())) from None
    except (SettingsSourceError, RecursionError) as error:  # which do not name the variable
        raise SettingsError("\n".join(map(in_one_line, _variables_that_are_no_json())) or str(error)) from error


def rules_of_kind(rules: Sequence[AlertRule], kind: RuleKind | None) -> tuple[AlertRule, ...]:
    """Return the rules of a kind, where there are none one with its defaults; None: all of them."""
    own = tuple(rule for rule in rules if kind in (None, rule.kind))
    return own if own or kind is None else (AlertRule.model_validate({"kind": kind}),)


def changed_rules(rules: Sequence[AlertRule], instead: Mapping[str, Any]) -> tuple[AlertRule, ...]:
    """Return rules with some of their values changed, each with those that its kind has, checked as the file's are.

    Raises:
        SettingsError: a rule would be wrong with them, or a value is for none of the rules.
    """
    changed = [
        {**rule.model_dump(), **{key: instead[key] for key in instead.keys() - rule.keys_of_other_kinds()}}
        for rule in rules
    ]
    for key in instead if rules else ():
        if not any(key in values for values in changed):
            known = ", ".join(f'"{kind}"' for kind in dict.fromkeys(rule.kind for rule in rules))
            raise SettingsError(f"{key} is no key of rules of kind {known}, and there are no others: add --kind")
    try:
        return tuple(map(AlertRule.model_validate, changed))
    except ValidationError as error:
        raise SettingsError("\n".join(map(_message_of_rule, error.errors()))) from None


def _unknown_variables() -> Iterator[str]:
    """Report each variable that begins like a setting and is none."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields} | {CONFIG_VARIABLE}
    for variable in variables():
        if variable.startswith(PREFIX) and variable.split("__")[0].upper() not in known:
            meant = _variable_meant_by(variable)
            hint = f"; did you mean {meant}?" if meant else f"; there is {', '.join(sorted(known))}"
            yield f"environment: {variable}: no such setting{hint}"


def _variables_that_are_no_text() -> Iterator[str]:
    """Report each variable whose bytes are no text."""
    for variable, value in variables().items():
        if not is_utf8(value):
            yield f"environment {variable}: its value is not in UTF-8: write it so"


def _variable_meant_by(variable: str) -> str | None:
    """Return the nearest variable that sets something, e.g. ``PRICETRACKER_UI__PORT`` for ``PRICETRACKER_UI_PORT``."""
    known = {name[len(PREFIX) :]: name for name in (*_all_variables(Settings, PREFIX), CONFIG_VARIABLE)}
    word = variable[len(PREFIX) :].upper()
    for name, variable_meant in known.items():
        if re.sub("_+", "_", name) == re.sub("_+", "_", word):
            return variable_meant
    if len(of_a_table := [name for name in known if name.rpartition("__")[2] == word]) == 1:
        return known[of_a_table[0]]
    # without the prefix, which makes every two of them alike
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return known[close[0]] if close else None


def _all_variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name}".upper()
        yield variable
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _all_variables(field.annotation, f"{variable}__")


def _variables_that_are_no_json() -> Iterator[str]:
    """Report each variable that sets a list or a table and is not written as JSON."""
    for variable, value in variables().items():
        location = variable[len(PREFIX) :].lower().split("__")
        example = _EXAMPLES.get(tuple(location)) or ('{"key": "value"}' if _model_at(location) else None)
        if example is None:
            continue
        try:
            json.loads(value)
        except (ValueError, RecursionError):
            yield f"environment {variable} {_quoted(value, location)}: not JSON: write e.g. {example}"


def _message_of(details: ErrorDetails, path: Path) -> str:
    """Put one of pydantic's findings as file, key, value and remedy."""
    location = details["loc"]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{as_key(part)}" for part in location).lstrip(".")
    source = source_of(*location)
    if details["type"] == "extra_forbidden":
        table = _model_at(location[:-1])
        known = [field.alias or name for name, field in table.model_fields.items()] if table else []
        if table is Exchanges:
            known = [name.lower() for name in exchange_names()]
        return f"{source}: {key}: no such key{did_you_mean(str(location[-1]), known)}"
    if details["type"] == "missing":
        return f"{source}: {key} is missing: see {path}"
    message = details["msg"].removeprefix("Value error, ")
    if message.startswith(key):  # the finding names a place within the value
        return f"{source}: {message}"
    value = _quoted(details["input"], location)
    if details["type"] == "tuple_type":
        example = _EXAMPLES.get(tuple(part for part in location if isinstance(part, str)))
        return f"{source}: {key} {value}: not a list{f': write e.g. {example}' if example else ''}"
    if details["type"].startswith("model_"):
        return f"{source}: {key} {value}: not a table: write [{key}] and its keys below"
    if message.startswith(value):
        return f"{source}: {key} {message}"
    return f"{source}: {key} {value}: {message[:1].lower()}{message[1:]}"


def as_key(part: str) -> str:
    """Show a key that was found; not one that is no key, but a value in the place of one."""
    return part if re.fullmatch(r"[\w-]{1,40}", part) else f'"{shown_url(part)[:_SHOWN]}"'


def _quoted(value: object, location: Sequence[int | str] = ()) -> str:
    """Show a value that was found; not where it may hold a secret."""
    if _is_secret(location):
        return "(not shown, it may hold secrets)"
    if isinstance(value, bool):
        return str(value).lower()  # as TOML and JSON write it
    try:
        shown = value if isinstance(value, str) else repr(value)
    except ValueError:  # a number of more digits than Python writes
        return "(thousands of digits)"
    shown = shown_url(shown)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]} …"
    return f'"{shown}"' if isinstance(value, str) else shown


def _is_secret(location: Sequence[int | str]) -> bool:
    """Say whether no message shows the value at a place: it is a secret, or a table or list that may hold one."""
    kind: object = Settings
    for part in location:
        if isinstance(part, int):  # in a list
            continue
        tables = [each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, BaseModel)]
        below = _below(tables[0], part) if tables else None
        if below is None:
            break
        kind = below
    return kind is not Settings and holds_secrets(kind)


def _below(table: type[BaseModel], key: str) -> Any:
    """Return the type of a key of a table of settings; None where it has no such key."""
    field = table.model_fields.get(key)
    if field is None:
        return ExchangeSettings if table is Exchanges and key.upper() in exchange_names() else None
    return field.annotation


def _model_at(location: Sequence[int | str]) -> type[BaseModel] | None:
    """Return the table of settings at a place, None where there is no table."""
    model: type[BaseModel] = Settings
    for part in location:
        if isinstance(part, int):  # in a list of tables
            continue
        found = _below(model, part)
        [kind, *_] = get_args(found) or [found]
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        model = kind
    return model


_EXAMPLES: Mapping[tuple[str, ...], str] = {
    ("metrics",): '["KRAKEN:BTCUSD"]',
    ("alerts", "channels"): '["json://host/path"]',
    ("alerts", "rules"): "[[alerts.rules]] and its keys below",
    ("alerts", "rules", "metrics"): '["KRAKEN:*"]',
    ("alerts", "rules", "measures"): '["price", "volume"]',
    ("alerts", "routes"): "[[alerts.routes]] and its keys below",
    ("alerts", "routes", "channels"): '["json://host/path"]',
    ("alerts", "routes", "escalate_to"): '["json://host/path"]',
    ("alerts", "routes", "match", "metrics"): '["KRAKEN:*"]',
    ("alerts", "routes", "match", "rules"): '["spike"]',
    ("alerts", "routes", "match", "measures"): '["price", "volume"]',
    ("http", "cors"): '["https://charts.example.org"]',
}
"""Lists, and how one is written."""

_SHOWN = 400
"""Characters of a value that a message shows."""


def _message_of_rule(details: ErrorDetails) -> str:
    """Put one of pydantic's findings about a rule that was changed on the command line."""
    name, message = ".".join(map(str, details["loc"])), details["msg"].removeprefix("Value error, ")
    return f"{name} {_quoted(details['input'])}: {message[:1].lower()}{message[1:]}" if name else message
