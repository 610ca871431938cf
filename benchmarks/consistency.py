"""Whether answers over HTTP are each of one published file: compared by SQL with the files that were published.

For answers in JSON whose paths are given with the statement that answers the same in SQL.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.http_clients import Seen


def mixed(seen: Iterable[Seen], statements: Mapping[int, str], files: Path) -> list[str]:
    """Return what is wrong with answers; nothing if each is that of one published file.

    Args:
        seen: answers.
        statements: by request, what gives the same rows in SQL.
        files: the folder of the published files.
    """
    tags: dict[bytes, set[str]] = defaultdict(set)
    by_minute: dict[str, list[tuple[str, int, list[dict[str, Any]]]]] = defaultdict(list)
    wrong = []
    for answer in seen:
        body = gzip.decompress(answer.body) if answer.body[:2] == b"\x1f\x8b" else answer.body
        told = json.loads(body)
        as_of, rows = told["as_of"], told["data"]
        tags[answer.tag].add(as_of)
        where = f"request {answer.request}, as of {as_of}"
        by_minute[as_of].append((where, answer.request, rows))
        if {row["as_of"] for row in rows if "as_of" in row} - {as_of}:
            wrong.append(f"{where}: there are rows of other minutes")
    for file in files.iterdir():
        with duckdb.connect(str(file), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            as_of = _rows(connection, "SELECT as_of FROM snapshot")[0]["as_of"]
            for where, request, rows in by_minute.pop(as_of, ()):
                if rows != (expected := _rows(connection, statements[request])):
                    wrong.append(f"{where}: {len(rows)} rows differ from the {len(expected)} of the file")
    wrong += [f"{where}: no such file was published" for answers in by_minute.values() for where, *_ in answers]
    wrong += [f"the entity tag {tag!r} stands for {sorted(stands)}" for tag, stands in tags.items() if len(stands) > 1]
    return wrong


def _rows(connection: duckdb.DuckDBPyConnection, statement: str) -> list[dict[str, Any]]:
    rows = connection.execute(statement).fetchall()
    names = [name for name, *_ in connection.description or ()]
    return [{name: _told(value) for name, value in zip(names, row, strict=True)} for row in rows]


def _told(value: Any) -> Any:
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if hasattr(value, "strftime") else value
