"""Asks the engine in another thread, so that Ctrl-C ends at once whatever it is doing."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, TypeVar

from pricetracker_dagster.cli import interrupts

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")


def done_in_background(connection: "duckdb.DuckDBPyConnection", ask: Callable[[], T]) -> T:
    """Return what the engine answers, asked in another thread."""
    with closing(in_background(connection, lambda: iter([ask()]))) as answers:
        [answer] = answers
    return answer


def in_background(
    connection: "duckdb.DuckDBPyConnection", begin: Callable[[], Iterator[T]]
) -> Generator[T, None, None]:
    """Iterate in another thread: the engine does not heed Ctrl-C, and holds the thread that asks until it is done."""
    items: Queue[tuple[str, Any]] = Queue(maxsize=4)
    over = threading.Event()

    def put(kind: str, item: Any = None) -> None:
        while not over.is_set():
            with suppress(Full):
                items.put((kind, item), timeout=0.1)
                return

    def work() -> None:
        try:
            for item in () if over.is_set() else begin():
                put("item", item)
                if over.is_set():
                    return
            put("end")
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()  # within: Ctrl-C may come while it starts, and Python must not end before it
        while True:
            with suppress(Empty):
                if interrupts.asked():
                    raise KeyboardInterrupt
                kind, item = items.get(timeout=0.2)
                if kind == "item":
                    yield item
                    continue
                thread.join()
                if kind == "error":
                    raise item
                return
    finally:
        over.set()
        while thread.is_alive():  # again and again: it may just be between two things that can be interrupted
            connection.interrupt()
            thread.join(0.02)
