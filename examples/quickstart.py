"""The main job. `quickstart.py` shows it on made-up files; `quickstart.py SOURCE DEST` does it on your folders.

Run it again and again: what is there at the first run is the baseline, what is new since then is delivered, once.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

from sample_media import arrive, make_clip

from media_watch_tasks import (
    DirectoryUploader,
    LocalMediaResolver,
    LocalMediaScanner,
    SqliteStores,
    TaskManager,
    TaskManagerOptions,
)
from media_watch_tasks.cli.progress import delivery_progress


def deliver(source: Path, dest: Path, database: Path, *, demo: bool = False) -> None:
    """Take the baseline, then scan and deliver until nothing waits."""
    options = TaskManagerOptions(settle_for=timedelta(seconds=2), enable_hash_dedup=demo)
    with SqliteStores(database) as stores, TaskManager(
        media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
        media_state_store=stores.media_state, task_store=stores.tasks,
        uploader=DirectoryUploader(dest), options=options,
    ) as manager, delivery_progress(manager):  # fmt: skip
        baseline = manager.initialize_baseline()
        if not baseline.already_complete:
            print(f"baseline: {baseline.assets} files are known and will not be sent; run again after new ones came")
        camera = threading.Thread(target=arrive, args=(source,)) if demo else threading.Thread()
        camera.start()
        while True:
            run = manager.run_once()
            waiting = manager.counts()["pending"]
            print(f"{run.scan.new} new, {run.scan.changed} changed, {run.process.succeeded} delivered, {waiting} wait")
            if run.scan.error or not (waiting or camera.is_alive()):
                break
            time.sleep(1)
        print("tasks:", {str(state): count for state, count in manager.counts().items() if count}, run.scan.error or "")


if __name__ == "__main__":
    if len(sys.argv) > 2:  # noqa: PLR2004 - SOURCE and DEST
        Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
        deliver(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[2], ".media-watch.db"))
    else:
        with tempfile.TemporaryDirectory() as folder:
            old = make_clip(Path(folder, "source", "old.mp4"))
            deliver(old.parent, Path(folder, "backup"), Path(folder, "watch.db"), demo=True)
            print("the backup holds:", *sorted(path.name for path in Path(folder, "backup").rglob("*.mp4")), sep="\n  ")
