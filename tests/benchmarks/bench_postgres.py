"""The task queue on PostgreSQL beside raw psycopg on the same tables and indices, and other queues, in one run.

    python tests/benchmarks/bench_postgres.py [--tasks 2000] [--peer-tasks 1000] [--rounds 3] [--processes 1 2 4]

Raw is the least that the same tables allow, in as few trips as statements can be put into: one INSERT … unnest that
commits by itself; one statement that settles and writes the receipts, one UPDATE … FOR UPDATE SKIP LOCKED that claims,
each by itself, too. It looks at no pauses, constraints, lapsed leases or known assets, and would not notice a task that
it has lost. All share one server with fsync, whose commits are on the disk a moment later (synchronous_commit off), as
the stores have it. The peers keep a payload and a state; none of them keeps receipts, versions, leases with tokens,
tags or lanes. procrastinate takes and ends one job at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.model.identity import Fingerprint, Route, task_key
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.tasks import Claim, ClaimRequest, NewTask
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.postgres import PostgresStores

ROUTE = Route("local:/mnt/archive", "DirectoryUploader:/mnt/backup")
MTIME = 1_700_000_000 * 10**9
RECEIPT = UploadReceipt("2026/clip.mp4", size=1, sha256="0" * 64, verified=True)
BATCHES = (1, 10, 100)
SHARES = {1: 1, 10: 3, 100: 9}
"""Thirds of the number of tasks, so that each measurement lasts."""

_INSERT = """
INSERT INTO task (phase, lane, route, slot, counted, state, priority, due_ns, enqueued_ns, live_since_ns, updated_ns,
    size, mtime_ns, key, asset_id)
SELECT 0, 1, 1, 0, 1, 0, 0, %(now)s, %(now)s, %(now)s, %(now)s, 1, n.mtime_ns, n.key, n.asset_id
FROM unnest(%(mtimes)s::bigint[], %(keys)s::bytea[], %(assets)s::bytea[]) AS n (mtime_ns, key, asset_id)
"""
_CLAIM = """
UPDATE task SET phase = 4, state = 2, token = token + 1, worker = 1, boot = 1, lease_end = %s, attempts = attempts + 1,
    begins = begins + 1, begun = 1
WHERE id = ANY (ARRAY(
    SELECT id FROM task WHERE phase = 0 AND crashes < 2 AND lane = 1
    ORDER BY priority DESC, due_ns, id LIMIT %s FOR UPDATE SKIP LOCKED
))
RETURNING id, token, asset_id, size, mtime_ns, key
"""
_SETTLE = """
WITH done AS (
    UPDATE task SET phase = 5, slot = 2, state = 3, updated_ns = %s, begun = 0
    FROM unnest(%s::bigint[], %s::bigint[]) AS claim (id, token)
    WHERE task.id = claim.id AND task.token = claim.token
    RETURNING task.id
)
INSERT INTO task_receipt
SELECT receipt.id, receipt.remote_id, receipt.size, receipt.sha256, NULL, 1, 0, NULL
FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[]) AS receipt (id, remote_id, size, sha256)
JOIN done ON done.id = receipt.id
"""


def name(number: int) -> bytes:
    """The path of a task's asset."""
    return b"%05d/clip %06d.mp4" % (number // 100, number)


class Ours:
    """The TaskStore of `PostgresStores`."""

    def __init__(self, dsn: str, schema: str) -> None:
        self.stores = PostgresStores(dsn, schema=schema)
        self.store = self.stores.tasks
        self.worker = ""

    def start(self) -> None:
        """Register a worker, once in the life of a process."""
        self.worker = self.store.register_worker()

    def enqueue(self, first: int, count: int, size: int) -> None:
        """In batches of this size."""
        now = time.time_ns()
        for start in range(first, first + count, size):
            self.store.enqueue_if_absent(
                [
                    NewTask(route=ROUTE, asset_id=name(number), fingerprint=Fingerprint(1, MTIME), due_ns=now)
                    for number in range(start, min(start + size, first + count))
                ]
            )

    def work(self, size: int) -> int:
        """Claim and settle until nothing is left: a settlement and the next claim in one commit; how many."""
        request = ClaimRequest(
            worker_id=self.worker,
            routes=(ROUTE,),
            limit=size,
            lease_ns=600 * 10**9,
            longest_delay_ns=10**15,
        )
        claims: tuple[Claim, ...] = tuple(self.store.claim_batch(request))
        done = 0
        while claims:
            done += len(claims)
            settlements = [Delivered(ref=claim.ref, receipt=RECEIPT) for claim in claims]
            claims = tuple(self.store.settle(settlements, then_claim=request).claims)
        return done

    def close(self) -> None:
        """Close the stores."""
        self.stores.close()


class Raw:
    """psycopg on the same tables."""

    def __init__(self, dsn: str, schema: str) -> None:
        PostgresStores(dsn, schema=schema).close()
        # The settings of the stores' own connections.
        settings = f"-c search_path={schema} -c enable_seqscan=off -c jit=off"
        self.connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=0, options=settings)

    def start(self) -> None:
        """It is ready."""

    def enqueue(self, first: int, count: int, size: int) -> None:
        """In batches of this size."""
        now = time.time_ns()
        for start in range(first, first + count, size):
            assets = [name(number) for number in range(start, min(start + size, first + count))]
            keys = [task_key(ROUTE, asset, Fingerprint(1, MTIME)) for asset in assets]
            self.connection.execute(
                _INSERT, {"now": now, "mtimes": [MTIME] * len(assets), "keys": keys, "assets": assets}
            )

    def work(self, size: int) -> int:
        """Claim and settle until nothing is left; how many."""
        end = time.time_ns() + 600 * 10**9
        rows = self.connection.execute(_CLAIM, (end, size)).fetchall()
        done = 0
        while rows:
            done += len(rows)
            ids, tokens, count = [row[0] for row in rows], [row[1] for row in rows], len(rows)
            receipts = ([RECEIPT.remote_id] * count, [RECEIPT.size] * count, [RECEIPT.sha256] * count)
            self.connection.execute(_SETTLE, (time.time_ns(), ids, tokens, ids, *receipts))
            rows = self.connection.execute(_CLAIM, (end, size)).fetchall()
        return done

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


