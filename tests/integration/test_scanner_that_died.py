"""A scanner that was killed does not keep its successors from the source."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from media_watch_tasks import DirectoryUploader, LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager
from media_watch_tasks.options import TaskManagerOptions

DIES_IN_THE_MIDDLE_OF_A_SCAN = """
import os, signal, sys
from media_watch_tasks import DirectoryUploader, LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager
from media_watch_tasks.model.events import ScanPageDone

source, backup, database = sys.argv[1:]
stores = SqliteStores(database)
manager = TaskManager(
    media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
    media_state_store=stores.media_state, task_store=stores.tasks, uploader=DirectoryUploader(backup),
)
manager.initialize_baseline()
manager.subscribe(lambda event: isinstance(event, ScanPageDone) and os.kill(os.getpid(), signal.SIGKILL))
list_pages = LocalMediaScanner.scan_assets
def slow(self, **arguments):
    for page in list_pages(self, **arguments):
        yield page
        while True:
            pass
LocalMediaScanner.scan_assets = slow
manager.scan_and_enqueue_new()
"""


def test_successor_of_a_killed_scanner_scans_at_once(tmp_path: Path) -> None:
    source, backup, database = tmp_path / "source", tmp_path / "backup", tmp_path / "watch.db"
    source.mkdir()
    backup.mkdir()
    program = [sys.executable, "-c", DIES_IN_THE_MIDDLE_OF_A_SCAN, str(source), str(backup), str(database)]
    assert subprocess.run(program, check=False, timeout=60).returncode == -9
    (source / "clip.mp4").write_bytes(b"footage")
    with (
        SqliteStores(database) as stores,
        TaskManager(
            media_scanner=LocalMediaScanner(source),
            media_resolver=LocalMediaResolver(source),
            media_state_store=stores.media_state,
            task_store=stores.tasks,
            uploader=DirectoryUploader(backup),
            options=TaskManagerOptions(settle_for=timedelta(0)),
        ) as manager,
    ):
        report = manager.run_once()
    assert (report.scan.skipped, report.process.succeeded) == (None, 1)
    assert (backup / "clip.mp4").read_bytes() == b"footage"
