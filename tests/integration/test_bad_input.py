"""What a user sees when the world is not as it should be: the whole library, on a real folder, file and database."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks import SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.errors import StoreError
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.model.events import AssetDiscovered, AssetMissing, Event, Paused, TaskCancelled, TaskSucceeded
from media_watch_tasks.model.settlements import PauseScope
from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.scanning import MediaFilter
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.permissions import permissions_enforced
from media_watch_tasks.uploaders import DirectoryUploader

HOSTILE = [
    b"line\r\nbreak.mov",
    b"'; DROP TABLE task; --\".mov",
    b"...mov",
    b"..hidden dots...mov",
    b"a" * 251 + b".mov",
    b"\xff\xfe undecodable.mov",
    b"\xed\xa0\x80 lone surrogate.mov",
    b"\x1b[31m\x07 terminal.mov",
    unicodedata.normalize("NFC", "\u00e9t\u00e9.mov").encode(),
    unicodedata.normalize("NFD", "\u00e9t\u00e9.mov").encode(),
    b"TWIN.mov",
    b"twin.mov",
    b"-rf .mov",
    b"%00 ?*|<>.mov",
    b"\xe2\x80\xaerev.mov",
]


class Watch:
    """A manager over a real folder, with its state in a file."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.stack = stack
        self.clock = FakeClock()
        self.database = folder / "state" / "watch.db"
        self.source, self.target = folder / "source", folder / "target"
        for path in (self.database.parent, self.source, self.target):
            path.mkdir()
        self.events: list[Event] = []

    def start(self, **options: Any) -> TaskManager:
        self.stores = self.stack.enter_context(SqliteStores(self.database, clock=self.clock))
        manager = TaskManager(
            media_scanner=LocalMediaScanner(self.source, filter=MediaFilter(include_hidden=True)),
            media_resolver=LocalMediaResolver(self.source),
            media_state_store=self.stores.media_state,
            task_store=self.stores.tasks,
            uploader=DirectoryUploader(self.target),
            options=TaskManagerOptions(settle_for=timedelta(0), workers=1, **options),
            clock=self.clock,
        )
        manager.subscribe(self.events.append)
        self.stack.enter_context(manager)
        manager.initialize_baseline()
        return manager

    def write(self, name: str | bytes, content: bytes) -> None:
        path = os.path.join(os.fsencode(self.source), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def work(self, manager: TaskManager) -> Any:
        self.clock.advance(timedelta(hours=7))
        report = manager.scan_and_enqueue_new()
        manager.process()
        return report

    def delivered(self) -> dict[bytes, bytes]:
        found = {}
        for directory, _, names in os.walk(os.fsencode(self.target)):
            for name in names:
                with open(os.path.join(directory, name), "rb") as file:
                    path = os.path.relpath(os.path.join(directory, name), os.fsencode(self.target))
                    found[path] = file.read()
        return found

    def heard(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    with ExitStack() as stack:
        yield Watch(tmp_path, stack)


def _small_disk(stack: ExitStack, where: Path, size: str) -> None:
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("file systems can be mounted by root alone: run as root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", os.fspath(where)], check=True, timeout=60)
    stack.callback(subprocess.run, ["umount", "--lazy", os.fspath(where)], check=True, timeout=60)


def test_hostile_names_arrive_as_they_are_and_can_be_shown(watch: Watch) -> None:
    manager = watch.start()
    contents = {name: b"content of " + name for name in HOSTILE}
    for name, content in contents.items():
        watch.write(name, content)
    report = watch.work(manager)
    assert (report.complete, report.new, report.enqueued) == (True, len(HOSTILE), len(HOSTILE))
    assert watch.delivered() == contents
    tasks = manager.tasks(limit=1_000)
    assert {task.asset_id for task in tasks} == set(HOSTILE)
    assert manager.counts()[TaskState.SUCCESS] == len(HOSTILE)
    assert {event.task.asset_id for event in watch.heard(TaskSucceeded)} == set(HOSTILE)
    for shown in [*(task.display for task in tasks), *(event.display for event in watch.heard(AssetDiscovered))]:
        assert shown.isprintable(), f"{shown!r} breaks a line or a terminal"
        shown.encode("utf-8")
    assert len({task.display for task in tasks}) == len(HOSTILE), "twins can be told apart"
    assert [task.asset_id for task in manager.tasks(asset_ids=[HOSTILE[5]])] == [HOSTILE[5]]
    assert watch.work(manager).enqueued == 0, "each is known again"


def test_database_that_is_full_stops_the_work_and_loses_none_of_it(watch: Watch) -> None:
    _small_disk(watch.stack, watch.database.parent, "4m")
    manager = watch.start()
    for number in range(40):
        watch.write(f"{number}.mov", b"%d" % number)
    assert watch.work(manager).enqueued == 40
    filler = watch.database.parent / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"0" * 4_096)
    for number in range(2_000):
        watch.write(f"{number % 4}/more {number}.mov", b"%d" % number)
    with pytest.raises(StoreError, match=r"watch\.db has no room left: free space"):
        watch.work(manager)
    subprocess.run(["mount", "-o", "remount,size=64m", os.fspath(watch.database.parent)], check=True, timeout=60)
    report = watch.work(manager)
    assert report.complete
    watch.work(manager)
    assert len(watch.delivered()) == 2_040
    assert manager.counts()[TaskState.SUCCESS] == 2_040
    with sqlite3.connect(watch.database) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_database_that_became_read_only_is_named_and_the_work_goes_on_later(watch: Watch) -> None:
    _small_disk(watch.stack, watch.database.parent, "16m")
    manager = watch.start()
    watch.write("a.mov", b"a")
    assert watch.work(manager).enqueued == 1
    manager.close()
    watch.stores.close()
    subprocess.run(["mount", "-o", "remount,ro", os.fspath(watch.database.parent)], check=True, timeout=60)
    watch.write("b.mov", b"b")
    with pytest.raises(StoreError, match=r"watch\.db .*(writable|may write|right to read and write)"):
        watch.work(watch.start())
    subprocess.run(["mount", "-o", "remount,rw", os.fspath(watch.database.parent)], check=True, timeout=60)
    watch.work(watch.start())
    assert watch.delivered() == {b"a.mov": b"a", b"b.mov": b"b"}