class PgQueuer:
    """pgqueuer's own statements; its worker adds to them."""

    def __init__(self, dsn: str, schema: str) -> None:
        import asyncpg  # noqa: PLC0415 - a peer, of the dependency group `bench`
        from pgqueuer import AsyncpgDriver, Queries  # noqa: PLC0415 - as above

        self.loop = asyncio.new_event_loop()
        host = dict(part.split("=") for part in dsn.split())["host"]
        self.connection = self.loop.run_until_complete(
            asyncpg.connect(host=host, user="tester", database="postgres", server_settings={"search_path": schema})
        )
        self.queries = Queries(AsyncpgDriver(self.connection))

    def install(self) -> None:
        """Make its tables."""
        self.loop.run_until_complete(self.queries.install())

    def start(self) -> None:
        """It is ready."""

    def enqueue(self, first: int, count: int, size: int) -> None:
        """In batches of this size."""

        async def fill() -> None:
            for start in range(first, first + count, size):
                payloads: list[bytes | None] = [
                    name(number) for number in range(start, min(start + size, first + count))
                ]
                await self.queries.enqueue(["deliver"] * len(payloads), payloads, [0] * len(payloads))

        self.loop.run_until_complete(fill())

    def work(self, size: int) -> int:
        """Dequeue and log as successful until nothing is left."""
        from pgqueuer.queries import EntrypointExecutionParameter  # type: ignore[attr-defined,unused-ignore]  # noqa: PLC0415

        entrypoints: Any = {"deliver": EntrypointExecutionParameter(0)}

        async def work() -> int:
            done = 0
            worker: Any = uuid.uuid4()
            while True:
                jobs = await self.queries.dequeue(size, entrypoints, worker, None, timedelta(seconds=30))
                if not jobs:
                    return done
                await self.queries.log_jobs([(job, "successful", None) for job in jobs])
                done += len(jobs)

        return self.loop.run_until_complete(work())

    def close(self) -> None:
        """Close the connection."""
        self.loop.run_until_complete(self.connection.close())
        self.loop.close()


class Procrastinate:
    """procrastinate's own statements; its worker adds to them."""

    def __init__(self, dsn: str, schema: str) -> None:
        import procrastinate  # noqa: PLC0415 - a peer, of the dependency group `bench`

        self.loop = asyncio.new_event_loop()
        self.app: Any = procrastinate.App(
            connector=procrastinate.PsycopgConnector(
                conninfo=dsn, kwargs={"options": f"-c search_path={schema}"}, min_size=1, max_size=2
            )
        )

        @self.app.task(name="deliver")  # type: ignore[untyped-decorator,unused-ignore]  # as in pgqueuer
        def deliver(path: str) -> None:
            """Nothing: its statements are measured."""

        self.deliver = deliver
        self.loop.run_until_complete(self.app.open_async())
        self.worker: Any = None

    def install(self) -> None:
        """Make its tables."""
        self.loop.run_until_complete(self.app.schema_manager.apply_schema_async())

    def start(self) -> None:
        """Register a worker, once in the life of a process."""
        self.worker = self.loop.run_until_complete(self.app.job_manager.register_worker())

    def enqueue(self, first: int, count: int, size: int) -> None:
        """In batches of this size."""

        async def fill() -> None:
            for start in range(first, first + count, size):
                paths: list[Any] = [
                    {"path": name(number).decode()} for number in range(start, min(start + size, first + count))
                ]
                if size == 1:
                    await self.deliver.defer_async(**paths[0])
                else:
                    await self.deliver.batch_defer_async(*paths)

        self.loop.run_until_complete(fill())

    def work(self, _size: int) -> int:
        """Fetch and finish one job after the other until nothing is left."""
        from procrastinate.jobs import Status  # noqa: PLC0415 - as above

        async def work() -> int:
            manager, done = self.app.job_manager, 0
            while (job := await manager.fetch_job(None, self.worker)) is not None:
                await manager.finish_job(job, Status.SUCCEEDED, delete_job=False)
                done += 1
            return done

        return self.loop.run_until_complete(work())

    def close(self) -> None:
        """Close the connections."""
        self.loop.run_until_complete(self.app.close_async())
        self.loop.close()


