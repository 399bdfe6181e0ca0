"""What a baseline is: files that are there count as seen, files that come later are delivered."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from sample_media import make_clip

from media_watch_tasks import (
    DirectoryUploader,
    LocalMediaResolver,
    LocalMediaScanner,
    SqliteStores,
    TaskManager,
    TaskManagerOptions,
)
from media_watch_tasks.cli.progress import delivery_progress


def main(folder: Path) -> None:
    """Two runs of one program, with a new file between them."""
    source = make_clip(folder / "source" / "old.mp4").parent
    for run in (1, 2):
        with SqliteStores(folder / "watch.db") as stores, TaskManager(
            media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
            media_state_store=stores.media_state, task_store=stores.tasks,
            uploader=DirectoryUploader(folder / "backup"), options=TaskManagerOptions(settle_for=timedelta(0)),
        ) as manager, delivery_progress(manager):  # fmt: skip
            baseline = manager.initialize_baseline()  # at every start: a complete baseline stays as it is
            report = manager.run_once()
            print(
                f"run {run}: baseline of {baseline.assets}, {report.scan.new} new, {report.process.succeeded} delivered"
            )
        make_clip(source / "new.mp4", shade=30)
    print("the backup holds:", *(path.name for path in (folder / "backup").glob("*.mp4")))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
