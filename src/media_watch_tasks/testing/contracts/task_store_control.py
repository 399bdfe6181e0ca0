"""TaskStore suite: what people do with tasks and ask about them."""

# ruff: noqa: S101, PLR2004, D102 - a suite asserts, its numbers are its data, a test's name states its fact

from __future__ import annotations

from datetime import timedelta

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import NANOSECONDS, to_ns
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.settlements import Cancelled, Dead
from media_watch_tasks.model.tasks import TaskSelection, TaskState, WaitReason
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.task_store_base import (
    OTHER_DESTINATION,
    OTHER_SOURCE,
    ROUTE,
    TaskStoreSuite,
    only,
)

__all__ = ["ControlContract"]

_HOUR_NS = to_ns(timedelta(hours=1))


def _ids(*ids: int) -> TaskSelection:
    return TaskSelection(ids=frozenset(ids))


class ControlContract(TaskStoreSuite):
    """Workers, `cancel`, `retry`, `tasks`, `counts`, `next_due_ns`, `purge`."""

    def dead_task(self, store: TaskStore, worker: str, name: str = "a.mov", *, version: int = 1) -> int:
        """Enqueue a task, and let it die; nothing else may be eligible."""
        task_id = self.enqueue_one(store, self.new(name, version=version))
        claim = self.claim(store, self.request(worker))
        assert claim.task.id == task_id, "another task was eligible"
        store.settle([Dead(ref=claim.ref, reason="permanent", error="403")])
        return task_id

    # ---- workers

    def test_worker_ids_are_never_used_again(self, store: TaskStore) -> None:
        ids = set()
        for name in ("", "a/../b\0", "a/../b\0", "x" * 300):
            worker = store.register_worker(name)
            store.unregister_worker(worker)
            ids.add(worker)
        assert len(ids) == 4

    def test_a_worker_that_leaves_releases_what_it_holds(self, store: TaskStore, worker: str) -> None:
        a, b, c = self.enqueue(store, self.new("a"), self.new("b"), self.new("c"))
        claims = store.claim_batch(self.request(worker, limit=2))
        other = store.register_worker()
        store.extend([self.claim(store, self.request(other)).ref], lease_ns=_HOUR_NS)
        store.unregister_worker(worker)
        assert [self.task(store, task_id).state for task_id in (a, b, c)] == ["pending", "pending", "uploading"]
        assert self.task(store, a).attempts == 0, "the attempt is given back"
        assert store.extend([claim.ref for claim in claims], lease_ns=1) == frozenset()
        assert self.claimed_ids(store, self.request(other, limit=9)) == [a, b]

    def test_leaving_twice_changes_nothing(self, store: TaskStore, worker: str) -> None:
        store.unregister_worker(worker)
        store.unregister_worker(worker)
        store.unregister_worker("never registered")

    # ---- cancel

    def test_cancelling_ends_what_waits(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        ids = self.enqueue(store, self.new("ready"), self.new("waits", due_ns=clock.now_ns() + 1), self.new("failed"))
        self.fail(store, store.claim_batch(self.request(worker, limit=2))[1].ref, retry_ns=clock.now_ns() + 1)
        store.unregister_worker(worker)
        assert store.cancel(TaskSelection(), reason="log-out") == (3, 0)
        for task_id in ids:
            assert self.state(store, task_id) == (TaskState.CANCELLED, None, "log-out")
        clock.advance(1)
        assert not store.claim_batch(self.request(store.register_worker(), limit=9))
        assert store.cancel(TaskSelection()) == (0, 0), "what has ended cannot be cancelled"

    def test_cancelling_asks_what_runs(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new())
        claim = self.claim(store, self.request(worker))
        assert store.cancel(TaskSelection()) == (0, 1)
        assert self.task(store, task_id).state == TaskState.UPLOADING
        interrupt = only(store.interrupts(worker))
        assert (interrupt.ref, interrupt.paused) == (claim.ref, False)
        store.settle([Cancelled(ref=claim.ref, reason="user")])
        assert not store.interrupts(worker)

    def test_cancelling_reaches_the_version_behind(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new(version=1))
        claim = self.claim(store, self.request(worker))
        behind = self.enqueue_one(store, self.new(version=2))
        assert store.cancel(TaskSelection()) == (1, 1)
        self.deliver(store, claim.ref)
        assert self.task(store, behind).state == TaskState.CANCELLED
        assert not store.claim_batch(self.request(worker))

    def test_cancelling_what_runs_lets_the_version_behind_follow(self, store: TaskStore, worker: str) -> None:
        older = self.enqueue_one(store, self.new(version=1))
        claim = self.claim(store, self.request(worker))
        behind = self.enqueue_one(store, self.new(version=2))
        assert store.cancel(_ids(older)) == (0, 1)
        store.settle([Cancelled(ref=claim.ref, reason="user")])
        assert self.claimed_ids(store, self.request(worker)) == [behind]

    def test_a_tag_can_be_cancelled(self, store: TaskStore) -> None:
        a, b, c = self.enqueue(
            store, self.new("a", tags={"x"}), self.new("b", tags={"x", "y"}), self.new("c", tags={"y"})
        )
        assert store.cancel(TaskSelection(tag="x")) == (2, 0)
        assert [self.task(store, task_id).state for task_id in (a, b, c)] == ["cancelled", "cancelled", "pending"]

    # ---- retry

    def test_ended_work_can_be_retried(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        dead = self.dead_task(store, worker, "dead")
        cancelled = self.enqueue_one(store, self.new("cancelled", tags={"t"}, priority=2))
        store.cancel(_ids(cancelled))
        clock.advance(60)
        assert store.retry(TaskSelection()) == ((dead, cancelled), {})
        for task_id in (dead, cancelled):
            task = self.task(store, task_id)
            assert (task.state, task.waits_for, task.reason) == (TaskState.PENDING, None, None)
            assert (task.attempts, task.live_since_ns, task.due_ns) == (0, clock.now_ns(), clock.now_ns())
        assert self.task(store, cancelled).tags == {"t"}
        assert self.claimed_ids(store, self.request(worker, limit=9)) == [cancelled, dead]

    def test_failed_work_can_be_retried_at_once(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        task_id = self.enqueue_one(store, self.new())
        for _ in range(3):
            self.fail(
                store, self.claim(store, self.request(worker, force=True)).ref, retry_ns=clock.now_ns() + _HOUR_NS
            )
        assert store.retry(TaskSelection()) == ((task_id,), {})
        assert self.task(store, task_id).state == TaskState.PENDING
        assert self.claim(store, self.request(worker)).task.attempts == 1, "attempts start afresh"

    def test_retry_forgets_crashes(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        task_id = self.enqueue_one(store, self.new())
        for _ in range(2):
            self.crash(store, clock)
            store.take_back(dead_after=5, backoff_ns=(NANOSECONDS,))
            clock.advance(1)
        store.cancel(TaskSelection())
        store.retry(TaskSelection())
        claim = self.claim(store, self.request(worker))
        assert (claim.task.id, claim.task.crashes) == (task_id, 0)

    def test_retry_remembers_what_was_sent(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new())
        claim = self.claim(store, self.request(worker))
        store.save_resume_state(claim.ref, {"upload": "u"})
        store.settle([Dead(ref=claim.ref, reason="permanent")])
        store.retry(TaskSelection())
        task = self.claim(store, self.request(worker)).task
        assert (task.ever_begun, task.resume_state) == (True, {"upload": "u"})

    def test_retry_skips_what_another_task_does(self, store: TaskStore, worker: str) -> None:
        dead = self.dead_task(store, worker, version=1)
        live = self.enqueue_one(store, self.new(version=2))
        assert store.retry(TaskSelection()) == ((), {dead: "live task"})
        self.claim(store, self.request(worker))
        assert store.retry(_ids(dead, live)) == ((), {dead: "live task", live: "not ended"})
        assert self.task(store, dead).state == TaskState.DEAD

    def test_retry_skips_what_a_newer_delivery_replaced(self, store: TaskStore, worker: str) -> None:
        dead = self.dead_task(store, worker, version=1)
        newer = self.delivered_task(store, worker, self.new(version=2))
        assert store.retry(TaskSelection()) == ((), {dead: "newer version delivered"})
        assert store.retry(_ids(dead, newer)) == ((), {dead: "newer version delivered", newer: "delivered"})

    def test_retry_takes_what_is_newer_than_the_delivery(self, store: TaskStore, worker: str) -> None:
        self.delivered_task(store, worker, self.new(version=1))
        dead = self.dead_task(store, worker, version=2)
        assert store.retry(TaskSelection()) == ((dead,), {})

    def test_retry_takes_the_newest_of_several_versions(self, store: TaskStore, worker: str) -> None:
        dead = [self.dead_task(store, worker, version=version) for version in (1, 2, 3)]
        assert store.retry(TaskSelection()) == ((dead[2],), {dead[0]: "live task", dead[1]: "live task"})
        assert self.claimed_ids(store, self.request(worker, limit=9)) == [dead[2]]

    def test_retry_leaves_pending_tasks_alone(self, store: TaskStore, clock: FakeClock) -> None:
        task_id = self.enqueue_one(store, self.new(due_ns=clock.now_ns() + NANOSECONDS))
        assert store.retry(TaskSelection()) == ((), {})
        assert store.retry(_ids(task_id)) == ((), {task_id: "not ended"})
        assert self.task(store, task_id).waits_for is WaitReason.SETTLING

    def test_a_retried_version_is_known_to_enqueue(self, store: TaskStore, worker: str) -> None:
        self.dead_task(store, worker)
        store.retry(TaskSelection())
        assert self.outcomes(store, self.new()) == ["live"]

    # ---- tasks and counts

    def test_every_field_of_a_selection_narrows_it(self, store: TaskStore, worker: str) -> None:
        self.delivered_task(store, worker, self.new("a", tags={"x"}))
        tasks = [
            self.new("b", tags={"x", "y"}),
            self.new("c", tags={"y"}),
            self.new("b", route=OTHER_SOURCE, tags={"x"}),
            self.new("d", route=OTHER_DESTINATION),
        ]
        self.enqueue(store, *tasks)
        pending = frozenset({TaskState.PENDING})
        assert self.ids(store, TaskSelection()) == [1, 2, 3, 4, 5]
        assert self.ids(store, TaskSelection(tag="x")) == [1, 2, 4]
        assert self.ids(store, TaskSelection(tag="x", states=pending)) == [2, 4]
        assert self.ids(store, TaskSelection(tag="x", states=pending, routes=(ROUTE,))) == [2]
        assert self.ids(store, TaskSelection(routes=(OTHER_SOURCE, OTHER_DESTINATION))) == [4, 5]
        assert self.ids(store, TaskSelection(asset_ids=frozenset({b"b", b"d"}))) == [2, 4, 5]
        assert self.ids(store, TaskSelection(keys=frozenset({tasks[1].key, tasks[2].key}))) == [3, 4]
        assert self.ids(store, TaskSelection(ids=frozenset({1, 5, 99}), asset_ids=frozenset({b"d"}))) == [5]
        for nothing in (
            TaskSelection(routes=()),
            TaskSelection(ids=frozenset()),
            TaskSelection(keys=frozenset()),
            TaskSelection(asset_ids=frozenset()),
            TaskSelection(states=frozenset()),
            TaskSelection(tag="unknown"),
            TaskSelection(routes=(Route("un", "known"),)),
        ):
            assert self.ids(store, nothing) == [], f"{nothing} selects nothing"

    def test_every_state_can_be_selected(self, store: TaskStore, worker: str) -> None:
        self.delivered_task(store, worker, self.new("success"))
        dead = self.dead_task(store, worker, "dead")
        cancelled = self.enqueue_one(store, self.new("cancelled"))
        store.cancel(_ids(cancelled))
        failed = self.enqueue_one(store, self.new("failed"))
        self.fail(store, self.claim(store, self.request(worker)).ref, retry_ns=2**62)
        self.enqueue(store, self.new("uploading"))
        self.claim(store, self.request(worker))
        pending = self.enqueue_one(store, self.new("pending"))
        for state in TaskState:
            found = store.tasks(TaskSelection(states=frozenset({state})))
            assert [task.display for task in found] == [state.value]
            assert [task.state for task in found] == [state]
        waiting = TaskSelection(states=frozenset({TaskState.PENDING, TaskState.FAILED}))
        assert self.ids(store, waiting) == [failed, pending]
        ended = TaskSelection(states=frozenset({TaskState.DEAD, TaskState.CANCELLED}))
        assert self.ids(store, ended) == [dead, cancelled]

    def test_tasks_come_in_portions_by_id(self, store: TaskStore) -> None:
        ids = self.enqueue(store, *(self.new(f"{number}", priority=number) for number in range(5)))
        first = store.tasks(TaskSelection(), limit=2)
        assert [task.id for task in first] == ids[:2]
        rest = store.tasks(TaskSelection(), limit=9, after_id=first[-1].id)
        assert [task.id for task in rest] == ids[2:]

    def test_counts_are_exact_and_name_every_state(self, store: TaskStore, worker: str) -> None:
        assert store.counts() == dict.fromkeys(TaskState, 0)
        self.delivered_task(store, worker, self.new("a", version=1))
        self.delivered_task(store, worker, self.new("a", version=2))
        self.dead_task(store, worker, "b")
        self.enqueue(store, *(self.new(f"{number}") for number in range(6)))
        claims = store.claim_batch(self.request(worker, limit=3))
        self.fail(store, claims[0].ref)
        self.fail(store, claims[1].ref, retry_ns=2**62)
        behind = self.new("2", version=2)
        assert self.outcomes(store, behind, self.new("a", route=OTHER_SOURCE)) == ["behind", "enqueued"]
        store.cancel(TaskSelection(asset_ids=frozenset({b"5"})))
        expected = {"pending": 4, "uploading": 1, "success": 2, "failed": 2, "dead": 1, "cancelled": 1}
        assert store.counts() == expected
        assert store.counts([ROUTE]) == expected | {"pending": 3}
        assert store.counts([OTHER_SOURCE]) == dict.fromkeys(TaskState, 0) | {"pending": 1}
        assert store.counts([ROUTE, OTHER_SOURCE, OTHER_DESTINATION]) == expected
        assert store.counts([]) == dict.fromkeys(TaskState, 0)

    def test_the_next_due_time_is_that_of_waiting_tasks(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        now = clock.now_ns()
        assert store.next_due_ns([ROUTE]) is None
        self.enqueue(store, self.new("ready"), self.new("b", due_ns=now + 5), self.new("c", due_ns=now + 3))
        self.enqueue(store, self.new("other", due_ns=now + 1, route=OTHER_SOURCE))
        assert store.next_due_ns([ROUTE]) == now + 3
        assert store.next_due_ns([ROUTE, OTHER_SOURCE]) == now + 1
        self.fail(store, self.claim(store, self.request(worker)).ref, retry_ns=now + 2)
        assert store.next_due_ns([ROUTE]) == now + 2
        assert store.next_due_ns([OTHER_DESTINATION]) is None

    # ---- purge

    def test_purge_deletes_what_ended_before(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        old = self.dead_task(store, worker, "old")
        cancelled = self.enqueue_one(store, self.new("cancelled", tags={"t"}))
        store.cancel(_ids(cancelled))
        live = self.enqueue_one(store, self.new("live"))
        clock.advance(1)
        before = clock.now_ns()
        young = self.dead_task_beside(store, worker, live)
        assert store.purge(TaskSelection(), before_ns=before) == 2
        assert self.ids(store, TaskSelection()) == [live, young]
        assert self.ids(store, TaskSelection(tag="t")) == []
        assert old not in self.ids(store, TaskSelection(states=frozenset({TaskState.DEAD})))
        assert store.counts()[TaskState.DEAD] == 1

    def dead_task_beside(self, store: TaskStore, worker: str, live: int) -> int:
        """A task that dies while another one is eligible."""
        task_id = self.enqueue_one(store, self.new("young", priority=9))
        claim = self.claim(store, self.request(worker))
        assert claim.task.id == task_id != live
        store.settle([Dead(ref=claim.ref, reason="permanent")])
        return task_id

    def test_purge_keeps_the_latest_receipts(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.delivered_task(store, worker, self.new(version=1))
        latest = self.delivered_task(store, worker, self.new(version=2))
        assert store.purge(TaskSelection(), before_ns=clock.now_ns() + 1) == 1
        assert self.ids(store, TaskSelection()) == [latest]
        assert self.outcomes(store, self.new(version=2)) == ["delivered"], "a receipt that is forgotten sends all again"

    def test_purge_keeps_what_may_have_overwritten_a_delivery(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        delivered = self.delivered_task(store, worker, self.new("a.mov", version=1))
        begun = self.dead_task(store, worker, version=2)
        assert store.purge(TaskSelection(), before_ns=clock.now_ns() + 1) == 0
        assert self.ids(store, TaskSelection()) == [delivered, begun]
        restored = self.outcomes(store, self.new("a.mov", version=1))
        assert restored == ["enqueued"], "nobody knows what of the other version stands there"

    def test_purge_deletes_only_what_is_selected(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        a, b = (self.dead_task(store, worker, name) for name in ("a", "b"))
        assert store.purge(_ids(a), before_ns=clock.now_ns() + 1) == 1
        assert self.ids(store, TaskSelection()) == [b]
