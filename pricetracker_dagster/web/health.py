"""/health: how everything is, by the same judgement as `pricetracker status`, for monitoring and for the page.

How that is judged is in alerts/status.py, what Dagster does is read by local/probes.py. Both, and Dagster itself, are
imported when somebody asks first.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import APIRouter
from starlette.responses import Response

from pricetracker_dagster.errors import first_line
from pricetracker_dagster.process.secrets import masked
from pricetracker_dagster.reading.published import identity
from pricetracker_dagster.reading.values import as_json
from pricetracker_dagster.settings import Settings, SettingsError, config_file, load_settings
from pricetracker_dagster.web.shared_work import SharedWork

if TYPE_CHECKING:
    from pricetracker_dagster.alerts.watchdog.observation import Work

PATH = "/health"

KEEP_SECONDS = 10.0
"""How long a judgement holds, unless something is published meanwhile."""

PATIENCE = 20.0
"""Seconds after which a judgement that is not done counts as a bad one."""

_FOLDER = "the data folder"

_log = logging.getLogger(__name__)


class Judgement(NamedTuple):
    """How everything is: as status() found it, and as it is sent."""

    found: Mapping[str, Any]
    body: bytes

    @property
    def well(self) -> bool:
        """Whether there is no trouble."""
        return bool(self.found["well"])


def read_work(settings: Settings, now: datetime) -> "Work":
    """Read what Dagster does."""
    from pricetracker_dagster.local import probes

    return probes.read_work(settings, now)


def newest(published: Path) -> str | None:
    """Return what tells the newest published file from others; None where there is none or it cannot be looked at."""
    with suppress(OSError):
        return identity(published)
    return None


class Judge:
    """Judges how everything is: in a thread, once for all who ask within some seconds."""

    def __init__(
        self,
        settings: Settings,
        *,
        work: Callable[[Settings, datetime], "Work"] = read_work,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Judge a data folder.

        Args:
            settings: whose folder, limits and channels.
            work: reads what Dagster does.
            now: returns the time, UTC.
        """
        self._settings, self._work, self._now = settings, work, now
        published = partial(newest, settings.data_folder.published)
        self._judged = SharedWork(self._judge, keep=KEEP_SECONDS, depends_on=published)

    async def judgement(self, seconds: float) -> Judgement:
        """Return a judgement that is a few seconds old at most; one that takes longer than so many is a bad one."""
        try:
            return await self._judged.result(seconds)
        except TimeoutError:
            return self._bad(f"how all is could not be judged within {seconds:g} s: disk or Dagster's storage hang")

    def _judge(self) -> Judgement:
        from pricetracker_dagster.alerts.status import status

        now = self._now()
        try:
            settings = self._in_force()
            found = status(settings, now, lambda: self._work(settings, now))
        except SettingsError as error:
            return self._bad(str(error).replace(f"{config_file().parent}/", ""))
        except Exception as error:
            _log.exception("how all is could not be judged")
            return self._bad(f"how all is could not be judged, by a mistake of pricetracker: {first_line(error)}")
        return self._told(found)

    def _in_force(self) -> Settings:
        """Return the settings as they are now: a metric that is listed later is judged, too, as each tick has it."""
        found = load_settings()
        return found if found.folder == self._settings.folder else self._settings

    def _bad(self, trouble: str) -> Judgement:
        unknown = {"now": self._now(), "as_of": None, "as_of_age_seconds": None}
        return self._told({**unknown, "well": False, "troubles": [trouble]})

    def _told(self, found: Mapping[str, Any]) -> Judgement:
        shown = {"well": False, "as_of": None, "as_of_age_seconds": None, **found}
        shown |= {"simulated": self._settings.simulated, "ui": self._settings.ui.link}
        # where it lies here is no business of whoever reads prices; who can mend it has `pricetracker status`
        shown.pop("data", None)
        text = json.dumps(as_json(shown), ensure_ascii=False)
        folder = re.escape(json.dumps(str(self._settings.folder), ensure_ascii=False)[1:-1])
        text = re.sub(rf"(?<![\w/.-]){folder}(?![\w.-])", _FOLDER, text)
        return Judgement(found, masked(text).encode("utf-8", "replace"))


def routes(judge: Judge, patience: float = PATIENCE) -> APIRouter:
    """Return the path /health."""
    router = APIRouter(tags=["operation"])

    async def health() -> Response:
        """How everything is, as `pricetracker status` has it: 200 if all is well, else 503 with the reasons."""
        judgement = await judge.judgement(patience)
        status = 200 if judgement.well else 503
        return Response(judgement.body, status, {"Cache-Control": "no-store"}, media_type="application/json")

    router.add_api_route(PATH, health, methods=["GET"], responses=_ANSWERS, response_class=Response)
    router.add_api_route(PATH, health, methods=["HEAD"], include_in_schema=False)
    return router


_TIME = {"type": ["string", "null"], "format": "date-time"}
_SHAPE = {
    "type": "object",
    "required": ["well", "as_of", "as_of_age_seconds", "troubles", "simulated", "now", "ui"],
    "properties": {
        "well": {"type": "boolean"},
        "as_of": {**_TIME, "description": "the newest minute that is published"},
        "as_of_age_seconds": {"type": ["integer", "null"], "description": "since that minute was over"},
        "troubles": {"type": "array", "items": {"type": "string"}, "description": "what is wrong, a line each"},
        "simulated": {"type": "boolean", "description": "whether the prices are invented"},
        "now": {**_TIME, "description": "when this was judged"},
        "ui": {"type": "string", "description": "the address of the Dagster UI"},
    },
}
_JSON = {"application/json": {"schema": _SHAPE}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "all is well", "content": _JSON},
    503: {"description": "something is wrong: troubles says what", "content": _JSON},
}
