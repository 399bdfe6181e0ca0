"""The task queue beside raw sqlite3 on the same tables and indices, huey and persist-queue, in one run.

    python tests/benchmarks/bench_queue.py [--tasks 20000] [--peer-tasks 3000]

Raw is the least that the same tables allow: INSERT, UPDATE … RETURNING, and a receipt, without a look at pauses,
constraints, lapsed leases or waiting tasks. The peers keep a payload and a state; none of them keeps receipts,
versions, leases with tokens, tags or lanes.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from media_watch_tasks import SqliteStores, UploadReceipt
from media_watch_tasks.model.identity import Fingerprint, Route, task_key
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.tasks import Claim, ClaimRequest, NewTask
from media_watch_tasks.stores.sqlite.schema_tasks import TASK_SCHEMA

ROUTE = Route("local:/mnt/archive", "DirectoryUploader:/mnt/backup")
MTIME = 1_700_000_000 * 10**9
RECEIPT = UploadReceipt("2026/clip.mp4", size=1, sha256="0" * 64, verified=True)
BATCH = 100

_INSERT = """
INSERT INTO task (phase, lane, route, slot, counted, state, priority, due_ns, enqueued_ns, live_since_ns, updated_ns,
    size, mtime_ns, key, asset_id)
VALUES (0, 1, 1, 0, 1, 0, 0, ?1, ?1, ?1, ?1, ?2, ?3, ?4, ?5)
"""
_CLAIM = """
UPDATE task SET phase = 4, state = 2, token = ?1, worker = 1, boot = 1, lease_end = ?2, attempts = attempts + 1,
    begins = begins + 1, begun = 1
