"""What Dagster itself has done of late: its daemon's heartbeats, when schedule and sensors were evaluated, what runs.

And the way back where a clock was ahead. Dagster 1.13 evaluates a schedule only after the newest time that it has
stored of it (``_scheduler/scheduler.py``: the newest tick, ``start_timestamp`` and ``last_iteration_timestamp``), a
sensor only ``minimum_interval`` after its last (``_daemon/sensor.py``): times of a clock that was two hours ahead keep
everything still for two hours, without a word. The daemon keeps the same in memory, so it is restarted as well, by
the process that keeps it running.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickStatus,
)
from dagster._core.storage.dagster_run import FINISHED_STATUSES, IN_PROGRESS_RUN_STATUSES
from dagster._core.storage.tags import SCHEDULED_EXECUTION_TIME_TAG

from pricetracker_dagster.alerts.future_records import AHEAD
from pricetracker_dagster.alerts.watchdog.observation import Sign, Tick, Work
from pricetracker_dagster.instance.tags import MINUTE, TICK
from pricetracker_dagster.schedules import every_minute
from pricetracker_dagster.sensors import default_sensors

_EVALUATED = [TickStatus.SUCCESS, TickStatus.SKIPPED]
_UNFINISHED = [*IN_PROGRESS_RUN_STATUSES, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED]

_BACK = timedelta(hours=25)
"""How far before the present a time of the future is put: further than any standstill that may be allowed, so that a
tick that was dated back is taken for no sign of life. Of what is due since then Dagster evaluates the newest alone."""

_RECENT_TICKS = 20
"""Among so many that are over, the last one that began is looked for."""

_MOST = 1000
"""Most ticks or runs of the future that are put right at once: sixteen hours of a clock that was ahead."""

_BY_ANOTHER_CLOCK = " by a clock that was ahead"


def evaluations(instance: dg.DagsterInstance, now: datetime) -> Work:
    """Read what an instance knows of its own work at a time, UTC."""
    states = {state.instigator_name: state for state in instance.all_instigator_state()}
    signs = [_heartbeat(instance, now), _evaluated(instance, "schedule", every_minute.name, states, now)]
    signs += [_evaluated(instance, "sensor", sensor.name, states, now) for sensor in default_sensors]
    newest = [moment for state in states.values() if (moment := _newest_of(instance, state)) > now + AHEAD]
    at_work = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED), limit=100)
    in_progress = Counter(sorted(run.job_name for run in at_work))
    return Work(signs, max(newest, default=None), in_progress, _last_tick(instance, now))


def _last_tick(instance: dg.DagsterInstance, now: datetime) -> Tick | None:
    """Return the newest tick that is over, whether it succeeded or not, and not dated by a clock that was ahead."""
    over = dg.RunsFilter(tags={TICK: "true"}, statuses=FINISHED_STATUSES)
    for record in instance.get_run_records(over, limit=_RECENT_TICKS):
        # one that was ended in the queue never began
        if record.start_time and record.end_time and record.end_time <= (now + AHEAD).timestamp():
            seconds = max(0.0, record.end_time - record.start_time)
            return Tick(round(seconds, 3), datetime.fromtimestamp(record.end_time, UTC))
    return None


def bring_back(instance: dg.DagsterInstance, now: datetime) -> list[str]:
    """Put what was stored under a clock that was ahead before the present, so that evaluation goes on.

    Ticks of schedules and sensors and their state are dated back; runs that lie ahead do not keep the minutes of their
    schedule from being asked for again; those of them that never ended are ended, since nothing else would end them.

    Returns:
        The names of the schedules and sensors that lay ahead.
    """
    back = (now - _BACK).timestamp()
    limit = (now + AHEAD).timestamp()
    names = []
    for state in instance.all_instigator_state():
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, after=limit, limit=_MOST)
        newest = max((tick.timestamp for tick in ticks), default=back)
        for tick in ticks:  # their order stays
            instance.update_tick(_dated(tick, tick.timestamp - (newest - back)))
        data = _clamped(state, limit, back)
        if data is not None and data != state.instigator_data:
            instance.update_instigator_state(state.with_data(data))
        if ticks or data != state.instigator_data:
            names.append(state.instigator_name)
    _release_runs(instance, now)
    return names


def _release_runs(instance: dg.DagsterInstance, now: datetime) -> None:
    """Let the minutes of ticks that lie ahead be asked for again, and end those ticks that are not over."""
    for run in instance.get_runs(dg.RunsFilter(tags={TICK: "true"}), limit=_MOST):
        if not run.tags.get(MINUTE, "") > now.isoformat():
            continue
        scheduled = run.tags.get(SCHEDULED_EXECUTION_TIME_TAG, "")
        if scheduled and not scheduled.endswith(_BY_ANOTHER_CLOCK):
            instance.add_run_tags(run.run_id, {SCHEDULED_EXECUTION_TIME_TAG: f"{scheduled}{_BY_ANOTHER_CLOCK}"})
        if not run.is_finished:
            why = "It was created by a clock that was ahead; the next tick heals its minute."
            instance.report_run_canceled(run, why)


def _dated(tick: InstigatorTick, timestamp: float) -> InstigatorTick:
    status = TickStatus.SKIPPED if tick.status == TickStatus.STARTED else tick.status
    data = tick.tick_data.with_status(status, timestamp=timestamp, end_timestamp=timestamp)
    return InstigatorTick(tick.tick_id, data)


def _clamped(state: InstigatorState, limit: float, back: float) -> ScheduleInstigatorData | SensorInstigatorData | None:
    """Return a state's data with each time that lies ahead put back."""
    data = state.instigator_data
    if not isinstance(data, ScheduleInstigatorData | SensorInstigatorData):
        return None
    times = [name for name in data._fields if name.endswith("_timestamp")]
    later = {name: back for name in times if (getattr(data, name) or 0) > limit}
    return type(data)(**{**data._asdict(), **later})


