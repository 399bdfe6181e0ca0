"""TaskStore suite: pauses, held tasks, interrupts."""

# ruff: noqa: S101, D102 - a suite asserts, a test's name states its fact

from __future__ import annotations

import pytest

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.model.settlements import Pause, PauseScope
from media_watch_tasks.model.tasks import TaskSelection, TaskState, WaitReason
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.task_store_base import OTHER_DESTINATION, ROUTE, TaskStoreSuite, only

__all__ = ["PauseContract"]

_PARTIES = (
    pytest.param(PauseScope.ALL, "", id="all"),
    pytest.param(PauseScope.TAG, "big", id="tag"),
    pytest.param(PauseScope.SOURCE, ROUTE.source_id, id="source"),
    pytest.param(PauseScope.DESTINATION, ROUTE.destination_id, id="destination"),
)


class PauseContract(TaskStoreSuite):
    """`pause`, `resume`, `pauses`, `interrupts`."""

    # ---- the list

    def test_pauses_are_listed_as_they_were_set(self, store: TaskStore, clock: FakeClock) -> None:
        pauses = {
            Pause(scope=PauseScope.ALL, reason="moving house"),
            Pause(scope=PauseScope.TAG, value="ü'\udcff", until_ns=clock.now_ns() + 1),
            Pause(
                scope=PauseScope.DESTINATION,
                value="archive",
                until_ns=clock.now_ns() + 1,
                reason="full",
                automatic=True,
                rounds=4,
                task_id=7,
            ),
        }
        for pause in pauses:
            store.pause(pause)
        assert set(store.pauses()) == pauses

    def test_a_pause_replaces_the_one_of_its_party(self, store: TaskStore) -> None:
        self.pause(store, PauseScope.SOURCE, "a", until_ns=2**62)
        self.pause(store, PauseScope.SOURCE, "a")
        self.pause(store, PauseScope.SOURCE, "b")
        self.pause(store, PauseScope.DESTINATION, "a")
        assert len(store.pauses()) == len(("source a", "source b", "destination a"))
        assert all(pause.until_ns is None for pause in store.pauses())

    def test_resuming_ends_a_pause(self, store: TaskStore) -> None:
        self.pause(store, PauseScope.SOURCE, "a")
        assert not store.resume(PauseScope.SOURCE, "b")
        assert not store.resume(PauseScope.DESTINATION, "a")
        assert store.resume(PauseScope.SOURCE, "a")
        assert not store.resume(PauseScope.SOURCE, "a"), "there is none any more"
        assert not store.pauses()

    @pytest.mark.parametrize(("scope", "value"), _PARTIES)
    def test_a_pause_of_people_is_gone_when_its_time_is_over(
        self, store: TaskStore, clock: FakeClock, scope: PauseScope, value: str
    ) -> None:
        self.pause(store, scope, value, until_ns=clock.now_ns() + NANOSECONDS)
        assert store.pauses()
        clock.advance(1)
        assert not store.pauses()
        assert not store.resume(scope, value)

    @pytest.mark.parametrize("scope", [PauseScope.SOURCE, PauseScope.DESTINATION])
    def test_an_automatic_pause_is_listed_until_a_delivery(
        self, store: TaskStore, worker: str, clock: FakeClock, scope: PauseScope
    ) -> None:
        value = ROUTE.source_id if scope is PauseScope.SOURCE else ROUTE.destination_id
        self.pause(store, scope, value, until_ns=clock.now_ns() + NANOSECONDS, automatic=True)
        clock.advance(1)
        self.enqueue(store, self.new())
        claim = self.claim(store, self.request(worker))
        assert store.pauses(), "its rounds still count: the next one lasts longer"
        self.deliver(store, claim.ref)
        assert not store.pauses()

    def test_a_delivery_ends_the_pauses_of_its_own_parties(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        for scope, value in ((PauseScope.SOURCE, "phone"), (PauseScope.DESTINATION, "cloud")):
            self.pause(store, scope, value, until_ns=clock.now_ns() + NANOSECONDS, automatic=True)
        clock.advance(1)
        self.delivered_task(store, worker, self.new())
        assert {pause.value for pause in store.pauses()} == {"phone", "cloud"}
        self.delivered_task(store, worker, self.new(route=OTHER_DESTINATION))
        assert {pause.value for pause in store.pauses()} == {"phone"}

    # ---- held tasks

    def test_a_paused_tag_holds_what_waits(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        later = clock.now_ns() + NANOSECONDS
        failed = self.enqueue_one(store, self.new("failed", tags={"big"}))
        self.fail(store, self.claim(store, self.request(worker)).ref, retry_ns=later)
        ids = self.enqueue(store, self.new("ready", tags={"big"}), self.new("settling", tags={"big"}, due_ns=later))
        free = self.enqueue_one(store, self.new("free", tags={"small"}))
        self.pause(store, PauseScope.TAG, "big")
        for task_id in (failed, *ids):
            assert self.task(store, task_id).waits_for is WaitReason.HELD
        clock.advance(2)
        assert self.claimed_ids(store, self.request(worker, limit=9, force=True)) == [free]
        assert self.task(store, failed).state is TaskState.FAILED
        assert store.next_due_ns([ROUTE]) is None, "a held task waits for people, not for a time"

    def test_resuming_gives_the_earlier_wait_back(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        later = clock.now_ns() + 10 * NANOSECONDS
        failed = self.enqueue_one(store, self.new("failed", tags={"big"}))
        self.fail(store, self.claim(store, self.request(worker)).ref, retry_ns=later)
        snoozed = self.enqueue_one(store, self.new("snoozed", tags={"big"}))
        self.release(store, self.claim(store, self.request(worker)).ref, due_ns=later)
        ready, settling = self.enqueue(
            store, self.new("ready", tags={"big"}), self.new("settling", tags={"big"}, due_ns=later)
        )
        before = store.tasks(TaskSelection())
        self.pause(store, PauseScope.TAG, "big")
        assert store.resume(PauseScope.TAG, "big")
        assert store.tasks(TaskSelection()) == before
        assert self.claimed_ids(store, self.request(worker, limit=9)) == [ready]
        clock.advance(10)
        assert self.claimed_ids(store, self.request(worker, limit=9)) == [failed, snoozed, settling]

    def test_a_hold_ends_by_itself_when_the_time_is_over(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        task_id = self.enqueue_one(store, self.new(tags={"big"}))
        self.pause(store, PauseScope.TAG, "big", until_ns=clock.now_ns() + NANOSECONDS)
        assert self.task(store, task_id).waits_for is WaitReason.HELD
        clock.advance(1)
        assert self.task(store, task_id).waits_for is None
        assert self.claimed_ids(store, self.request(worker)) == [task_id]

    def test_a_task_is_held_until_all_its_tags_go_on(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new(tags={"a", "b", "c"}))
        self.pause(store, PauseScope.TAG, "a")
        self.pause(store, PauseScope.TAG, "b")
        store.resume(PauseScope.TAG, "a")
        assert self.task(store, task_id).waits_for is WaitReason.HELD
        store.resume(PauseScope.TAG, "b")
        assert self.claimed_ids(store, self.request(worker)) == [task_id]

    def test_what_comes_back_to_a_paused_tag_is_held(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        released, failed = self.enqueue(store, self.new("a", tags={"big"}), self.new("b", tags={"big"}))
        first, second = store.claim_batch(self.request(worker, limit=2))
        self.pause(store, PauseScope.TAG, "big")
        self.release(store, first.ref)
        self.fail(store, second.ref, retry_ns=clock.now_ns() + NANOSECONDS)
        for task_id in (released, failed):
            assert self.task(store, task_id).waits_for is WaitReason.HELD
        assert not store.claim_batch(self.request(worker, limit=9))

    def test_a_retried_task_of_a_paused_tag_is_held(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new(tags={"big"}))
        store.cancel(TaskSelection())
        self.pause(store, PauseScope.TAG, "big")
        assert store.retry(TaskSelection()) == ((task_id,), {})
        assert self.task(store, task_id).waits_for is WaitReason.HELD
        store.resume(PauseScope.TAG, "big")
        assert self.claimed_ids(store, self.request(worker)) == [task_id]

    # ---- running ones

    def test_nobody_is_interrupted_without_a_cause(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new(tags={"big"}))
        self.claim(store, self.request(worker))
        self.pause(store, PauseScope.TAG, "small")
        self.pause(store, PauseScope.SOURCE, "phone")
        self.pause(store, PauseScope.DESTINATION, "cloud")
        assert not store.interrupts(worker)

    @pytest.mark.parametrize(("scope", "value"), _PARTIES)
    def test_a_paused_party_interrupts_what_runs(
        self, store: TaskStore, worker: str, clock: FakeClock, scope: PauseScope, value: str
    ) -> None:
        self.enqueue(store, self.new(tags={"big"}))
        claim = self.claim(store, self.request(worker))
        self.pause(store, scope, value, until_ns=clock.now_ns() + NANOSECONDS)
        interrupt = only(store.interrupts(worker))
        assert interrupt.ref == claim.ref
        assert interrupt.paused, "it is to be released, not to be cancelled"
        assert not store.interrupts(store.register_worker()), "it is for the worker that holds the task"
        clock.advance(1)
        assert not store.interrupts(worker)

    def test_a_probe_of_a_paused_destination_is_not_interrupted(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        self.enqueue(store, self.new())
        until = clock.now_ns() + NANOSECONDS
        self.pause(store, PauseScope.DESTINATION, ROUTE.destination_id, until_ns=until, automatic=True)
        clock.advance(1)
        self.claim(store, self.request(worker))
        assert not store.interrupts(worker)

    def test_a_cancelled_task_is_cancelled_although_it_is_paused_too(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new())
        self.claim(store, self.request(worker))
        self.pause(store, PauseScope.ALL)
        store.cancel(TaskSelection())
        interrupt = only(store.interrupts(worker))
        assert not interrupt.paused
