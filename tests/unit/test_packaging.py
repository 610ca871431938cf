"""The repository as a package: one code location, exact versions, light imports."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import yaml

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMPORTED_AS = {"pytz": None, "httptools": None, "uvloop": None}
"""What others import of themselves where it is there."""


def modules() -> list[Path]:
    return sorted((ROOT / "pricetracker_dagster").rglob("*.py"))


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def test_workspace_and_pyproject_name_the_same_code_location() -> None:
    [location] = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert location["python_module"] == {
        "module_name": PYPROJECT["tool"]["dagster"]["module_name"],
        "location_name": PYPROJECT["tool"]["dagster"]["code_location_name"],
    }


def test_dagster_accepts_the_instance_settings(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        limits = instance.get_concurrency_config().run_queue_config.tag_concurrency_limits  # type: ignore[union-attr]
        assert {"key": "pricetracker/tick", "limit": 1} in limits


def test_constraints_are_names_and_exact_versions_and_cover_what_is_asked_for() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []
    names = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    project = PYPROJECT["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {re.split("[>=<]", wanted)[0].lower() for wanted in asked} - names == set()


def test_every_dependency_is_used() -> None:
    code = "\n".join(path.read_text() for path in modules())
    for wanted in PYPROJECT["project"]["dependencies"]:
        name = re.split("[>=<]", wanted)[0]
        module = IMPORTED_AS.get(name, name.replace("-", "_"))
        assert module is None or re.search(rf"\b{module}\b", code), name


def test_no_module_imports_pandas_when_it_is_imported() -> None:
    assert [path for path in modules() if re.search(r"^(import|from) pandas", path.read_text(), re.MULTILINE)] == []


def test_the_code_location_loads_without_pandas_or_matplotlib() -> None:
    loaded = run("import sys, pricetracker_dagster.definitions; print({'pandas', 'matplotlib'} & set(sys.modules))")
    assert loaded.strip() == "set()"


def test_help_is_quick_since_it_imports_neither_dagster_nor_duckdb_nor_pandas() -> None:
    heavy = "{'dagster', 'pandas', 'deltalake', 'requests'}"
    loaded = run(
        "import sys; from click.testing import CliRunner; from pricetracker_dagster.cli import main\n"
        f"assert CliRunner().invoke(main, ['--help']).exit_code == 0; print({heavy} & set(sys.modules))"
    )
    assert loaded.strip() == "set()"


def test_definitions_have_what_the_ui_shows() -> None:
    from pricetracker_dagster.definitions import defs

    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description
        assert node.group_name != "default"
        assert node.owners
        assert node.kinds
    described = {
        key.to_user_string() for key in graph.get_all_asset_keys() if "dagster/column_schema" in graph.get(key).metadata
    }
    assert described == {
        "minute_prices",
        "history_24h",
        "metric_rank",
        "alerts",
        "incidents",
        "silences",
        "acknowledgements",
    }
