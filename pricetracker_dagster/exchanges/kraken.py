"""Kraken's public REST interface (docs.kraken.com/api), and the simulator, which speaks the same dialect.

The quirks, each handled where it bites: errors come in an envelope with HTTP 200; assets have names of their
own (XBT, XDG) and pairs several; the last row of OHLC is still forming and ``since`` excludes its own minute; OHLC
reaches back 720 minutes, older ones are rebuilt from Trades, which come in pages.
"""

import itertools
import json
import math
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import pyarrow as pa

from pricetracker_dagster.candles.metric import OUR_ASSETS, Metric
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, floor_minute
from pricetracker_dagster.candles.validate import Validated, validate_rows
from pricetracker_dagster.errors import plain
from pricetracker_dagster.exchanges.base import (
    ExchangeError,
    ExchangeUnreachable,
    Maintenance,
    NoAnswer,
    NotAsked,
    PairUnknown,
    RateLimited,
    again_after,
)
from pricetracker_dagster.exchanges.http import MOST_BYTES, Http
from pricetracker_dagster.exchanges.rate_limit import RateLimiter
from pricetracker_dagster.exchanges.trades import candles_from_trades
from pricetracker_dagster.files.data_folder import pairs_file
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in

REACH = 718 * MINUTE
"""How far back OHLC surely answers: 720 rows, of which one is still forming and one may end while we ask."""

TRADES_A_PAGE = 1000

_MOST_ROWS = 2 * TRADES_A_PAGE
_MOST_BYTES = 1_000_000
"""Of an answer; a page of trades, the largest with rows, has some 100 KB. AssetPairs alone needs more: MOST_BYTES."""

_MOST_PAIRS = 20_000
"""Kraken lists some 1,400."""

_LONGEST_NAME = 32
"""Of a pair; Kraken's have up to 16 letters."""

_PAIRS_LAST = timedelta(days=1)
_PAIRS_AGAIN = timedelta(minutes=10)
SETTLES = timedelta(seconds=3)
"""After its end before a minute is rebuilt from trades: the last ones must have reached Trades."""

_LOOK_BACK = (timedelta(minutes=10), timedelta(hours=3), timedelta(days=1), timedelta(days=7))
"""How far before a rebuilt range its opening price is looked for; further for pairs that trade rarely."""

_EARLIEST, _LATEST = 1_230_768_000, 4_102_444_800
"""2009 and 2100 in Unix seconds: nothing was traded before, and a time after that is in another unit."""

_UNITS = {
    "milliseconds": 1e3,
    "microseconds": 1e6,
    "nanoseconds": 1e9,
    "minutes": 1 / 60,
    "hours": 1 / 3600,
    "days": 1 / 86_400,
}
"""By name, so many in a second."""