OTHER_PROCESS = """
import sys
from media_watch_tasks import SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.uploaders import DirectoryUploader
database, source, target, choice = sys.argv[1:]
with SqliteStores(database) as stores:
    try:
        with TaskManager(
            media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
            media_state_store=stores.media_state, task_store=stores.tasks, uploader=DirectoryUploader(target),
            options=TaskManagerOptions(**({"destination_changed": choice} if choice else {})),
        ) as manager:
            print("started")
    except ConfigurationError as error:
        print(error)
"""


def test_another_process_with_another_destination_is_refused_until_it_says_what_it_means(
    watch: Watch, tmp_path: Path
) -> None:
    watch.start()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def other(choice: str) -> str:
        command = [
            sys.executable,
            "-c",
            OTHER_PROCESS,
            *map(os.fspath, (watch.database, watch.source, elsewhere)),
            choice,
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    said = other("")
    assert os.fspath(elsewhere) in said
    assert os.fspath(watch.target) in said, "both destinations are named"
    assert "destination_changed" in said
    assert "keep" in said
    assert "resend" in said
    assert other("keep") == "started"


def test_folder_that_may_not_be_read_is_a_problem_and_the_rest_goes_on(watch: Watch) -> None:
    manager = watch.start()
    watch.write("locked/a.mov", b"a")
    watch.write("open/b.mov", b"b")
    (watch.source / "locked").chmod(0)
    with permissions_enforced():
        report = watch.work(manager)
    assert not report.complete
    assert [problem.path for problem in report.problems] == [b"locked"]
    assert "denied" in report.problems[0].message.lower()
    assert watch.delivered() == {b"open/b.mov": b"b"}
    (watch.source / "locked").chmod(0o700)
    assert watch.work(manager).complete
    assert watch.delivered() == {b"open/b.mov": b"b", b"locked/a.mov": b"a"}
    assert watch.heard(AssetMissing) == []


def test_file_that_may_not_be_read_costs_no_other_file(watch: Watch) -> None:
    manager = watch.start()
    watch.write("locked.mov", b"a")
    watch.write("open.mov", b"b")
    (watch.source / "locked.mov").chmod(0)
    with permissions_enforced():
        watch.work(manager)
        watch.work(manager)
    assert watch.delivered() == {b"open.mov": b"b"}
    (task,) = manager.tasks(asset_ids=[b"locked.mov"])
    assert task.state is not TaskState.CANCELLED, "it is not gone"
    assert "denied" in (task.error or "").lower()
    (watch.source / "locked.mov").chmod(0o600)
    manager.retry(states={TaskState.DEAD, TaskState.FAILED})
    watch.work(manager)
    assert watch.delivered() == {b"open.mov": b"b", b"locked.mov": b"a"}


def test_file_removed_between_scan_and_upload_ends_its_own_task_alone(watch: Watch) -> None:
    manager = watch.start()
    watch.write("gone.mov", b"a")
    watch.write("stays.mov", b"b")
    manager.scan_and_enqueue_new()
    (watch.source / "gone.mov").unlink()
    watch.clock.advance(60)
    manager.process()
    assert watch.delivered() == {b"stays.mov": b"b"}
    assert [(event.task.asset_id, event.reason) for event in watch.heard(TaskCancelled)] == [
        (b"gone.mov", "source_gone")
    ]
    watch.write("gone.mov", b"back")
    watch.work(manager)
    assert watch.delivered() == {b"stays.mov": b"b", b"gone.mov": b"back"}


def test_destination_without_room_is_paused_and_goes_on_when_there_is_room(watch: Watch) -> None:
    _small_disk(watch.stack, watch.target, "600k")
    manager = watch.start()
    for number in range(4):
        watch.write(f"{number}.mov", bytes([number]) * 250_000)
    watch.work(manager)
    assert len([path for path in watch.delivered() if path.endswith(b".mov")]) == 2
    paused = watch.heard(Paused)
    assert paused
    assert {event.pause.scope for event in paused} == {PauseScope.DESTINATION}
    assert "make room there" in paused[0].pause.reason
    waiting = manager.tasks(states={TaskState.PENDING, TaskState.FAILED})
    assert [task.attempts for task in waiting] == [0, 0], "a full disk costs no attempt"
    subprocess.run(["mount", "-o", "remount,size=8m", os.fspath(watch.target)], check=True, timeout=60)
    watch.work(manager)
    assert watch.delivered() == {b"%d.mov" % number: bytes([number]) * 250_000 for number in range(4)}