QUEUES: dict[str, Callable[[str, str], Any]] = {
    "media_watch_tasks": Ours,
    "raw psycopg": Raw,
    "pgqueuer": PgQueuer,
    "procrastinate": Procrastinate,
}
PEERS = ("pgqueuer", "procrastinate")


def worker(queue: str, place: tuple[str, str], size: int, ready: Any, done: Any) -> None:
    """A process that works off what there is, once all are ready; it reports how many and when it ended."""
    dsn, schema = place
    opened = QUEUES[queue](dsn, schema)
    opened.start()
    ready.wait()
    began = time.monotonic()
    number = opened.work(size)
    done.put((number, began, time.monotonic()))
    opened.close()


def work_rate(queue: str, dsn: str, schema: str, *, tasks: int, size: int, processes: int) -> float:
    """Tasks a second, of all processes together, from the first start to the last end."""
    context = multiprocessing.get_context("forkserver")
    ready, done = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=worker, args=(queue, (dsn, schema), size, ready, done)) for _ in range(processes)]
    for process in workers:
        process.start()
    reports: list[tuple[int, float, float]] = [done.get(timeout=300) for _ in workers]
    for process in workers:
        process.join()
    assert sum(number for number, _, _ in reports) == tasks, f"{queue} did {reports} of {tasks}"
    return tasks / (max(end for _, _, end in reports) - min(began for _, began, _ in reports))


class Contestant:
    """A queue in a schema of its own, and the best rates that it has shown."""

    def __init__(self, queue: str, server: PostgresServer, *, tasks: int) -> None:
        self.queue, self.server, self.tasks = queue, server, tasks
        self.schema = server.new_schema()
        self.best: dict[str, float] = {}
        if queue in PEERS:
            with psycopg.connect(server.dsn, autocommit=True) as connection:
                connection.execute(f"CREATE SCHEMA {self.schema}".encode())
        self.opened = QUEUES[queue](server.dsn, self.schema)
        if queue in PEERS:
            self.opened.install()
        self._made = 0

    def measure(self, size: int, processes: int, *, enqueue: bool) -> None:
        """Enqueue in batches of a size and work it off, by so many processes."""
        count = self.tasks * SHARES[size] // 3
        began = time.perf_counter()
        self.opened.enqueue(self._made, count, size if enqueue else 100)
        if enqueue:
            self._note(f"enqueue {size}", count / (time.perf_counter() - began))
        self._made += count
        if size != 1 and self.queue == "procrastinate":
            # It takes one job at a time: what was enqueued for the measurement alone is worked off unmeasured.
            self.opened.start()
            self.opened.work(size)
            return
        rate = work_rate(self.queue, self.server.dsn, self.schema, tasks=count, size=size, processes=processes)
        self._note(f"work {size} x{processes}", rate)

    def _note(self, column: str, rate: float) -> None:
        self.best[column] = max(rate, self.best.get(column, 0.0))


def main() -> None:
    """Print a table of rates, and the ratios that the goals speak of."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--peer-tasks", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--queues", nargs="+", default=list(QUEUES), choices=list(QUEUES))
    options = parser.parse_args()
    columns = [f"enqueue {size}" for size in BATCHES]
    columns += [f"work {size} x{number}" for size in BATCHES for number in options.processes]
    with PostgresServer(durable=True, settings=("synchronous_commit=off",)) as server:
        contestants = [
            Contestant(queue, server, tasks=options.peer_tasks if queue in PEERS else options.tasks)
            for queue in options.queues
        ]
        for _ in range(options.rounds):
            for size in BATCHES:
                for place, number in enumerate(options.processes):
                    for contestant in contestants:
                        contestant.measure(size, number, enqueue=place == 0)
        for contestant in contestants:
            contestant.opened.close()
    print(f"the best of {options.rounds} rounds, in which all take turns\n")
    print("| tasks/s | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    rates = {contestant.queue: contestant.best for contestant in contestants}
    for queue, found in rates.items():
        shown = [f"{found[column]:,.0f}" if column in found else "-" for column in columns]
        print(f"| {queue} | " + " | ".join(shown) + " |")
    ours = rates.pop("media_watch_tasks", {})
    for queue, found in rates.items():
        shown = [
            f"{ours[column] / found[column]:.2f}" if column in found and column in ours else "-" for column in columns
        ]
        print(f"| ours / {queue} | " + " | ".join(shown) + " |")


if __name__ == "__main__":
    main()
