"""``silence``, ``silences``, ``acknowledge``: what people write down, and where it is shown."""

import getpass
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from pricetracker_dagster.alerts.future_records import correct_future_records
from pricetracker_dagster.alerts.operators import actions
from pricetracker_dagster.alerts.operators.actions import OperatorError
from pricetracker_dagster.alerts.operators.state import OperatorState
from pricetracker_dagster.alerts.status import status
from pricetracker_dagster.alerts.watchdog.observation import Work
from pricetracker_dagster.cli import main
from pricetracker_dagster.cli.status_screen import lines
from pricetracker_dagster.files.locks import Deadline, locked
from pricetracker_dagster.settings import Settings, load_settings
from pricetracker_dagster.store.publishing.access import opened
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.records import Records, Row
from pricetracker_dagster.store.store import open_store
from tests.integration.test_records import alert, incident

HOUR = timedelta(hours=1)
FIRING = "spike|KRAKEN:BTCUSD|volume|0"
OPEN = "not run|2026-03-03T12:00Z"
BY_ANN = ("--by", "ann")


@pytest.fixture
def settings(write_settings: Callable[[str], Path]) -> Settings:
    write_settings('metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]')
    return load_settings()


@pytest.fixture
def records(settings: Settings) -> Records:
    """One alert fires, one is pending, one is over; one incident is open."""
    records = open_store(settings).records
    records.alerts.upsert(
        [
            alert(0),
            alert(1, state="pending", fired_at=None),
            alert(2, state="resolved", resolved_at=datetime(2026, 3, 3, 12, 9, tzinfo=UTC)),
            alert(3, "KRAKEN:ETHUSD"),
        ]
    )
    records.incidents.upsert([incident()])
    return records


