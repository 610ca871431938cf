"""Settings put together: arguments, environment, file; checked, and refused with a message a user can act on."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError as SettingsSourceError

from pricetracker_dagster.errors import in_one_line
from pricetracker_dagster.process.guard import guard
from pricetracker_dagster.settings.alerts import AlertRule
from pricetracker_dagster.settings.messages import (
    message_of,
    message_of_rule,
    unknown_variables,
    variables_that_are_no_json,
    variables_that_are_no_text,
)
from pricetracker_dagster.settings.model import Settings
from pricetracker_dagster.settings.source import CONFIG_VARIABLE, SettingsError, config_file, is_there


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
    wrong = [*unknown_variables(), *variables_that_are_no_text()]
    if wrong:
        raise SettingsError("\n".join(map(in_one_line, wrong)))
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(in_one_line(message_of(details, path)) for details in error.errors())) from None
    except (SettingsSourceError, RecursionError) as error:  # which do not name the variable
        raise SettingsError("\n".join(map(in_one_line, variables_that_are_no_json())) or str(error)) from error


def changed_rules(rules: Sequence[AlertRule], instead: Mapping[str, Any]) -> tuple[AlertRule, ...]:
    """Return rules with some of their values changed, checked as those of the file are.

    Raises:
        SettingsError: a rule would be wrong with them.
    """
    try:
        return tuple(AlertRule.model_validate({**rule.model_dump(), **instead}) for rule in rules)
    except ValidationError as error:
        raise SettingsError("\n".join(map(message_of_rule, error.errors()))) from None
