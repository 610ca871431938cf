"""The watch: looks again and again whether anything stands still, and says what is to be restarted.

``pricetracker watch`` is this alone, for cron, systemd or a container; ``pricetracker up`` runs it as one of its
processes and does what it asks for. It stands outside of Dagster's daemon, whose silence it is to notice.
"""

import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pricetracker_dagster.alerts.incidents.standstill import EVALUATION, PRICES
from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.alerts.watchdog.judge import failing_for_long
from pricetracker_dagster.alerts.watchdog.look import Look, watch_standstill
from pricetracker_dagster.assets.alerts import what_changed
from pricetracker_dagster.instance.home import is_kept, open_instance
from pricetracker_dagster.local.evaluations import bring_back
from pricetracker_dagster.local.probes import code_answers, signs, wrong
from pricetracker_dagster.local.watchdog import LOOKED
from pricetracker_dagster.settings import Settings, SettingsError, load_settings
from pricetracker_dagster.settings.last_good import SettingsKeeper

_VERIFIED_WITHIN = timedelta(minutes=2)
_JUMP = 10.0
"""Seconds that the clock may be set back without anything that waits by it standing still for long."""

_PAUSE_OF_ITS_OWN = 60.0
"""Seconds of not looking after which the watch was stopped itself, and everything else probably with it."""

_SAID_AGAIN_AFTER = 3600.0


