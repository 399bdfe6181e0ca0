"""New files of a folder go to a web server, each with one PUT.

python examples/http_upload.py                                     tries it: made-up clips, and a server on this machine
python examples/http_upload.py FOLDER https://media.example.org/{path}     delivers what is new there since the last run
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from delivery_progress import delivery_progress
from local_receiver import local_receiver
from sample_media import make_clip

from media_watch_tasks import LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.http import BearerAuth
from media_watch_tasks.uploaders import HttpUploader


def deliver(source: Path, url: str, database: Path, options: TaskManagerOptions) -> None:
    """Scan, deliver what is new, and say what became of it."""
    # A token is read at each request: another program may renew it meanwhile.
    auth = BearerAuth(lambda: os.environ["UPLOAD_TOKEN"]) if "UPLOAD_TOKEN" in os.environ else None
    with SqliteStores(database) as stores, TaskManager(
        media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
        media_state_store=stores.media_state, task_store=stores.tasks,
        uploader=HttpUploader(url, auth=auth), options=options,
    ) as manager, delivery_progress(manager):  # fmt: skip
        manager.run_once()
        for task in manager.tasks():
            print(task.display, task.state, task.receipt.remote_id if task.receipt else task.error)


def try_it() -> None:
    """Everything in a temporary folder."""
    received: dict[str, bytearray] = {}
    with tempfile.TemporaryDirectory() as folder, local_receiver(received) as url:
        for shade in range(3):
            make_clip(Path(folder, "source", f"clip {shade}.mp4"), shade=shade)
        options = TaskManagerOptions(settle_for=timedelta(0), first_scan="enqueue")
        deliver(Path(folder, "source"), url + "/{path}", Path(folder, "watch.db"), options)
    print("the server has", {path: len(data) for path, data in sorted(received.items())})


if __name__ == "__main__":
    if sys.argv[1:]:
        deliver(Path(sys.argv[1]), sys.argv[2], Path("watch.db"), TaskManagerOptions(first_scan="enqueue"))
    else:
        try_it()
