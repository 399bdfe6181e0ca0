"""ActingContract: what a task store promises that lets one process at a time do an after-upload action.

class TestMyActions(ActingContract):
    def make_store(self):
        return MyTaskStore(...)

    def another(self, store):
        return MyTaskStore(...)  # the same queue as another process has it
"""

# ruff: noqa: S101, D102 - a suite asserts, a test's name states its fact

from __future__ import annotations

import pytest

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.tasks import ClaimRequest, NewTask
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.contracts.shared_queue import SharedQueueSuite

__all__ = ["ActingContract"]

_ROUTE = Route("camera", "archive")
_HOUR_NS = 3_600 * 10**9


class ActingContract(SharedQueueSuite):
    """`TaskStore.acting`, asked by two processes. It is for stores that several processes share."""

    @staticmethod
    def delivered(store: TaskStore, count: int = 1, *, action: str | None = "delete") -> list[int]:
        """The ids of delivered tasks that owe this action."""
        store.enqueue_if_absent(
            [NewTask(route=_ROUTE, asset_id=b"%d" % n, fingerprint=Fingerprint(1, 1), due_ns=0) for n in range(count)]
        )
        request = ClaimRequest(
            worker_id=store.register_worker(), routes=(_ROUTE,), limit=count, lease_ns=_HOUR_NS,
            longest_delay_ns=_HOUR_NS,
        )  # fmt: skip
        claims = store.claim_batch(request)
        assert len(claims) == count
        store.settle([Delivered(ref=claim.ref, receipt=UploadReceipt("there"), action=action) for claim in claims])
        return [claim.task.id for claim in claims]

    def test_one_process_at_a_time_does_an_action(self, here: TaskStore, there: TaskStore) -> None:
        (task_id,) = self.delivered(here)
        with here.acting(task_id) as mine:
            assert mine
            with there.acting(task_id) as theirs:
                assert not theirs, "somebody is at it"
        with there.acting(task_id) as theirs:
            assert theirs, "it was let go, and is owed"

    def test_an_action_that_fails_is_free_for_another_process(self, here: TaskStore, there: TaskStore) -> None:
        (task_id,) = self.delivered(here)
        with pytest.raises(LookupError), here.acting(task_id) as mine:
            raise LookupError if mine else AssertionError("nobody is at it")
        with there.acting(task_id) as theirs:
            assert theirs

    def test_an_action_that_is_done_is_not_done_again(self, here: TaskStore, there: TaskStore) -> None:
        (task_id,) = self.delivered(here)
        with here.acting(task_id) as mine:
            assert mine
            assert here.finish_action(task_id)
        for store in (here, there):
            with store.acting(task_id) as allowed:
                assert not allowed, "it is done"

    def test_an_action_that_is_not_owed_is_not_done(self, here: TaskStore, there: TaskStore) -> None:
        (task_id,) = self.delivered(here, action=None)
        for owed_by_nobody in (task_id, task_id + 1):
            with there.acting(owed_by_nobody) as allowed:
                assert not allowed

    def test_an_action_keeps_nobody_from_those_of_other_tasks(self, here: TaskStore, there: TaskStore) -> None:
        first, *others = self.delivered(here, 20)
        free = 0
        with here.acting(first) as mine:
            assert mine
            for task_id in others:
                with there.acting(task_id) as theirs:
                    free += theirs
        assert free > len(others) // 2, "now and then two tasks may share a lock; these do it far too often"
        for task_id in others:
            with there.acting(task_id) as theirs:
                assert theirs, "what had to wait is owed still"
