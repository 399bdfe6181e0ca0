"""What the examples of uploaders over HTTP share: a folder that is delivered once, and a way to try that."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from local_receiver import local_receiver
from sample_media import make_clip

from media_watch_tasks import LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.abc import Uploader
from media_watch_tasks.cli.progress import delivery_progress

OPTIONS = TaskManagerOptions(first_scan="enqueue")
AT_ONCE = TaskManagerOptions(first_scan="enqueue", settle_for=timedelta(0))
"""Made-up clips are whole when they are found; a camera's files are left to settle."""


def deliver_folder(source: Path, uploader: Uploader, database: Path, options: TaskManagerOptions = OPTIONS) -> None:
    """Scan, deliver what is new since the last run, and say what became of it."""
    with SqliteStores(database) as stores, TaskManager(
        media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
        media_state_store=stores.media_state, task_store=stores.tasks, uploader=uploader, options=options,
    ) as manager, delivery_progress(manager):  # fmt: skip
        manager.run_once()
        for task in manager.tasks():
            print(task.display, task.state, task.receipt.remote_id if task.receipt else task.error)


def try_it(make_uploader: Callable[[str], Uploader], *, folder: str = "") -> None:
    """Deliver three clips from a temporary folder to a server of this process; `make_uploader` is given its URL."""
    received: dict[str, bytearray] = {}
    with tempfile.TemporaryDirectory() as place, local_receiver(received) as url:
        for shade in range(3):
            make_clip(Path(place, "source", folder, f"clip {shade}.mp4"), shade=shade)
        deliver_folder(Path(place, "source"), make_uploader(url), Path(place, "watch.db"), AT_ONCE)
    print("the server has", {path: len(data) for path, data in sorted(received.items())})
