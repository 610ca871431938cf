"""What the process of forking.py has imported before it forks the parts of ``up``; it is imported there alone.

As in preload.py, nothing that is done here may start a thread or leave a connection or a file open. What pictures and
single runs need is left out: no part keeps it.
"""

from pricetracker_dagster.instance.warm_starts import WarmRun
from pricetracker_dagster.local.preloading import import_all, preloading

_NEEDED = (
    "pricetracker_dagster.local.preload",
    # modules that parts are
    "pricetracker_dagster.cli",
    "pricetracker_dagster.instance.once",
    "pricetracker_dagster.instance.warm_starts",
    "dagster._cli",
    "dagster._daemon.cli",
    "dagster_webserver.cli",
    # and what these import as they begin
    "pricetracker_dagster.local.watching",
    "pricetracker_dagster.simulator",
    "pricetracker_dagster.web.app",
    "pricetracker_dagster.web.gate",
    "pricetracker_dagster.web.server",
    "dagster._api.get_server_id",
    "dagster._grpc.server",
    "dagster._grpc.server_watcher",
    "python_multipart",
    "uvloop",
)

WarmRun.note_code()
with preloading():
    import_all(_NEEDED)
