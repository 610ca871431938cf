"""What tables of the settings file have in common: a base that knows no other keys, and the names of metrics."""

import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

from pricetracker_dagster.candles.metric import Measure
from pricetracker_dagster.candles.pair_names import own_name

T = TypeVar("T")


class Section(BaseModel):
    """A table of the settings file: keys it does not know are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        return no_truth_as_number(value, cls.model_fields[str(info.field_name)].annotation)


def no_truth_as_number(value: Any, kind: Any) -> Any:
    """Return a value; refuse ``true`` where a number belongs, which would pass for 1."""
    if isinstance(value, bool) and kind in (int, float, int | None, float | None):
        raise ValueError("not a number: write one")
    return value


def metric_pattern(text: str) -> str:
    """Return a name of a metric, or a pattern of names.

    Raises:
        ValueError: it matches no metric, or the pair is called otherwise here.
    """
    if not re.fullmatch(r"[A-Z0-9_.:*?]+(/[A-Z0-9.*?]+)?", text):
        hint = (
            f"; did you mean {text.strip().upper()}?"
            if re.fullmatch(r"\s*([\w.*?]+:)?[\w.*?]+(/[\w.*?]+)?\s*", text)
            else ""
        )
        known = "; in a pattern only * and ? have a meaning" if re.search(r"[\[\]{}!^|]", text) else ""
        raise ValueError(f'"{text}" matches no metric: write e.g. KRAKEN:BTCUSD or KRAKEN:*{hint}{known}')
    if not re.search("[*?]", text):
        if ":" not in text:
            raise ValueError(f'"{text}" names no exchange: write e.g. KRAKEN:{text}')
        its_own_name(text)
    return text


def its_own_name(text: str) -> None:
    """Refuse, by a ValueError, a pair in its exchange's own words: it would be followed beside itself."""
    if (name := own_name(text)) != text:
        raise ValueError(f'"{text}" is called {name} here: write {name}')


def _at_least_one(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("an empty list: leave the key away, or name one")
    return values


AtLeastOne = Annotated[tuple[T, ...], AfterValidator(_at_least_one)]
"""A list that is not empty where it is set."""

Patterns = AtLeastOne[Annotated[str, AfterValidator(metric_pattern)]]
Measures = AtLeastOne[Measure]