@pytest.fixture
def without_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is said: to publish takes half a second."""
    monkeypatch.setattr("pricetracker_dagster.cli.silencing.show_everywhere", lambda *_: None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def said_no(*arguments: str) -> tuple[int, str]:
    """The exit status and the one line of an error."""
    ended = run(*arguments)
    assert ended.stdout == ""
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    return ended.exit_code, line


@pytest.mark.usefixtures("without_publishing")
@pytest.mark.parametrize(
    ("span", "lasts"),
    [
        ("30m", timedelta(minutes=30)),
        ("2h", 2 * HOUR),
        ("1d", timedelta(days=1)),
        ("1h30m", 1.5 * HOUR),
        ("1d 2H", 26 * HOUR),
    ],
)
def test_a_silence_lasts_so_long_from_now(settings: Settings, span: str, lasts: timedelta) -> None:
    before = datetime.now(UTC)
    ended = run("silence", "KRAKEN:*", "--for", span, "--reason", "maintenance\n at\x1b Kraken", *BY_ANN)
    assert (ended.exit_code, ended.stderr) == (0, "")
    [row] = open_store(settings).records.silences.rows()
    assert before - timedelta(seconds=1) < row["made_at"] <= datetime.now(UTC)
    assert row["until"] - row["made_at"] == lasts
    told = (row["id"], row["metrics"], row["rule"], row["reason"], row["who"], row["ended_at"])
    assert told == ("s1", "KRAKEN:*", None, "maintenance at Kraken", "ann", None)
    assert ended.stdout.startswith(f"s1: messages about KRAKEN:* are kept back until {row['until']:%Y-%m-%d %H:%M:%S}")
    assert "silence --end s1" in ended.stdout


@pytest.mark.usefixtures("without_publishing")
def test_until_a_time_of_one_rule_by_whoever_is_logged_in(settings: Settings) -> None:
    until = (datetime.now(UTC) + 3 * HOUR).replace(microsecond=0)
    assert run("silence", "KRAKEN:BTCUSD", "--until", until.isoformat(), "--rule", "spike").exit_code == 0
    [row] = open_store(settings).records.silences.rows()
    assert (row["until"], row["rule"], row["who"]) == (until, "spike", getpass.getuser())


@pytest.mark.usefixtures("without_publishing")
@pytest.mark.parametrize(
    ("metrics", "meant"),
    [
        ("KRAKEN:BTCUDS", "did you mean KRAKEN:BTCUSD?"),
        ("SIMULATED:BTC*", "did you mean KRAKEN:BTC*?"),
        ("SIMULATED:BTCUSD", "did you mean KRAKEN:BTCUSD?"),
        ("COINBASE:ZZZ", "there is KRAKEN:BTCUSD, KRAKEN:ETHUSD"),
    ],
)
def test_a_pattern_of_nothing_that_is_tracked_is_warned_of_and_kept(
    settings: Settings, metrics: str, meant: str
) -> None:
    ended = run("silence", metrics, "--for", "1h")
    assert ended.exit_code == 0
    assert ended.stderr == f"Warning: {metrics} matches no metric that is tracked; {meant}\n"
    assert [row["metrics"] for row in open_store(settings).records.silences.rows()] == [metrics]


@pytest.mark.parametrize(
    ("arguments", "status_", "said"),
    [
        (("KRAKEN:*",), 2, "for how long? Write either --for 2h"),
        (("KRAKEN:*", "--for", "1h", "--until", "2099-01-01"), 2, "for how long? Write either --for 2h"),
        (("--for", "1h"), 2, "whose messages?"),
        ((), 2, "whose messages?"),
        (("KRAKEN:*", "--for", "0m"), 2, "'0m' is no time at all: write e.g. 30m"),
        (("KRAKEN:*", "--for", "0d0h0m"), 2, "is no time at all"),
        (("KRAKEN:*", "--for", "2"), 2, "'2' is not a duration: write e.g. 30m, 2h, 1h30m or 1d"),
        (("KRAKEN:*", "--for", "-1h"), 2, "is not a duration"),
        (("KRAKEN:*", "--for", ""), 2, "is not a duration"),
        (("KRAKEN:*", "--for", "30m1h"), 2, "is not a duration"),
        (("KRAKEN:*", "--for", "367d"), 2, "more than a year"),
        (("KRAKEN:*", "--for", "99999999999h"), 2, "is not a duration"),
        (("KRAKEN:*", "--until", "2020-01-01"), 2, "--until 2020-01-01 00:00:00 UTC is over: it is "),
        (("KRAKEN:*", "--until", "9999-12-31"), 2, "more than a year ahead"),
        (("KRAKEN:*", "--until", "noon"), 2, "'noon' is not a time"),
        (("kraken:*", "--for", "1h"), 2, "did you mean KRAKEN:*?"),
        (("KRAKEN:XBTUSD", "--for", "1h"), 2, "write KRAKEN:BTCUSD"),
        (("BTCUSD", "--for", "1h"), 2, '"BTCUSD" names no exchange: write e.g. KRAKEN:BTCUSD'),
        (("KRAKEN:*", "--for", "1h", "--rule", "spik"), 2, 'no rule "spik"; did you mean spike?'),
        (("KRAKEN:*", "--for", "1h", "--by", " "), 2, "--by is empty"),
        (("--end", "s1", "--for", "1h"), 2, "--end ends a silence that is there"),
        (("--end", "s1"), 2, 'no silence "s1"; no silence is in force'),
    ],
)
def test_what_cannot_be_silenced_is_said_and_nothing_is_written(
    settings: Settings, arguments: tuple[str, ...], status_: int, said: str
) -> None:
    code, line = said_no("silence", *arguments)
    assert code == status_
    assert said in line
    assert open_store(settings).records.silences.rows() == []


@pytest.mark.usefixtures("without_publishing")
def test_a_silence_is_ended_once_and_kept(settings: Settings) -> None:
    for metrics in ("KRAKEN:*", "KRAKEN:BTCUSD"):
        run("silence", metrics, "--for", "1h", *BY_ANN)
    assert said_no("silence", "--end", "s3") == (
        2,
        'Error: no silence "s3"; open: s1 (KRAKEN:*), s2 (KRAKEN:BTCUSD)',
    )
    ended = run("silence", "--end", "s1", "--by", "bob")
    assert ended.stdout == "s1 is ended: messages about KRAKEN:* are sent again.\n"
    code, line = said_no("silence", "--end", "s1")
    assert (code, line[:26], line[-8:]) == (1, "Error: silence s1 ended at", ", by bob")
    every = json.loads(run("silences", "--all", "--format", "json").stdout)
    assert [(row["id"], row["who"], row["ended_by"]) for row in every] == [("s2", "ann", None), ("s1", "ann", "bob")]
    in_force = json.loads(run("silences", "--format", "json").stdout)
    assert [row["id"] for row in in_force] == ["s2"]
    run("silence", "KRAKEN:*", "--for", "1h")
    assert {row["id"] for row in open_store(settings).records.silences.rows()} == {"s1", "s2", "s3"}


def test_silences_made_at_once_have_ids_of_their_own(settings: Settings) -> None:
    now = datetime.now(UTC)

    def make(_: int) -> Row:
        return actions.silence(settings, "*", now + HOUR, now, rule=None, reason=None, who="ann")

    with ThreadPoolExecutor(6) as pool:
        made = [row["id"] for row in pool.map(make, range(6))]
    assert sorted(made) == sorted(row["id"] for row in open_store(settings).records.silences.rows())
    assert sorted(made) == [f"s{i}" for i in range(1, 7)]


def test_the_sensors_lock_holds_nobody_up_and_the_desk_s_own_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    monkeypatch.setattr(actions, "PATIENCE", 0.1)
    settings.state.mkdir(parents=True)
    with locked(settings.state / "alerts.lock", Deadline.after(1)):
        actions.silence(settings, "*", now + HOUR, now, rule=None, reason=None, who="ann")
    with (
        locked(settings.state / "desk.lock", Deadline.after(1)),
        pytest.raises(OperatorError, match="nothing was written"),
    ):
        actions.silence(settings, "*", now + HOUR, now, rule=None, reason=None, who="ann")


@pytest.mark.usefixtures("without_publishing")
@pytest.mark.parametrize(
    ("own", "fact", "subject"),
    [
        (FIRING, FIRING, "alert"),
        ("spike|KRAKEN:BTC", FIRING, "alert"),
        (OPEN, OPEN, "incident"),
        ("not", OPEN, "incident"),
    ],
)
def test_an_id_or_its_beginning_is_acknowledged_once(records: Records, own: str, fact: str, subject: str) -> None:
    ended = run("acknowledge", own, "--note", "on it", *BY_ANN)
    assert ended.stdout == f"{fact} is acknowledged by ann: no more reminders of it until it is over.\n"
    [row] = records.acknowledgements.rows()
    told = (row["fact"], row["subject"], row["who"], row["note"])
    assert told == (fact, subject, "ann", "on it")
    code, line = said_no("acknowledge", own, "--by", "bob")
    assert code == 1
    assert line.startswith(f"Error: {fact} is acknowledged already: by ann at ")
    assert len(records.acknowledgements.rows()) == 1


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize(
    ("own", "status_", "said"),
    [
        ("nothing", 2, f'no alert that fires and no open incident is called "nothing"; open: {FIRING}, '),
        ("", 2, "no alert that fires and no open incident"),
        (
            "spike|KRAKEN",
            2,
            f'several begin with "spike|KRAKEN": write more of it; open: {FIRING}, spike|KRAKEN:ETHUSD',
        ),
        ("spike|KRAKEN:BTCUSD|volume|1", 1, "is pending: it has not fired, and no message was sent; open: "),
        ("spike|KRAKEN:BTCUSD|volume|2", 1, f"is over since 2026-03-03 12:09:00 UTC; open: {FIRING}, "),
    ],
)
def test_what_cannot_be_acknowledged_is_said_with_what_is_open(own: str, status_: int, said: str) -> None:
    code, line = said_no("acknowledge", own)
    assert code == status_
    assert said in line


@pytest.mark.usefixtures("records")
def test_it_is_published_shown_in_status_and_in_the_ui(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    published = settings.data_folder.published
    instance = dg.DagsterInstance.ephemeral()  # one on disk takes seconds to make
    monkeypatch.setattr("pricetracker_dagster.instance.home.is_kept", lambda _: True)
    monkeypatch.setattr("pricetracker_dagster.instance.home.open_instance", lambda _: nullcontext(instance))
    silent = run("silence", "KRAKEN:ETH*", "--for", "1h", "--reason", "delisting", *BY_ANN)
    assert (silent.exit_code, silent.stderr) == (0, "")
    for own in (FIRING, OPEN):
        assert run("acknowledge", own, *BY_ANN).exit_code == 0

    def answer(statement: str) -> list[tuple[Any, ...]]:
        with opened(published) as connection:
            return connection.sql(statement).fetchall()

    assert answer("SELECT id, metrics, who FROM silences") == [("s1", "KRAKEN:ETH*", "ann")]
    assert answer("SELECT fact, subject FROM acknowledgements ORDER BY made_at") == [
        (FIRING, "alert"),
        (OPEN, "incident"),
    ]
    by = answer(
        "SELECT id, acknowledged_by, acknowledged_at IS NOT NULL FROM alerts WHERE state = 'firing' ORDER BY id"
    )
    assert by == [(FIRING, "ann", True), ("spike|KRAKEN:ETHUSD|volume|3", None, False)]
    assert answer("SELECT acknowledged_by FROM incidents") == [("ann",)]
    shown = json.loads(run("alerts", "--open", "--format", "json").stdout)
    assert [row["acknowledged_by"] for row in shown] == [None, None, "ann"]

    found = status(settings, datetime.now(UTC), Work)
    [silence] = found["silences"]
    assert (silence["id"], silence["reason"]) == ("s1", "delisting")
    by_id = {row["id"]: row for row in (*found["alerts_open"], *found["incidents_open"])}
    assert (by_id[FIRING]["acknowledged_by"], by_id[FIRING]["silence"]) == ("ann", None)
    assert by_id["spike|KRAKEN:ETHUSD|volume|3"]["silence"] == "s1"
    assert by_id[OPEN]["silence"] == "s1"  # ETH alone is out still
    text = "\n".join(lines(found))
    assert "silent      s1 KRAKEN:ETH* until " in text
    assert f"acknowledged {OPEN} by ann" in text

    for table in ("silences", "acknowledgements"):
        event = instance.get_latest_materialization_event(dg.AssetKey(table))
        assert event is not None
        assert event.asset_materialization is not None
        assert "ann" in str(event.asset_materialization.metadata["what"].value)


def test_what_cannot_be_published_is_written_down_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pricetracker_dagster.store.publishing.publish.publish", full)
    ended = run("silence", "KRAKEN:*", "--for", "1h")
    assert ended.exit_code == 0
    assert "Not published yet, the next tick does: [Errno 28] No space left on device" in ended.stderr
    assert [row["id"] for row in json.loads(run("silences", "--format", "json").stdout)] == ["s1"]


def test_an_acknowledgement_of_the_time_before_it_fired_is_not_shown(settings: Settings, records: Records) -> None:
    early = datetime(2026, 3, 3, 11, 0, tzinfo=UTC)
    records.acknowledgements.upsert(
        [{"fact": FIRING, "subject": "alert", "who": "ann", "made_at": early, "note": None}]
    )
    publish(open_store(settings), None, now=datetime.now(UTC))
    with opened(settings.data_folder.published) as connection:
        by = connection.sql("SELECT DISTINCT acknowledged_by FROM alerts").fetchall()
    assert by == [(None,)]


def test_after_the_clock_went_back_a_silence_lasts_as_long_as_it_was_to_last(
    settings: Settings, records: Records
) -> None:
    now = datetime.now(UTC)
    ahead = now + 5 * HOUR
    records.alerts.upsert([alert(9, fired_at=ahead)])
    for rule in (None, "spike"):
        actions.silence(settings, "KRAKEN:*", ahead + HOUR, ahead, rule=rule, reason=None, who="ann")
    actions.end_silence(settings, "s2", ahead, who="ann")
    actions.acknowledge(settings, "spike|KRAKEN:BTCUSD|volume|9", ahead, who="ann", note=None)
    actions.acknowledge(settings, FIRING, ahead + HOUR, who="ann", note=None)
    assert OperatorState.read(records, now) == OperatorState()
    assert correct_future_records(records, now) >= 5
    desk = OperatorState.read(records, now)
    first, second = sorted(desk.silences, key=lambda row: str(row["id"]))
    assert (first["made_at"], first["until"], first["ended_at"]) == (now, now + HOUR, None)
    assert second["ended_at"] == now
    assert [row["fact"] for row in desk.acknowledgements] == ["spike|KRAKEN:BTCUSD|volume|9", FIRING]
    [fired] = [row for row in records.alerts.rows() if row["id"] == "spike|KRAKEN:BTCUSD|volume|9"]
    assert desk.acknowledgement_of(fired) is not None
    assert correct_future_records(records, now) == 0
