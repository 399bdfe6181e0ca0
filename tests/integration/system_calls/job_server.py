"""Runs the main job in forked children that a test has put system call faults into; started as a program.

It reads one JSON object a line: {"folder": …, "later": hours}. It forks a child, prints its process id, waits for the
next line, lets the child go, and prints its result. All modules are loaded before, and the job has run once: what fails
in a child belongs to the job.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import select
import sys
import tempfile
import traceback
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from media_watch_tasks import SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.clock import SystemClock, to_ns
from media_watch_tasks.errors import MediaWatchError
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.uploaders import DirectoryUploader

_PR_SET_PTRACER = 0x59616D61  # linux/prctl.h


class Later(SystemClock):
    """A wall clock that runs ahead: waits of an earlier run are over."""

    def __init__(self, hours: float) -> None:
        super().__init__()
        self._ahead = to_ns(timedelta(hours=hours))

    def now_ns(self) -> int:
        return super().now_ns() + self._ahead


def job(folder: Path, hours: float) -> dict[str, Any]:
    """A scan, and the delivery of what it found."""
    clock = Later(hours)
    options = TaskManagerOptions(settle_for=timedelta(0), workers=1, first_scan="enqueue")
    with (
        SqliteStores(folder / "watch.db", clock=clock) as stores,
        TaskManager(
            media_scanner=LocalMediaScanner(folder / "source"),
            media_resolver=LocalMediaResolver(folder / "source"),
            media_state_store=stores.media_state,
            task_store=stores.tasks,
            uploader=DirectoryUploader(folder / "target"),
            options=options,
            clock=clock,
        ) as manager,
    ):
        report = manager.scan_and_enqueue_new()
        manager.process()
        return {"complete": report.complete, "counts": {str(state): n for state, n in manager.counts().items()}}


def child(folder: Path, hours: float) -> None:
    try:
        result = job(folder, hours)
    except MediaWatchError as error:
        result = {"error": type(error).__name__, "message": str(error)}
    except BaseException:  # noqa: BLE001 - the finding of the test
        result = {"bare": traceback.format_exc()}
    for _ in range(5):
        with suppress(OSError):
            (folder / "result.json").write_text(json.dumps(result))
            return


def _let_anybody_trace_me() -> None:
    """Where Yama lets a process trace its children alone: strace is no parent of this one."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)


def main() -> None:
    logging.getLogger().addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as scratch:
        prepare = Path(scratch)
        (prepare / "source").mkdir()
        (prepare / "target").mkdir()
        (prepare / "source" / "a.mov").write_bytes(b"a")
        assert job(prepare, 0)["counts"]["success"] == 1
    for line in sys.stdin:
        asked = json.loads(line)
        folder = Path(asked["folder"])
        go, let_go = os.pipe()
        pid = os.fork()
        if pid == 0:
            _let_anybody_trace_me()
            select.select([go], [], [])  # no call that a fault is put into
            child(folder, asked["later"])
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdin.readline()
        os.write(let_go, b"x")
        _, status = os.waitpid(pid, 0)
        os.close(go)
        os.close(let_go)
        sys.stdout.write(json.dumps({"status": status}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