class Kraken:
    """An Exchange that speaks Kraken's dialect. One instance keeps its connections; threads may share it.

    Args:
        name: ``KRAKEN``, or ``SIMULATED`` for the built-in simulator.
        url: root of the REST interface.
        limiter: the allowance of requests.
        timeout: seconds to wait for one answer.
        cache: folder for the list of pairs, which is asked for once a day.
        login: ``user:password`` that each request bears, as a URL holds them; empty: none.
    """

    def __init__(
        self, name: str, url: str, limiter: RateLimiter, *, timeout: float, cache: Path, login: str = ""
    ) -> None:
        """Ask nothing yet."""
        self.name = name
        self.reach = REACH
        self.settles = SETTLES
        self._url = url
        self._limiter = limiter
        self._pairs_file = pairs_file(cache, name)
        self._pairs = _NO_PAIRS
        self._clock: tuple[int, float] | None = None
        self._http = Http(url, timeout, login)

    def time(self, deadline: Deadline) -> datetime:
        """Ask the exchange for its time, UTC, a whole second."""
        answer = self._get("Time", {}, deadline).get("unixtime")
        unix = _number(answer)
        if unix is None:
            raise ExchangeUnreachable(f"{self.name}: Time answered {plain(answer, 60)}, which is no unixtime")
        if not _EARLIEST <= unix < _LATEST:
            raise ExchangeUnreachable(f"{self.name}: Time answered {plain(answer, 60)}, {_not_seconds(unix)}")
        # by a clock that nobody sets: a backfill may outlast a correction of this machine's
        self._clock = int(unix), time.monotonic()
        return datetime.fromtimestamp(int(unix), UTC)

    def pairs(self, wanted: Collection[str], deadline: Deadline) -> Collection[str]:
        """Return every pair, ``BASEQUOTE`` by our names. The list is kept for a day."""
        kept = self._kept_pairs()
        age = datetime.now(UTC) - kept.asked_at
        if age < timedelta():  # kept under a clock that was ahead: nobody knows how old it is
            age = _PAIRS_LAST + MINUTE
        if age > _PAIRS_LAST or (age > _PAIRS_AGAIN and not set(wanted) <= kept.names.keys()):
            try:
                kept = self._ask_pairs(deadline)
            except (ExchangeError, DeadlineExceeded):
                if not kept.names:  # an old list is better than none
                    raise
        self._pairs = kept
        return kept.names.keys()

    def candles(self, pair: str, since: datetime, deadline: Deadline, *, patient: bool = True) -> Validated:
        """Fetch closed minutes from ``since`` on: at most the 720 that OHLC reaches."""
        # exclusive: the minute before, so that `since` itself is in the answer
        asked = {"pair": self._their_name(pair), "interval": "1", "since": str(int((since - MINUTE).timestamp()))}
        rows, _ = self._rows_and_last("OHLC", pair, asked, deadline, patient=patient)
        now = self._now(deadline)
        metric = str(Metric(self.name, pair))
        if other := _not_in_seconds(rows):
            raise ExchangeUnreachable(f"{self.name}: OHLC of {pair}: {other}")
        return validate_rows(
            [
                (metric, *row[:5], *row[6:8]) if isinstance(row, list) else (metric, row)
                for row in rows
                if _is_wanted(row, since, now)
            ],
            fetched_at=now,
        )

    def rebuild(
        self, pair: str, first: datetime, last: datetime, deadline: Deadline, *, before: pa.Table | None = None
    ) -> Iterator[Validated]:
        """Rebuild closed minutes from trades, oldest first, a batch a page of trades."""
        last = min(last, floor_minute(self._now(deadline) - SETTLES) - MINUTE)
        if first > last:
            return
        metric = Metric(self.name, pair)
        trades: list[list[Any]] = []
        if before is None or not before.num_rows:
            before, trades = None, self._opening_trades(pair, first, deadline)
        begin = first
        for page, complete in self._trades(pair, first, last, deadline):
            trades += page
            # the minute that the page ends in goes on in the next one
            end = last if complete else min(last, floor_minute(_moment(trades[-1])) - MINUTE)
            if end < begin:
                continue
            built = candles_from_trades(
                metric,
                [trade for trade in trades if _moment(trade) < end + MINUTE],
                MinuteRange(begin, end),
                fetched_at=self._now(deadline),
                before=before,
            )
            yield built
            trades = [trade for trade in trades if _moment(trade) >= end + MINUTE]
            before = _last_row(built, before)
            begin = end + MINUTE

    def _opening_trades(self, pair: str, first: datetime, deadline: Deadline) -> list[list[Any]]:
        """Return the newest trades before ``first``: quiet minutes after it take their price."""
        for look_back in _LOOK_BACK:
            earlier: list[list[Any]] = []
            for page, _ in self._trades(pair, first - look_back, first - MINUTE, deadline):
                earlier = [trade for trade in page if _moment(trade) < first][-1:] or earlier
            if earlier:
                return earlier
        return []

    def _trades(
        self, pair: str, first: datetime, last: datetime, deadline: Deadline
    ) -> Iterator[tuple[list[list[Any]], bool]]:
        """Yield pages of trades from ``first`` on, without the repeats at their edges; True with the last page."""
        asked = {"pair": self._their_name(pair), "count": str(TRADES_A_PAGE)}
        since = str(int(first.timestamp()) * 1_000_000_000 - 1)
        previous: list[list[Any]] = []
        while True:
            rows, last_told = self._rows_and_last("Trades", pair, {**asked, "since": since}, deadline)
            page = self._page(pair, rows, first, deadline)
            newest = _nanoseconds(last_told)
            if newest is None or newest < int(since):
                raise ExchangeUnreachable(
                    f"{self.name}: Trades of {pair}: its last is {plain(last_told, 40)}, not where the next page begins"
                )
            fresh = page[_repeated(previous, page) :]
            complete = newest == int(since) or not page or _moment(page[-1]) >= last + MINUTE
            yield fresh, complete
            if complete:
                return
            since, previous = str(newest), page

    def _page(self, pair: str, rows: Sequence[object], first: datetime, deadline: Deadline) -> list[list[Any]]:
        """Return the trades of a page from ``first`` on. Where one has no true time nobody knows what it spoils."""
        latest = self._now(deadline) + MINUTE
        page = []
        for row in rows:
            try:
                moment = _moment(row)
            except (TypeError, ValueError, LookupError, OverflowError, OSError):
                raise ExchangeUnreachable(
                    f"{self.name}: Trades of {pair}: a trade without a time in seconds: {plain(row, 60)}"
                ) from None
            if moment > latest:
                raise ExchangeUnreachable(f"{self.name}: Trades of {pair}: a trade of the future: {plain(row, 60)}")
            if moment >= first:
                assert isinstance(row, list)  # noqa: S101 - else it had no time
                page.append(row)
        return page

    def _rows_and_last(
        self, endpoint: str, pair: str, asked: Mapping[str, str], deadline: Deadline, *, patient: bool = True
    ) -> tuple[list[Any], object]:
        """Ask for the rows of one pair. The answer is keyed by Kraken's own name of it, beside ``last``."""
        result = self._get(endpoint, asked, deadline, pair=pair, patient=patient)
        keys = [key for key in result if key != "last"]
        if len(keys) != 1 or not isinstance(result[keys[0]], list):
            shape = plain({key: type(value).__name__ for key, value in list(result.items())[:5]})
            raise ExchangeUnreachable(f"{self.name}: {endpoint} of {pair}: an answer of unknown shape: {shape}")
        owner = self._listed().owner(keys[0]) or pair
        if owner != pair:
            raise ExchangeUnreachable(
                f"{self.name}: {endpoint} of {pair}: the answer is {owner}'s, {plain(keys[0], 40)}"
            )
        rows = result[keys[0]]
        if len(rows) > _MOST_ROWS:
            raise ExchangeUnreachable(
                f"{self.name}: {endpoint} of {pair}: the answer has {len(rows):,} rows; more than {_MOST_ROWS:,} are "
                "not looked at"
            )
        return rows, result.get("last")

    def _now(self, deadline: Deadline) -> datetime:
        if self._clock is None:
            self.time(deadline)
        assert self._clock is not None  # noqa: S101 - time() has just set it
        told, at = self._clock
        return datetime.fromtimestamp(told + time.monotonic() - at, UTC)

    def _their_name(self, pair: str) -> str:
        return self._listed().names.get(pair, pair)

    def _listed(self) -> "_Pairs":
        if not self._pairs.names:
            self._pairs = self._kept_pairs()
        return self._pairs

    def _kept_pairs(self) -> "_Pairs":
        kept = kept_in(self._pairs_file)
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            pairs = _Pairs(dict(kept["pairs"]), dict(kept.get("keys", {})), datetime.fromisoformat(kept["asked_at"]))
            texts = [text for each in (pairs.names, pairs.keys) for text in (*each, *each.values())]
            if kept["url"] == self._url and pairs.names and all(map(_is_name, texts)) and pairs.asked_at.tzinfo:
                return pairs
        return _NO_PAIRS

    def _ask_pairs(self, deadline: Deadline) -> "_Pairs":
        listed = self._get("AssetPairs", {}, deadline)
        if len(listed) > _MOST_PAIRS:
            raise ExchangeUnreachable(
                f"{self.name}: AssetPairs lists {len(listed):,} pairs; more than {_MOST_PAIRS:,} are not looked at"
            )
        names = our_pairs(listed)
        if not names:
            raise ExchangeUnreachable(f"{self.name}: AssetPairs lists no pair that has a name")
        asked_at = datetime.now(UTC)
        pairs = _Pairs(names, _keys_of(listed, names), asked_at)
        kept = {"url": self._url, "asked_at": asked_at.isoformat(), "pairs": pairs.names, "keys": pairs.keys}
        with suppress(OSError):  # it is asked for again; where nothing can be written, storing says so
            write_text(self._pairs_file, json.dumps(kept))
        return pairs

    def _get(
        self,
        endpoint: str,
        asked: Mapping[str, str],
        deadline: Deadline,
        *,
        pair: str | None = None,
        patient: bool = True,
    ) -> dict[str, Any]:
        """Ask until there is a usable answer, the error is final or the deadline passes; impatiently, only once."""
        what = f"{self.name}: {endpoint}{f' of {pair}' if pair else ''}"
        failure: ExchangeError | None = None
        for times in itertools.count(1):
            try:
                self._limiter.wait(deadline)
                return self._ask_once(what, endpoint, asked, deadline)
            except (ExchangeUnreachable, RateLimited) as error:
                if isinstance(error, NoAnswer) and failure is not None and not deadline.remaining:
                    raise failure from None  # our own deadline cut this one short: what was answered before says more
                failure = error
                pause = again_after(error, times)
                if isinstance(error, RateLimited):
                    self._limiter.slow_down(pause or 0.0)
                if pause is None or not patient:
                    raise
                with suppress(DeadlineExceeded):
                    deadline.sleep(pause)
                    continue
                raise
            except DeadlineExceeded:
                raise failure or NotAsked(f"{what}: not asked in time, others were before it") from None
        raise AssertionError  # it counts for ever

    def _ask_once(self, what: str, endpoint: str, asked: Mapping[str, str], deadline: Deadline) -> dict[str, Any]:
        most = MOST_BYTES if endpoint == "AssetPairs" else _MOST_BYTES
        envelope = self._http.get(what, f"/0/public/{endpoint}", asked, deadline, most=most)
        if not isinstance(envelope, dict):
            raise ExchangeUnreachable(f"{what}: the answer is no envelope: {plain(envelope, 60)}")
        errors = [error for error in _errors(envelope.get("error")) if not error.startswith("W")]
        if errors:
            raise _named(what, errors[0])
        result = envelope.get("result")
        if not isinstance(result, dict):
            raise ExchangeUnreachable(f"{what}: the answer has no result")
        return result


