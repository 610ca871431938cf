"""Where secrets stand in settings: in every value of the type SecretStr, and in URLs.

Found by type and place, so that a setting that is added is kept as those that are there.
"""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from pricetracker_dagster.process.secrets import keep_address, keep_channel, keep_login
from pricetracker_dagster.settings.channels import is_channel_name

_ADDRESSES = ("exchanges", "http", "ui")
"""Tables whose URLs are shown, without what is secret in them. Any other URL is one of a channel: secret as a whole."""


def keep_given(given: Mapping[str, Any]) -> None:
    """Keep what may be secret in settings as they were written, before anybody says what is wrong with them."""
    for table, value in given.items():
        for text in _leaves(value):
            if isinstance(text, str) and "://" in text:
                (keep_address if table in _ADDRESSES else keep_channel)(text, _metrics(given.get("metrics")))


def keep_secrets(settings: BaseModel) -> None:
    """Keep every secret of settings that were loaded."""
    spared = _metrics(getattr(settings, "metrics", ()))
    for value in _leaves(settings.model_dump()):
        if isinstance(value, SecretStr):
            secret = value.get_secret_value()
            if is_channel_name(secret):  # which is shown instead of a URL
                continue
            (keep_channel if "://" in secret else keep_login)(secret, spared)
        elif isinstance(value, str) and "://" in value:
            keep_address(value, spared)


def holds_secrets(kind: Any) -> bool:
    """Say whether a value of a type may be a secret, or hold one."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return any(holds_secrets(field.annotation) for field in kind.model_fields.values())
    return kind is SecretStr or any(map(holds_secrets, get_args(kind)))


def _metrics(listed: Any) -> list[str]:
    names = listed if isinstance(listed, list | tuple) else ()
    return [name for name in names if isinstance(name, str) and "://" not in name]


def _leaves(value: Any) -> Iterator[Any]:
    """Yield each value that stands in tables and lists, and the keys of tables."""
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    else:
        yield value
