"""What happens one thing after the other, as it is told: on real tables, through a real channel.

Each sequence says whole what a channel is sent: so nothing is told twice, and nothing is left out.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.alerts import watch
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store.records import RecordTable, Row
from pricetracker_dagster.store.schema import ALERTS
from tests.integration.test_watch import BTC, ETH, NOON, Watch
from tests.webhook import Webhook

XRP = "KRAKEN:XRPUSD"
PAIRS = tuple(f"KRAKEN:M{i:02}USD" for i in range(10))
RULE = "rules = [{{measures = ['price'], min_points = 5{}}}]\n"


class Sequence(Watch):
    """A watch of prices that are 10 as a rule, whose settings can be written anew while it lasts."""

    def __init__(self, write: Callable[[str], Path], webhook: Webhook) -> None:
        super().__init__(load_settings)
        self._write, self.webhook = write, webhook
        self.write()

    def write(
        self, *metrics: str, rule: str = "", extra: str = "repeat_minutes = 0\n", rules: str | None = None
    ) -> None:
        """Write settings: what is tracked, and what else is said of the rule or of alerts."""
        named = json.dumps(list(metrics or (BTC, ETH)))
        told = f'channels = ["{self.webhook.channel()}"]\n'
        self._write(f"metrics = {named}\n[alerts]\n{told}{extra}{RULE.format(rule) if rules is None else rules}")

    def price(self, prices: Mapping[int, float], metric: str = BTC) -> None:
        """Store prices of minutes, also in the stead of others."""
        self.put_prices({(metric, minute): price for minute, price in prices.items()})

    def calm(self, first: int = -10, last: int = -1) -> None:
        """Store usual prices, and look when the last is there."""
        self.price(dict.fromkeys(range(first, last + 1), 10.0))
        self.look(last)

    def then(self, minute: int, price: float) -> None:
        """Store the price of a minute, and look."""
        self.price({minute: price})
        self.look(minute)

    def each(self, minutes: Iterable[int], price: float = 10.0) -> None:
        for minute in minutes:
            self.then(minute, price)

    def told(self) -> list[str]:
        """What was sent since this was asked last, a line each, without the link below."""
        lines = [line for posted in self.webhook.posted for line in posted.lines if not line.startswith("http")]
        self.webhook.posted.clear()
        return [line.replace("2026-03-03 ", "").replace(f"{BTC} price ", "") for line in lines]

    def alert(self) -> Row:
        [row] = self.alerts()
        return row


@pytest.fixture
def it(write_settings: Callable[[str], Path], webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> Sequence:
    monkeypatch.setattr(watch, "publish", lambda *_, **__: None)  # nobody reads it here, and it takes half of the time
    return Sequence(write_settings, webhook)


def fired(ratio: str, minute: str = "12:00", price: str = "100") -> str:
    return f"▲ {price} = {ratio}× its average 10 at {minute} UTC (spike: above 3×)"


def over(why: str, lasted: str, since: str, peak: str) -> str:
    return f"✓ {why}: it lasted {lasted} from {since} UTC, peak {peak} (spike)"


# Alerts: corrections and late data


def test_a_minute_that_is_corrected_away_and_back_fires_a_second_time(it: Sequence) -> None:
    it.calm()
    it.then(0, 100)
    assert it.told() == [fired("10.00")]
    it.price({0: 10, 1: 10})
    it.look(1)
    assert it.told() == [over("corrected", "1 minute", "12:00", "100 = 10.00× at 12:00")]
    it.price({0: 200, 2: 10})
    it.look(2)
    assert it.told() == ["▲ fires again: first above at 12:00 UTC, last at 12:00, peak 200 = 20.00× at 12:00 (spike)"]
    it.each((3, 4, 5))
    assert it.told() == [over("below again", "1 minute", "12:00", "200 = 20.00× at 12:00")]
    it.each((6, 7))
    assert it.told() == []


def test_a_correction_makes_the_peak_lower_and_the_beginning_later(it: Sequence) -> None:
    it.calm()
    it.then(0, 500)
    it.then(1, 90)
    it.then(2, 400)
    assert it.told() == [fired("50.00", price="500")]
    it.price({0: 10, 1: 90, 2: 80})
    it.look(2)
    row = it.alert()
    assert (row["minute"], row["last_minute"], row["minutes"]) == (NOON + MINUTE, NOON + 2 * MINUTE, 2)
    assert (row["peak"], row["peak_minute"]) == (90, NOON + MINUTE)
    it.each(range(3, 8))
    assert it.told() == [over("below again", "2 minutes", "12:01", "90 = 9.00× at 12:01")]
    assert it.alert()["transitions"] == 2


def test_late_minutes_join_two_alerts_and_nobody_is_told_either_anew(it: Sequence) -> None:
    it.write(rule=", window_minutes = 200")
    it.calm(-190)
    it.then(0, 100)
    it.price(dict.fromkeys(range(1, 6), 10.0))
    it.look(5)
    it.then(9, 100)
    assert [line.split()[1] for line in it.told()] == ["100", "below", "100"]
    it.price(dict.fromkeys(range(1, 9), 100.0))
    it.look(9, 70)
    assert it.told() == []
    it.each(range(10, 15))
    assert it.told() == [over("below again", "9 minutes", "12:01", "100 = 9.55× at 12:01")]


def test_what_is_above_in_the_stead_of_what_is_no_more_is_the_same_alert(it: Sequence) -> None:
    it.write(rule=", window_minutes = 10")
    it.calm(-10, 5)
    it.then(10, 100)
    it.told()
    it.price(dict.fromkeys(range(6, 10), 300.0))  # beside these the minute is nothing special
    it.look(10, 70)
    row = it.alert()
    assert (row["state"], row["minute"], row["last_minute"]) == ("firing", NOON + 6 * MINUTE, NOON + 9 * MINUTE)
    assert it.told() == []


# Gaps while an alert fires


def test_a_gap_of_a_window_is_an_end_for_want_of_data_and_late_data_begins_it_again(it: Sequence) -> None:
    it.write(rule=", window_minutes = 10")
    it.calm()
    it.then(0, 100)
    for minute in (5, 9, 10, 11):
        it.look(minute)
    assert it.told() == [
        fired("10.00"),
        over("no data since 12:01 UTC", "1 minute", "12:00", "100 = 10.00× at 12:00"),
    ]
    it.price({1: 100})
    it.look(12)
    [again, *ended] = it.told()
    assert again.startswith("▲ fires again: first above at 12:00 UTC, last at 12:01, peak 100 = 10.00× at 12:00")
    assert ended == [over("no data since 12:02 UTC", "2 minutes", "12:00", "100 = 10.00× at 12:00")]


@pytest.mark.parametrize(
    ("filled", "minutes"),
    [(100.0, 9), (10.0, 2)],
    ids=["all of it above", "none of it"],
)
def test_a_gap_while_it_fires_ends_nothing_and_counts_as_it_was_filled(
    it: Sequence, filled: float, minutes: int
) -> None:
    it.write(rule=", window_minutes = 200")
    it.calm(-190)
    it.then(0, 100)
    it.told()
    for minute in (3, 7):
        it.look(minute)
    it.then(8, 100)
    assert (it.told(), it.alert()["minutes"]) == ([], 2)
    it.price(dict.fromkeys(range(1, 8), filled))
    it.look(8, 70)
    assert (it.told(), it.alert()["minutes"], it.alert()["state"]) == ([], minutes, "firing")
    it.each(range(9, 14))
    assert it.told() == [over("below again", "9 minutes", "12:00", "100 = 10.00× at 12:00")]


# Alerts: rules that change


def test_a_rule_that_is_taken_out_and_added_again_ends_and_begins_it(it: Sequence) -> None:
    it.calm()
    it.then(0, 100)
    it.write(rules="rules = [{name = 'other', measures = ['volume']}]\n")
    it.price({0: 101, 1: 100})  # a correction beside it is not why it ends
    it.look(1)
    assert it.told() == [fired("10.00"), over("no longer judged", "1 minute", "12:00", "100 = 10.00× at 12:00")]
    it.write()
    it.then(2, 200)
    [again] = it.told()
    assert again.startswith("▲ fires again: first above at 12:00 UTC, last at 12:02, peak 100 = 10.00× at 12:00")


def test_a_metric_that_is_taken_out_and_listed_again_ends_and_begins_it(it: Sequence) -> None:
    it.look_at_minutes(-5)
    it.calm()
    it.then(0, 100)
    it.write(ETH)
    it.look(1)
    assert it.told() == [fired("10.00"), over("no longer judged", "1 minute", "12:00", "100 = 10.00× at 12:00")]
    it.write()
    it.look(2)
    it.price({1: 10, 2: 10})
    it.then(3, 200)
    assert [line.split(":")[0] for line in it.told()] == ["▲ fires again"]


def test_a_larger_factor_ends_it_as_such_also_beside_a_correction(it: Sequence) -> None:
    it.calm()
    it.then(0, 100)
    it.write(rule=", factor = 50")
    it.price({0: 101, 1: 100})
    it.look(1)
    assert it.told()[1:] == [over("not above the factor 50 of now", "1 minute", "12:00", "100 = 10.00× at 12:00")]


def test_another_number_of_minutes_below_counts_from_when_it_was_last_above(it: Sequence) -> None:
    it.write(rule=", resolve_after_minutes = 30")
    it.calm()
    it.then(0, 100)
    it.price({1: 10, 2: 10})
    it.look(2)
    assert it.told() == [fired("10.00")]
    it.write(rule=", resolve_after_minutes = 3")
    it.then(3, 10)
    assert it.told() == [over("below again", "1 minute", "12:00", "100 = 10.00× at 12:00")]


def test_for_so_many_minutes_in_a_row_a_corrected_one_does_not_count(it: Sequence) -> None:
    it.write(rule=", for_minutes = 2")
    it.calm()
    it.then(0, 100)
    it.price({0: 10})
    it.look(0, 70)
    it.then(1, 100)
    assert it.told() == []
    it.then(2, 100)
    assert [line.split(" (")[0] for line in it.told()] == ["▲ 100 = 10.00× its average 10 at 12:01 UTC"]


# Reminders


@pytest.mark.parametrize("subject", ["alert", "incident"])
def test_reminders_follow_the_setting_from_the_last_message_on(it: Sequence, subject: str) -> None:
    def repeat(minutes: int) -> None:
        it.write(rule=", resolve_after_minutes = 600, window_minutes = 600", extra=f"repeat_minutes = {minutes}\n")

    repeat(60)
    it.look_at_minutes(-10)
    it.calm()
    it.price(dict.fromkeys(range(-10, 301), 10.0), ETH)
    if subject == "alert":
        it.price({0: 100})
    changes = {65: 15, 100: 0, 200: 30}  # the last of 15 is at 95
    told = []
    for minute in [0, 59, 60, 61, 65, 74, 75, 89, 90, 95, 100, 105, 150, 199, 200, 201, 229, 230]:
        if minute in changes:
            repeat(changes[minute])
        if subject == "alert":
            it.look(minute)
        else:
            it.fail(minute, [BTC])
            it.look_at_minutes(minute + 1)
        told += [minute] * len(it.told())
    assert told == [0, 60, 75, 90, 200, 230]


# Outages


class Outages:
    """Which metrics fail in which minutes, and what a channel is told of it."""

    def __init__(self, it: Sequence, *metrics: str) -> None:
        self.it, self.metrics = it, metrics
        it.write(*metrics)
        it.look_at_minutes(-10)
        it.put(range(-10, 0), 1.0, *metrics)

    def last(
        self,
        minutes: range,
        fails: Callable[[int], Iterable[str]],
        cause: Callable[[int], str] = lambda _: "exchange error",
        looks: Callable[[int], bool] = lambda _: True,
        reason: str = "HTTP 502",
    ) -> list[tuple[int, str]]:
        """Let minutes pass; return what is told, each with the minute after which it is."""
        failing = {minute: {*fails(minute)} for minute in minutes}
        for metric in self.metrics:
            good = [minute for minute in minutes if metric not in failing[minute]]
            if good:
                self.it.put(good, 1.0, metric)
        told: list[tuple[int, str]] = []
        for minute in minutes:
            noted = {"minute": NOON + minute * MINUTE, "cause": cause(minute), "reason": reason, "noted_at": NOON}
            self.it.records.causes.upsert([{"metric": metric, **noted} for metric in sorted(failing[minute])])
            if looks(minute):
                self.it.look_at_minutes(minute + 1)
                told += [(minute, posted.title) for posted in self.it.webhook.posted]
                self.it.webhook.posted.clear()
        return told


@pytest.mark.parametrize("period", [2, 3, 4])
def test_what_fails_every_few_minutes_is_one_incident_that_comes_and_goes(it: Sequence, period: int) -> None:
    outages = Outages(it, BTC, ETH, XRP)
    causes = ["exchange error", "exchange maintenance", "run failed"]
    told = outages.last(
        range(5 * period + 6),
        lambda m: () if m % period or m > 4 * period else (BTC, ETH, XRP),
        lambda m: causes[m % 3],
    )
    assert [minute for minute, _ in told] == [0, 2 * period, 4 * period + 5]
    assert told[1][1] == "✗ minutes come and go"
    [row] = it.incidents()
    assert (row["state"], row["count"], sum(json.loads(row["causes"]).values())) == ("resolved", 5, 15)


def test_an_outage_beside_one_that_lasts_for_ever_and_another_that_overlaps_it_are_told_apart(it: Sequence) -> None:
    outages = Outages(it, BTC, *PAIRS)

    def fails(minute: int) -> list[str]:
        first = PAIRS[:3] if 10 <= minute < 25 else ()
        return [BTC, *first, *(PAIRS[5:7] if 20 <= minute < 30 else ())]

    assert outages.last(range(36), fails, looks=lambda minute: minute in (0, 10, 20, 29, 34)) == [
        (0, "✗ minutes missed: exchange error"),
        (10, "✗ minutes missed: exchange error"),
        (20, "✗ minutes missed: exchange error"),
        (29, "✗ 45 minutes missed for good"),
        (34, "✗ 20 minutes missed for good"),
    ]


def test_a_metric_that_is_listed_in_an_outage_and_one_that_is_taken_out_of_it(it: Sequence) -> None:
    outages = Outages(it, BTC, ETH)
    outages.last(range(3), lambda _: (BTC, ETH))
    it.write(BTC, ETH, XRP)
    it.look_at_minutes(3)
    assert outages.last(range(3, 6), lambda _: (BTC, ETH, XRP)) == [(3, f"✗ {XRP} more out")]
    it.write(ETH, XRP)
    assert outages.last(range(6, 8), lambda _: (ETH, XRP)) == []
    [row] = it.incidents()
    assert (row["out"], row["metrics"]) == ([ETH, XRP], [BTC, ETH, XRP])


def test_looks_that_were_off_for_an_hour_tell_what_was_meanwhile(it: Sequence) -> None:
    outages = Outages(it, *PAIRS)

    def fails(minute: int) -> Iterable[str]:
        return PAIRS if 5 <= minute < 15 or 40 <= minute < 61 else ()

    [(_, title)] = outages.last(range(61), fails, looks=lambda minute: minute in (0, 60))
    assert title.startswith("✗ KRAKEN is out: exchange error, ✗ minutes missed: exchange error, ✗ 100 minutes")
    assert [(row["count"], row["state"]) for row in it.incidents()] == [(10, "resolved"), (21, "open")]


def test_recovery_in_steps_counts_all_who_were_out(it: Sequence) -> None:
    outages = Outages(it, *PAIRS)
    told = outages.last(range(15), lambda m: PAIRS if m < 2 else PAIRS[:5] if m < 4 else PAIRS[:1])
    assert told == [(0, "✗ KRAKEN is out: exchange error"), (6, "✓ 5 of 10 are back"), (8, "✓ 9 of 10 are back")]


@pytest.mark.parametrize(
    ("count", "cause", "reason", "title"),
    [
        (1, "exchange error", "KRAKEN: OHLC of {}: HTTP 502", "✗ minutes missed: exchange error"),
        (2, "exchange error", "KRAKEN: OHLC of {}: HTTP 502", "✗ minutes missed: exchange error"),
        (3, "exchange error", "KRAKEN: OHLC of {}: HTTP 502", "✗ KRAKEN is out: exchange error"),
        (1, "exchange error", "KRAKEN: Time: HTTP 502", "✗ KRAKEN is out: exchange error"),
        (
            1,
            "exchange maintenance",
            "KRAKEN: OHLC of M00USD: EService:Market in cancel_only mode",
            "✗ minutes missed: exchange maintenance",
        ),
    ],
)
def test_an_exchange_is_out_as_a_whole_by_most_of_its_metrics_or_its_time_and_not_by_one_market(
    it: Sequence, count: int, cause: str, reason: str, title: str
) -> None:
    outages = Outages(it, *PAIRS[:4])
    told = outages.last(range(1), lambda _: PAIRS[:count], lambda _: cause, reason=reason.format("M00USD"))
    assert told == [(0, title)]


# Crashes


@pytest.mark.parametrize("stays", [True, False])
def test_a_crash_after_the_message_and_before_the_fact_loses_doubles_and_invents_nothing(
    it: Sequence, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    it.calm()
    put = RecordTable.upsert

    def broken(table: RecordTable, *rows: Any, **how: Any) -> Any:
        if table.schema is ALERTS.columns:
            raise OSError("crash")
        return put(table, *rows, **how)

    it.price({0: 100})
    with monkeypatch.context() as crash:
        crash.setattr(RecordTable, "upsert", broken)
        with pytest.raises(OSError, match="crash"):
            it.look(0)
    assert len(it.records.messages.rows()) == 1
    assert it.told() == []
    if not stays:
        it.price({0: 10})
    it.look(0, 70)
    assert it.told() == ([fired("10.00")] if stays else [])
    it.each(range(1, 6))
    assert len(it.told()) == (1 if stays else 0)
    it.then(6, 500)
    assert [line.split(" = ")[0] for line in it.told()] == ["▲ 500"]
