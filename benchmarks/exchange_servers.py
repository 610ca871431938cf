"""Five exchanges, each a process of its own that speaks its dialect and grants what the real one grants.

``python -m benchmarks.exchange_servers coinbase`` serves one: it prints its URL, and for each line that it reads, how
many seconds its clock is ahead from then on, an empty line. Their market costs little, so that what is measured is who
asks.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.request import urlopen

from pricetracker_dagster.simulator import DIALECTS, Market, Simulator
from pricetracker_dagster.simulator.dialect import Asked
from pricetracker_dagster.simulator.kraken import Kraken
from pricetracker_dagster.simulator.limits import Bucket
from pricetracker_dagster.simulator.market import SECOND, Pair, Trade
from tests.dialects import ALL_DIALECTS

SHARES: Mapping[str, int] = {"BINANCE": 400, "OKX": 260, "BITSTAMP": 200, "COINBASE": 130, "KRAKEN": 10}
"""Of a thousand metrics: as many as each exchange answers in some fifteen seconds. Kraken grants a request a second."""

_THIN = 10
"""Each tenth pair trades in one minute of five."""


class LimitedKraken(Kraken):
    """Kraken with its limit: a request a second of an address, and some at once."""

    def __init__(self, *given: Any, **more: Any) -> None:
        """Begin with a full allowance."""
        super().__init__(*given, **more)
        self._bucket = Bucket(1.0, 15, time.monotonic)

    def grant(self, asked: Asked) -> Mapping[str, str]:
        """Count a request."""
        if not self._bucket.grant(asked.client):
            raise self.refuse("rate_limit", asked)
        return {}


class PlainMarket(Market):
    """So many pairs ``S0001/USD`` …, each with a trade a minute, but for thin ones."""

    def __init__(self, pairs: int) -> None:
        """Make the list of pairs."""
        names = [f"S{number:04d}" for number in range(1, pairs + 1)]
        self.pairs = [Pair(f"{x}USD", f"{x}/USD", x, "ZUSD", 4, 1.0 + i % 97) for i, x in enumerate(names)]

    def trades(self, pair: Pair, minute: int) -> Sequence[Trade]:
        """Return the trade of a minute."""
        number, place = int(pair.base[1:]), minute // 60
        if number % _THIN == 0 and (place + number) % 5:
            return ()
        price = pair.price(pair.level * (1 + (place * 7 + number) % 101 / 50_000))
        return (Trade(price, Decimal("0.5") + place % 7, (minute + 30) * SECOND, "bs"[place % 2], "l", place),)


class Servers:
    """The exchanges that run."""

    def __init__(self, running: Mapping[str, "subprocess.Popen[str]"]) -> None:
        """Wait until each says where it is."""
        self._running = running
        self.urls = {name: _said(server) for name, server in running.items()}

    def set_ahead(self, seconds: float) -> None:
        """Let their clocks be so far ahead."""
        for server in self._running.values():
            assert server.stdin is not None
            print(seconds, file=server.stdin, flush=True)
            _said(server)

    def requests(self) -> dict[str, int]:
        """Return how many requests each has had."""
        return {name: sum(_asked(f"{url}/requests")["count"].values()) for name, url in self.urls.items()}

    def refused(self) -> dict[str, int]:
        """Return how many requests were more than each grants."""
        return {name: sum(_asked(f"{url}/refused").values()) for name, url in self.urls.items()}


@contextmanager
def servers(metrics: Mapping[str, int]) -> Iterator[Servers]:
    """Start the exchanges with so many pairs each, and end them."""
    with ExitStack() as started:
        running = {}
        for name, count in metrics.items():
            command = [sys.executable, "-m", __name__, name.lower(), str(count)]
            pipe = subprocess.PIPE
            running[name] = started.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
            started.callback(running[name].kill)
        yield Servers(running)


def pair_of(name: str, number: int) -> str:
    """Return what a pair is called at an exchange."""
    return f"S{number:04d}USD{'T' if name == 'BINANCE' else ''}"


def _said(server: "subprocess.Popen[str]") -> str:
    assert server.stdout is not None
    return server.stdout.readline().strip()


def _asked(url: str) -> Any:
    with urlopen(url, timeout=30) as answer:  # noqa: S310 - our own server
        return json.load(answer)


def _serve(name: str, pairs: int) -> None:
    ahead = timedelta()
    kinds = {kind.name: kind for kind in (*DIALECTS, *ALL_DIALECTS)} | {"kraken": LimitedKraken}
    market = PlainMarket(pairs)
    with Simulator(market=market, clock=lambda: datetime.now(UTC) + ahead, dialects=[kinds[name]]) as exchange:
        print(exchange.url, flush=True)
        for line in sys.stdin:
            ahead = timedelta(seconds=float(line))
            print(flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
