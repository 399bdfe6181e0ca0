"""A program that keeps bytes and is killed where the test says: FOLDER DATABASE SPOOL TARGET put|settled|never."""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta

from media_watch_tasks import DirectoryUploader, RetryOptions, SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.abc import KeptPayload, UploadContext, Uploader
from media_watch_tasks.errors import TransientError
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.spool import PendingStore

folder, database, spool, target, dies_at = sys.argv[1:]


class Away(DirectoryUploader):
    """Fails as a server that is away."""

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        if dies_at == "put":
            raise TransientError("the server is away")
        return super().upload(media, context)


class Dying(PendingStore):
    """Kills the process when bytes are kept, or when they are to be freed after a delivery."""

    def put(self, key: str, route: Route, media: ResolvedMedia) -> KeptPayload | None:
        kept = super().put(key, route, media)
        if dies_at == "put":
            os.kill(os.getpid(), signal.SIGKILL)
        return kept

    def free(self, key: str) -> int | None:
        if dies_at == "settled":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().free(key)


uploader: Uploader = Away(target, destination_id="backup")
with (
    SqliteStores(database) as stores,
    TaskManager(
        media_scanner=LocalMediaScanner(folder),
        media_resolver=LocalMediaResolver(folder),
        media_state_store=stores.media_state,
        task_store=stores.tasks,
        uploader=uploader,
        pending=Dying(spool, keep="always" if dies_at == "settled" else "on_failure"),
        options=TaskManagerOptions(
            settle_for=timedelta(0),
            crash_backoff=timedelta(0),
            first_scan="enqueue",
            retry=RetryOptions(initial=timedelta(0)),
        ),
    ) as manager,
):
    if dies_at == "never":
        manager.process()
    else:
        manager.run_once()
    print(manager.counts(), flush=True)  # noqa: T201 - what the test reads
