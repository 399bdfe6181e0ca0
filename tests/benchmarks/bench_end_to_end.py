"""From the listing to the receipt: 100,000 new files through the whole manager, beside the sum of its parts.

The uploader does nothing, so that what remains is the library's own work. The parts are measured apart in the same
run: listing, diff and record, enqueue, claim and settle (one task a commit, as a single free worker causes it). Beside
them stands claim and settle in batches, as the manager does it here.

    python tests/benchmarks/bench_end_to_end.py [--files 100000]
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from media_watch_tasks import LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.abc import TaskStore, UploadContext, Uploader
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.sources import PageRecord
from media_watch_tasks.model.tasks import Claim, ClaimRequest, NewTask
from media_watch_tasks.model.uploads import UploadReceipt

FILES_IN_A_FOLDER = 100
BATCH = 16
"""So many tasks does the manager claim at once where uploads take no time."""
WORKERS = (TaskManagerOptions().workers, 8, 32)


class NoUploader(Uploader):
    """Sends nothing and says that it did."""

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Answer at once."""
        return UploadReceipt(media.name)


def make_tree(root: Path, files: int) -> None:
    """Files of one byte, 100 in a folder."""
    for number in range(0, files, FILES_IN_A_FOLDER):
        folder = root / f"{number // FILES_IN_A_FOLDER:05}"
        folder.mkdir(parents=True)
        for index in range(FILES_IN_A_FOLDER):
            descriptor = os.open(folder / f"clip {index:03}.mp4", os.O_WRONLY | os.O_CREAT)
            os.write(descriptor, b"x")
            os.close(descriptor)


def timed(work: Callable[[], object]) -> float:
    """Seconds that the work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def parts(root: Path, database: Path) -> dict[str, float]:
    """Seconds of each part, measured apart."""
    scanner = LocalMediaScanner(root)
    cancel = CancelToken()
    seconds = {"listing": timed(lambda: sum(len(page.rows) for page in scanner.scan_assets(cancel=cancel)))}
    pages = list(scanner.scan_assets(cancel=cancel))
    route = Route(scanner.source_id, "NoUploader")
    with SqliteStores(database) as stores:
        lease = stores.media_state.acquire_scan(scanner.source_id, owner="benchmark", lease_ns=10**12)
        assert lease is not None

        def diff_and_record() -> None:
            for page in pages:
                new = stores.media_state.diff_page(page).new
                stores.media_state.record_page(lease, PageRecord(directory=page.directory, seen=new, complete=True))

        seconds["diff and record"] = timed(diff_and_record)
        now = time.time_ns()
        batches = [
            [NewTask(route=route, asset_id=a.asset_id, fingerprint=a.fingerprint, due_ns=now) for a in page.assets]
            for page in pages
        ]

        def enqueue() -> None:
            for batch in batches:
                if batch:
                    stores.tasks.enqueue_if_absent(batch)

        seconds["enqueue"] = timed(enqueue)
        seconds["claim and settle"] = timed(lambda: claim_and_settle(stores.tasks, route, 1))
    return seconds


def in_batches(root: Path, database: Path) -> float:
    """Seconds for claiming and settling them 32 at a time, as the work of this benchmark makes the manager do it."""
    scanner = LocalMediaScanner(root)
    route = Route(scanner.source_id, "NoUploader")
    now = time.time_ns()
    with SqliteStores(database) as stores:
        for page in scanner.scan_assets(cancel=CancelToken()):
            tasks = [
                NewTask(route=route, asset_id=a.asset_id, fingerprint=a.fingerprint, due_ns=now) for a in page.assets
            ]
            if tasks:
                stores.tasks.enqueue_if_absent(tasks)
        return timed(lambda: claim_and_settle(stores.tasks, route, BATCH))


def claim_and_settle(tasks: TaskStore, route: Route, limit: int) -> None:
    """All that is queued: the settlement of the last and the claim of the next in one commit."""
    request = ClaimRequest(
        worker_id=tasks.register_worker(), routes=(route,), limit=limit, lease_ns=600 * 10**9, longest_delay_ns=10**15
    )
    claims: Sequence[Claim] = tasks.claim_batch(request)
    while claims:
        done = [Delivered(ref=claim.ref, receipt=UploadReceipt("x")) for claim in claims]
        claims = tasks.settle(done, then_claim=request).claims


def whole(root: Path, database: Path, *, workers: int) -> float:
    """Seconds of one `run_once` over everything."""
    with SqliteStores(database) as stores, TaskManager(
        media_scanner=LocalMediaScanner(root), media_resolver=LocalMediaResolver(root),
        media_state_store=stores.media_state, task_store=stores.tasks, uploader=NoUploader(),
        options=TaskManagerOptions(settle_for=timedelta(0), first_scan="enqueue", workers=workers),
    ) as manager:  # fmt: skip
        seconds = timed(manager.run_once)
        counts = manager.counts()
        assert counts["success"] == sum(counts.values()) > 0, counts
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, default=100_000)
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "source")
        make_tree(root, files)
        seconds = parts(root, Path(folder, "parts.db"))
        batches = in_batches(root, Path(folder, "batches.db"))
        totals = {workers: whole(root, Path(folder, f"whole-{workers}.db"), workers=workers) for workers in WORKERS}
    print(f"{files:,} files, one byte each, {FILES_IN_A_FOLDER} in a folder\n")
    print("| part | s | files/s |\n|---|---:|---:|")
    apart = sum(seconds.values())
    ends = {f"end to end, {workers} workers": total for workers, total in totals.items()}
    for name, value in [*seconds.items(), ("sum of the parts", apart), *ends.items()]:
        print(f"| {name} | {value:.2f} | {files / value:,.0f} |")
    print(f"\nclaim and settle, {BATCH} a commit: {batches:.2f} s, {files / batches:,.0f} files/s")
    print(f"\nthe default is {TaskManagerOptions().workers} workers; goal: at most 2 times the sum of the parts")
    for name, value in ends.items():
        print(f"{name} / sum of the parts: {value / apart:.2f}")
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
