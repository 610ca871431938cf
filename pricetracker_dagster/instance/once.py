"""Dagster does some things anew each time that it opens an instance or asks it; in our processes it does them once.

``python -m pricetracker_dagster.instance.once MODULE …`` runs one of Dagster's own processes so, e.g. its daemon.
"""

import runpy
import sys

from pricetracker_dagster.instance import engines, migrations


def once() -> None:
    """Let this process read Alembic's migrations and make SQLAlchemy's engines once; for what is opened from now on."""
    migrations.read_once()
    engines.keep()


if __name__ == "__main__":
    once()
    module, *_ = sys.argv[1:]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
