"""Any exchange that ccxt knows: which minutes are asked of it, and of which ones its answers speak.

ccxt writes the requests and reads the answers (by_ccxt/speaker.py, questions.py). What it does not know, above all what
becomes of minutes without trades, is declared (by_ccxt/records.py).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.minutes import MINUTE, floor_minute, newest_closed_minute
from pricetracker_dagster.candles.schema import NOT_TOLD
from pricetracker_dagster.candles.table import newest_minute
from pricetracker_dagster.candles.validate import Unvalidated, Validated, validate_together
from pricetracker_dagster.exchanges.asking import Client
from pricetracker_dagster.exchanges.base import ExchangeError, PairUnknown
from pricetracker_dagster.exchanges.by_ccxt.listing import Listing
from pricetracker_dagster.exchanges.by_ccxt.questions import Questions
from pricetracker_dagster.exchanges.by_ccxt.quiet import Row, Trades, quiet_minutes
from pricetracker_dagster.exchanges.by_ccxt.records import LEAD, Record, record_of
from pricetracker_dagster.exchanges.by_ccxt.speaker import open_speaker, own_url
from pricetracker_dagster.files.data_folder import pairs_file
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.settings.exchanges import in_ccxt

_QUIET_FOR_LONG = 3600
"""Seconds without a trade after which it is looked whether a pair is still listed."""

_SETTLED = 3
"""Seconds after its end when trades are asked about a minute without a row also of a pair that trades each minute."""

_CERTAIN = timedelta(minutes=10)
"""So long after its end an absent minute is not only late."""

_MOST_ASKED = 10
"""So often trades are asked for about the minutes of one answer."""

_LOOK_BACK = 4
"""So many answers before a range that begins quietly are looked through for its price."""


def open_by_ccxt(
    name: str, client: Callable[[str, float], Client], *, options: Mapping[str, Any], cache: Path
) -> "ByCcxt":
    """Return an exchange that ccxt asks.

    Args:
        name: as metrics bear it.
        client: returns its client, given the URL and the requests for candles a second where the settings say none.
        options: ccxt's.
        cache: the folder for what is kept from process to process.

    Raises:
        ExchangeError: ccxt is not installed, or has no minute candles of it.
    """
    record = record_of(name)

    def made(speaker: Any) -> Client:
        granted = record.requests_per_second or 1000 / float(speaker.rateLimit) / record.candle_cost
        return client(record.url or own_url(speaker), granted)

    try:
        speaker = open_speaker(
            in_ccxt(name),
            {**record.options, **options},
            made,
            candle_cost=record.candle_cost,
            count_at=record.count_at,
        )
    except ExchangeError as error:
        raise ExchangeError(f"{name}: {error}") from error
    if not speaker.has.get("fetchOHLCV") or "1m" not in (speaker.timeframes or {}):
        raise ExchangeError(f"{name}: it has no minute candles, as far as ccxt knows: remove its metrics")
    return ByCcxt(Questions(name, speaker, record), record, cache=cache)


class ByCcxt:
    """An Exchange that ccxt asks. Threads may share it."""

    settles = timedelta(seconds=_SETTLED)

    def __init__(self, questions: Questions, record: Record, *, cache: Path) -> None:
        """Ask nothing yet. The list of markets is kept in the folder ``cache``."""
        self.name = questions.name
        self.reach = record.reach
        self.allowance = questions.client.allowance
        self._questions = questions
        self._record = record
        self._listing = Listing(questions, pairs_file(cache, self.name))

    def time(self, deadline: Deadline) -> datetime:
        """Ask the exchange for its time, UTC; one that tells none by the date in the head of its answers.

        Of one that has none either it is this machine's time.
        """
        if self._questions.tells_time:
            return self._questions.time(deadline)
        self._questions.forget_time()
        self._listing.markets((), deadline)
        symbol = self._listing.any_followed()
        if symbol is not None and not self._questions.knows_time:
            self._questions.anything(symbol, deadline)
        return self._questions.now()

    def pairs(self, wanted: Collection[str], deadline: Deadline) -> Collection[str]:
        """Return every pair, as ``BASEQUOTE`` and as ``BASE/QUOTE``. The list is kept for a day."""
        return self._listing.markets(wanted, deadline).pairs

    def base_and_quote(self, pair: str) -> tuple[str, str] | None:
        """Return what a pair trades for what, as pairs() has found."""
        base, _, quote = self._listing.known_symbol(pair).partition("/")
        return (base, quote) if base and quote else None

    def candles(self, pair: str, since: datetime, deadline: Deadline, *, patient: bool = True) -> Unvalidated:
        """Fetch closed minutes from ``since`` on, with one request; a second one for trades where minutes are absent.

        Where the trades cannot be had, minutes that only they could speak for stay absent.
        """
        symbol = self._listing.symbol_of(pair, deadline)
        lead = 0 if self._record.quiet == "listed" else LEAD
        rows, odd = self._questions.candles(pair, symbol, since - lead * MINUTE, deadline, patient=patient)
        now = self._questions.now()
        first, last = _unix(since), _unix(newest_closed_minute(now))
        is_listed = self._listing.lists(symbol)
        if not (rows or odd or is_listed):
            raise PairUnknown(f"{self.name}: candles of {pair}: it is not listed any more, and has no candles")
        quiet: dict[int, float] = {}
        if self._record.quiet != "listed" and is_listed:
            within = max(rows, default=None) if self._record.quiet == "left out" else None
            said = _Said(lambda _: self._recent_trades(pair, symbol, rows, last, deadline), most=1)
            quiet = quiet_minutes(rows, first, last, within, said)
            if last in quiet and last - max(rows, default=0) > _QUIET_FOR_LONG:
                quiet = quiet if self._listing.still_lists(symbol, deadline) else {}
        return self._answer(pair, {minute: row for minute, row in rows.items() if minute >= first}, odd, quiet, now)

    def history(
        self, pair: str, first: datetime, last: datetime, deadline: Deadline, *, before: pa.Table | None = None
    ) -> Iterator[Validated]:
        """Fetch closed minutes by their range, oldest first, a batch an answer.

        Raises:
            ExchangeError: candles do not go back as far as ``first``; what they have is yielded before.
        """
        symbol = self._listing.symbol_of(pair, deadline)
        if not self._questions.knows_time:
            self.time(deadline)
        now, back = self._questions.now(), self._record.back
        last = min(last, floor_minute(now - self.settles) - MINUTE)
        begin = oldest = first if back is None else max(first, floor_minute(now - back) + 2 * MINUTE)
        known = _as_rows(before)
        while begin <= last:
            end = min(last, begin + (self._record.rows - 2) * MINUTE)
            page, known = self._page(pair, symbol, begin, end, known, deadline)
            yield validate_together([page])
            begin = end + MINUTE
        if first < oldest:
            raise ExchangeError(
                f"{self.name}: candles of {pair}: it has none from before {oldest:%Y-%m-%d %H:%M}, "
                "so older minutes cannot be had"
            )

    def _page(
        self, pair: str, symbol: str, begin: datetime, end: datetime, known: dict[int, Row], deadline: Deadline
    ) -> tuple[Unvalidated, dict[int, Row]]:
        """Return the minutes of a part of a range, and its last row, which opens the next part.

        ``known`` is the row before it, where there is one.
        """
        first, last = _unix(begin), _unix(end)
        rows, odd = self._questions.candles(pair, symbol, begin, deadline, until=end)
        now = self._questions.now()
        quiet: dict[int, float] = {}
        if self._record.quiet != "listed":
            if not known and first not in rows:
                known = self._row_before(pair, symbol, begin, deadline)
            within = max([_unix(now - _CERTAIN), *rows]) if self._record.quiet == "left out" else None
            recent = _Said(lambda _: self._questions.trades(pair, symbol, None, deadline), most=1)
            around = _Said(lambda minute: self._questions.trades(pair, symbol, minute - 3600, deadline), _MOST_ASKED)

            def said(minute: int) -> Trades:
                last_ones = recent(minute)
                return last_ones if last_ones.price_before(minute) is not None else around(minute)

            quiet = quiet_minutes({**known, **rows}, first, last, within, said)
        newest = max([*rows, *quiet], default=None)
        after = known if newest is None else {newest: rows.get(newest) or _flat(quiet[newest])}
        return self._answer(pair, rows, odd, quiet, now), after

    def _row_before(self, pair: str, symbol: str, begin: datetime, deadline: Deadline) -> dict[int, Row]:
        """Return the last row before a minute, where one of the answers before has one."""
        step = (min(self._record.rows, 1000) - 2) * MINUTE
        for _ in range(_LOOK_BACK):
            end, begin = begin - MINUTE, begin - step
            rows, _odd = self._questions.candles(pair, symbol, begin, deadline, until=end)
            if rows:
                return {max(rows): rows[max(rows)]}
        return {}

    def _recent_trades(self, pair: str, symbol: str, rows: Mapping[int, Row], last: int, deadline: Deadline) -> Trades:
        """Return the last trades, asked for sparingly: not while the newest minute may only be late."""
        holes = not rows or max(rows) < last - 60 or len(rows) < (max(rows) - min(rows)) // 60 + 1
        if holes or self._questions.now().timestamp() >= last + 60 + _SETTLED:
            return self._questions.trades(pair, symbol, None, deadline)
        return Trades()

    def _answer(
        self, pair: str, rows: Mapping[int, Row], odd: Sequence[Row], quiet: Mapping[int, float], now: datetime
    ) -> Unvalidated:
        metric, counts = str(Metric(self.name, pair)), self._record.count_at is not None
        stated = [(minute, *row[1:6], row[6] if counts and len(row) > 6 else NOT_TOLD) for minute, row in rows.items()]
        strange = [(_seconds(row), *row[1:6], NOT_TOLD) for row in odd]
        filled = [(minute, *_flat(price)[1:], 0) for minute, price in quiet.items()]
        cells = [(metric, *row) for row in (*stated, *strange, *filled)]
        return Unvalidated(cells, fetched_at=now, quiet=[*quiet])


class _Said:
    """What trades say of minutes: asked for where no answer before speaks of a minute, a few times at most."""

    def __init__(self, ask: Callable[[int], Trades], most: int) -> None:
        self._ask = ask
        self._most = most
        self._answers: list[Trades] = []

    def __call__(self, minute: int) -> Trades:
        for answer in self._answers:
            if answer.silent(minute):
                return answer
        if len(self._answers) < self._most:
            self._answers.append(self._ask(minute))
        return self._answers[-1] if self._answers else Trades()


def _as_rows(before: pa.Table | None) -> dict[int, Row]:
    """Return the stored candle before a range as a row."""
    minute = newest_minute(before) if before is not None and before.num_rows else None
    if before is None or minute is None:
        return {}
    return {_unix(minute): _flat(before.column("close")[before.num_rows - 1].as_py())}


def _flat(price: float) -> Row:
    return (None, price, price, price, price, 0.0)


def _seconds(row: Row) -> object:
    time = row[0] if row else None
    return time / 1000 if isinstance(time, int | float) else time


def _unix(moment: datetime) -> int:
    return int(moment.timestamp())
