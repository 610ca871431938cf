"""The settings file that ``pricetracker init`` writes: every key of the model with its docstring and its default."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from pricetracker_dagster.settings.model import Settings

_METRICS = ("KRAKEN:BTCUSD", "KRAKEN:ETHUSD")


def template() -> str:
    """Return the file's text: metrics to begin with, every other key as a comment that shows its default."""
    head = "# Settings of pricetracker, read again by each tick. A key behind a # has the default that is shown."
    return "\n".join([head, "", *_table(Settings.model_construct(metrics=_METRICS), ()), ""])


def _table(values: BaseModel, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a table: first its keys, then the tables in it, as TOML wants it."""
    model = type(values)
    meanings = _meanings(model)
    tables: list[tuple[str, str, BaseModel]] = []
    others: list[tuple[str, BaseModel]] = []
    examples: list[tuple[str, type[BaseModel]]] = []
    shown = values.model_dump() if path else model.model_fields  # a rule has no keys of other kinds
    for name, field in model.model_fields.items():
        if name not in shown:
            continue
        value = getattr(values, name)
        if value == () and (kind := _table_in(field.annotation)):
            examples.append((name, kind))
        elif isinstance(value, BaseModel):
            tables.append((name, "[{}]", value))
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            tables.append((name, "[[{}]]", value[0]))
            others += [(name, other) for other in field.examples or ()]
        else:
            yield from _comment(meanings.get(name, ""))
            yield f"{'' if field.is_required() and not path else '# '}{name} = {_toml(value)}"
    for name, header, table in tables:
        yield ""
        yield from _comment(inspect.cleandoc(type(table).__doc__ or "").partition("\n")[0])
        yield header.format(".".join((*path, name)))
        yield from _table(table, (*path, name))
    for name, other in others:  # another table of the same list, as it might be
        of_keys = _meanings(type(other))
        yield from ("", f"#   [[{'.'.join((*path, name))}]]")
        for key, value in other.model_dump().items():
            yield from _comment(of_keys.get(key, ""))
            yield f"#   {key} = {_toml(value)}"
    for name, kind in examples:  # of a list of tables that is empty by default, one as it might be
        yield ""
        yield from _comment(meanings.get(name, ""))
        yield f"#   [[{'.'.join((*path, name))}]]"
        of_keys = _meanings(kind)
        for key, field in kind.model_fields.items():
            yield from _comment(of_keys.get(key, ""))
            yield from (f"#   {key} = {_toml(value)}" for value in field.examples or ())


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """Return the table of which a key takes a list, None where it takes something else."""
    [kind, *_] = get_args(annotation) or [None]
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings that stand below the fields of a model, by name."""
    try:
        source = inspect.getsource(model)
    except OSError:  # a model that is made from a list has none
        return {}
    [declared] = ast.parse(textwrap.dedent(source)).body
    assert isinstance(declared, ast.ClassDef)  # noqa: S101 - a model is a class
    meanings = {}
    for field, after in zip(declared.body, declared.body[1:], strict=False):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                meanings[name] = " ".join(text.split())
    return meanings


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text.replace("``", "").replace("`", ""), width=110):
        yield f"# {line}"


def _toml(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}"
    return json.dumps(value)  # texts, numbers and truths are written alike in TOML
