"""The description of the HTTP API (OpenAPI), and that the API is as it says: asked by schemathesis."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.publishing import fill
from benchmarks.serve import METRIC, begin, served
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.settings.http import HttpSettings
from pricetracker_dagster.web.app import build_app
from tests.asgi import ask

SEED = "10"

CONFIGURATION = """
[checks]
# that start is before end, and not after the newest minute, is nothing that a schema can say
positive_data_acceptance.expected-statuses = ["2xx", "404", "422"]

[[operations]]
include-path = "/health"
checks.not_a_server_error.enabled = false   # 503: nothing ticks here
checks.positive_data_acceptance.enabled = false
"""


def document(**http: Any) -> dict[str, Any]:
    answer = ask(build_app(Settings(metrics=(METRIC,), http=HttpSettings(**http))), "/openapi.json")
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


def test_the_api_is_as_its_description_says(tmp_path: Path) -> None:
    fill(tmp_path, 2, begin())
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(CONFIGURATION)
    with served(tmp_path) as (port, _):
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run"]
        bounds = ["--seed", SEED, "--max-examples", "20", "--max-time", "15", "--phases", "examples,coverage,fuzzing"]
        more = ["--continue-on-failure", "--no-color", "--wait-for-schema", "20", "--generation-database", "none"]
        url = f"http://127.0.0.1:{port}/openapi.json"
        done = subprocess.run(
            [*command, url, *bounds, *more], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False
        )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert f"Tested: {len(document()['paths'])}\n" in done.stdout


def test_everything_is_described_with_its_errors_and_an_example() -> None:
    told = document()
    assert told["info"]["description"].startswith("Minute prices")
    for path, operations in told["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert operation["description"], path
            assert all(parameter["description"] for parameter in operation.get("parameters", ()))
            assert all("anyOf" not in parameter["schema"] for parameter in operation.get("parameters", ()))
            if not path.startswith("/pricetracker/"):
                continue
            answers = operation["responses"]
            assert set(answers) == {"200", "304", "404", "421", "422", "429", "503"}
            content = answers["200"]["content"]
            assert set(content) == {"application/json", "text/csv", "application/vnd.apache.arrow.stream"}
            [row] = content["application/json"]["example"]["data"]
            assert list(row) == list(content["application/json"]["schema"]["properties"]["data"]["items"]["properties"])
            problem = answers["422"]["content"]["application/problem+json"]
            assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert "detail" in told["components"]["schemas"]["Problem"]["required"]


def test_a_token_is_a_security_scheme_where_one_is_needed() -> None:
    assert "security" not in document()
    told = document(token="a-token-of-the-tests")  # noqa: S106
    assert told["security"] == [{"token": []}]
    assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert all("401" in each["get"]["responses"] for each in told["paths"].values())
    assert "a-token-of-the-tests" not in str(told)
