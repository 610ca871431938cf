"""What a person reads of an alert or an incident."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pricetracker_dagster.alerts.messages.wording import Event, alert_message, incident_message, silence_message
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.store.records import Row

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
BTC, ETH, XRP = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"


def at(minute: int) -> datetime:
    return NOON + minute * MINUTE


def alert(**other: Any) -> Row:
    """An alert that fired at 12:01."""
    found: Row = {
        "id": "spike|KRAKEN:BTCUSD|volume|2026-03-03T12:00Z",
        "rule": "spike",
        "metric": BTC,
        "measure": "volume",
        "minute": at(0),
        "state": "firing",
        "value": 301.0,
        "average": 100.0,
        "ratio": 3.01,
        "factor": 3.0,
        "last_minute": at(0),
        "minutes": 1,
        "peak": 301.0,
        "peak_ratio": 3.01,
        "peak_minute": at(0),
        "fired_at": at(1),
        "resolved_at": None,
        "ended_because": None,
        "sent": True,
    }
    return {**found, **other}


def incident(first: int, last: int, *metrics: str, **other: Any) -> Row:
    """An outage that was recorded at 12:06, open."""
    found: Row = {
        "id": "exchange error|2026-03-03T12:00Z",
        "state": "open",
        "cause": "exchange error",
        "reason": "KRAKEN: HTTP 502",
        "first": at(first),
        "last": at(last),
        "count": last - first + 1,
        "metrics": list(metrics or (BTC,)),
        "missing": last - first + 1,
        "opened_at": at(6),
        "resolved_at": None,
        "causes": None,
        "out": list(metrics or (BTC,)),
        "exchange": None,
    }
    return {**found, **other}


def test_a_firing_alert_is_a_line_with_metric_measure_value_average_ratio_and_minute() -> None:
    assert alert_message(alert(), Event("firing")) == (
        "▲ KRAKEN:BTCUSD volume 3.01×",
        "▲ KRAKEN:BTCUSD volume 301 = 3.01× its average 100 at 2026-03-03 12:00 UTC (spike: above 3×)",
    )


def test_a_resolved_alert_says_how_it_ended_how_long_it_lasted_and_its_peak() -> None:
    over = alert(
        state="resolved",
        last_minute=at(6),
        minutes=4,
        peak=712.3456789,
        peak_ratio=7.1249,
        peak_minute=at(4),
        resolved_at=at(12),
        ended_because="below again",
    )
    assert alert_message(over, Event("resolved")) == (
        "✓ KRAKEN:BTCUSD volume resolved",
        (
            "✓ KRAKEN:BTCUSD volume below again: it lasted 7 minutes from 2026-03-03 12:00 UTC, "
            "peak 712.3456789 = 7.12× at 12:04 (spike)"
        ),
    )


@pytest.mark.parametrize("event", ["again", "still", "reminder", "escalated"])
def test_what_goes_on_says_since_when_and_its_peak(event: str) -> None:
    goes_on = alert(last_minute=at(6), peak=900.0, peak_ratio=9.0, peak_minute=at(5))
    headline, line = alert_message(goes_on, Event(event))
    how = {"again": "fires again", "escalated": "not acknowledged"}.get(event, "still fires")
    assert headline == f"▲ KRAKEN:BTCUSD volume {how}"
    assert line == (
        f"▲ KRAKEN:BTCUSD volume {how}: first above at 2026-03-03 12:00 UTC, last at 12:06, "
        "peak 900 = 9.00× at 12:05 (spike)"
    )


def test_who_has_acknowledged_it_and_what_kept_it_back_stand_in_the_line() -> None:
    said = Event("reminder", acknowledged="acknowledged by ann at 2026-03-03 12:07 UTC", held="kept back by silence s1")
    for line in (alert_message(alert(), said)[1], incident_message(incident(0, 4), said)[1]):
        assert line.endswith("; kept back by silence s1; acknowledged by ann at 2026-03-03 12:07 UTC")


def test_an_outage_is_a_line_with_minutes_metrics_cause_and_reason() -> None:
    metrics = [f"KRAKEN:X{i}USD" for i in range(7)]
    assert incident_message(incident(0, 4, *metrics), Event("opened")) == (
        "✗ minutes missed: exchange error",
        (
            "✗ missed: 2026-03-03 12:00 to 12:04 UTC (5 minutes) of KRAKEN:X0USD, KRAKEN:X1USD, KRAKEN:X2USD, "
            "KRAKEN:X3USD, KRAKEN:X4USD and 2 more: exchange error: KRAKEN: HTTP 502"
        ),
    )


def test_of_six_metrics_all_are_named() -> None:
    metrics = [f"KRAKEN:X{i}USD" for i in range(6)]
    _, line = incident_message(incident(0, 0, *metrics), Event("opened"))
    assert "KRAKEN:X4USD, KRAKEN:X5USD: exchange error" in line


def test_the_end_of_an_outage_of_a_whole_exchange_names_it() -> None:
    over = incident(0, 4, BTC, ETH, exchange="KRAKEN", state="resolved", missing=0, out=[], resolved_at=at(10))
    assert incident_message(over, Event("resolved"))[0] == "✓ KRAKEN is back"


def test_an_outage_of_a_whole_exchange_is_called_so() -> None:
    headline, line = incident_message(incident(0, 0, BTC, ETH, exchange="KRAKEN"), Event("opened"))
    assert headline == "✗ KRAKEN is out: exchange error"
    assert "UTC of KRAKEN as a whole, 2 metrics: KRAKEN:BTCUSD, KRAKEN:ETHUSD: " in line


@pytest.mark.parametrize(
    ("cause", "way_out"),
    [
        (
            "banned by the exchange",
            "it is asked again when the ban is over; if it comes again, lower exchanges.okx.requests_per_second",
        ),
        (
            "refused by the exchange",
            "it gives nothing to this address: remove its metrics, or follow their pairs elsewhere",
        ),
        ("exchange maintenance", "its minutes are fetched when that is over"),
    ],
)
def test_an_exchange_that_answers_nothing_to_us_is_told_with_the_way_out(cause: str, way_out: str) -> None:
    row = incident(0, 0, "OKX:BTCUSD", exchange="OKX", cause=cause, reason="OKX: time: no")
    headline, line = incident_message(row, Event("opened"))
    assert headline == f"✗ OKX is out: {cause}"
    assert line.endswith(f"UTC of OKX as a whole, 1 metric: OKX:BTCUSD: {cause}: OKX: time: no; {way_out}")
    assert way_out in incident_message(row, Event("reminder"))[1]
    assert way_out not in incident_message({**row, "exchange": None}, Event("opened"))[1]


def test_the_rate_of_a_simulated_exchange_is_that_of_the_simulator() -> None:
    row = incident(0, 0, exchange="SIMULATED_BINANCE", cause="banned by the exchange")
    assert "lower exchanges.simulated.requests_per_second" in incident_message(row, Event("opened"))[1]


def divergence(**other: Any) -> Row:
    """A divergence that fired at 12:01."""
    own = {"rule": "apart", "measure": "price", "value": 19990.0, "average": 20000.0, "ratio": 5.0, "factor": 2.5}
    return alert(**own, peak=19980.0, peak_ratio=10.0, peak_minute=at(3), rule_kind="divergence", others=4, **other)


def test_a_divergence_is_told_with_price_median_of_how_many_others_how_far_and_since_when() -> None:
    assert alert_message(divergence(), Event("firing")) == (
        "▲ KRAKEN:BTCUSD price 5.0 basis points below the others",
        (
            "▲ KRAKEN:BTCUSD price diverges: 19990 is 5.0 basis points below 20000, the median of 4 others, since "
            "2026-03-03 12:00 UTC (apart: more than 2.5 basis points)"
        ),
    )
    assert "the median of 1 other, since" in alert_message({**divergence(), "others": 1}, Event("firing"))[1]


@pytest.mark.parametrize(
    ("event", "how"),
    [("again", "diverges again"), ("still", "still diverges"), ("escalated", "not acknowledged")],
)
def test_a_divergence_that_goes_on_is_told_with_its_largest_one(event: str, how: str) -> None:
    headline, line = alert_message(divergence(last_minute=at(6)), Event(event, held="kept back by silence s1"))
    assert headline == f"▲ KRAKEN:BTCUSD price {how}"
    assert line == (
        f"▲ KRAKEN:BTCUSD price {how}: since 2026-03-03 12:00 UTC, last seen at 12:06, at most 10.0 basis points, at "
        "12:03 with 19980 (apart: more than 2.5 basis points); kept back by silence s1"
    )


def test_several_causes_are_counted() -> None:
    causes = '{"exchange error": 12, "exchange maintenance": 8}'
    _, line = incident_message(incident(0, 4, causes=causes), Event("opened"))
    assert ": exchange error (12), exchange maintenance (8): KRAKEN: HTTP 502" in line


def test_who_joins_and_who_is_back_is_counted_and_who_is_out_named() -> None:
    grown = incident(0, 4, BTC, ETH, XRP)
    headline, line = incident_message(grown, Event("joined", [XRP]))
    assert headline == "✗ KRAKEN:XRPUSD more out"
    assert line.startswith("✗ more missed: KRAKEN:XRPUSD; out now: KRAKEN:BTCUSD, KRAKEN:ETHUSD, KRAKEN:XRPUSD, since ")
    headline, line = incident_message({**grown, "out": [BTC]}, Event("back", [ETH, XRP]))
    assert headline == "✓ 2 of 3 are back"
    assert line.startswith("✓ 2 of 3 are back; still missed: KRAKEN:BTCUSD: exchange error")


def test_a_reminder_names_who_is_out_now() -> None:
    headline, line = incident_message({**incident(0, 9, BTC, ETH, XRP), "out": [ETH]}, Event("reminder"))
    assert headline == "✗ minutes still missed: exchange error"
    assert "UTC (10 minutes) of KRAKEN:ETHUSD: exchange error" in line


def test_minutes_that_come_and_go_are_counted() -> None:
    headline, line = incident_message(incident(0, 5, count=3), Event("flapping"))
    assert headline == "✗ minutes come and go"
    assert "3 of 6 minutes from 2026-03-03 12:00 UTC were missed, of KRAKEN:BTCUSD" in line


def test_an_outage_that_is_over_names_all_who_were_out() -> None:
    over = incident(0, 4, BTC, ETH, state="resolved", missing=0, out=[], resolved_at=at(10))
    assert incident_message(over, Event("resolved")) == (
        "✓ missed minutes healed",
        (
            "✓ over, all minutes are stored: 2026-03-03 12:00 to 12:04 UTC (5 minutes) of KRAKEN:BTCUSD, "
            "KRAKEN:ETHUSD: exchange error"
        ),
    )


@pytest.mark.parametrize(("lost", "said"), [(1, "1 minute stays missing"), (3, "3 minutes stay missing")])
def test_an_outage_that_ends_with_minutes_lost_says_so(lost: int, said: str) -> None:
    over = incident(0, 4, state="resolved", missing=lost, out=[], resolved_at=at(10))
    headline, line = incident_message(over, Event("resolved"))
    assert headline == f"✗ {lost} minute{'s' if lost > 1 else ''} missed for good"
    assert said in line


def test_what_a_clock_that_was_ahead_has_recorded_was_none() -> None:
    none = incident(0, 4, state="resolved", count=0, metrics=[], out=[], resolved_at=at(10))
    assert incident_message(none, Event("resolved"))[0] == "✓ no minutes missed"


def test_the_end_of_a_silence_says_what_is_still_on_and_what_is_over() -> None:
    assert silence_message("s1", 0, [], 1) == (
        "silence s1 has ended",
        "silence s1 has ended: nothing that it kept back is still on; it kept back 1 message",
    )
    _, line = silence_message("s1", 2, ["KRAKEN:XRPUSD volume resolved"], 7)
    assert line == (
        "silence s1 has ended: 2 still on, see their lines; over meanwhile: KRAKEN:XRPUSD volume resolved; "
        "it kept back 7 messages"
    )


@pytest.mark.parametrize(
    ("still", "others", "said"),
    [
        (0, ["silence s2"], "1 still on and kept back by silence s2; it kept back 9 messages"),
        (2, ["silence s2"] * 3, "2 still on, see their lines, 3 still on and kept back by silence s2; it"),
        (0, ["silence s2", "incident x|1"], "2 still on and kept back by silence s2, an outage of an exchange; it"),
    ],
)
def test_the_end_of_a_silence_says_what_keeps_back_the_rest(still: int, others: list[str], said: str) -> None:
    assert f"has ended: {said}" in silence_message("s1", still, [], 9, others)[1]


def test_what_nobody_has_acknowledged_says_so_first() -> None:
    said = Event("escalated", held="nobody has acknowledged it for 15 minutes")
    headline, line = incident_message(incident(0, 4), said)
    assert headline == "✗ not acknowledged: minutes still missed: exchange error"
    assert line.endswith("; nobody has acknowledged it for 15 minutes")
