"""Which of the minutes that an answer leaves out were quiet: by the exchange's rule, or by what its trades say."""

import random

from pricetracker_dagster.exchanges.by_ccxt.quiet import Trades, quiet_minutes


def rows(*minutes: int, close: float = 10.0) -> dict[int, list[object]]:
    return {60 * minute: [60_000 * minute, 9.0, 99.0, 8.0, close + minute, 1.0] for minute in minutes}


def none(_: int) -> Trades:
    raise AssertionError("trades were asked for")


def said(*times: float, until: float | None = None) -> Trades:
    return Trades([60 * time for time in times], [100.0 + time for time in times], until and 60 * until)


def quiet(answered: dict[int, list[object]], first: int, last: int, within: int | None, trades: Trades | None):  # type: ignore[no-untyped-def]
    found = quiet_minutes(
        answered,
        60 * first,
        60 * last,
        None if within is None else 60 * within,
        none if trades is None else lambda _: trades,
    )
    return {minute // 60: price for minute, price in found.items()}


def test_where_quiet_minutes_are_left_out_those_between_two_rows_were_quiet() -> None:
    assert quiet(rows(1, 4, 6), 1, 6, 6, None) == {2: 11.0, 3: 11.0, 5: 14.0}


def test_a_row_before_those_that_are_wanted_opens_a_quiet_beginning() -> None:
    assert quiet(rows(1, 6), 3, 6, 6, None) == {3: 11.0, 4: 11.0, 5: 11.0}


def test_the_newest_minutes_are_quiet_once_trades_say_so_and_not_before() -> None:
    assert quiet(rows(1, 2), 1, 4, 2, said(1.5, 2.5, until=5)) == {3: 12.0, 4: 12.0}
    assert quiet(rows(1, 2), 1, 4, 2, said(1.5, 2.5, until=4.5)) == {3: 12.0}  # the answer came before its end
    assert quiet(rows(1, 2), 1, 4, 2, said(1.5, 3.5, until=5)) == {}  # its row is only late
    assert quiet(rows(1, 2), 1, 4, 2, Trades()) == {}  # nobody speaks


def test_without_any_row_the_last_trade_before_has_the_price() -> None:
    assert quiet({}, 5, 7, None, said(1.0, 2.5, until=8)) == {5: 102.5, 6: 102.5, 7: 102.5}
    assert quiet({}, 5, 7, None, said(5.5, until=8)) == {}  # it may begin after what is asked about


def test_of_an_exchange_whose_rule_is_unknown_only_trades_make_a_minute_quiet() -> None:
    assert quiet(rows(1, 4), 1, 4, None, said(1.2, 4.1, until=5)) == {2: 11.0, 3: 11.0}
    # a trade in minute 2 has no row: the minute is missing, and the price after it unknown
    assert quiet(rows(1, 4), 1, 4, None, said(1.2, 2.1, 4.1, until=5)) == {}
    # the answer begins after minute 2: of that it says nothing
    assert quiet(rows(1, 4), 1, 4, None, said(3.2, 4.1, until=5)) == {}


def test_nothing_follows_from_a_row_that_will_be_rejected() -> None:
    for bad in (float("nan"), None, "12", -1.0, 199.0):
        answered = rows(1, 5)
        answered[60] = [60_000, 9.0, 11.0, 8.0, bad, 1.0]
        assert quiet(answered, 1, 5, 5, None) == {}
    assert quiet({60: [60_000, 9.0]}, 1, 2, 2, None) == {}


def test_random_answers_are_told_as_a_list_of_all_trades_tells_them() -> None:
    chance = random.Random(12)  # noqa: S311 - the same each time
    for _ in range(300):
        traded = sorted(chance.sample(range(1, 40), chance.randint(1, 12)))
        times = [minute + chance.random() for minute in traded]
        lost = {minute for minute in traded if chance.random() < 0.2}
        answered = rows(*(minute for minute in traded if minute not in lost))
        first = chance.randint(1, 20)
        found = quiet(answered, first, 40, None, said(*times, until=41))
        assert not found.keys() & {*traded}
        assert all(minute >= first for minute in found)
        for minute, price in found.items():
            before = max(each for each in traded if each < minute)
            assert before not in lost or not any(before < each < minute for each in traded)
            # the last trade before it has the price, or the row of its minute
            assert price in (10.0 + before, 100.0 + times[traded.index(before)])
        # with every row there and one before the first that is wanted, no quiet minute is left over
        if not lost and traded[0] <= first:
            assert found.keys() == {*range(first, 41)} - {*traded}
