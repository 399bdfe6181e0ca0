"""A program that watches a folder and delivers to a presigned service, to be killed: FOLDER DATABASE URL ORIGIN."""

from __future__ import annotations

import os
import sys
from datetime import timedelta

from media_watch_tasks import SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.http import BearerAuth
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.uploaders import PresignedUploader

folder, database, url, origin = sys.argv[1:]
uploader = PresignedUploader(
    url, upload_origins=[origin], auth=BearerAuth(os.environ["VICTIM_SECRET"]), poll_every=timedelta(milliseconds=10)
)
with (
    SqliteStores(database) as stores,
    TaskManager(
        media_scanner=LocalMediaScanner(folder),
        media_resolver=LocalMediaResolver(folder),
        media_state_store=stores.media_state,
        task_store=stores.tasks,
        uploader=uploader,
        options=TaskManagerOptions(
            settle_for=timedelta(0), crash_backoff=timedelta(0), first_scan="enqueue", workers=1
        ),
    ) as manager,
):
    manager.run_once()
    print(manager.counts(), flush=True)  # noqa: T201 - what the test reads
