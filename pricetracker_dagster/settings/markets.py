"""The table ``[markets]``: which quotes count as one where exchanges are compared."""

import re
from typing import Annotated

from pydantic import AfterValidator, field_validator

from pricetracker_dagster.settings.section import Section

_EXAMPLE = '["USD", "USDT", "USDC"]'


def _asset(text: str) -> str:
    if not re.fullmatch(r"[A-Z0-9.]+", text):
        meant = text.strip().upper()
        hint = f"; did you mean {meant}?" if re.fullmatch(r"[A-Z0-9.]+", meant) else ""
        raise ValueError(f'"{text}" is the name of no quote: write e.g. USDT{hint}')
    return text


class MarketSettings(Section):
    """How the prices of exchanges are compared."""

    usd_like: tuple[Annotated[str, AfterValidator(_asset)], ...] = ()
    """Quotes that count as one, by the name of the first, e.g. ["USD", "USDT", "USDC"]: BTC/USDT is then compared with
    BTC/USD. Such are USD, USDT, USDC, DAI, FDUSD, TUSD, BUSD, PYUSD, USDP, GUSD, USDE, USDG, RLUSD. Empty: each quote
    is a market of its own, as a coin may lose its worth."""

    @field_validator("usd_like")
    @classmethod
    def _two_or_none(cls, usd_like: tuple[str, ...]) -> tuple[str, ...]:
        for i, quote in enumerate(usd_like):
            if quote in usd_like[:i]:
                raise ValueError(f'usd_like[{i}] "{quote}" is listed twice: remove one')
        if len(usd_like) == 1:
            raise ValueError(f"one quote alone is no group: write e.g. {_EXAMPLE}, or [] for none")
        return usd_like
