"""The metric: one market, written ``EXCHANGE:BASEQUOTE``; and its measures by name, which measures.sql defines."""

import re
from typing import Literal, NamedTuple, get_args

Measure = Literal["price", "volume", "change_absolute", "change_percentage"]

MEASURES: tuple[Measure, ...] = get_args(Measure)


class Metric(NamedTuple):
    """One market: the exchange that quotes it and its pair, both upper case, e.g. ``KRAKEN``, ``BTCUSD``."""

    exchange: str
    pair: str

    def __str__(self) -> str:
        """Return the written form, ``EXCHANGE:BASEQUOTE``."""
        return f"{self.exchange}:{self.pair}"


def parse_metric(text: str) -> Metric:
    """Split ``EXCHANGE:BASEQUOTE`` into its two parts.

    Raises:
        ValueError: the text is not of that form; the message says how it should look.
    """
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*:[A-Z0-9.]+", text):
        remedy = f"; did you mean {text.strip().upper()}?" if re.fullmatch(r"\s*\w+:[\w.]+\s*", text) else ""
        raise ValueError(f'"{text}" is not a metric: write EXCHANGE:BASEQUOTE, e.g. KRAKEN:BTCUSD{remedy}')
    exchange, pair = text.split(":")
    return Metric(exchange, pair)
