"""What a cut-off upload left at the destination goes when its task ends without a delivery, and not before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from media_watch_tasks.abc import UploadContext
from media_watch_tasks.errors import PermanentError, TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.options import RetryOptions
from media_watch_tasks.testing.fakes import ResumableFakeUploader

SIZE = 2_000_000


class CutOff(ResumableFakeUploader):
    """Sends a part, then meets what it is told to."""

    def __init__(self, ends: Callable[[], object]) -> None:
        super().__init__(part_size=100_000)
        self.ends = ends

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        if not self.unfinished:
            self.unfinished["upload-1"] = b"a part"
        context.save_resume_state({"upload_id": "upload-1"})
        self.ends()
        context.cancel.wait(60)
        context.cancel.raise_if_cancelled()
        raise AssertionError("nothing ended the upload")


def _raises(error: Exception) -> Callable[[], object]:
    def end() -> None:
        raise error

    return end


def test_a_failed_upload_keeps_its_parts_until_the_task_is_dead(rig: Any) -> None:
    uploader = CutOff(_raises(TransientError("the line dropped")))
    manager = rig.watching(uploader=uploader, retry=RetryOptions(attempts=2))
    rig.tree.put("clip.mov", b"x" * SIZE)
    rig.deliver(manager)
    assert (rig.only_task(manager).state, uploader.aborted) == (TaskState.FAILED, [])
    rig.settle(24 * 3600)
    manager.process()
    assert (rig.only_task(manager).state, uploader.aborted) == (TaskState.DEAD, ["upload-1"])


def test_a_permanent_failure_removes_the_parts(rig: Any) -> None:
    uploader = CutOff(_raises(PermanentError("too large")))
    manager = rig.watching(uploader=uploader)
    rig.tree.put("clip.mov", b"x" * SIZE)
    rig.deliver(manager)
    assert (rig.only_task(manager).state, uploader.aborted) == (TaskState.DEAD, ["upload-1"])


def test_a_newer_version_removes_the_parts_of_the_older_one(rig: Any) -> None:
    uploader = CutOff(_raises(TransientError("the line dropped")))
    manager = rig.watching(uploader=uploader)
    rig.tree.put("clip.mov", b"x" * SIZE)
    rig.deliver(manager)
    rig.tree.change("clip.mov", b"y" * SIZE + b"more")
    rig.settle(24 * 3600)
    manager.process()
    assert [task.reason for task in manager.tasks() if task.state is TaskState.CANCELLED] == ["superseded"]
    assert uploader.aborted == ["upload-1"]


def test_a_running_upload_that_is_cancelled_removes_its_parts(rig: Any) -> None:
    uploader = CutOff(lambda: None)
    manager = rig.watching(uploader=uploader)
    uploader.ends = lambda: manager.cancel(everything=True)
    rig.tree.put("clip.mov", b"x" * SIZE)
    rig.deliver(manager)
    assert (rig.only_task(manager).state, uploader.aborted) == (TaskState.CANCELLED, ["upload-1"])


def test_a_waiting_task_that_is_cancelled_removes_its_parts(rig: Any) -> None:
    uploader = CutOff(_raises(TransientError("the line dropped")))
    manager = rig.watching(uploader=uploader)
    rig.tree.put("clip.mov", b"x" * SIZE)
    rig.deliver(manager)
    assert uploader.aborted == []
    manager.cancel(everything=True)
    assert (rig.only_task(manager).state, uploader.aborted) == (TaskState.CANCELLED, ["upload-1"])


def test_leftovers_that_cannot_be_removed_change_nothing(rig: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(CutOff):
        def abort(self, resume_state: Mapping[str, Any]) -> None:
            raise TransientError("https://user:canary@example.org/?token=canary is away")

    manager = rig.watching(uploader=Stubborn(_raises(PermanentError("too large"))))
    rig.tree.put("clip.mov", b"x" * SIZE)
    rig.deliver(manager)
    assert rig.only_task(manager).state is TaskState.DEAD
    assert "could not be removed" in caplog.text
    assert "canary" not in caplog.text


def test_a_scan_that_finds_a_newer_version_leaves_the_parts_of_the_older_one_to_the_next_run(rig: Any) -> None:
    uploader = CutOff(_raises(TransientError("the line dropped")))
    manager = rig.watching(uploader=uploader)
    rig.tree.put("clip.mov", b"x" * SIZE)
    rig.deliver(manager)
    rig.tree.change("clip.mov", b"y" * SIZE + b"more")
    manager.scan_and_enqueue_new()
    assert uploader.aborted == []
    manager.process()
    assert uploader.aborted == ["upload-1"]
    manager.process()
    assert uploader.aborted == ["upload-1"], "once"


def test_what_could_not_be_removed_is_owed_also_after_a_restart(rig: Any) -> None:
    class Away(CutOff):
        def abort(self, resume_state: Mapping[str, Any]) -> None:
            tried.append(resume_state["upload_id"])
            raise TransientError("no route to host")

    tried: list[str] = []
    manager = rig.watching(uploader=Away(_raises(PermanentError("too large"))))
    rig.tree.put("clip.mov", b"x" * SIZE)
    rig.deliver(manager)
    assert tried == ["upload-1"]
    manager.close()
    uploader = CutOff(_raises(PermanentError("too large")))
    uploader.unfinished["upload-1"] = b"a part"
    rig.watching(uploader=uploader).process()
    assert (uploader.aborted, uploader.unfinished) == (["upload-1"], {})


def test_what_can_never_be_removed_is_not_tried_for_ever(rig: Any) -> None:
    class Forbidden(CutOff):
        def abort(self, resume_state: Mapping[str, Any]) -> None:
            tried.append(resume_state["upload_id"])
            raise PermanentError("this server removes nothing")

    tried: list[str] = []
    manager = rig.watching(uploader=Forbidden(_raises(PermanentError("too large"))))
    rig.tree.put("clip.mov", b"x" * SIZE)
    rig.deliver(manager)
    manager.process()
    assert tried == ["upload-1"]
