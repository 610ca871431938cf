"""What the watch asks Dagster's processes and storage: whether the code server answers, what was evaluated and when."""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import yaml

from pricetracker_dagster.alerts.watchdog.observation import Sign, Work
from pricetracker_dagster.instance.home import is_kept, opened
from pricetracker_dagster.local.evaluations import evaluations
from pricetracker_dagster.settings import Settings

_CODE_ANSWERS_WITHIN = 10.0


def code_answers(home: Path) -> bool | None:
    """Ask the code server that `up` has started whether it is well; None where none is known."""
    try:
        [location] = yaml.safe_load((home / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
        address = f"{location['grpc_server']['host']}:{location['grpc_server']['port']}"
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
    import grpc
    from grpc_health.v1.health_pb2 import HealthCheckRequest
    from grpc_health.v1.health_pb2_grpc import HealthStub

    with suppress(grpc.RpcError), grpc.insecure_channel(address) as channel:
        answer = HealthStub(channel).Check(HealthCheckRequest(service="DagsterApi"), timeout=_CODE_ANSWERS_WITHIN)
        return bool(answer.status == 1)
    return False


def wrong(signs: Sequence[Sign], answers: bool | None, environment: "os._Environ[str] | dict[str, str]") -> str:
    """Say what is probably wrong where nothing is evaluated."""
    found = [f"{sign.name}: {sign.trouble}" for sign in signs if sign.trouble]
    if any(sign.name == "the daemon" and sign.at is None for sign in signs):
        found.append("the daemon has given no heartbeat; see logs/daemon.log in the data folder")
    if answers is False:
        found.append("the code server does not answer; see logs/code.log in the data folder")
    proxies = [name for name in environment if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")]
    if proxies and (found or answers is False):
        found.append(f"a proxy is set ({', '.join(sorted(proxies))}): no_proxy must name 127.0.0.1")
    return "; ".join(dict.fromkeys(found)) or "daemon and code server seem well; see logs/daemon.log in the data folder"


def read_work(settings: Settings, now: datetime) -> Work:
    """Read what Dagster does. It makes nothing."""
    if not is_kept(settings.data_folder.dagster_home):  # it never ran
        return Work([Sign("the daemon", None), Sign("the schedule every_minute", None)])
    with opened(settings.data_folder) as instance:
        return evaluations(instance, now)


def signs(settings: Settings, now: datetime) -> tuple[Sequence[Sign], datetime | None]:
    """Read Dagster's signs of life."""
    did = read_work(settings, now)
    return did.signs, did.ahead
