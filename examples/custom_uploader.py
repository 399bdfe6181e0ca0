"""An uploader of your own: one method. This one keeps every version of a file under its key."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from sample_media import make_clip

from media_watch_tasks import (
    LocalMediaResolver,
    LocalMediaScanner,
    ResolvedMedia,
    SqliteStores,
    TaskManager,
    TaskManagerOptions,
    UploadContext,
    Uploader,
    UploadReceipt,
)
from media_watch_tasks.cli.progress import delivery_progress


class KeyedFolder(Uploader):
    """The key is the same for every attempt at a version: sending twice ends in the same state."""

    def __init__(self, target: Path) -> None:
        self.target = target
        target.mkdir(parents=True, exist_ok=True)

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Write, make durable, confirm, make visible: in this order."""
        part = self.target / f"{context.key}.part"
        with media.open() as body, part.open("wb") as file:
            shutil.copyfileobj(context.watch(body), file, 1 << 20)
            os.fsync(file.fileno())
        context.confirm()
        name = f"{context.key}{Path(media.name).suffix}"
        part.replace(self.target / name)
        return UploadReceipt(remote_id=name, size=media.size)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        source = make_clip(Path(folder, "source", "clip.mp4")).parent
        with SqliteStores(Path(folder, "watch.db")) as stores, TaskManager(
            media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
            media_state_store=stores.media_state, task_store=stores.tasks,
            uploader=KeyedFolder(Path(folder, "by-key")),
            options=TaskManagerOptions(settle_for=timedelta(0), first_scan="enqueue"),
        ) as manager, delivery_progress(manager):  # fmt: skip
            print("delivered:", manager.run_once().process.succeeded)
            print("receipts:", [task.receipt.remote_id for task in manager.tasks() if task.receipt])
