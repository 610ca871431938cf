"""A person is shown the digits that the data have."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricetracker_dagster.candles.digits import rounded, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12.89999999999418, "12.9"),
        (64012.9 - 64000, "12.9"),
        (64000.1 - 64000.0999, "0.0001"),  # 9.999999747378752e-05 to the machine
        (0.1 + 0.2, "0.3"),
        (-12.89999999999418, "-12.9"),
        (0.9999999999999999, "1"),
        (1.0000000000000002, "1"),
        (50000.0 - 99999.99, "-49999.99"),  # -49999.990000000005 to the machine
        (99999.99 - 100000.0, "-0.01"),  # -0.00999999999476131 to the machine: fifteen digits
        (1e-12, "1e-12"),
        (100000.00000001, "100000.00000001"),
        (64000.123456, "64000.123456"),
        (1e-7, "1e-07"),
        (3210.0, "3210"),
        (100000.0, "100000"),
        (0.0, "0"),
        (-0.0, "0"),
        (1 / 3, "0.333333"),
        (66486.15451388886, "66486.2"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_a_number_is_shown_with_the_digits_that_it_was_made_of(value: float, text: str) -> None:
    assert shown(value) == text


def test_a_computed_number_has_as_many_digits_as_are_asked_for() -> None:
    assert shown(1 / 3, 10) == "0.3333333333"


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=8))
def test_what_an_exchange_can_state_is_shown_to_the_last_digit(price: Decimal) -> None:
    assert Decimal(shown(float(price))) == price


@given(st.decimals(min_value=10, max_value=100_000, places=2), st.decimals(min_value=10, max_value=100_000, places=2))
def test_a_difference_is_shown_as_it_is_by_hand(price: Decimal, other: Decimal) -> None:
    assert Decimal(shown(float(price) - float(other))) == price - other


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_shown_is_never_far_off(value: float) -> None:
    assert math.isclose(rounded(value), value, rel_tol=5.1e-6)
