"""What a backfill of a day costs for a thousand metrics over five exchanges, as exchanges.py has them."""

from collections.abc import Iterator

from benchmarks.exchange_servers import SHARES
from benchmarks.exchanges import rows_of_backfill
from benchmarks.rows import Row, alone

ON_REQUEST = "it takes minutes: what the exchanges grant decides"


def measure() -> Iterator[Row]:
    """Measure it once, from an empty data folder."""
    yield from rows_of_backfill(SHARES)


if __name__ == "__main__":
    alone(measure)
