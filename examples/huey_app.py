"""Scan and deliver in the consumers of a Huey queue, on as many machines as you like.

Run as it stands it is one consumer on SQLite for a few seconds, over a made-up folder. For real work, on each machine:
MEDIA_SOURCE=… MEDIA_DEST=… MEDIA_DATABASE=… REDIS_URL=redis://… huey_consumer huey_app.huey
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from datetime import timedelta
from pathlib import Path

from huey import RedisHuey, SqliteHuey
from sample_media import make_clip

from media_watch_tasks import (
    DirectoryUploader,
    LocalMediaResolver,
    LocalMediaScanner,
    SqliteStores,
    TaskManager,
    TaskManagerOptions,
)
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.schedulers import HueyScheduler

HOME = Path(os.environ.get("MEDIA_DEST") or tempfile.mkdtemp(), "backup")
SOURCE = Path(os.environ.get("MEDIA_SOURCE") or HOME.parent / "source")
DATABASE = Path(os.environ.get("MEDIA_DATABASE") or HOME.parent / "watch.db")
QUEUE = {"url": os.environ["REDIS_URL"]} if "REDIS_URL" in os.environ else {"filename": str(HOME.parent / "huey.db")}

huey = (RedisHuey if "url" in QUEUE else SqliteHuey)("media", **QUEUE)


def job(cancel: CancelToken) -> None:
    """Scan, deliver what is due, and print what came of it. It opens all itself: a worker may be a forked process."""
    options = TaskManagerOptions(settle_for=timedelta(seconds=10 if "MEDIA_SOURCE" in os.environ else 0))
    with SqliteStores(DATABASE) as stores, TaskManager(
        media_scanner=LocalMediaScanner(SOURCE), media_resolver=LocalMediaResolver(SOURCE),
        media_state_store=stores.media_state, task_store=stores.tasks,
        uploader=DirectoryUploader(HOME), options=options,
    ) as manager:  # fmt: skip
        manager.initialize_baseline()
        report = manager.run_once(cancel).process
        print(f"{report.succeeded} delivered, {report.failed} to be tried again", flush=True)


HueyScheduler(huey, timedelta(minutes=1)).start(job)

if __name__ == "__main__":
    SOURCE.mkdir(parents=True)
    job(CancelToken())  # what is there already is the baseline
    make_clip(SOURCE / "new.mp4")
    threading.Timer(4, os.kill, [os.getpid(), signal.SIGINT]).start()
    huey.create_consumer(workers=1).run()
    print("delivered:", sorted(path.name for path in HOME.rglob("*.mp4")))
