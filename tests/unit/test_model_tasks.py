"""Tasks and claims as values: named tuples that cannot be changed and tell nothing that is not for logs."""

from __future__ import annotations

import pytest

from media_watch_tasks.model.identity import Fingerprint, Route, task_key
from media_watch_tasks.model.tasks import Claim, ClaimRef, NewTask, Task, TaskState

ROUTE = Route("local:/mnt/archive", "DirectoryUploader:/mnt/backup")
KEY = task_key(ROUTE, b"clip.mp4", Fingerprint(1, 2))
TASK = Task(
    id=7,
    route=ROUTE,
    asset_id=b"clip.mp4",
    fingerprint=Fingerprint(1, 2),
    key_bytes=KEY,
    state=TaskState.PENDING,
    due_ns=3,
    enqueued_ns=4,
    live_since_ns=5,
    updated_ns=6,
    resume_state={"session": "what an uploader keeps for itself"},
)


def test_the_text_of_a_task_shows_neither_its_resume_state_nor_its_key() -> None:
    for text in (repr(TASK), str(TASK), f"{Claim(TASK, 1)}"):
        assert "id=7" in text
        assert "updated_ns=6" in text
        assert "keeps for itself" not in text
        assert "key_bytes" not in text


@pytest.mark.parametrize("value", [TASK, Claim(TASK, 1), ClaimRef(7, 1)])
def test_a_value_of_the_queue_cannot_be_changed(value: tuple[object, ...]) -> None:
    for field in value._fields:  # type: ignore[attr-defined]  # of a named tuple
        with pytest.raises(AttributeError):
            setattr(value, field, None)


def test_a_claim_names_itself_by_task_and_token() -> None:
    assert Claim(TASK, 9).ref == ClaimRef(task_id=7, token=9)


def test_a_new_task_has_the_key_of_its_version() -> None:
    assert NewTask(route=ROUTE, asset_id=b"clip.mp4", fingerprint=Fingerprint(1, 2), due_ns=0).key == KEY
