"""The shared allowance of requests, and who goes first."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.exchanges import rate_limit
from pricetracker_dagster.exchanges.rate_limit import BURST, RateLimiter, at_work, boot_id
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded, locked


def test_a_burst_goes_out_at_once_and_the_next_request_waits_its_turn(tmp_path: Path) -> None:
    limiter = RateLimiter(tmp_path, "KRAKEN", per_second=10)
    began = time.monotonic()
    for _ in range(BURST):
        limiter.wait(Deadline.after(1))
    after_burst = time.monotonic()
    limiter.wait(Deadline.after(1))
    assert after_burst - began < 0.1
    assert time.monotonic() - began >= 0.09


def test_two_processes_share_one_allowance(tmp_path: Path) -> None:
    mine, theirs = (RateLimiter(tmp_path, "KRAKEN", per_second=0.1) for _ in range(2))
    for i in range(BURST):
        (mine, theirs)[i % 2].wait(Deadline.after(1))
    for limiter in (mine, theirs):
        with pytest.raises(DeadlineExceeded):
            limiter.wait(Deadline.after(1))


def test_a_turn_that_comes_too_late_is_left_to_others(tmp_path: Path) -> None:
    limiter = RateLimiter(tmp_path, "KRAKEN", per_second=2)
    for _ in range(BURST):
        limiter.wait(Deadline.after(1))
    for _ in range(10):  # had each taken a turn, the last request would wait five seconds
        with pytest.raises(DeadlineExceeded):
            limiter.wait(Deadline.after(0.01))
    limiter.wait(Deadline.after(1))


def test_an_exchange_that_asks_for_it_is_left_alone_for_a_while(tmp_path: Path) -> None:
    limiter = RateLimiter(tmp_path, "KRAKEN", per_second=1000)
    limiter.block(30)
    with pytest.raises(DeadlineExceeded):
        RateLimiter(tmp_path, "KRAKEN", per_second=1000).wait(Deadline.after(1))


def test_an_allowance_cut_short_by_a_kill_begins_afresh(tmp_path: Path) -> None:
    (tmp_path / "kraken.pace").write_text("12.")
    RateLimiter(tmp_path, "KRAKEN", per_second=1).wait(Deadline.after(0.1))
    (tmp_path / "kraken.pace").write_text("")
    RateLimiter(tmp_path, "KRAKEN", per_second=1).wait(Deadline.after(0.1))


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00\x81", b"\0" * 64, boot_id().encode() + b" 1\xe9", b"\xed\xb3\xbf 5"]
)
def test_a_damaged_allowance_begins_afresh_and_is_kept_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kraken.pace").write_bytes(content)
    limiter = RateLimiter(tmp_path, "KRAKEN", per_second=0.1)
    for _ in range(BURST):
        limiter.wait(Deadline.after(0.1))
    with pytest.raises(DeadlineExceeded):
        limiter.wait(Deadline.after(0.1))
    boot, due = (tmp_path / "kraken.pace").read_text().split()
    assert boot == boot_id()
    assert time.monotonic() - 1 < float(due) < time.monotonic() + 10


def test_an_allowance_from_before_a_reboot_makes_nobody_wait(tmp_path: Path) -> None:
    for due in (time.monotonic() + 1500, time.monotonic() + 1e6, time.monotonic() - 5):
        # as the version before wrote it, and as another boot wrote it
        for written in (repr(due), f"7d9c4f6a-0000-4000-8000-5b1c2d3e4f50 {due!r}"):
            (tmp_path / "kraken.pace").write_text(written)
            RateLimiter(tmp_path, "KRAKEN", per_second=1).wait(Deadline.after(5))


@pytest.mark.parametrize("ahead", [float("inf"), float("nan"), 1e300, 1e6, 3000.0, 100.0])
def test_an_allowance_that_cannot_be_makes_nobody_wait_and_is_right_again(tmp_path: Path, ahead: float) -> None:
    (tmp_path / "kraken.pace").write_text(f"{boot_id()} {time.monotonic() + ahead!r}")
    RateLimiter(tmp_path, "KRAKEN", per_second=1).wait(Deadline.after(5))
    assert float((tmp_path / "kraken.pace").read_text().split()[1]) <= time.monotonic()


def test_an_allowance_of_this_boot_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "kraken.pace").write_text(f"{boot_id()} {time.monotonic() + 50!r}")
    with pytest.raises(DeadlineExceeded):
        RateLimiter(tmp_path, "KRAKEN", per_second=1).wait(Deadline.after(0.1))


def test_a_backfill_waits_while_a_tick_is_at_work(tmp_path: Path) -> None:
    backfill = RateLimiter(tmp_path, "KRAKEN", per_second=1000, low_priority=True)
    went = threading.Event()

    def ask() -> None:
        backfill.wait(Deadline.after(10))
        went.set()

    with at_work(tmp_path, Deadline.after(1)):
        thread = threading.Thread(target=ask)
        thread.start()
        assert not went.wait(0.3)
        RateLimiter(tmp_path, "KRAKEN", per_second=1000).wait(Deadline.after(1))  # a tick's own requests do not wait
    assert went.wait(5)
    thread.join()


def test_a_second_tick_waits_for_the_first_and_gives_up_at_its_deadline(tmp_path: Path) -> None:
    with at_work(tmp_path, Deadline.after(1)), pytest.raises(DeadlineExceeded), at_work(tmp_path, Deadline.after(0.2)):
        pass
    with at_work(tmp_path, Deadline.after(0.2)):
        pass


# --- turns that are taken ahead ---

HAMMER = """
import sys, threading, time
from pathlib import Path
from pricetracker_dagster.exchanges.rate_limit import RateLimiter
from pricetracker_dagster.files.locks import Deadline

