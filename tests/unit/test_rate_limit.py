"""The shared allowance of requests, and who goes first."""

import threading
import time
from pathlib import Path

import pytest

from pricetracker_dagster.exchanges.rate_limit import BURST, RateLimiter, at_work, boot_id
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded


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
