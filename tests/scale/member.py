"""One process of a cluster: scans or works on one subtree, until a file says that it shall stop.

python -m tests.scale.member '{"role": "scan", …}'
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from media_watch_tasks import DirectoryUploader, LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager
from media_watch_tasks.abc.uploader import UploadContext, Uploader
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.options import RetryOptions, TaskManagerOptions
from media_watch_tasks.stores.postgres.stores import PostgresStores
from media_watch_tasks.uploaders import SharedLimit
from media_watch_tasks.uploaders.wrappers import Wrapper


class Watched(Wrapper):
    """Writes down what is sent, and how many send at the same moment, in all processes."""

    def __init__(self, inner: Uploader, folder: Path) -> None:
        super().__init__(inner)
        self._inside = folder / "inside"
        self._log = folder / "sent"
        self._most = folder / "most"

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        with self._entered():
            _append(self._log, f"{media.asset.source_id}\t{media.asset.display}\n")
            return self.inner.upload(media, context)

    @contextmanager
    def _entered(self) -> Iterator[None]:
        # A lock tells how many are alive in here: a killed process counts no more.
        mine = self._inside / f"{os.getpid()}-{time.monotonic_ns()}"
        descriptor = os.open(mine, os.O_CREAT | os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _append(self._most, f"{sum(map(_is_alive, self._inside.iterdir()))}\n")
        try:
            yield
        finally:
            mine.unlink()
            os.close(descriptor)


def _is_alive(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _append(path: Path, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def open_stores(told: dict[str, Any]) -> Any:
    """The stores that the cluster shares."""
    if "dsn" in told:
        return PostgresStores(told["dsn"], schema=told["schema"])
    return SqliteStores(told["database"])


def manager_of(told: dict[str, Any], stores: Any, subtree: str) -> TaskManager:
    """A manager of one subtree: its root is the subtree, its destination a folder of the archive."""
    folder = Path(told["folder"])
    root = folder / "nas" / subtree
    inner = DirectoryUploader(folder / "archive" / subtree, fsync=False, destination_id="archive")
    uploader: Uploader = Watched(inner, folder)
    if told.get("at_once"):
        uploader = SharedLimit(
            uploader, stores.permits, at_once=told["at_once"], longest_wait=timedelta(seconds=5),
            retry_after=timedelta(milliseconds=50),
        )  # fmt: skip
    return TaskManager(
        media_scanner=LocalMediaScanner(root, source_id=f"nas/{subtree}"),
        media_resolver=LocalMediaResolver(root, source_id=f"nas/{subtree}"),
        media_state_store=stores.media_state,
        task_store=stores.tasks,
        uploader=uploader,
        options=TaskManagerOptions(
            settle_for=timedelta(milliseconds=20),
            first_scan="enqueue",
            enable_hash_dedup=told.get("dedup", False),
            lease=timedelta(seconds=told.get("lease", 30)),
            crash_backoff=timedelta(milliseconds=10),
            retry=RetryOptions(initial=timedelta(milliseconds=20), maximum=timedelta(milliseconds=50), attempts=1_000),
        ),
    )


def main() -> None:
    """Do the role until the file `stop` is there."""
    told: dict[str, Any] = json.loads(sys.argv[1])
    wrong_by = int(told.get("clock_wrong_by", 0) * 1_000_000_000)
    if wrong_by:
        real = time.time_ns
        time.time_ns = lambda: real() + wrong_by
    stop = Path(told["folder"]) / "stop"
    with open_stores(told) as stores, manager_of(told, stores, told["subtree"]) as manager:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        cancel = CancelToken()
        while not stop.exists():
            if told["role"] == "scan":
                manager.scan_and_enqueue_new(cancel)
            else:
                manager.process(cancel)
            time.sleep(0.02)


if __name__ == "__main__":
    main()
