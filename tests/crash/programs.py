"""What the processes of the crash tests run: managers as a user would write them, watched by a trace."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from playhouse.apsw_ext import APSWDatabase  # type: ignore[import-untyped]  # ships no types
from tests.crash.databases import Stores, database_of
from tests.crash.marks import Marks, kill_in
from tests.crash.power import install
from tests.crash.watched_claims import watch_claims

from media_watch_tasks import DirectoryUploader, LocalMediaResolver, LocalMediaScanner, TaskManager
from media_watch_tasks.abc.action import AfterUploadAction
from media_watch_tasks.actions import DeleteSource, MoveSource
from media_watch_tasks.manager.after_upload import AfterUpload
from media_watch_tasks.manager.content import WatchedStream
from media_watch_tasks.manager.context import ManagedContext
from media_watch_tasks.manager.page_commit import PageCommit
from media_watch_tasks.manager.scanning import Scanning
from media_watch_tasks.model.events import Event, TaskEnqueued
from media_watch_tasks.options import RetryOptions, TaskManagerOptions
from media_watch_tasks.stores.relational.task_store import RelationalTaskStore
from media_watch_tasks.stores.sqlite.database import Database
from media_watch_tasks.stores.sqlite.database_factory import DatabaseFactory
from media_watch_tasks.uploaders.directory.writing import FileWriter

__all__ = [
    "PHASES",
    "STOPS",
    "Afterwards",
    "hold_at",
    "options",
    "process_until_killed",
    "run_until_killed",
    "run_until_power_cut",
    "scan_until_killed",
    "set_up",
    "stop_and_go_on",
    "stores_and_manager",
    "watch",
]

Afterwards = Literal["keep", "versions", "delete", "move"]
"""What becomes of delivered files: nothing (`versions`: and the destination keeps all of them), or an action."""
PHASES = ("scan", "upload", "settle", "action")


def options(afterwards: Afterwards, **others: Any) -> TaskManagerOptions:
    """No pauses that a test would have to wait for."""
    action: AfterUploadAction | None = {"delete": DeleteSource(), "move": MoveSource()}.get(afterwards)
    return TaskManagerOptions(
        **{
            "settle_for": timedelta(0),
            "first_scan": "enqueue",
            "crash_backoff": timedelta(milliseconds=50),
            "retry": RetryOptions(initial=timedelta(milliseconds=10), maximum=timedelta(milliseconds=50)),
            "after_upload": action,
            **others,
        }
    )


@contextmanager
def stores_and_manager(
    folder: str | Path, afterwards: Afterwards, *, factory: DatabaseFactory | None = None, **others: Any
) -> Iterator[tuple[Stores, TaskManager]]:
    """The program of a user, on `source` and `backup` in the folder and on its database."""
    place = Path(folder)
    with (
        database_of(place).open(factory=factory) as stores,
        TaskManager(
            media_scanner=LocalMediaScanner(place / "source"),
            media_resolver=LocalMediaResolver(place / "source"),
            media_state_store=stores.media_state,
            task_store=stores.tasks,
            uploader=DirectoryUploader(place / "backup", on_newer="version" if afterwards == "versions" else "replace"),
            options=options(afterwards, **others),
        ) as manager,
    ):
        yield stores, manager


def run_until_killed(
    *, folder: str, afterwards: Afterwards, phase: str | None = None, events: int | None = None, traced: bool = False
) -> None:
    """Scan and deliver without an end. Kills itself at the n-th event of a phase, or leaves that to others.

    Args:
        folder: where everything stands.
        afterwards: what becomes of delivered files.
        phase: the phase in which events are counted; None: everywhere.
        events: after how many this process kills itself; None: never.
        traced: wait until another process traces this one.
    """
    marks = set_up(folder)
    while traced and "TracerPid:\t0" in Path("/proc/self/status").read_text(encoding="ascii"):
        time.sleep(0.001)
    if events is not None:
        kill_in(marks, phase, events)
    with stores_and_manager(folder, afterwards) as (_, manager):
        while True:
            manager.run_once()
            time.sleep(0.002)


def scan_until_killed(
    *, folder: str, afterwards: Afterwards = "keep", phase: str | None = None, events: int | None = None
) -> None:
    """One of several scanners; dies as `run_until_killed` does."""
    marks = set_up(folder)
    if events is not None:
        kill_in(marks, phase, events)
    with stores_and_manager(folder, afterwards) as (_, manager):
        while True:
            manager.scan_and_enqueue_new()
            time.sleep(0.005)


def process_until_killed(
    *,
    folder: str,
    afterwards: Afterwards = "keep",
    phase: str | None = None,
    events: int | None = None,
    hang: bool = False,
) -> None:
    """One of several workers; with `hang` its uploads begin and never end. Dies as `run_until_killed` does."""
    marks = set_up(folder)
    if hang:
        DirectoryUploader.upload = lambda *_: threading.Event().wait()  # type: ignore[method-assign,assignment]  # hangs
        marks.span(DirectoryUploader, "upload", "hanging", lambda _self, _media, context: context.key)
    if events is not None:
        kill_in(marks, phase, events)
    with stores_and_manager(folder, afterwards) as (_, manager):
        while True:
            manager.process()
            time.sleep(0.005)


def run_until_power_cut(*, folder: str, afterwards: Afterwards, cut: int, full: bool, checkpoint: int) -> None:
    """Scan and deliver until the n-th write or sync of the database, at which the power fails.

    Args:
        folder: where everything stands.
        afterwards: what becomes of delivered files.
        cut: how many writes and syncs there are.
        full: sync every commit.
        checkpoint: pages after which the log is carried over into the database.
    """
    marks = set_up(folder)
    disk = install(folder, cut=cut)
    if full:
        connect = Database.connect
        Database.connect = lambda self, synchronous: connect(self, "FULL")  # type: ignore[method-assign]  # for all

    def factory(path: str, *, synchronous: str) -> Any:
        return APSWDatabase(
            path, timeout=0, thread_safe=False, vfs=disk.name, pragmas={"wal_autocheckpoint": checkpoint}
        )

    def on_event(event: Event) -> None:
        if isinstance(event, TaskEnqueued):
            marks.write("=", "enqueued", str(event.task_id))

    with stores_and_manager(folder, afterwards, factory=factory) as (_, manager):
        manager.subscribe(on_event)
        while True:
            manager.run_once()
            time.sleep(0.002)


STOPS: dict[str, tuple[type, str, bool]] = {
    "before the look": (LocalMediaResolver, "resolve_for_upload", False),
    "before the copy": (FileWriter, "deliver", False),
    "in the middle of the copy": (WatchedStream, "readinto", True),
    "before the last question": (ManagedContext, "confirm", False),
    "after the last question": (ManagedContext, "confirm", True),
    "before the settlement": (DirectoryUploader, "upload", True),
    "in the middle of a page": (PageCommit, "_commit", False),
}
"""Where a process stops itself: at the first call of a method, before it or (True) after it."""


def stop_and_go_on(*, folder: str, at: str, lease: float, scan: bool) -> None:
    """Scan, or deliver what is eligible, with a long sleep in between."""
    set_up(folder)
    awake = threading.Event()
    signal.signal(signal.SIGCONT, lambda *_: awake.set())

    def sleep() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        # Any thread may be the first to stop; this one goes no further.
        awake.wait()

    never = hold_at(at, sleep)
    with stores_and_manager(folder, "keep", lease=timedelta(seconds=lease), workers=1) as (_, manager):
        report: Any = manager.scan_and_enqueue_new() if scan else manager.process()
    sys.stderr.write(f"{report}\n")
    assert not never(), "it never stopped"


def hold_at(at: str, wait: Callable[[], None]) -> Callable[[], bool]:
    """Call `wait` at the first call of a method of `STOPS`; the result says whether that has never come."""
    owner, name, after = STOPS[at]
    function = getattr(owner, name)

    def held(*arguments: Any, **named: Any) -> Any:
        setattr(owner, name, function)
        result = function(*arguments, **named) if after else None
        wait()
        return result if after else function(*arguments, **named)

    setattr(owner, name, held)
    return lambda: getattr(owner, name) is not function


def set_up(folder: str) -> Marks:
    """Log to standard error, and write a trace of what this process does."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(process)d %(name)s %(message)s")
    return watch(f"{folder}/trace", database_of(Path(folder)).task_store)


def watch(path: str, store: type[RelationalTaskStore]) -> Marks:
    """Write a trace: spans of the phases, and every claim (`task:token`) with its end."""
    marks = Marks(path)
    marks.span(Scanning, "scan", "scan")
    marks.span(DirectoryUploader, "upload", "upload", lambda _self, _media, context: context.key)
    marks.span(store, "settle", "settle")
    marks.span(AfterUpload, "perform", "action", lambda _self, task, _cancel: task.key)
    watch_claims(marks, store)
    marks.write("=", "start")
    return marks
