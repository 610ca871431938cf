"""The metric: one market, ``EXCHANGE:BASEQUOTE`` or with a slash in its pair; and its measures, which are in SQL."""

import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple, get_args

Measure = Literal["price", "volume", "change_absolute", "change_percentage"]

MEASURES: tuple[Measure, ...] = get_args(Measure)


PAIR = re.compile("[A-Z0-9.]+/[A-Z0-9.]+")
"""Base and quote as a metric may name them."""


class Metric(NamedTuple):
    """One market: the exchange that quotes it and its pair, both upper case, e.g. ``KRAKEN``, ``BTCUSD``.

    A metric is called as the settings list it. A slash between base and quote is needed only where two markets of an
    exchange have one name without it.
    """

    exchange: str
    pair: str

    def __str__(self) -> str:
        """Return the written form, ``EXCHANGE:BASEQUOTE``."""
        return f"{self.exchange}:{self.pair}"


def parse_metric(text: str) -> Metric:
    """Split ``EXCHANGE:BASEQUOTE`` into its two parts; a slash between base and quote stays.

    Raises:
        ValueError: the text is not of that form; the message says how it should look.
    """
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*:[A-Z0-9.]+(/[A-Z0-9.]+)?", text):
        remedy = f"; did you mean {text.strip().upper()}?" if re.fullmatch(r"\s*\w+:[\w.]+(/[\w.]+)?\s*", text) else ""
        raise ValueError(f'"{text}" is not a metric: write EXCHANGE:BASEQUOTE, e.g. KRAKEN:BTCUSD{remedy}')
    exchange, pair = text.split(":")
    return Metric(exchange, pair)


def spelled(name: str, known: Collection[str]) -> str:
    """Return the one of some metrics that is meant by a name with or without the slash; the name where none is."""
    if name in known:
        return name
    plain = name.replace("/", "")
    meant = [plain] if plain in known else [each for each in known if "/" in each and each.replace("/", "") == name]
    return meant[0] if len(meant) == 1 else name


def matches(metric: str, pattern: str) -> bool:
    """Say whether a metric is one that a pattern names: ``*`` and ``?`` stand for any text and any letter.

    A slash between base and quote makes no difference where only one of both has it.
    """
    if ("/" in metric) != ("/" in pattern):
        metric, pattern = metric.replace("/", ""), pattern.replace("/", "")
    return fnmatchcase(metric, pattern)