class _Pairs(NamedTuple):
    """What AssetPairs has told.

    Attributes:
        names: by our name of a pair the one that a request takes.
        keys: by the key of its answers our name of the pair.
        asked_at: when, UTC.
    """

    names: dict[str, str]
    keys: dict[str, str]
    asked_at: datetime

    def owner(self, key: str) -> str | None:
        """Return the pair of which an answer with this key is; None where nobody knows."""
        return self.keys.get(key) or next((pair for pair, name in self.names.items() if name == key), None)


_NO_PAIRS = _Pairs({}, {}, datetime.fromtimestamp(0, UTC))


def our_pairs(asset_pairs: Mapping[str, Any]) -> dict[str, str]:
    """Map ``BASEQUOTE`` by our names to the name that a request takes, from an answer of AssetPairs.

    Names are read from ``wsname`` (``XBT/USD``), never made by stripping X and Z, which would spoil XTZ and ZEC. Pairs
    without one are dark pools and quote no candles. Of several entries for one pair the one stands whose two names are
    the same (``XBTUSD``), else the first.
    """
    pairs: dict[str, str] = {}
    for facts in asset_pairs.values():
        altname, wsname = (facts.get("altname"), facts.get("wsname")) if isinstance(facts, Mapping) else (None, None)
        if not (_is_name(altname) and _is_name(wsname)):
            continue  # an entry of another kind, now or one day: none of ours
        base, slash, quote = wsname.partition("/")
        if base and slash and quote:
            pair = OUR_ASSETS.get(base, base) + OUR_ASSETS.get(quote, quote)
            if pair not in pairs or altname == base + quote:
                pairs[pair] = altname
    return pairs