@dataclass
class Watch:
    """Looks, mends what can be mended in Dagster's storage, and says what is new.

    Attributes:
        say: is given each line for the terminal.
        restart: is given the name of each process to restart; None: nothing is restarted.
        now: returns the current time, UTC.
        monotonic: returns seconds of a clock that cannot be set.
        load: returns the settings.
    """

    say: Callable[[str], None]
    restart: Callable[[str], None] | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    monotonic: Callable[[], float] = time.monotonic
    load: Callable[[], Settings] = load_settings
    answers: Callable[[Path], bool | None] = code_answers
    _keeper: SettingsKeeper | None = None
    _began: float | None = None
    _before: tuple[datetime, float] | None = None
    _said: dict[str, float] = field(default_factory=dict)
    _restarts: dict[str, tuple[int, float]] = field(default_factory=dict)
    _verified: bool = False

    def once(self, *, goes_on: bool = False) -> Look | None:
        """Look once; None where the settings cannot be used.

        Args:
            goes_on: the watch looks again and again: what is older than it may be so because nothing ran.
        """
        loaded = self._loaded()
        if loaded is None:
            return None
        settings, unreadable = loaded
        now, moment = self.now(), self.monotonic()
        went_back = self._went_back(now, moment)
        since = now - timedelta(seconds=moment - (self._began or moment)) if goes_on else None
        look = watch_standstill(settings, now, lambda: signs(settings, now), since=since, unreadable=unreadable)
        self._tell(look)
        if look.changed and is_kept(settings.data_folder.dagster_home):
            with suppress(Exception), open_instance(settings) as instance:  # the UI shows it where it can
                watched = SensorOutcome(incidents=look.changed, attempts=look.attempts)
                for event in what_changed(watched, settings):
                    instance.report_runless_asset_event(event)
        if look.seen.ahead is not None:
            with open_instance(settings) as instance:
                names = ", ".join(bring_back(instance, now))
            self._say_once(f"the clock went back: {names} would have waited for {look.seen.ahead:%H:%M:%S} UTC")
        if self.restart is not None:
            if went_back or look.seen.ahead is not None:
                self._restarts.clear()
                self._restart("daemon", "the clock went back, and it waits by the old one")
            else:
                self._mend(look, settings, moment)
            self._verify(look, settings, now, moment)
        return look

    def forever(self, every: float, stopped: Callable[[float], bool]) -> None:
        """Look every so many seconds until stopped; a mistake of our own costs one look.

        ``stopped`` waits so many seconds and says whether to end.
        """
        while True:
            try:
                self.once(goes_on=True)
            except Exception as error:
                traceback.print_exc()
                self._say_once(f"the watch itself failed: {type(error).__name__}: {error}")
            if self.restart is not None:
                self.say(LOOKED)
            if stopped(every):
                return

    def _loaded(self) -> tuple[Settings, str] | None:
        """Load the settings; while those of the file are wrong, the last good ones, and say what is wrong."""
        self._keeper = self._keeper or SettingsKeeper(self.load)
        try:
            settings, unreadable = self._keeper.load_or_last_good()
        except SettingsError as error:
            self._say_once(str(error))
            return None
        if unreadable:
            self._say_once(unreadable)
        return settings, unreadable or ""

    def _went_back(self, now: datetime, moment: float) -> bool:
        """Compare this machine's clock with one that cannot be set; start over after a stop of our own."""
        before, self._before = self._before, (now, moment)
        if before is None or self._began is None:
            self._began = moment
            return False
        passed, elapsed = (now - before[0]).total_seconds(), moment - before[1]
        if max(passed, elapsed) > _PAUSE_OF_ITS_OWN:
            self._began = moment  # stopped, or the machine slept: what is old need not stand still
        return passed - elapsed < -_JUMP

    def _tell(self, look: Look) -> None:
        for row in look.changed:
            if row["state"] == "resolved":
                self.say(f"over: {row['cause']}: {row['reason']}")
                self._said.pop(f"{row['cause']}: {row['reason']}", None)
            else:
                self._say_once(f"{row['cause']}: {row['reason']}")
        for trouble in look.troubles:
            self._say_once(trouble)
        for attempt in look.attempts:
            if not attempt["delivered"]:
                self._say_once(f"channel {attempt['channel']} did not take the message: {attempt['error']}")

    def _say_once(self, text: str) -> None:
        """Say what lasts or comes again, but not each time; after an hour it is worth another line."""
        moment = self.monotonic()
        if moment - self._said.get(text, -_SAID_AGAIN_AFTER) >= _SAID_AGAIN_AFTER:
            self._said = {said: at for said, at in self._said.items() if moment - at < _SAID_AGAIN_AFTER}
            self._said[text] = moment
            self.say(text)

    def _mend(self, look: Look, settings: Settings, moment: float) -> None:
        """Ask for a restart of the part concerned; again after pauses that grow."""
        limit = settings.watch.standstill_minutes * 60.0
        still = look.still
        if EVALUATION not in still and (failing := failing_for_long(look.seen, settings.watch)) is not None:
            still[EVALUATION] = failing  # told already as incidents of their own, and a restart may mend them
        for kind in (EVALUATION, PRICES):
            if kind not in still or not still[kind].restarts:
                self._restarts.pop(kind, None)
                continue
            count, last = self._restarts.get(kind, (0, 0.0))
            if count and moment - last < limit * 2 ** min(count - 1, 8):
                continue
            self._restarts[kind] = count + 1, moment
            parts = ["daemon"]
            if count:  # what was tried first did not help
                parts = ["code", "daemon"]
            elif kind == PRICES or self.answers(settings.data_folder.dagster_home) is False:
                parts = ["code"]
            for part in parts:
                self._restart(part, still[kind].reason)

    def _restart(self, part: str, why: str) -> None:
        assert self.restart is not None  # noqa: S101 - the callers have asked
        self.say(f"restarting {part}: {why}")
        self.restart(part)

    def _verify(self, look: Look, settings: Settings, now: datetime, moment: float) -> None:
        """Say once that the schedule is evaluated, or after two minutes what is wrong."""
        if self._verified or self._began is None:
            return
        up_for = timedelta(seconds=moment - self._began)
        schedule = next((sign for sign in look.seen.signs if "schedule" in sign.name), None)
        if schedule is not None and schedule.at is not None and schedule.at >= now - up_for:
            self._verified = True
            self.say(f"{schedule.name} is evaluated, first at {schedule.at:%H:%M:%S} UTC: a tick a minute")
        elif up_for > _VERIFIED_WITHIN:
            self._verified = True
            answers = self.answers(settings.data_folder.dagster_home)
            self.say(f"no schedule was evaluated within two minutes: {wrong(look.seen.signs, answers, os.environ)}")
