"""The answer of a question as JSON, CSV or Arrow: whole where it is small, else streamed as it comes.

JSON is ``{"as_of": …, "data": [{…}, …]}``: times are ISO 8601 in UTC, numbers are numbers or null.
"""

import json
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import duckdb
from starlette.responses import Response, StreamingResponse

from pricetracker_dagster.reading.lines import ROWS_AT_ONCE, batches, csv_lines, json_lines
from pricetracker_dagster.reading.published import PublishedFile
from pricetracker_dagster.reading.questions import Question
from pricetracker_dagster.reading.values import as_json
from pricetracker_dagster.web.negotiation import CSV, JSON
from pricetracker_dagster.web.problems import Problem

WHOLE_BYTES = 8 * 1024 * 1024
"""A longer answer is streamed."""

_CHUNK = 64 * 1024


def answer(
    file: PublishedFile, question: Question, kind: str, *, compress: bool, seconds: float, name: str
) -> Response:
    """Answer a question.

    Args:
        file: whom to ask.
        question: what is asked.
        kind: JSON, CSV or ARROW.
        compress: whether an answer that is streamed is to be compressed; a whole one is left as it is.
        seconds: how long the engine may take for it; once an answer is streamed, for the next part of it.
        name: of a file in which a browser saves CSV.

    Raises:
        UnknownName: there is nothing of its metric.
        Problem: it takes too long.
    """
    parts = _parts(file, question, kind, seconds)
    first: list[bytes] = []
    size, until = 0, time.monotonic() + seconds
    for part in parts:
        first.append(part)
        size += len(part)
        if size > WHOLE_BYTES:
            break
        if time.monotonic() > until:
            parts.close()
            raise _too_long(seconds)
    else:
        return Response(b"".join(first), media_type=kind, headers=_headers(kind, name))
    rest: Iterator[bytes] = chain(first, parts)
    headers = _headers(kind, name)
    if compress:
        rest = _compressed(rest)
        headers["Content-Encoding"] = "gzip"
    return StreamingResponse(rest, media_type=kind, headers=headers)


def _headers(kind: str, name: str) -> dict[str, str]:
    return {"Content-Disposition": f'inline; filename="{name}.csv"'} if kind == CSV else {}


def _parts(file: PublishedFile, question: Question, kind: str, seconds: float) -> Generator[bytes, None, None]:
    """Yield the bytes of an answer as they come."""
    with file.cursor() as cursor, _limited(cursor, seconds) as within:
        relation = within(lambda: file.relation(cursor, question))
        assert relation is not None  # noqa: S101 - our questions answer something
        if kind == JSON:
            yield b'{"as_of": ' + json.dumps(as_json(file.as_of)).encode() + b', "data": ['
            begin = 1
            for batch in _each(within, batches(json_lines(relation))):
                yield bytes(batch[begin:])
                begin = 0
            yield b"\n]}\n"
        elif kind == CSV:
            yield (",".join(relation.columns) + "\n").encode()
            for batch in _each(within, batches(csv_lines(relation))):
                yield bytes(batch)
        else:
            yield from _arrow(relation, within)


def _arrow(relation: duckdb.DuckDBPyRelation, within: Callable[[Callable[[], Any]], Any]) -> Iterator[bytes]:
    import pyarrow as pa

    sink = _Sink()
    reader = within(lambda: relation.to_arrow_reader(ROWS_AT_ONCE * 8))
    with pa.ipc.new_stream(pa.PythonFile(sink, "w"), reader.schema) as writer:
        for batch in _each(within, iter(reader)):
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


class _Sink:
    """What is written into it can be taken out again."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(self._written[-1])

    def flush(self) -> None:
        return None

    def close(self) -> None:
        return None

    def taken(self) -> bytes:
        data, self._written = b"".join(self._written), []
        return data


def _each(within: Callable[[Callable[[], Any]], Any], items: Iterator[Any]) -> Iterator[Any]:
    end = object()
    while (item := within(lambda: next(items, end))) is not end:
        yield item


@contextmanager
def _limited(cursor: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Give a function that asks the engine and ends what takes too long."""

    def within(ask: Callable[[], Any]) -> Any:
        ended = threading.Event()

        def end() -> None:
            ended.set()
            cursor.interrupt()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            return ask()
        except Exception:  # Arrow makes an error of its own of the engine's
            if ended.is_set():
                raise _too_long(seconds) from None
            raise
        finally:
            timer.cancel()

    yield within


def _too_long(seconds: float) -> Problem:
    wider = "ask for a shorter range or wider candles (every)"
    return Problem(503, f"the answer takes longer than {seconds:g} s (http.timeout_seconds): {wider}")


def _compressed(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Compress what is streamed; each part can be read when it is there."""
    press = zlib.compressobj(6, zlib.DEFLATED, 31)
    waiting = b""
    for part in parts:
        waiting += press.compress(part)
        if len(waiting) >= _CHUNK:
            yield waiting
            waiting = b""
    yield waiting + press.flush()
