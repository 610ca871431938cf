"""The description of the API as a whole (OpenAPI): what holds for each path, what of it is told once, who gets in.

Paths and parameters describe themselves where they are (api.py, parameters.py), the columns of answers in schemas.py.
"""

from typing import Any

from fastapi import FastAPI

from pricetracker_dagster.settings.http import HttpSettings
from pricetracker_dagster.web.schemas import COMPONENTS, problem_answer

_ABOUT = """\
Minute prices of the last 24 hours and before, from the newest published file. Nothing can be written.

* **Answers** are JSON: `{"as_of": "2026-11-26T21:00:00Z", "data": [{...}, ...]}`, where `as_of` is the newest minute
  that they cover, null while nothing is stored. `format=csv` or `Accept: text/csv` gives CSV,
  `Accept: application/vnd.apache.arrow.stream` an Arrow stream. Times are ISO 8601 in UTC; a minute is named by its
  beginning. A number that is unknown is null.
* **Renewal**: each answer stays the same until the next publication, about once a minute. Send its `ETag` as
  `If-None-Match`, and an answer that has not changed is a 304 without a body.
* **Errors** are problem details (RFC 9457): `detail` says in a line what is wrong and the way out.
* **Limits** are settings of the server: requests a second of one client (429), rows and seconds of one answer (422,
  503). A long answer is sent in pieces; where its end is missing, it was cut off.
"""
_TAGS = [
    {"name": "prices", "description": "Prices, rankings, alerts, incidents and missed minutes."},
    {"name": "operation", "description": "How the system itself is."},
]
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "The setting `http.token` of the server."},
}


def describe(app: FastAPI, http: HttpSettings) -> None:
    """Let an app describe itself in full."""
    app.description, app.openapi_tags = _ABOUT, _TAGS
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = made()
            components = document.setdefault("components", {})
            components.setdefault("schemas", {}).update(COMPONENTS)
            if http.token.get_secret_value():
                components["securitySchemes"], document["security"] = _SCHEMES, [{"token": []}]
            for path in document["paths"].values():
                for operation in path.values():
                    _tidy(operation, with_token=bool(http.token.get_secret_value()))
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it


def _tidy(operation: dict[str, Any], *, with_token: bool) -> None:
    """Leave out what says nothing: titles made of names, and that a parameter may be null, which no URL can say."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        if "anyOf" in schema:
            [kind] = [each for each in schema.pop("anyOf") if each != {"type": "null"}]
            schema.update(kind)
        for name in ("title", "description"):
            schema.pop(name, None)
    answers = operation["responses"]
    if with_token:
        answers.setdefault("401", problem_answer(401))
    else:
        answers.pop("401", None)
    for status in (421, 429):
        answers.setdefault(str(status), problem_answer(status))
    operation["responses"] = dict(sorted(answers.items()))
