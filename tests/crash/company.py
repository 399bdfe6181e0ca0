"""Two scanners and four workers, each a process, that nobody kills: the database is taken from them, or the time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.crash.arrivals import Arrivals
from tests.crash.crowd import SCANNERS, WORKERS, assert_counts_are_exact, is_done, wait_for
from tests.crash.databases import CrashDatabase
from tests.crash.footage import FOLDERS, Footage
from tests.crash.marks import Mark, read_marks
from tests.crash.wreck import Judge, look
from tests.crash.zygote import Child, Zygote

from media_watch_tasks.model.tasks import TaskState

__all__ = ["Services", "services"]


class Services:
    """The processes, and the files that they work on."""

    def __init__(self, folder: Path, zygote: Zygote, database: CrashDatabase, **arguments: Any) -> None:
        """`arguments`: of `serve`."""
        self.folder = folder
        self.database = database
        self.footage = Footage(folder, seed=2)
        for name in FOLDERS:
            (folder / "backup" / name).mkdir(parents=True, exist_ok=True)
        with self.database.open():
            pass  # the tables are there before anybody comes
        log = folder / "log"
        self.children: list[Child] = [
            zygote.start("serve", log=log, folder=str(folder), role=role, **arguments)
            for role in ["scan"] * SCANNERS + ["process"] * WORKERS
        ]

    def busy(self, seconds: float) -> None:
        """Somebody changes files, and they are worked on."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.footage.change()
            time.sleep(0.01)

    def wait_for_work(self) -> None:
        """Until the processes have claimed something that they had not before."""
        claimed = len(self.marks("claimed"))
        files = len(self.footage.versions)

        def worked() -> bool:
            self.busy(0.02)
            return len(self.marks("claimed")) > claimed

        wait_for(worked, what=f"work, after {files} files: {self.said()[-2_000:]}")

    def marks(self, phase: str) -> list[Mark]:
        return [mark for mark in read_marks(self.folder / "trace") if mark.phase == phase]

    def said(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        """All is done, then the processes end in order, and everything is where it belongs."""
        with self.database.open() as stores:
            wait_for(lambda: is_done(self.footage, stores), what=f"all to be done: {self.said()[-3_000:]}")
            (self.folder / "stop").touch()
            for child in self.children:
                child.finish()
            assert_counts_are_exact(stores)
            assert stores.tasks.counts()[TaskState.DEAD] == 0
        Judge(self.folder, self.footage, "keep").check_end(look(self.folder))
        with self.database.as_left() as query:
            assert query is not None
            # Every version that was written differs, so none is delivered again for good reasons.
            assert query("SELECT key FROM task WHERE state = 3 GROUP BY key HAVING count(*) > 1") == []


@contextmanager
def services(folder: Path, zygote: Zygote, database: CrashDatabase, **arguments: Any) -> Iterator[Services]:
    """Processes that are at work when the block begins, and have done all of it when it has ended."""
    serving = Services(folder, zygote, database, **arguments)
    try:
        with Arrivals(folder / "backup") as arrivals:
            serving.wait_for_work()
            yield serving
            serving.wait_for_work()
            serving.end()
        assert arrivals.events >= len(serving.footage.versions)
        assert arrivals.twice() == {}
    finally:
        for child in serving.children:
            child.kill()
