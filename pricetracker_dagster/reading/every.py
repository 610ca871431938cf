"""How wide a resampled candle is, as people write it: ``5m``, ``1h``, ``1d``."""

import re
from datetime import timedelta

from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.errors import PricetrackerError

_UNITS = {"m": MINUTE, "h": timedelta(hours=1), "d": DAY}
_LONGEST = 366 * DAY

FORM = "whole minutes, hours or days, e.g. 5m, 1h or 1d"


class NotAWidth(PricetrackerError, ValueError):
    """A text that is no width of a candle; the message says the form."""

    exit_status = 2


def width(text: str) -> timedelta:
    """Return the width of a candle.

    Raises:
        NotAWidth: it is not of that form, or not between a minute and 366 days.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    wide = int(found[1]) * _UNITS[found[2]] if found else timedelta()
    if not MINUTE <= wide <= _LONGEST:
        raise NotAWidth(f'every "{text}": write {FORM}, at most 366 days')
    return wide
