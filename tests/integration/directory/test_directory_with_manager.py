"""What a TaskManager makes of the folder uploader's answers: nothing lost, nothing sent twice, no attempt wasted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks.manager import TaskManager
from media_watch_tasks.model.settlements import PauseScope
from media_watch_tasks.model.tasks import Task, TaskState
from media_watch_tasks.options import TaskManagerOptions
from media_watch_tasks.stores.memory import MemoryMediaStateStore, MemoryTaskStore
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.fakes import FakeResolver, FakeScanner, FakeTree
from media_watch_tasks.testing.faults import Fault, FaultPlan
from media_watch_tasks.uploaders import AllOf, DirectoryUploader

Look = Callable[[], dict[str, bytes]]


class Watch:
    """A manager over a source in memory that delivers into the target."""

    def __init__(self, target: Path, stack: ExitStack) -> None:
        self.clock = FakeClock()
        self.tree = FakeTree()
        self.target = target
        self.stack = stack
        self.media_state = MemoryMediaStateStore(self.clock)
        self.tasks = MemoryTaskStore(self.clock)

    def manager(self, uploader: Any) -> TaskManager:
        manager = self.stack.enter_context(
            TaskManager(
                media_scanner=FakeScanner(self.tree),
                media_resolver=FakeResolver(self.tree),
                media_state_store=self.media_state,
                task_store=self.tasks,
                uploader=uploader,
                options=TaskManagerOptions(settle_for=timedelta(0), workers=2),
                clock=self.clock,
            )
        )
        manager.initialize_baseline()
        return manager

    def run(self, manager: TaskManager) -> None:
        manager.scan_and_enqueue_new()
        self.clock.advance(timedelta(minutes=1))
        manager.process()


@pytest.fixture
def watch(target: Path) -> Iterator[Watch]:
    with ExitStack() as stack:
        yield Watch(target, stack)


def _only(manager: TaskManager) -> Task:
    (task,) = manager.tasks()
    return task


def test_new_and_changed_files_arrive(watch: Watch, target: Path, everything: Look) -> None:
    manager = watch.manager(DirectoryUploader(target))
    watch.tree.put("a/clip.mov", b"first")
    watch.run(manager)
    assert everything() == {"a/clip.mov": b"first"}
    watch.tree.change("a/clip.mov", b"second version")
    watch.run(manager)
    assert everything() == {"a/clip.mov": b"second version"}
    assert manager.counts()[TaskState.SUCCESS] == 2


def test_a_file_changed_back_is_delivered_again(watch: Watch, target: Path, everything: Look) -> None:
    manager = watch.manager(DirectoryUploader(target))
    asset = watch.tree.put("clip.mov", b"first")
    watch.run(manager)
    watch.tree.change("clip.mov", b"second")
    watch.run(manager)
    watch.tree.put("clip.mov", b"first", mtime_ns=asset.mtime_ns)
    watch.run(manager)
    assert everything() == {"clip.mov": b"first"}


def test_a_lost_answer_is_made_up_for_by_a_look(watch: Watch, target: Path, everything: Look) -> None:
    uploader = DirectoryUploader(target)
    manager = watch.manager(uploader)
    watch.tree.put("clip.mov", b"first")
    with FaultPlan([Fault("upload", when="after", raises=RuntimeError("the answer was lost"))]) as plan:
        plan.attach(uploader, "upload")
        watch.run(manager)
        inode = (target / "clip.mov").stat().st_ino
        watch.clock.advance(timedelta(hours=1))
        manager.process()
    task = _only(manager)
    assert task.receipt is not None
    assert (task.state, task.receipt.deduplicated) == ("success", False)
    assert (target / "clip.mov").stat().st_ino == inode, "it was not written again"
    assert everything() == {"clip.mov": b"first"}


def test_a_version_whose_answer_was_lost_does_not_stand_in_the_way_of_the_next(
    watch: Watch, target: Path, everything: Look
) -> None:
    uploader = DirectoryUploader(target)
    manager = watch.manager(uploader)
    watch.tree.put("clip.mov", b"first")
    with FaultPlan([Fault("upload", when="after", raises=RuntimeError("the answer was lost"))]) as plan:
        plan.attach(uploader, "upload")
        watch.run(manager)
    watch.tree.change("clip.mov", b"second version")
    watch.run(manager)
    watch.clock.advance(timedelta(hours=1))
    manager.process()
    assert everything() == {"clip.mov": b"second version"}
    assert {task.state.value for task in manager.tasks()} == {"cancelled", "success"}


def test_a_foreign_file_makes_a_name_conflict_and_equal_bytes_a_success(
    watch: Watch, target: Path, everything: Look
) -> None:
    manager = watch.manager(DirectoryUploader(target))
    (target / "other.mov").write_bytes(b"somebody else's")
    (target / "same.mov").write_bytes(b"the same")
    watch.tree.put("other.mov", b"mine")
    watch.tree.put("same.mov", b"the same")
    watch.run(manager)
    tasks = {task.display: task for task in manager.tasks()}
    assert (tasks["other.mov"].state, tasks["other.mov"].reason) == ("dead", "name_conflict")
    assert tasks["same.mov"].state == "success"
    receipt = tasks["same.mov"].receipt
    assert receipt is not None
    assert receipt.deduplicated
    assert everything() == {"other.mov": b"somebody else's", "same.mov": b"the same"}


def test_a_destination_that_is_gone_pauses_and_costs_no_attempt(watch: Watch, target: Path, everything: Look) -> None:
    uploader = DirectoryUploader(target, require_marker="marker")
    manager = watch.manager(uploader)
    watch.tree.put("clip.mov", b"first")
    watch.tree.put("other.mov", b"second")
    watch.run(manager)
    # A day of it: far more than the eight attempts that a failing task has.
    for _ in range(48):
        watch.clock.advance(timedelta(minutes=30))
        manager.process()
    assert {(task.state.value, task.attempts) for task in manager.tasks()} == {("pending", 0)}
    assert [(pause.scope, pause.value) for pause in watch.tasks.pauses()] == [
        (PauseScope.DESTINATION, uploader.destination_id)
    ]
    (target / "marker").touch()
    for _ in range(3):
        watch.clock.advance(timedelta(hours=1))
        manager.process()
    assert everything() == {"marker": b"", "clip.mov": b"first", "other.mov": b"second"}
    assert manager.counts()[TaskState.SUCCESS] == 2


def test_one_destination_that_is_gone_does_not_hold_up_the_other(
    watch: Watch, target: Path, tmp_path: Path, everything: Look
) -> None:
    manager = watch.manager(AllOf([DirectoryUploader(tmp_path / "missing"), DirectoryUploader(target)]))
    for number in range(5):
        watch.tree.put(f"{number}.mov", b"%d" % number)
    watch.run(manager)
    manager.process()
    assert everything() == {f"{number}.mov": b"%d" % number for number in range(5)}
    assert {str(state): count for state, count in manager.counts().items() if count} == {"success": 5, "pending": 5}


def test_what_was_delivered_verifies(watch: Watch, target: Path) -> None:
    uploader = DirectoryUploader(target)
    manager = watch.manager(uploader)
    watch.tree.put(b"undecodable \xff.mov", b"first")
    watch.run(manager)
    receipt = _only(manager).receipt
    assert receipt is not None
    assert uploader.verify(None, receipt)
