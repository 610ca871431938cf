"""Where secrets stand in settings: in every value of the type SecretStr, and in URLs.

Found by type and place, so that a setting that is added is kept as those that are there. What becomes of them is the
business of secrets.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from pricetracker_dagster.process.secrets import keep_address, keep_channel, keep_login
from pricetracker_dagster.settings.channels import is_channel_name

_ADDRESSES = ("exchanges", "ui")
"""Tables whose URLs are shown, without what is secret in them. Any other URL is one of a channel: secret as a whole."""


def keep_given(given: Mapping[str, Any]) -> None:
    """Keep what may be secret in settings as they were written, before anybody says what is wrong with them."""
    for table, value in given.items():
        for text in _texts(value):
            if "://" in text:
                (keep_address if table in _ADDRESSES else keep_channel)(text, _metrics(given.get("metrics")))


def keep_secrets(settings: BaseModel) -> None:
    """Keep every secret of settings that were loaded."""
    spared = _metrics(getattr(settings, "metrics", ()))
    for value in _values(settings):
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


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _each_text([*value, *value.values()])
    elif isinstance(value, list | tuple):
        yield from _each_text(value)


def _each_text(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        yield from _texts(value)


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, BaseModel):
        value = [getattr(value, name) for name in type(value).model_fields]
    elif isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _values(each)
    else:
        yield value
