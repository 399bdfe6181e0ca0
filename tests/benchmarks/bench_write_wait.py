"""How long four processes wait for each other when all of them write to one database without a pause.

    python tests/benchmarks/bench_write_wait.py [--seconds 10] [--processes 4]

Each process enqueues, claims, extends and settles, one task a commit, as fast as it can. The first row is of the
stores; the second row is raw sqlite3 with SQLite's own busy handler (`timeout=60`), one UPDATE a commit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from media_watch_tasks import SqliteStores, UploadReceipt
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.tasks import ClaimRequest, NewTask

ROUTE = Route("local:/mnt/archive", "DirectoryUploader:/mnt/backup")
GOAL_MS = 100.0


def ours(folder: Path, number: int, seconds: float) -> list[float]:
    """The milliseconds of each commit of one process."""
    waits: list[float] = []
    with SqliteStores(folder / "ours.db") as stores:
        queue, made = stores.tasks, 0
        request = ClaimRequest(
            worker_id=queue.register_worker(), routes=(ROUTE,), limit=1, lease_ns=600 * 10**9, longest_delay_ns=10**15
        )

        def timed(work: Callable[[], object]) -> object:
            began = time.perf_counter()
            done = work()
            waits.append((time.perf_counter() - began) * 1e3)
            return done

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            made += 1
            new = NewTask(
                route=ROUTE,
                asset_id=b"%d/%d.mp4" % (number, made),
                fingerprint=Fingerprint(1, 1),
                due_ns=time.time_ns(),
            )
            timed(lambda new=new: queue.enqueue_if_absent([new]))  # type: ignore[misc]  # bound in the loop
            for claim in timed(lambda: queue.claim_batch(request)):  # type: ignore[attr-defined]
                timed(lambda claim=claim: queue.extend([claim.ref], lease_ns=600 * 10**9))  # type: ignore[misc]
                timed(lambda claim=claim: queue.settle([Delivered(ref=claim.ref, receipt=UploadReceipt("x"))]))  # type: ignore[misc]
    return waits


def raw(folder: Path, number: int, seconds: float) -> list[float]:
    """As `ours`, with SQLite's own way to wait."""
    waits: list[float] = []
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None, timeout=60)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE counter SET value = value + 1 WHERE id = ?", (number,))
        connection.execute("COMMIT")
        waits.append((time.perf_counter() - began) * 1e3)
    connection.close()
    return waits


def side_by_side(what: Callable[[Path, int, float], list[float]], folder: Path, count: int, seconds: float) -> None:
    """Run it in so many processes at once, and print the row."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(count) as pool:
        answers = pool.starmap(what, [(folder, number, seconds) for number in range(count)])
    waits = sorted(wait for answer in answers for wait in answer)
    line(
        what.__name__, len(waits) / seconds, [waits[int(len(waits) * share)] for share in (0.5, 0.99, 0.999)], waits[-1]
    )
    least = min(map(len, answers)) / max(map(len, answers))
    print(f"|   commits of the slowest process / of the fastest | {least:.2f} | | | | |")


def line(label: str, rate: float, shares: Sequence[float], longest: float) -> None:
    """A row of the table."""
    cells = " | ".join(f"{value:.2f}" for value in (*shares, longest))
    print(f"| {label} | {rate:,.0f} | {cells} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--processes", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        SqliteStores(folder / "ours.db").close()
        connection = sqlite3.connect(folder / "raw.db")
        connection.executescript(
            "PRAGMA journal_mode = WAL; CREATE TABLE counter (id INTEGER PRIMARY KEY, value INTEGER)"
        )
        connection.executemany("INSERT INTO counter VALUES (?, 0)", [(number,) for number in range(options.processes)])
        connection.commit()
        connection.close()
        count, seconds = options.processes, options.seconds
        print(f"{count} processes, {seconds:g} s; milliseconds of a commit with its wait\n")
        print("| | commits/s | median | 99 % | 99.9 % | longest |\n|---|---:|---:|---:|---:|---:|")
        for what in (ours, raw):
            side_by_side(what, folder, count, seconds)
    print(f"\ngoal: longest of ours under {GOAL_MS:.0f} ms")


if __name__ == "__main__":
    main()
