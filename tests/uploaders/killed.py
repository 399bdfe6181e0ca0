"""A process that delivers a folder and may be killed, and one that goes on after it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HANG_GUARD = 60.0
PROGRAM = """
import sys
from datetime import timedelta
from media_watch_tasks import LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.uploaders import BandwidthLimit, HttpUploader, TusUploader, WebdavUploader

source, database, url, kind = sys.argv[1:]
MAKE = {
    "http": lambda: HttpUploader(url),
    "form": lambda: HttpUploader(url, method="POST", field_name="file"),
    "tus": lambda: TusUploader(url, chunk_size=1 << 20),
    "webdav": lambda: WebdavUploader(url),
    "slow webdav": lambda: BandwidthLimit(WebdavUploader(url), 8_000_000),
}
with SqliteStores(database) as stores, TaskManager(
    media_scanner=LocalMediaScanner(source),
    media_resolver=LocalMediaResolver(source),
    media_state_store=stores.media_state,
    task_store=stores.tasks,
    uploader=MAKE[kind](),
    options=TaskManagerOptions(settle_for=timedelta(0), first_scan="enqueue"),
) as manager:
    manager.scan_and_enqueue_new()
    manager.process(force=True)
    print(*[f"{task.state} {task.attempts} {task.crashes}" for task in manager.tasks()])
"""


def start(source: Path, url: str, *, kind: str) -> subprocess.Popen[str]:
    """It delivers what is in the folder, and says what became of it; its database stands beside the folder."""
    arguments = [sys.executable, "-c", PROGRAM, str(source), str(source.parent / "watch.db"), url, kind]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def finish(source: Path, url: str, *, kind: str) -> str:
    """Run it until the task has ended: a killed worker's lease is taken over, and its back-off waited for."""
    deadline = time.monotonic() + HANG_GUARD
    while True:
        with start(source, url, kind=kind) as process:
            said = process.communicate(timeout=HANG_GUARD)[0].strip()
        if said.startswith("success") or time.monotonic() > deadline:
            return said
