"""Watch a folder for ever: `periodic_run.py SOURCE DEST [SECONDS]`. Ctrl-C or SIGTERM ends it in order.

Without arguments it watches a made-up folder for a few seconds.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from datetime import timedelta
from pathlib import Path

from sample_media import make_clip

from media_watch_tasks import (
    DirectoryUploader,
    IntervalScheduler,
    LocalMediaResolver,
    LocalMediaScanner,
    SqliteStores,
    TaskManager,
    TaskManagerOptions,
)
from media_watch_tasks.cli.progress import delivery_progress


def watch(source: Path, dest: Path, database: Path, every: timedelta, options: TaskManagerOptions) -> None:
    """Scan and deliver at every interval; runs never overlap."""
    with SqliteStores(database) as stores, TaskManager(
        media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
        media_state_store=stores.media_state, task_store=stores.tasks,
        uploader=DirectoryUploader(dest), options=options,
    ) as manager, delivery_progress(manager):  # fmt: skip
        manager.initialize_baseline()
        IntervalScheduler(every).run_until_signal(manager.run_once)
        print("ended in order:", {str(state): count for state, count in manager.counts().items() if count})


if __name__ == "__main__":
    if len(sys.argv) > 2:  # noqa: PLR2004 - SOURCE and DEST
        seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 60  # noqa: PLR2004 - SECONDS
        home = Path(sys.argv[2])
        home.mkdir(parents=True, exist_ok=True)
        watch(Path(sys.argv[1]), home, home / ".media-watch.db", timedelta(seconds=seconds), TaskManagerOptions())
    else:
        with tempfile.TemporaryDirectory() as folder:
            clips = make_clip(Path(folder, "source", "old.mp4")).parent
            threading.Timer(1, make_clip, [clips / "new.mp4"]).start()
            threading.Timer(4, os.kill, [os.getpid(), signal.SIGTERM]).start()
            quick = TaskManagerOptions(settle_for=timedelta(seconds=0.5))
            watch(clips, Path(folder, "backup"), Path(folder, "watch.db"), timedelta(seconds=1), quick)
