"""What is left out where QUICK_TESTS is set, as CI does, which has twenty minutes for everything."""

import os

import pytest

QUICK = bool(os.environ.get("QUICK_TESTS"))


def examples(many: int) -> int:
    """Return how many random examples are tried: a quarter of them in CI, at least one."""
    return max(1, many // 4) if QUICK else many


def long(*values: object) -> object:
    """Return the values of a parametrized test as one that takes long, beside one that tells most of the same."""
    return pytest.param(*values, marks=pytest.mark.long)
