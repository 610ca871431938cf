"""The structure of the package, as docs/architecture.md draws it: arrows point one way, and nothing grows too large."""

import ast
import pkgutil
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.unit.test_packaging import ROOT

PACKAGE = ROOT / "pricetracker_dagster"
DRAWING = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(file: Path) -> str:
    names = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


MODULES = {module_of(file): file for file in FILES}


def imported_by(module: str) -> set[str]:
    """The modules of the package that a module names in an import, wherever in it that stands."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys() - {module}


def room_of(module: str) -> str:
    return f"{module}.".split(".")[1]


def levels() -> dict[str, int]:
    """The level of each room, by the drawing: the lowest is 0."""
    drawn = DRAWING.partition("### Structure")[2].split("```")[1].strip().splitlines()
    return {room: i for i, line in enumerate(reversed(drawn)) for room in line.replace("·", " ").split()}


def test_no_modules_import_each_other_in_a_circle() -> None:
    tuple(TopologicalSorter({module: imported_by(module) for module in MODULES}).static_order())


def test_each_room_imports_only_from_rooms_below_it_in_the_drawing() -> None:
    level = {**levels(), "": len(MODULES)}  # the package itself is what others import: it stands above all
    assert level.keys() == {room_of(module) for module in MODULES}
    upwards = {
        f"{module} imports {other}"
        for module in MODULES
        for other in imported_by(module)
        if room_of(module) != room_of(other) and level[room_of(other)] >= level[room_of(module)]
    }
    assert upwards == set()


def test_nothing_below_the_resources_imports_dagster() -> None:
    above = {"cli", "local", "definitions", "sensors", "schedules", "jobs", "assets", "resources", "instance"}
    found = {
        module
        for module, file in MODULES.items()
        if room_of(module) not in above and "import dagster" in file.read_text(encoding="utf-8")
    }
    assert found == set()


def test_the_package_can_be_taken_in_at_a_glance() -> None:
    entries = [entry for entry in PACKAGE.iterdir() if entry.name != "__pycache__"]
    lines = sorted(len(file.read_text(encoding="utf-8").splitlines()) for file in FILES)
    assert len(entries) <= 23
    assert lines[-1] <= 300
    assert lines[len(lines) // 2] <= 90


def walked() -> list[str]:
    """The functions that the two walks of the document pass, as it names them."""
    walks = DRAWING.partition("### One minute")[2].partition("## Rooms")[0]
    rooms = {room_of(module) for module in MODULES} - {""}
    named = re.findall(r"`([a-z_]+(?:\.\w+)+)(?:\([^`]*\))?`", walks)
    return [name for name in dict.fromkeys(named) if name.split(".")[0] in rooms and not name.endswith((".py", ".sql"))]


@pytest.mark.parametrize("name", walked())
def test_what_the_walks_of_the_document_pass_is_there(name: str) -> None:
    assert pkgutil.resolve_name(f"pricetracker_dagster.{name}")
