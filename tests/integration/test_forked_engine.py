"""The engine of SQL is opened before a process is forked, and goes on in each fork as one that is opened there."""

import os
import subprocess
import sys

FORKED = """
import os
from pathlib import Path
from pricetracker_dagster import sql

def threads():
    return len(list(Path("/proc/self/task").iterdir()))

def settings(connection):
    return connection.execute("SELECT current_setting('threads'), current_setting('async_threads')").fetchall()

def work():
    connection = sql.connect()
    total = connection.execute("SELECT sum(x), count(DISTINCT x % 1000) FROM numbers").fetchall()
    assert total == [(1_000_000 * 999_999, 500)], total
    moment = connection.execute("SELECT (TIMESTAMPTZ '2026-03-03 12:04Z')::VARCHAR").fetchall()
    assert moment == [("2026-03-03 12:04:00+00",)], moment
    assert settings(connection) == expected, settings(connection)
    assert threads() > 1, threads()

import duckdb
sql.open_without_threads()
assert threads() == 1, threads()
sql._own[0].execute("CREATE TABLE numbers AS SELECT 2 * range AS x FROM range(1000000)")
children = []
for _ in range(3):
    if (pid := os.fork()) == 0:
        try:
            with duckdb.connect() as fresh:
                expected = settings(fresh)
            work()
        except BaseException as error:
            print(error, flush=True)
            os._exit(1)
        os._exit(0)
    children.append(pid)
assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0]
expected = settings(duckdb.connect())
work()
print("done")
"""


def test_forks_and_the_process_itself_work_with_all_threads_of_an_engine_that_was_opened_without() -> None:
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
    command = [sys.executable, "-W", "ignore", "-c", FORKED]
    told = subprocess.run(command, env=alone, capture_output=True, text=True, timeout=120, check=False)
    assert (told.returncode, told.stdout, told.stderr) == (0, "done\n", "")