def _keys_of(asset_pairs: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """Map the key of each entry of AssetPairs, under which answers come, to our name of its pair."""
    ours = {name: pair for pair, name in names.items()}
    altnames = {key: facts.get("altname") for key, facts in asset_pairs.items() if isinstance(facts, Mapping)}
    return {key: ours[name] for key, name in altnames.items() if _is_name(key) and _is_name(name) and name in ours}


def _is_name(text: object) -> TypeGuard[str]:
    """Say whether it is the kind of text that names a pair: what is sent back to the exchange, and shown."""
    return isinstance(text, str) and text.isascii() and text.isprintable() and 0 < len(text) <= _LONGEST_NAME


def _errors(told: object) -> list[str]:
    """Return the errors of an envelope, which are a list of text; whatever else is there is one too."""
    errors = told if isinstance(told, list) else [told]
    return [plain(error) for error in errors if error not in (None, "", [], {}, False)]


def _number(value: object) -> float | None:
    """Return a finite number, also one that is written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _not_seconds(unix: float) -> str:
    """Say of a number that is no time in Unix seconds what it is."""
    unit = _unit(unix)
    return f"which is in {unit}, not in seconds" if unit else "which is no time between 2009 and 2100"


def _unit(unix: float) -> str | None:
    return next((unit for unit, of_a_second in _UNITS.items() if _is_time(unix / of_a_second)), None)


def _is_time(unix: float) -> bool:
    return _EARLIEST <= unix < _LATEST


def _not_in_seconds(rows: Sequence[object]) -> str | None:
    """Say what the times of rows are where none of them is in seconds; None where one is."""
    told = [_number(row[0]) for row in rows if isinstance(row, list) and row]
    times = [unix for unix in told if unix is not None]
    if not times or any(map(_is_time, times)):
        return None
    units = {_unit(unix) for unix in times}
    unit = units.pop() if len(units) == 1 else None
    return f"its times are {unit}, not seconds" if unit else "none of its times lies between 2009 and 2100"


def _nanoseconds(told: object) -> int | None:
    """Return the ``last`` of Trades: nanoseconds as text, by some gateways as a number."""
    if isinstance(told, bool) or not isinstance(told, int | str) or not re.fullmatch(r"\d{1,19}", str(told), re.ASCII):
        return None
    return int(told)


def _named(what: str, error: str) -> ExchangeError:
    """Tell Kraken's errors apart: this pair is wrong, maintenance, slow down; the rest may pass."""
    if error.startswith(("EQuery:Unknown asset pair", "EQuery:Invalid asset pair", "EGeneral:Invalid arguments")):
        return PairUnknown(f"{what}: {error}")
    if "cancel_only" in error or "post_only" in error or "maintenance" in error.lower():
        return Maintenance(f"{what}: {error}")
    if error.startswith("EGeneral:Temporary lockout"):  # some 15 minutes; each request more makes it longer
        return ExchangeError(f"{what}: {error}")
    if error.startswith(("EAPI:Rate limit", "EGeneral:Too many requests")):
        return RateLimited(f"{what}: {error}")
    return ExchangeUnreachable(f"{what}: {error}")


def _is_wanted(row: object, since: datetime, now: datetime) -> bool:
    """Say whether a row is closed and not before ``since``. One whose time cannot be read is: it is rejected."""
    open_time = _number(row[0]) if isinstance(row, list) and row else None
    if open_time is None or not _is_time(open_time):
        return True
    return not (open_time < since.timestamp() or open_time + MINUTE.total_seconds() > now.timestamp())


def _moment(trade: Any) -> datetime:
    unix = _number(trade[2])
    if unix is None or not _is_time(unix):
        raise ValueError("no time in seconds")
    return datetime.fromtimestamp(unix, UTC)


def _repeated(previous: list[list[Any]], page: list[list[Any]]) -> int:
    """Return how many trades at the head of a page are the last ones of the page before."""
    for count in range(min(len(previous), len(page)), 0, -1):
        if previous[-count:] == page[:count]:
            return count
    return 0


def _last_row(built: Validated, before: pa.Table | None) -> pa.Table | None:
    return built.kept.slice(built.kept.num_rows - 1) if built.kept.num_rows else before
