"""New files of a folder go to a tus server, in chunks, and go on where they were cut off.

python examples/tus_upload.py                                      tries it: made-up clips, and a server on this machine
python examples/tus_upload.py FOLDER https://tus.example.org/files/        delivers what is new there since the last run

Stop it in the middle of a large file, by Ctrl-C or worse, and start it again: what has arrived is not sent again.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from delivery_progress import delivery_progress
from local_receiver import local_receiver
from sample_media import make_clip

from media_watch_tasks import LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.uploaders import TusUploader


def deliver(source: Path, url: str, database: Path, options: TaskManagerOptions) -> None:
    """Scan, deliver what is new, and say what became of it."""
    with SqliteStores(database) as stores, TaskManager(
        media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
        media_state_store=stores.media_state, task_store=stores.tasks,
        uploader=TusUploader(url, metadata=lambda media: {"folder": media.asset.directory.decode("utf-8", "replace")}),
        options=options,
    ) as manager, delivery_progress(manager):  # fmt: skip
        manager.run_once()
        for task in manager.tasks():
            print(task.display, task.state, task.receipt.remote_id if task.receipt else task.error)


def try_it() -> None:
    """Everything in a temporary folder."""
    received: dict[str, bytearray] = {}
    with tempfile.TemporaryDirectory() as folder, local_receiver(received) as url:
        for shade in range(3):
            make_clip(Path(folder, "source", "2026", f"clip {shade}.mp4"), shade=shade)
        options = TaskManagerOptions(settle_for=timedelta(0), first_scan="enqueue")
        deliver(Path(folder, "source"), url + "/files", Path(folder, "watch.db"), options)
    print("the server has", {path: len(data) for path, data in sorted(received.items())})


if __name__ == "__main__":
    if sys.argv[1:]:
        deliver(Path(sys.argv[1]), sys.argv[2], Path("watch.db"), TaskManagerOptions(first_scan="enqueue"))
    else:
        try_it()
