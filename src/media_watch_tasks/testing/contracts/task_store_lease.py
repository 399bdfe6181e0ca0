"""TaskStore suite: leases, and what becomes of the work of workers that died."""

# ruff: noqa: S101, PLR2004, D102 - a suite asserts, its numbers are its data, a test's name states its fact

from __future__ import annotations

from datetime import timedelta

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.tasks import TaskState, WaitReason
from media_watch_tasks.model.uploads import Stage, UploadProgress, UploadReceipt
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.task_store_base import BACKOFF_NS, LEASE, TaskStoreSuite

__all__ = ["LeaseContract"]

_HOUR = timedelta(hours=1)


class LeaseContract(TaskStoreSuite):
    """`extend`, `take_back`, and lapsed leases in `claim_batch`."""

    def take_back(self, store: TaskStore, *, dead_after: int = 5, asking: str | None = None) -> int:
        """Take back with the usual policy."""
        return store.take_back(dead_after=dead_after, backoff_ns=BACKOFF_NS, asking=asking)

    def test_a_lease_holds_until_its_end(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        task_id = self.enqueue_one(store, self.new())
        self.claim(store, self.request(worker))
        clock.advance(LEASE - timedelta(microseconds=1))
        assert self.take_back(store) == 0
        clock.advance(timedelta(microseconds=1))
        assert self.take_back(store) == 1
        assert self.take_back(store) == 0, "it is taken back once"
        assert self.task(store, task_id).state == TaskState.PENDING

    def test_a_claim_takes_back_what_dead_workers_held(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        task_id = self.enqueue_one(store, self.new())
        self.crash(store, clock)
        assert not store.claim_batch(self.request(worker)), "the task that a worker died on waits first"
        assert self.state(store, task_id) == (TaskState.PENDING, WaitReason.BACKOFF, None)
        clock.advance(_HOUR)
        assert self.claimed_ids(store, self.request(worker)) == [task_id], (
            "a task of a dead worker must not be stranded"
        )

    def test_a_claim_takes_back_as_the_latest_take_back_was_told(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        task_id = self.enqueue_one(store, self.new())
        wait_ns = 7 * 3_600 * NANOSECONDS
        store.take_back(dead_after=2, backoff_ns=(wait_ns,))
        self.crash(store, clock)
        died_ns = clock.now_ns()
        assert not store.claim_batch(self.request(worker))
        assert self.task(store, task_id).due_ns == died_ns + wait_ns
        clock.advance(timedelta(hours=8))
        self.crash(store, clock)
        assert not store.claim_batch(self.request(worker))
        assert self.state(store, task_id) == (TaskState.DEAD, None, "crashed")

    def test_a_settle_takes_back_before_it_claims(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        first, second = self.enqueue(store, self.new("a"), self.new("b"))
        self.claim(store, self.request(store.register_worker(), begin=False))
        mine = self.claim(store, self.request(worker, lease=_HOUR))
        clock.advance(LEASE)
        result = store.settle([Delivered(ref=mine.ref, receipt=UploadReceipt("x"))], then_claim=self.request(worker))
        assert result.settled == {second}
        assert [claim.task.id for claim in result.claims] == [first]

    def test_leases_do_not_follow_the_wall_clock(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, self.new())
        claim = self.claim(store, self.request(worker))
        for jump in (timedelta(days=400), -timedelta(days=800)):
            clock.advance_wall(jump)
            assert self.take_back(store) == 0, "the wall clock jumps, and would take work away from the living"
        assert store.extend([claim.ref], lease_ns=NANOSECONDS) == {claim.task.id}

    def test_leases_run_on_while_the_machine_sleeps(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, self.new())
        self.claim(store, self.request(worker))
        clock.advance_boot(LEASE)
        assert self.take_back(store) == 1

    def test_a_reboot_ends_all_leases(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, self.new())
        self.claim(store, self.request(worker))
        clock.reboot()
        assert self.take_back(store) == 1
        clock.advance(_HOUR)
        reborn = store.register_worker()
        self.claim(store, self.request(reborn))
        assert self.take_back(store) == 0, "a lease of this boot holds"

    def test_an_extension_moves_the_end(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        a, b = self.enqueue(store, self.new("a"), self.new("b"))
        first, second = store.claim_batch(self.request(worker, limit=2))
        clock.advance(LEASE - timedelta(seconds=1))
        assert store.extend([first.ref, second.ref], lease_ns=2 * NANOSECONDS) == {a, b}
        clock.advance(1)
        assert self.take_back(store) == 0
        clock.advance(1)
        assert self.take_back(store) == 2, "the new end counts from the extension"

    def test_an_extension_is_refused_once_the_claim_is_lost(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        a, b = self.enqueue(store, self.new("a"), self.new("b"))
        first, second = store.claim_batch(self.request(worker, limit=2))
        self.deliver(store, first.ref)
        assert store.extend([first.ref, second.ref], lease_ns=NANOSECONDS) == {b}
        clock.advance(LEASE)
        self.take_back(store)
        clock.advance(_HOUR)
        self.claim(store, self.request(store.register_worker()))
        assert store.extend([second.ref], lease_ns=NANOSECONDS) == frozenset(), "another worker holds it now"
        assert self.task(store, a).state == TaskState.SUCCESS

    def test_a_lapsed_lease_nobody_took_can_be_extended(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        task_id = self.enqueue_one(store, self.new())
        claim = self.claim(store, self.request(worker))
        clock.advance(LEASE)
        assert store.extend([claim.ref], lease_ns=NANOSECONDS) == {task_id}
        assert self.take_back(store) == 0

    def test_an_extension_keeps_the_progress(self, store: TaskStore, worker: str) -> None:
        a, b = self.enqueue(store, self.new("a"), self.new("b"))
        claims = store.claim_batch(self.request(worker, limit=2))
        progress = UploadProgress(Stage.TRANSFER, 50, 100)
        store.extend([claim.ref for claim in claims], lease_ns=NANOSECONDS, progress={a: progress})
        assert (self.task(store, a).progress, self.task(store, b).progress) == (progress, None)
        store.extend([claim.ref for claim in claims], lease_ns=NANOSECONDS)
        assert self.task(store, a).progress == progress
        self.release(store, claims[0].ref)
        assert self.claim(store, self.request(worker)).task.progress is None, "a new attempt starts from nothing"

    def test_a_worker_never_takes_back_its_own_work(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, self.new())
        claim = self.claim(store, self.request(worker, begin=False))
        clock.advance(LEASE)
        assert not store.claim_batch(self.request(worker)), "a process must not claim what it still works on"
        assert self.take_back(store, asking=worker) == 0
        self.deliver(store, claim.ref)

    def test_work_that_was_not_begun_is_eligible_at_once(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        task_id = self.enqueue_one(store, self.new())
        self.claim(store, self.request(store.register_worker(), begin=False))
        clock.advance(LEASE)
        claim = self.claim(store, self.request(worker))
        assert (claim.task.id, claim.task.crashes, claim.task.attempts) == (task_id, 0, 1)

    def test_a_crash_gives_the_attempt_back_and_is_counted_apart(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        task_id = self.enqueue_one(store, self.new())
        self.fail(store, self.claim(store, self.request(worker)).ref)
        for crashes, wait_ns in enumerate((*BACKOFF_NS, BACKOFF_NS[-1]), start=1):
            self.crash(store, clock, alone=crashes > 2)
            assert self.take_back(store, dead_after=9) == 1
            task = self.task(store, task_id)
            assert (task.crashes, task.attempts, task.state) == (crashes, 1, TaskState.FAILED)
            assert (task.due_ns, task.waits_for) == (clock.now_ns() + wait_ns, WaitReason.BACKOFF)
            clock.advance(_HOUR)
        assert self.claim(store, self.request(worker, alone=True)).task.ever_begun

    def test_a_task_that_two_workers_died_on_is_given_out_alone(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        suspect = self.enqueue_one(store, self.new("suspect", priority=9))
        for _ in range(2):
            self.crash(store, clock)
            self.take_back(store)
            clock.advance(_HOUR)
        others = self.enqueue(store, self.new("a"), self.new("b"))
        assert self.claimed_ids(store, self.request(worker, limit=9)) == others
        assert self.claimed_ids(store, self.request(worker, limit=9, alone=True)) == [suspect]

    def test_alone_takes_one_task_and_no_healthy_one(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        a, b = self.enqueue(store, self.new("a"), self.new("b"))
        for _ in range(2):
            doomed = store.register_worker()
            assert len(store.claim_batch(self.request(doomed, limit=2))) == 2
            clock.advance(LEASE)
            self.take_back(store)
            clock.advance(_HOUR)
        self.enqueue(store, self.new("healthy"))
        alone = self.request(worker, limit=9, alone=True)
        assert [self.claimed_ids(store, alone) for _ in range(3)] == [[a], [b], []]

    def test_a_task_that_its_workers_keep_dying_on_is_dead(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        task_id = self.enqueue_one(store, self.new())
        for crashes in range(5):
            assert self.task(store, task_id).state == TaskState.PENDING
            self.crash(store, clock, alone=crashes >= 2)
            assert self.take_back(store) == 1
            clock.advance(_HOUR)
        assert self.state(store, task_id) == (TaskState.DEAD, None, "crashed")
        assert not store.claim_batch(self.request(worker, alone=True))
