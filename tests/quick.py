"""What is left out where QUICK_TESTS is set, as CI does, which has twenty minutes for everything."""

import os

QUICK = bool(os.environ.get("QUICK_TESTS"))


def examples(many: int) -> int:
    """Return how many random examples are tried: a quarter of them in CI, at least one."""
    return max(1, many // 4) if QUICK else many
