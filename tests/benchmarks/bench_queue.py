"""The task queue beside raw sqlite3 on the same tables and indices, and other queues, in one run.

    python tests/benchmarks/bench_queue.py [--tasks 40000] [--peer-tasks 3000] [--backlog 100000]

Raw is the least that the same tables allow: INSERT, UPDATE … RETURNING, and a receipt, without a look at pauses,
constraints, lapsed leases or waiting tasks; once with SQLite's own pages of 4 KiB, once with the stores' of 1 KiB. The
peers keep a payload and a state; none of them keeps receipts, versions, leases with tokens, tags or lanes.
"""

from __future__ import annotations

import argparse
import logging
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from media_watch_tasks import SqliteStores, UploadReceipt
from media_watch_tasks.model.identity import Fingerprint, Route, task_key
from media_watch_tasks.model.settlements import Delivered, Failed
from media_watch_tasks.model.tasks import Claim, ClaimRequest, NewTask
from media_watch_tasks.stores.sqlite.schema_tasks import TASK_SCHEMA

ROUTE = Route("local:/mnt/archive", "DirectoryUploader:/mnt/backup")
MTIME = 1_700_000_000 * 10**9
RECEIPT = UploadReceipt("2026/clip.mp4", size=1, sha256="0" * 64, verified=True)
DIGEST = bytes(32)
BATCH = 100
ROUNDS = 4
COLUMNS = ("enqueue 1", "enqueue 100", "claim + settle 1", "10", "100")
_COMPLETED = 2
"""The number of queue-sqlite's status of a message that is done."""

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
_CLAIM_ONE = _CLAIM.replace("id IN (", "id = (")
"""As the store has it for a single task: it needs no table of ids."""
_SETTLE = "UPDATE task SET phase = 5, slot = 2, state = 3, updated_ns = ?1, begun = 0 WHERE id = ?2 AND token = ?3"
_RECEIPT = "INSERT INTO task_receipt VALUES (?, ?, ?, ?, NULL, 1, 0, NULL)"


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

    def enqueue(self, count: int, size: int, constraints: frozenset[str] = frozenset()) -> None:
        """In batches of this size."""
        now = time.time_ns()
        for start in range(self.made, self.made + count, size):
            self.store.enqueue_if_absent(
                [
                    NewTask(
                        route=ROUTE,
                        asset_id=name(number),
                        fingerprint=Fingerprint(1, MTIME),
                        due_ns=now,
                        constraints=constraints,
                    )
                    for number in range(start, min(start + size, self.made + count))
                ]
            )
        self.made += count

    def fail(self, count: int, size: int) -> None:
        """Claim, and settle as failed, to be tried again tomorrow."""
        request = self.request(size)
        tomorrow = time.time_ns() + 86_400 * 10**9
        for _ in range(count // size):
            claims = self.store.claim_batch(request)
            self.store.settle([Failed(ref=claim.ref, retry_ns=tomorrow, error="refused") for claim in claims])

    def request(self, size: int) -> ClaimRequest:
        """What a worker asks for that has no power."""
        return ClaimRequest(
            worker_id=self.worker,
            routes=(ROUTE,),
            limit=size,
            lease_ns=600 * 10**9,
            longest_delay_ns=10**15,
            unmet=frozenset({"power"}),
        )

    def work(self, count: int, size: int) -> None:
        """Claim and settle: the settlement of the last and the claim of the next in one commit."""
        request = self.request(size)
        claims: tuple[Claim, ...] = tuple(self.store.claim_batch(request))
        done = 0
        while done < count:
            settlements = [Delivered(ref=claim.ref, receipt=RECEIPT) for claim in claims]
            done += len(claims)
            claims = self.store.settle(settlements, then_claim=request if done < count else None).claims


class Raw:
    """The same tables, by hand."""

    def __init__(self, file: Path, *settings: str) -> None:
        self.connection = sqlite3.connect(file, isolation_level=None)
        for statement in (*settings, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", *TASK_SCHEMA):
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
        claim = _CLAIM_ONE if size == 1 else _CLAIM
        rows: list[tuple[int]] = []
        while done < count:
            execute("BEGIN IMMEDIATE")
            if len(rows) == 1:
                execute(_SETTLE, (time.time_ns(), rows[0][0], self.token))
                execute(_RECEIPT, (rows[0][0], "2026/clip.mp4", 1, DIGEST))
            elif rows:
                now = time.time_ns()
                self.connection.executemany(_SETTLE, [(now, row[0], self.token) for row in rows])
                self.connection.executemany(_RECEIPT, [(row[0], "2026/clip.mp4", 1, DIGEST) for row in rows])
            done += len(rows)
            self.token += 1
            rows = execute(claim, (self.token, now_end(), size)).fetchall() if done < count else []
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


def queue_sqlite(folder: Path, count: int) -> tuple[float, float]:
    """The Rust core of queue-sqlite: (enqueue, work) a second. What a killed worker held stays taken for ever."""
    logging.disable(logging.WARNING)  # it warns at import that there is no Qt
    from queue_sqlite.model import MessageItem  # noqa: PLC0415 - as above
    from queue_sqlite_core import QueueOperation  # noqa: PLC0415 - as above

    queue = QueueOperation(str(folder / "queue_sqlite.db"))
    queue.init_db()

    def enqueue() -> None:
        for number in range(count):
            queue.enqueue(MessageItem(content={"path": name(number).decode()}, destination="deliver").to_dict_by_core())

    def work() -> None:
        for _ in range(count):
            queue.update_status(queue.dequeue(1)[0]["id"], _COMPLETED)  # type: ignore[arg-type,unused-ignore]  # its stub says text

    return rate(count, enqueue), rate(count, work)


def one_round(what: Ours | Raw, share: int) -> list[float]:
    """A rate for each column."""
    return [
        rate(share // 4, lambda: what.enqueue(share // 4, 1)),
        rate(share, lambda: what.enqueue(share, BATCH)),
        rate(share // 4, lambda: what.work(share // 4, 1)),
        rate(share // 4, lambda: what.work(share // 4, 10)),
        rate(share // 4 * 3, lambda: what.work(share // 4 * 3, BATCH)),
    ]


def in_turns(queues: Sequence[Ours | Raw], count: int) -> list[list[float]]:
    """The rates of each for each column, the best of some rounds in which they take turns."""
    best = [[0.0] * len(COLUMNS) for _ in queues]
    share = max(count // ROUNDS // (4 * BATCH), 1) * 4 * BATCH  # whole batches in each step
    for _ in range(ROUNDS):
        for row, queue in zip(best, queues, strict=True):
            row[:] = map(max, row, one_round(queue, share))
    return best


def backlog(ours: Ours, scale: int) -> None:
    """Fill the queue with what must not slow it down: finished, backed-off and blocked tasks."""
    ours.enqueue(10 * scale, 1_000)
    ours.work(10 * scale, 1_000)
    ours.enqueue(scale, 1_000)
    ours.fail(scale, 1_000)
    ours.enqueue(scale, 1_000, constraints=frozenset({"power"}))


def line(label: str, values: Sequence[float | None], form: str = ",.0f") -> None:
    """A row of the table."""
    print(f"| {label} | " + " | ".join("" if value is None else format(value, form) for value in values) + " |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=40_000)
    parser.add_argument("--peer-tasks", type=int, default=3_000)
    parser.add_argument("--backlog", type=int, default=100_000, help="backed-off and blocked tasks each, and ten times")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        ours, raw = Ours(folder), Raw(folder / "raw.db")
        alike = Raw(folder / "alike.db", "PRAGMA page_size = 1024", "PRAGMA wal_autocheckpoint = 4000")
        print(f"tasks a second, the best of {ROUNDS} rounds; {options.peer_tasks:,} tasks for the peers\n")
        print(f"| | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
        empty = in_turns((ours, raw, alike), options.tasks)
        line("ours", empty[0])
        line("raw sqlite3", empty[1])
        line("ours / raw", [o / r for o, r in zip(*empty[:2], strict=True)], ".2f")
        line("raw sqlite3, with our pages", empty[2])
        line("ours / raw with our pages", [o / r for o, r in zip(empty[0], empty[2], strict=True)], ".2f")
        for label, peer in (("huey", huey), ("persist-queue (ack)", persist_queue), ("queue-sqlite", queue_sqlite)):
            enqueued, worked = peer(folder, options.peer_tasks)
            line(label, (enqueued, None, worked, None, None))
        if options.backlog:
            backlog(ours, options.backlog)
            many = f"{options.backlog:,}"
            print(f"\nwith {10 * options.backlog:,} finished, {many} backed-off and {many} blocked tasks:\n")
            print(f"| | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
            full = in_turns((ours, raw), options.tasks)
            line("ours", full[0])
            line("ours, of the rate without", [f / e for f, e in zip(full[0], empty[0], strict=True)], ".2f")
            line("raw without them, again", full[1])
        ours.stores.close()
        raw.connection.close()
        alike.connection.close()
    print("\ngoals: ours / raw 0.80 for 1 and 100; faster than every peer; 0.80 of the rate with the backlog")


if __name__ == "__main__":
    main()
