"""What ccxt alone costs for the same answers: a thread an exchange, its own rate limit, one market after the other.

``python -m benchmarks.ccxt_alone '{"OKX": ["http://…", 260], …}' AHEAD`` asks once for the last minutes of each and
prints seconds of wall and of CPU for the asking alone (without imports and lists of markets), MB at most, and rows.
"""

import json
import re
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pricetracker_dagster.settings.exchanges import in_ccxt

MINUTES = 6


def _opened(name: str, url: str) -> Any:
    import ccxt

    exchange = getattr(ccxt, in_ccxt(name))({"enableRateLimit": True, "options": {"fetchMarkets": {"types": ["spot"]}}})
    exchange.has["fetchCurrencies"] = False
    exchange.urls["api"] = _moved(exchange.urls["api"], url)
    exchange.load_markets()
    return exchange


def _moved(urls: Any, root: str) -> Any:
    """Return the URLs of an exchange at another root: their paths stay."""
    if isinstance(urls, dict):
        return {key: _moved(each, root) for key, each in urls.items()}
    return root + "".join(f"/{part}" for part in str(urls).split("/")[3:])


def _main() -> None:
    where, ahead = json.loads(sys.argv[1]), float(sys.argv[2])
    exchanges = {name: _opened(name, url) for name, (url, _) in where.items()}
    since = int((time.time() + ahead) // 60 - MINUTES) * 60_000
    rows = dict.fromkeys(exchanges, 0)

    def ask(name: str) -> None:
        exchange, count = exchanges[name], where[name][1]
        for symbol in sorted(exchange.symbols)[:count]:
            rows[name] += len(exchange.fetch_ohlcv(symbol, "1m", since, MINUTES))

    threads = [threading.Thread(target=ask, args=(name,)) for name in exchanges]
    began, before = time.perf_counter(), _cpu()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cpu = time.perf_counter() - began, _cpu() - before
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert peak is not None
    print(json.dumps([wall, cpu, int(peak[1]) / 1024, sum(rows.values())]))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    _main()
