"""Back up what appears on a NAS share, every minute, until Ctrl-C or SIGTERM: `nas_periodic_run.py DEST [SECONDS]`.

The share comes from the environment: NAS_HOST, NAS_SHARE, NAS_USER, NAS_PASSWORD, and where they are wanted NAS_PORT
(445), NAS_FOLDER (the folder within the share; all of it by default) and NAS_SETTLE_SECONDS (10). It needs the extra
`smb`.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

from media_watch_tasks.manager import TaskManager
from media_watch_tasks.options import TaskManagerOptions
from media_watch_tasks.schedulers import IntervalScheduler
from media_watch_tasks.smb import SmbConnection, SmbMediaResolver, SmbMediaScanner
from media_watch_tasks.stores.sqlite import SqliteStores
from media_watch_tasks.uploaders import DirectoryUploader


def nas() -> SmbConnection:
    """The share of the environment. The password is read at every login, and kept nowhere."""
    return SmbConnection(
        os.environ["NAS_HOST"],
        os.environ["NAS_SHARE"],
        username=os.environ["NAS_USER"],
        password=lambda: os.environ["NAS_PASSWORD"],
        port=int(os.environ.get("NAS_PORT", "445")),
    )


def watch(destination: Path, every: timedelta) -> None:
    """Scan and deliver at every interval. A NAS that is switched off pauses the source, and nothing is lost."""
    folder = os.environ.get("NAS_FOLDER", "")
    options = TaskManagerOptions(settle_for=timedelta(seconds=float(os.environ.get("NAS_SETTLE_SECONDS", "10"))))
    (destination / "files").mkdir(parents=True, exist_ok=True)
    with nas() as connection, SqliteStores(destination / ".media-watch.db") as stores, TaskManager(
        media_scanner=SmbMediaScanner(connection, folder), media_resolver=SmbMediaResolver(connection, folder),
        media_state_store=stores.media_state, task_store=stores.tasks,
        uploader=DirectoryUploader(destination / "files"), options=options,
    ) as manager:  # fmt: skip
        baseline = manager.initialize_baseline()
        print(f"watching {connection.url}: {baseline.assets} files were there already", flush=True)
        IntervalScheduler(every).run_until_signal(manager.run_once)
        print("ended in order:", {str(state): count for state, count in manager.counts().items() if count})


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        raise SystemExit(__doc__)
    watch(Path(sys.argv[1]), timedelta(seconds=float(sys.argv[2]) if len(sys.argv) > 2 else 60))  # noqa: PLR2004
