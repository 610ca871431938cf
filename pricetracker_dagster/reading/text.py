"""How a value of each SQL type is written as text, by SQL: a million rows in the time that Python needs for 20,000.

Times are ISO 8601, those with a zone in UTC; numbers keep every digit; lists, structs and maps are JSON. What is
neither a number nor a time nor nested is written as DuckDB casts it to text. Here is no SQL of what is asked: an
expression is made of a column's type and its place only, never of a value.
"""

import json as standard

from duckdb.sqltypes import DuckDBPyType

from pricetracker_dagster.sql import literal

FLOATS = frozenset({"float", "double"})
INTEGERS = frozenset(
    {"tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"}
)
_TIMESTAMPS = frozenset({"timestamp", "timestamp_s", "timestamp_ms"})
_LISTS = ("list", "array")
_STRUCTS = ("struct", "tuple")
_WITH_ZONE = "timestamp with time zone"


def csv_line(types: list[DuckDBPyType], names: list[str]) -> str:
    """Return the expression of a line of CSV, from columns of the given types and names. NULL and NaN are empty."""
    if len(types) == 1:  # an empty line is no row to most readers
        return f"""coalesce(nullif({_csv(types[0], names[0])}, ''), '""') || chr(10)"""
    cells = ", ',', ".join(f"{_csv(kind, name)}" for kind, name in zip(types, names, strict=True))
    return f"concat({cells}, chr(10))"


def json_object(types: list[DuckDBPyType], names: list[str], keys: list[str]) -> str:
    """Return the expression of an object of JSON with the columns as its values; NaN and infinity are null."""
    pairs = [
        f"{literal(('' if i == 0 else ', ') + quoted(key) + ': ')}, {_top_json(kind, name)}"
        for i, (kind, name, key) in enumerate(zip(types, names, keys, strict=True))
    ]
    return f"concat('{{', {', '.join(pairs)}, '}}')"


def plain(kind: DuckDBPyType, x: str) -> str:
    """Return the expression of a value as a person reads it; NULL stays NULL."""
    if kind.id in _LISTS:
        [(_, child)] = _children(kind)
        one = json if child.id in _LISTS else plain
        return f"list_transform({x}, lambda v: {one(child, 'v')})"
    if kind.id in (*_STRUCTS, "map"):
        return f"CASE WHEN {x} IS NOT NULL THEN {json(kind, x)} END"
    return _scalar(kind, x)


def json(kind: DuckDBPyType, x: str, depth: int = 0) -> str:
    """Return the expression of a value in JSON; it is never NULL."""
    if kind.id in FLOATS:
        return f"CASE WHEN isfinite({x}) THEN {x}::VARCHAR ELSE 'null' END"
    if kind.id in INTEGERS or kind.id in ("decimal", "boolean"):
        return f"coalesce({x}::VARCHAR, 'null')"
    if kind.id in _LISTS:
        [(_, child)], v = _children(kind), f"v{depth}"
        items = _joined(x, v, json(child, v, depth + 1))
        return _unless_null(x, f"'[' || {items} || ']'")
    if kind.id in _STRUCTS:
        return _unless_null(x, _struct(kind, x, depth))
    if kind.id == "map":
        (_, key), (_, value) = _children(kind)
        e = f"v{depth}"
        pair = (
            f"to_json({_scalar(key, f'{e}.key')}::VARCHAR)::VARCHAR || ': ' || {json(value, f'{e}.value', depth + 1)}"
        )
        return _unless_null(x, f"'{{' || {_joined(f'map_entries({x})', e, pair)} || '}}'")
    return _unless_null(x, f"to_json({_scalar(kind, x)})::VARCHAR")


def quoted(name: str) -> str:
    """Return a key as JSON writes it."""
    return standard.dumps(name, ensure_ascii=False)


def _csv(kind: DuckDBPyType, x: str) -> str:
    if kind.id in FLOATS:
        return f"CASE WHEN isfinite({x}) THEN {x}::VARCHAR END"
    if kind.id in INTEGERS or kind.id == "decimal":
        return f"{x}::VARCHAR"
    if kind.id == "boolean":
        return f"CASE {x} WHEN true THEN 'True' WHEN false THEN 'False' END"
    if kind.id in _TIMESTAMPS or kind.id in (_WITH_ZONE, "date", "time"):
        return _scalar(kind, x)
    text = _scalar(kind, x)
    if kind.id in (*_LISTS, *_STRUCTS, "map"):
        text = f"CASE WHEN {x} IS NOT NULL THEN {json(kind, x)} END"
    return f"""CASE WHEN regexp_matches({text}, '[,"\\r\\n]') OR {text} = ''
        THEN '"' || replace({text}, '"', '""') || '"' ELSE {text} END"""


def _top_json(kind: DuckDBPyType, x: str) -> str:
    if kind.id == "date":  # a day stands for its midnight, as it always has in this command's JSON
        return (
            f"CASE WHEN isfinite({x}) THEN '\"' || strftime({x}, '%Y-%m-%dT00:00:00') || '\"' ELSE {json(kind, x)} END"
        )
    return json(kind, x)


def _scalar(kind: DuckDBPyType, x: str) -> str:
    if kind.id == _WITH_ZONE:
        return _iso(f"({x} AT TIME ZONE 'UTC')", f"{x}::VARCHAR", zone="Z")
    if kind.id in _TIMESTAMPS:
        return _iso(x, f"{x}::VARCHAR", zone="")
    if kind.id == "timestamp_ns":
        return f"replace({x}::VARCHAR, ' ', 'T')"
    return f"{x}::VARCHAR"


def _iso(x: str, otherwise: str, zone: str) -> str:
    """Return the expression of a time in ISO 8601, with a fraction of six digits where it has one."""
    whole = f"strftime({x}, '%Y-%m-%dT%H:%M:%S{zone}')"
    parted = f"strftime({x}, '%Y-%m-%dT%H:%M:%S.%f{zone}')"
    return f"""CASE WHEN NOT isfinite({x}) THEN {otherwise}
        WHEN date_trunc('second', {x}) = {x} THEN {whole} ELSE {parted} END"""


def _struct(kind: DuckDBPyType, x: str, depth: int) -> str:
    fields = _children(kind)
    if all(not name for name, _ in fields):  # row(1, 2)
        items = [json(child, f"struct_extract({x}, {i})", depth) for i, (_, child) in enumerate(fields, 1)]
        separated = ", ', ', ".join(items)
        return f"concat('[', {separated}, ']')"
    pairs = [
        f"{literal(('' if i == 0 else ', ') + quoted(name) + ': ')}, "
        f"{json(child, f'struct_extract({x}, {literal(name)})', depth)}"
        for i, (name, child) in enumerate(fields)
    ]
    return f"concat('{{', {', '.join(pairs)}, '}}')"


def _joined(items: str, v: str, each: str) -> str:
    return f"array_to_string(list_transform({items}, lambda {v}: {each}), ', ')"


def _unless_null(x: str, text: str) -> str:
    return f"CASE WHEN {x} IS NULL THEN 'null' ELSE {text} END"


def _children(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """Return the parts of a nested type with their names; of an array also its length would be one."""
    return [(name, part) for name, part in kind.children if isinstance(part, DuckDBPyType)]
