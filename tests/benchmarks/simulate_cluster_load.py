"""What `simulate_cluster.py` does with real processes: as many claims and settlements as the database carries.

Every process is a host whose transfers take no time: it holds as many claims as it has hands, settles one and claims
the next in one commit, again and again. Server and hosts share this machine, so the rate is what its processors allow
for both; what a task costs the server is its processor time, which is the same wherever the hosts are.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import psycopg
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.tasks import ClaimRequest, NewTask
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.postgres import PostgresStores

__all__ = ["Load", "connections_of_a_manager", "measure_load", "table_sizes"]

ROUTE = Route("smb://nas/footage", "s3://archive")
RECEIPT = UploadReceipt("2026/clip.mp4", size=1, sha256="0" * 64, verified=True)
SECOND = 10**9
TOGETHER = 500
_TICKS = os.sysconf("SC_CLK_TCK")
_TABLES = ("task", "task_receipt")


@attrs.frozen
class Load:
    """What one number of hosts showed."""

    hosts: int
    tasks: int
    seconds: float
    server_seconds: float
    """Processor time of all of the server's processes."""
    median_ms: float
    slow_ms: float
    """99 % of all calls (a settlement with the next claim) took no longer."""
    longest_ms: float


def _enqueue(stores: PostgresStores, first: int, count: int) -> None:
    now = stores.tasks.clock.now_ns()
    for start in range(first, first + count, TOGETHER):
        stores.tasks.enqueue_if_absent(
            [
                NewTask(route=ROUTE, asset_id=b"2026/%05d/clip %07d.mp4" % (number // 100, number),
                        fingerprint=Fingerprint(1, now), due_ns=now)
                for number in range(start, min(start + TOGETHER, first + count))
            ]
        )  # fmt: skip


def _host(dsn: str, schema: str, hands: int, ready: Any, done: Any) -> None:
    with PostgresStores(dsn, schema=schema) as stores:
        store = stores.tasks
        worker = store.register_worker()

        def request(limit: int) -> ClaimRequest:
            return ClaimRequest(
                worker_id=worker, routes=(ROUTE,), limit=limit, lease_ns=600 * SECOND, longest_delay_ns=10**15
            )

        ready.wait()
        began = time.monotonic()
        held = deque(store.claim_batch(request(hands)))
        waits: list[int] = []
        while held:
            asked = time.perf_counter_ns()
            settlement = Delivered(ref=held.popleft().ref, receipt=RECEIPT)
            held.extend(store.settle([settlement], then_claim=request(1)).claims)
            waits.append(time.perf_counter_ns() - asked)
        done.put((began, time.monotonic(), waits))


def _ticks(stat: str, *, children: bool) -> int:
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if children else 13]))


def _server_seconds(server: PostgresServer) -> float:
    """Processor time of the server and of all processes that it has, or had."""
    postmaster = (server.data / "postmaster.pid").read_text().split("\n", 1)[0]
    total = _ticks(Path(f"/proc/{postmaster}/stat").read_text(), children=True)
    for task in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
        # One that has ended meanwhile is counted among those that it had, the next time.
        with suppress(FileNotFoundError, ProcessLookupError):
            total += _ticks(Path(f"/proc/{task}/stat").read_text(), children=False)
    return total / _TICKS


def measure_load(server: PostgresServer, *, hosts: int, hands: int, tasks: int) -> Load:
    """So many hosts work off so many tasks."""
    schema = server.new_schema()
    with PostgresStores(server.dsn, schema=schema) as stores:
        _enqueue(stores, 0, tasks)
    context = multiprocessing.get_context("spawn")
    ready, done = context.Barrier(hosts + 1), context.Queue()
    processes = [context.Process(target=_host, args=(server.dsn, schema, hands, ready, done)) for _ in range(hosts)]
    for process in processes:
        process.start()
    ready.wait()
    spent = _server_seconds(server)
    reports = [done.get(timeout=300) for _ in processes]
    spent = _server_seconds(server) - spent
    for process in processes:
        process.join()
    waits = sorted(wait for _, _, each in reports for wait in each)
    assert len(waits) == tasks, f"{len(waits)} of {tasks} were settled"
    return Load(
        hosts=hosts,
        tasks=tasks,
        seconds=max(end for _, end, _ in reports) - min(began for began, _, _ in reports),
        server_seconds=spent,
        median_ms=waits[len(waits) // 2] / 1e6,
        slow_ms=waits[len(waits) * 99 // 100] / 1e6,
        longest_ms=waits[-1] / 1e6,
    )


def table_sizes(server: PostgresServer, schema: str, *, tasks: int) -> dict[str, float]:
    """Bytes on the disk for each task, of each table with its indices, after the remains of updates are gone."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        found = {}
        for table in _TABLES:
            connection.execute(f"VACUUM FULL {schema}.{table}".encode())
            row = connection.execute("SELECT pg_total_relation_size(%s)", (f"{schema}.{table}",)).fetchone()
            assert row is not None
            found[table] = row[0] / tasks
    return found


def connections_of_a_manager(server: PostgresServer) -> dict[str, int]:
    """How many connections a process has: when it has opened the stores, as a worker, and while it waits for work."""
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'media_watch_tasks'"
    found = {}
    with psycopg.connect(server.dsn, autocommit=True) as connection:

        def look(when: str) -> None:
            row = connection.execute(count).fetchone()
            assert row is not None
            found[when] = row[0]

        with PostgresStores(server.dsn, schema=server.new_schema()) as stores:
            stores.tasks.register_worker()
            look("a worker")
            heard: list[None] = []
            end = stores.tasks.on_work(lambda: heard.append(None))
            while not heard:
                time.sleep(0.01)
            look("that waits for announcements too")
            with stores.tasks.transaction():
                stores.tasks.counts()
                look("and is in a transaction")
            end()
    return found
