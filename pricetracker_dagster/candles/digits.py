"""How many digits of a number a person is shown: those that the data have.

The residue that arithmetic leaves behind the last digit (64012.9 - 64000 = 12.900000000001455) is not shown. Only for
what people read: SQL, CSV and JSON keep every bit.
"""

import re

_STATED = 15
"""A number with at most so many digits was stated by a source; a computed one has more."""

_DECIMALS = 14
"""No source states so many decimals: where a residue of arithmetic is among them, the number was computed."""

COMPUTED = 6
"""Digits of a computed number, a mean or a deviation: as many as a person compares at a glance."""

_RESIDUE = re.compile(r"0{6,}|9{6,}")
"""Where the digits of a computed number turn into a residue: six zeros or nines in a row, the last such."""


def shown(value: float, computed: int = COMPUTED) -> str:
    """Return a number as a person reads it, e.g. ``12.9`` for 12.89999999999418, ``0.333333`` for a third.

    Args:
        value: the number.
        computed: digits of a number that has more than a source would state.
    """
    mantissa, _, _ = f"{value!r}".removesuffix(".0").partition("e")
    digits = mantissa.lstrip("-").replace(".", "").lstrip("0")
    if not digits.isdigit():  # zero, nan, inf
        return f"{abs(value) if value == 0 else value:g}"
    # the last one: 9999.99 has six nines of its own
    starts = [residue.start() for residue in _RESIDUE.finditer(digits)]
    fine = starts and abs(value) < 10 ** (len(digits) - _DECIMALS)
    if len(digits) <= _STATED and not fine:
        return f"{value:.{len(digits)}g}"
    return f"{value:.{max(starts[-1], 1) if starts else computed}g}"


def rounded(value: float) -> float:
    """Return the number that shown() writes."""
    return float(shown(value))