limiter = RateLimiter(Path(sys.argv[1]), "KRAKEN", float(sys.argv[2]), low_priority=sys.argv[3] == "low")
begin = time.monotonic()
print(begin, flush=True)
begin = float(sys.stdin.readline() or begin)
went = []

def ask():
    while time.monotonic() < begin + float(sys.argv[4]):
        limiter.wait(Deadline.after(30))
        went.append(time.monotonic())

time.sleep(max(0, begin - time.monotonic()))
threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(each <= begin + float(sys.argv[4]) for each in went), flush=True)
"""


@contextmanager
def hammering(
    folder: Path, per_second: float, seconds: float, *, low: bool = False
) -> Iterator["subprocess.Popen[str]"]:
    """A process that asks as often as it may, from the moment on that is written to it."""
    command = [sys.executable, "-c", HAMMER, str(folder), str(per_second), "low" if low else "high", str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it has imported what it needs
        yield process
        process.kill()


def begin(process: "subprocess.Popen[str]", moment: float) -> None:
    assert process.stdin is not None
    print(moment, file=process.stdin, flush=True)


def test_processes_that_ask_all_the_time_get_no_more_than_the_allowance_together(tmp_path: Path) -> None:
    per_second, seconds = 200, 1.0
    with (
        hammering(tmp_path, per_second, seconds) as one,
        hammering(tmp_path, per_second, seconds) as other,
        hammering(tmp_path, per_second, seconds, low=True) as backfill,
    ):
        moment = time.monotonic() + 0.2
        for process in (one, other, backfill):
            begin(process, moment)
        counts = [int(process.communicate()[0]) for process in (one, other, backfill)]
    assert min(counts) > 0
    assert sum(counts) <= per_second * seconds + BURST


def test_who_is_killed_with_turns_in_hand_blocks_nobody(tmp_path: Path) -> None:
    mine = RateLimiter(tmp_path, "KRAKEN", per_second=200)
    with hammering(tmp_path, 200, 60) as other:
        begin(other, time.monotonic())
        before = None
        while before is None or (tmp_path / "kraken.pace").read_text() in ("", before):
            before = (tmp_path / "kraken.pace").read_text() if (tmp_path / "kraken.pace").exists() else None
        other.send_signal(signal.SIGKILL)
        other.wait()
        mine.wait(Deadline.after(0.5))


def test_who_asks_often_and_alone_takes_the_lock_for_many_turns_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = RateLimiter(tmp_path, "KRAKEN", per_second=100)
    held: list[object] = []

    def counted(*of: Any) -> Any:
        held.append(of)
        return locked(*of)

    monkeypatch.setattr(rate_limit, "locked", counted)
    for _ in range(100):
        limiter.wait(Deadline.after(5))
    assert 0 < len(held) < 50


def test_who_has_turns_in_hand_heeds_all_the_same_that_another_was_asked_to_slow_down(tmp_path: Path) -> None:
    limiter = RateLimiter(tmp_path, "KRAKEN", per_second=200)
    for _ in range(60):
        limiter.wait(Deadline.after(5))
    RateLimiter(tmp_path, "KRAKEN", per_second=200).block(30)
    with pytest.raises(DeadlineExceeded):
        limiter.wait(Deadline.after(1))


def test_who_waits_for_a_turn_waits_longer_when_another_is_asked_to_slow_down(tmp_path: Path) -> None:
    limiter = RateLimiter(tmp_path, "KRAKEN", per_second=4)
    for _ in range(BURST):
        limiter.wait(Deadline.after(1))
    went = threading.Event()

    def ask() -> None:
        limiter.wait(Deadline.after(20))
        went.set()

    thread = threading.Thread(target=ask)
    thread.start()
    RateLimiter(tmp_path, "KRAKEN", per_second=4).block(0.9)
    assert not went.wait(0.7)  # its turn was after a quarter of a second
    assert went.wait(15)
    thread.join()


def test_a_backfill_that_asks_often_takes_no_turn_ahead_of_a_tick(tmp_path: Path) -> None:
    backfill = RateLimiter(tmp_path, "KRAKEN", per_second=1000, low_priority=True)
    for _ in range(50):
        backfill.wait(Deadline.after(5))
    with at_work(tmp_path, Deadline.after(1)), pytest.raises(DeadlineExceeded):
        backfill.wait(Deadline.after(0.3))


def test_turns_in_hand_that_were_not_used_in_time_are_lost(tmp_path: Path) -> None:
    limiter = RateLimiter(tmp_path, "KRAKEN", per_second=100)
    for _ in range(40):  # now it takes several at once
        limiter.wait(Deadline.after(5))
    time.sleep(0.3)
    began = time.monotonic()
    for _ in range(3 * BURST):
        limiter.wait(Deadline.after(5))
    assert time.monotonic() - began >= 0.09  # ten turns after the burst, a hundredth of a second each
