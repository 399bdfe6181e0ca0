"""An uploader written as a coroutine; the library runs it on an event loop of its own."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

from sample_media import make_clip

from media_watch_tasks import (
    AsyncUploader,
    LocalMediaResolver,
    LocalMediaScanner,
    ResolvedMedia,
    SqliteStores,
    TaskManager,
    TaskManagerOptions,
    UploadContext,
    UploadReceipt,
)
from media_watch_tasks.cli.progress import delivery_progress


class SlowUploader(AsyncUploader):
    """Pretends to send a file in ten steps; several uploads share the loop."""

    target = "nowhere"

    async def upload_async(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Await whatever an async client offers; `progress` keeps the lease alive."""
        for step in range(1, 11):
            await asyncio.sleep(0.1)
            context.progress(media.size * step // 10)
        return UploadReceipt(remote_id=media.name, size=media.size)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for number in range(3):
            make_clip(Path(folder, "source", f"clip {number}.mp4"), shade=50 * number)
        source = Path(folder, "source")
        with SqliteStores(Path(folder, "watch.db")) as stores, TaskManager(
            media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
            media_state_store=stores.media_state, task_store=stores.tasks, uploader=SlowUploader(),
            options=TaskManagerOptions(settle_for=timedelta(0), first_scan="enqueue"),
        ) as manager, delivery_progress(manager):  # fmt: skip
            print("delivered:", manager.run_once().process.succeeded)
