"""What a TaskStore promises about the time after a delivery: owed actions, moved files, signs of life."""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.settlements import Dead, Delivered, Failed, PauseScope
from media_watch_tasks.model.tasks import ClaimRef, EnqueueOutcome, NewTask, TaskSelection, TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.task_store_base import (
    OTHER_DESTINATION,
    OTHER_SOURCE,
    ROUTE,
    TaskStoreSuite,
    only,
)

__all__ = ["SequelContract"]


class SequelContract(TaskStoreSuite):
    """`move`, owed actions, unfinished uploads, `live_directories`, `activity`."""

    def delivered_owing(self, store: TaskStore, worker: str, new: NewTask) -> int:
        """A delivered task that owes the action `delete`."""
        task_id = self.enqueue_one(store, new)
        claim = self.claim(store, self.request(worker, routes=(new.route,)))
        store.settle([Delivered(ref=claim.ref, receipt=UploadReceipt("there"), action="delete")], durable=True)
        return task_id

    @staticmethod
    def owing(store: TaskStore, *routes: Route, limit: int = 100) -> list[int]:
        """The ids of the tasks that owe an action."""
        return [task.id for task in store.pending_actions(routes or (ROUTE,), limit=limit)]

    # ---- actions

    def test_a_delivery_owes_its_action_until_it_is_done(self, store: TaskStore, worker: str) -> None:
        """`finish_action` ends it, whether it was done or given up."""
        first = self.delivered_owing(store, worker, self.new("a.mov"))
        second = self.delivered_owing(store, worker, self.new("b.mov"))
        assert self.owing(store) == [first, second], "by id"
        assert only(store.pending_actions((ROUTE,), limit=1)).state is TaskState.SUCCESS
        assert self.owing(store, limit=1) == [first]
        assert store.finish_action(first)
        assert self.owing(store) == [second]
        assert store.finish_action(second, error="the file is gone")
        assert self.owing(store) == []

    def test_an_action_is_finished_once(self, store: TaskStore, worker: str) -> None:
        """Of several hosts that were at it, one finishes it."""
        task_id = self.delivered_owing(store, worker, self.new())
        assert [store.finish_action(task_id) for _ in range(3)] == [True, False, False]
        assert not store.finish_action(self.delivered_task(store, worker, self.new("b.mov")))

    def test_a_delivery_without_an_action_owes_none(self, store: TaskStore, worker: str) -> None:
        """Nothing happens to the file."""
        self.delivered_task(store, worker, self.new())
        assert self.owing(store) == []

    def test_actions_are_told_by_route(self, store: TaskStore, worker: str) -> None:
        """Each manager does those of its own routes."""
        mine = self.delivered_owing(store, worker, self.new())
        theirs = self.delivered_owing(store, worker, self.new(route=OTHER_DESTINATION))
        assert self.owing(store) == [mine]
        assert self.owing(store, OTHER_DESTINATION) == [theirs]
        assert self.owing(store, OTHER_SOURCE) == []

    def test_a_lost_claim_owes_nothing(self, store: TaskStore, worker: str) -> None:
        """A file would be deleted at its source that was not delivered."""
        task_id = self.enqueue_one(store, self.new())
        claim = self.claim(store, self.request(worker))
        stale = Delivered(ref=ClaimRef(task_id, claim.token + 1), receipt=UploadReceipt("there"), action="delete")
        assert store.settle([stale]).settled == frozenset()
        assert self.owing(store) == []

    def test_a_lost_claim_owes_nothing_beside_the_one_that_holds(self, store: TaskStore, worker: str) -> None:
        """In one batch with a settlement that acts, too."""
        task_id = self.enqueue_one(store, self.new())
        claim = self.claim(store, self.request(worker))
        stale = Delivered(ref=ClaimRef(task_id, claim.token + 1), receipt=UploadReceipt("there"), action="delete")
        failed = Failed(ref=claim.ref, retry_ns=0, error="no route to host")
        assert store.settle([stale, failed]).settled == {task_id}
        assert self.task(store, task_id).state is TaskState.FAILED
        assert self.owing(store) == [], "what acted was no delivery"

    def test_finishing_the_action_of_an_unknown_task_does_nothing(self, store: TaskStore, worker: str) -> None:
        """It may have been purged meanwhile."""
        task_id = self.delivered_owing(store, worker, self.new())
        assert not store.finish_action(task_id + 1_000)
        assert self.owing(store) == [task_id]

    # ---- unfinished uploads

    def cut_off(self, store: TaskStore, worker: str, new: NewTask) -> int:
        """A task whose upload was cut off; it waits for its next attempt."""
        task_id = self.enqueue_one(store, new)
        claim = self.claim(store, self.request(worker, routes=(new.route,)))
        assert store.save_resume_state(claim.ref, {"upload": new.asset_id.decode()})
        later = claim.task.enqueued_ns + 3_600_000_000_000
        store.settle([Failed(ref=claim.ref, retry_ns=later, error="no route to host")])
        return task_id

    @staticmethod
    def unfinished(store: TaskStore, *routes: Route, limit: int = 100) -> list[int]:
        """The ids of ended tasks that have a resume state."""
        return [task.id for task in store.unfinished(routes or (ROUTE,), limit=limit)]

    def test_a_task_that_ended_with_a_resume_state_is_unfinished_until_it_is_said_not_to_be(
        self, store: TaskStore, worker: str
    ) -> None:
        """Whatever ended it: here a person, in the next test a newer version."""
        first = self.cut_off(store, worker, self.new("a.mov"))
        second = self.cut_off(store, worker, self.new("b.mov"))
        assert self.unfinished(store) == [], "they wait: somebody goes on with what is there"
        store.cancel(TaskSelection())
        assert self.unfinished(store) == [first, second], "by id"
        assert only(store.unfinished((ROUTE,), limit=1)).resume_state == {"upload": "a.mov"}
        store.finish_unfinished(first)
        assert self.unfinished(store) == [second]
        store.finish_unfinished(second)
        store.finish_unfinished(second + 1_000)
        assert self.unfinished(store) == []

    def test_a_newer_version_leaves_the_upload_of_the_older_one_unfinished(self, store: TaskStore, worker: str) -> None:
        """A scan ends the waiting task, and no uploader hears of that."""
        old = self.cut_off(store, worker, self.new())
        assert self.outcomes(store, self.new(version=2)) == [EnqueueOutcome.SUPERSEDED]
        assert self.unfinished(store) == [old]

    def test_a_file_that_moved_leaves_its_upload_unfinished(self, store: TaskStore, worker: str) -> None:
        """The new path gets a task of its own."""
        old = self.cut_off(store, worker, self.new("old.mov"))
        store.move(ROUTE, b"old.mov", b"new.mov")
        assert self.unfinished(store) == [old]

    def test_a_dead_task_may_be_unfinished_and_a_delivered_one_is_not(self, store: TaskStore, worker: str) -> None:
        """What was delivered must not be taken for a leftover."""
        ids = [self.enqueue_one(store, self.new(name)) for name in ("a.mov", "b.mov")]
        for delivered in (False, True):
            claim = self.claim(store, self.request(worker))
            assert store.save_resume_state(claim.ref, {"upload": 1})
            dead = Dead(ref=claim.ref, reason="permanent")
            store.settle([Delivered(ref=claim.ref, receipt=UploadReceipt("there")) if delivered else dead])
        assert self.unfinished(store) == [ids[0]]

    def test_a_live_task_keeps_its_resume_state(self, store: TaskStore, worker: str) -> None:
        """Somebody asked for it again meanwhile: its next attempt goes on, or finds that it cannot."""
        task_id = self.cut_off(store, worker, self.new())
        store.cancel(TaskSelection())
        store.retry(TaskSelection(ids=frozenset({task_id})))
        store.finish_unfinished(task_id)
        assert self.unfinished(store) == []
        claim = self.claim(store, self.request(worker))
        assert claim.task.resume_state is not None

    def test_unfinished_uploads_are_told_by_route(self, store: TaskStore, worker: str) -> None:
        """Each manager removes those of its own destinations."""
        mine = self.cut_off(store, worker, self.new())
        theirs = self.cut_off(store, worker, self.new(route=OTHER_DESTINATION))
        store.cancel(TaskSelection())
        assert self.unfinished(store) == [mine]
        assert self.unfinished(store, OTHER_DESTINATION) == [theirs]
        assert self.unfinished(store, OTHER_SOURCE) == []

    # ---- moves

    def test_a_receipt_moves_under_the_key_of_the_new_path(self, store: TaskStore, worker: str) -> None:
        """What was delivered is known at the new path, and forgotten at the old one."""
        task_id = self.delivered_task(store, worker, self.new("old.mov"), UploadReceipt("object 1"))
        moved = store.move(ROUTE, b"old.mov", b"in/new.mov")
        assert moved is not None
        assert moved == only(store.delivered(ROUTE, [b"in/new.mov"]))
        assert (moved.id, moved.asset_id, moved.key_bytes) == (task_id, b"in/new.mov", self.new("in/new.mov").key)
        assert moved.receipt == UploadReceipt("object 1")
        assert only(store.delivered(ROUTE, [b"old.mov"])) is None
        assert self.outcomes(store, self.new("in/new.mov")) == [EnqueueOutcome.DELIVERED], "nothing is sent again"
        assert self.outcomes(store, self.new("old.mov")) == [EnqueueOutcome.ENQUEUED], "the old path is a new file"

    def test_a_receipt_that_stood_at_the_new_path_is_replaced(self, store: TaskStore, worker: str) -> None:
        """Of an asset one receipt is the latest."""
        overwritten = self.delivered_task(store, worker, self.new("b.mov"))
        moved = self.delivered_task(store, worker, self.new("a.mov", version=2))
        store.move(ROUTE, b"a.mov", b"b.mov")
        assert self.task(store, overwritten).replaced
        latest = only(store.delivered(ROUTE, [b"b.mov"]))
        assert latest is not None
        assert latest.id == moved

    def test_a_task_that_waits_at_the_old_path_ends_superseded(self, store: TaskStore) -> None:
        """There is nothing to send there any more."""
        task_id = self.enqueue_one(store, self.new("old.mov"))
        assert store.move(ROUTE, b"old.mov", b"new.mov") is None, "nothing was delivered"
        assert self.state(store, task_id) == (TaskState.CANCELLED, None, "superseded")

    def test_a_task_that_runs_at_the_old_path_is_left_alone(self, store: TaskStore, worker: str) -> None:
        """It will find that its file is gone."""
        task_id = self.enqueue_one(store, self.new("old.mov"))
        claim = self.claim(store, self.request(worker))
        behind = self.enqueue_one(store, self.new("old.mov", version=2))
        store.move(ROUTE, b"old.mov", b"new.mov")
        assert self.state(store, behind) == (TaskState.CANCELLED, None, "superseded")
        assert self.task(store, task_id).state is TaskState.UPLOADING
        self.deliver(store, claim.ref)

    def test_other_routes_keep_their_receipts(self, store: TaskStore, worker: str) -> None:
        """A move is made for each route by itself."""
        other = self.delivered_task(store, worker, self.new("old.mov", route=OTHER_DESTINATION))
        self.delivered_task(store, worker, self.new("old.mov"))
        store.move(ROUTE, b"old.mov", b"new.mov")
        there = only(store.delivered(OTHER_DESTINATION, [b"old.mov"]))
        assert there is not None
        assert there.id == other

    # ---- signs of life

    def test_live_directories_are_those_of_assets_with_live_tasks(self, store: TaskStore, worker: str) -> None:
        """A scan lists them whatever their stamps say."""
        self.delivered_task(store, worker, self.new("done/a.mov"))
        running = self.enqueue_one(store, self.new("runs/a.mov"))
        assert self.claim(store, self.request(worker)).task.id == running
        self.enqueue(store, self.new("waits/deep/a.mov"), self.new("waits/deep/b.mov"), self.new("top.mov"))
        self.enqueue(store, self.new("elsewhere/a.mov", route=OTHER_SOURCE))
        assert store.live_directories("camera", limit=100) == frozenset({b"runs", b"waits/deep", b""})
        assert store.live_directories("nobody", limit=100) == frozenset()

    def test_live_directories_of_too_many_tasks_are_not_told(self, store: TaskStore) -> None:
        """None means: list everything."""
        self.enqueue(store, self.new("a/1.mov"), self.new("a/2.mov"), self.new("b/3.mov"))
        assert store.live_directories("camera", limit=3) == frozenset({b"a", b"b"})
        assert store.live_directories("camera", limit=2) is None

    def test_activity_tells_the_earliest_due_time_and_the_latest_delivery(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        """Of the routes that were asked for."""
        assert store.activity((ROUTE,)) == (None, None)
        self.delivered_task(store, worker, self.new("a.mov"))
        clock.advance(60)
        delivered_ns = clock.now_ns()
        self.delivered_task(store, worker, self.new("b.mov"))
        clock.advance(60)
        due_ns = clock.now_ns() + 5
        self.enqueue(store, self.new("c.mov", due_ns=due_ns + 1), self.new("d.mov", due_ns=due_ns))
        assert store.activity((ROUTE,)) == (due_ns, delivered_ns)
        assert store.activity((OTHER_SOURCE,)) == (None, None)
        assert store.activity((ROUTE, OTHER_SOURCE)) == (due_ns, delivered_ns)

    def test_activity_counts_what_is_due_already_and_not_what_is_held(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        """Only what a worker could take waits for one."""
        due_ns = clock.now_ns() - 5
        self.enqueue(store, self.new("a.mov", due_ns=due_ns), self.new("b.mov", due_ns=due_ns - 1, tags=("x",)))
        self.pause(store, PauseScope.TAG, "x")
        assert store.activity((ROUTE,)) == (due_ns, None)
        self.claim(store, self.request(worker))
        assert store.activity((ROUTE,)) == (None, None), "a running task waits for no worker"

    def test_activity_remembers_a_delivery_of_a_file_that_has_moved(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        """It was delivered when it was."""
        delivered_ns = clock.now_ns()
        self.delivered_task(store, worker, self.new("old.mov"))
        clock.advance(60)
        store.move(ROUTE, b"old.mov", b"new.mov")
        assert store.activity((ROUTE,)) == (None, delivered_ns)

    def test_a_purge_takes_no_owed_action_of_a_latest_receipt(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        """Latest receipts are kept, with what they owe."""
        task_id = self.delivered_owing(store, worker, self.new())
        clock.advance(60)
        store.purge(TaskSelection(), before_ns=clock.now_ns())
        assert self.owing(store) == [task_id]