def _newest_of(instance: dg.DagsterInstance, state: InstigatorState) -> datetime:
    """Return the newest time that is stored of a schedule or sensor, UTC."""
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    data = state.instigator_data
    stored = [getattr(data, name) or 0.0 for name in getattr(data, "_fields", ()) if name.endswith("_timestamp")]
    return datetime.fromtimestamp(max([*stored, *(tick.timestamp for tick in ticks)], default=0.0), UTC)


def _heartbeat(instance: dg.DagsterInstance, now: datetime) -> Sign:
    """Return the oldest heartbeat among the daemon's parts: each has one of its own."""
    latest, required = now.timestamp() + 10, instance.get_required_daemon_types()
    beats = {kind: beat for kind, beat in instance.get_daemon_heartbeats().items() if beat.timestamp <= latest}
    missing = sorted(kind for kind in required if kind not in beats)
    if missing:
        return Sign("the daemon", None, "" if not beats else f"no heartbeat of {', '.join(missing)}")
    oldest = min(beats[kind].timestamp for kind in required)
    messages = [error.message for kind in required for error in beats[kind].errors or () if error.message]
    trouble = messages[0].strip().splitlines()[0] if messages else ""
    return Sign("the daemon", datetime.fromtimestamp(oldest, UTC), trouble)


def _evaluated(
    instance: dg.DagsterInstance, kind: str, name: str, states: Mapping[str, InstigatorState], now: datetime
) -> Sign:
    """Return when a schedule or sensor was last evaluated without an error."""
    label = f"the {kind} {name}"
    state = states.get(name)
    if state is None:
        return Sign(label, None)
    before = (now + AHEAD).timestamp()

    def newest(statuses: list[TickStatus]) -> InstigatorTick | None:
        of = state.instigator_origin_id, state.selector_id
        return next(iter(instance.get_ticks(*of, before=before, limit=1, statuses=statuses)), None)

    is_off = state.status == InstigatorStatus.STOPPED
    good, bad = newest(_EVALUATED), newest([TickStatus.FAILURE])
    said = "it is switched off in the Dagster UI, Automation" if is_off else ""
    if not is_off and bad is not None and (good is None or bad.timestamp > good.timestamp):
        error = bad.error and (bad.error.cause or bad.error)
        said = error.message.strip().splitlines()[0] if error and error.message.strip() else "its evaluation failed"
    if good is None:
        return Sign(label, None, said, is_off)
    # a schedule's tick bears the time it was due; what counts is when it was evaluated
    at = datetime.fromtimestamp(max(good.timestamp, good.tick_data.end_timestamp or 0.0), UTC)
    return Sign(label, at, said, is_off)