WHERE id IN (
    SELECT id FROM task WHERE phase = 0 AND crashes < 2 AND lane = 1 ORDER BY priority DESC, due_ns, id LIMIT ?3
)
RETURNING id, asset_id, size, mtime_ns, key
"""
_SETTLE = "UPDATE task SET phase = 5, slot = 2, state = 3, updated_ns = ?1, begun = 0 WHERE id = ?2 AND token = ?3"
_RECEIPT = "INSERT INTO task_receipt VALUES (?, '2026/clip.mp4', 1, zeroblob(32), NULL, 1, 0, NULL)"


def name(number: int) -> bytes:
    """The path of a task's asset."""
    return b"%05d/clip %06d.mp4" % (number // 100, number)


def rate(count: int, work: Callable[[], object]) -> float:
    """How many a second."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


class Ours:
    """The TaskStore of `SqliteStores`."""

    def __init__(self, folder: Path) -> None:
        self.stores = SqliteStores(folder / "ours.db")
        self.store = self.stores.tasks
        self.worker = self.store.register_worker()
        self.made = 0

    def enqueue(self, count: int, size: int) -> None:
        """In batches of this size."""
        now = time.time_ns()
        for start in range(self.made, self.made + count, size):
            self.store.enqueue_if_absent(
                [
                    NewTask(route=ROUTE, asset_id=name(number), fingerprint=Fingerprint(1, MTIME), due_ns=now)
                    for number in range(start, min(start + size, self.made + count))
                ]
            )
        self.made += count

    def work(self, count: int, size: int) -> None:
        """Claim and settle: the settlement of the last and the claim of the next in one commit."""
        request = ClaimRequest(
            worker_id=self.worker, routes=(ROUTE,), limit=size, lease_ns=600 * 10**9, longest_delay_ns=10**15
        )
        claims: tuple[Claim, ...] = tuple(self.store.claim_batch(request))
        done = 0
        while done < count:
            settlements = [Delivered(ref=claim.ref, receipt=RECEIPT) for claim in claims]
            done += len(claims)
            claims = self.store.settle(settlements, then_claim=request if done < count else None).claims


class Raw:
    """The same tables, by hand."""

    def __init__(self, folder: Path) -> None:
        self.connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", *TASK_SCHEMA):
            self.connection.execute(statement)
        self.made = 0
        self.token = 0

    def enqueue(self, count: int, size: int) -> None:
        """As `Ours.enqueue`; the key is part of the task."""
        now, execute = time.time_ns(), self.connection.execute
        for start in range(self.made, self.made + count, size):
            numbers = range(start, min(start + size, self.made + count))
            rows = [
                (now, 1, MTIME, task_key(ROUTE, name(number), Fingerprint(1, MTIME)), name(number))
                for number in numbers
            ]
            execute("BEGIN IMMEDIATE")
            self.connection.executemany(_INSERT, rows)
            execute("COMMIT")
        self.made += count

    def work(self, count: int, size: int) -> None:
        """As `Ours.work`."""
        execute, done = self.connection.execute, 0
        rows: list[tuple[int]] = []
        while done < count:
            execute("BEGIN IMMEDIATE")
            if rows:
                now = time.time_ns()
                self.connection.executemany(_SETTLE, [(now, row[0], self.token) for row in rows])
                self.connection.executemany(_RECEIPT, [(row[0],) for row in rows])
            done += len(rows)
            self.token += 1
            rows = execute(_CLAIM, (self.token, now_end(), size)).fetchall() if done < count else []
            execute("COMMIT")


def now_end() -> int:
    """The end of a lease that begins now."""
    return time.monotonic_ns() + 600 * 10**9


def huey(folder: Path, count: int) -> tuple[float, float]:
    """SqliteHuey: (enqueue, work) a second. A task that is taken is gone from its database."""
    from huey import SqliteHuey  # noqa: PLC0415 - a peer, of the dependency group `bench`

    queue = SqliteHuey(filename=str(folder / "huey.db"), results=False)

    @queue.task()  # type: ignore[untyped-decorator,unused-ignore]  # huey has no types
    def deliver(_path: str) -> None:
        return None

    def enqueue() -> None:
        for number in range(count):
            deliver(name(number).decode())

    def work() -> None:
        while (task := queue.dequeue()) is not None:
            queue.execute(task)

    return rate(count, enqueue), rate(count, work)


def persist_queue(folder: Path, count: int) -> tuple[float, float]:
    """SQLiteAckQueue: (enqueue, work) a second."""
    import persistqueue  # noqa: PLC0415 - as above

    queue = persistqueue.SQLiteAckQueue(str(folder / "persist"), auto_commit=True)

    def enqueue() -> None:
        for number in range(count):
            queue.put(name(number).decode())

    def work() -> None:
        for _ in range(count):
            queue.ack(queue.get())

    return rate(count, enqueue), rate(count, work)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--peer-tasks", type=int, default=3_000)
    options = parser.parse_args()
    count, peers = options.tasks, options.peer_tasks
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        ours, raw = Ours(folder), Raw(folder)
        singles = count // 4
        print(f"tasks a second; {count:,} in batches, {singles:,} one by one, {peers:,} for the peers\n")
        print("| | enqueue 1 | enqueue 100 | claim + settle 1 | 10 | 100 |\n|---|---:|---:|---:|---:|---:|")
        rows = []
        for what in (ours, raw):
            # Enqueued and worked off in turns, so that both see the same backlog.
            enqueue_1 = rate(singles, lambda what=what: what.enqueue(singles, 1))  # type: ignore[misc]
            enqueue_n = rate(count, lambda what=what: what.enqueue(count, BATCH))  # type: ignore[misc]
            work = [
                rate(part, lambda what=what, part=part, size=size: what.work(part, size))  # type: ignore[misc]
                for part, size in ((singles, 1), (count // 2, 10), (count // 2, BATCH))
            ]
            rows.append([enqueue_1, enqueue_n, *work])
            print(f"| {type(what).__name__.lower()} | " + " | ".join(f"{value:,.0f}" for value in rows[-1]) + " |")
        print("| ours / raw | " + " | ".join(f"{o / r:.2f}" for o, r in zip(*rows, strict=True)) + " |")
        for label, peer in (("huey", huey), ("persist-queue (ack)", persist_queue)):
            enqueued, worked = peer(folder, peers)
            print(f"| {label} | {enqueued:,.0f} | | {worked:,.0f} | | |")
        ours.stores.close()
        raw.connection.close()
    print("\ngoal: ours / raw at least 0.80 for enqueue, claim + settle 1 and 100; faster than every peer")


if __name__ == "__main__":
    main()
