"""TaskStore suite: who gets which task."""

# ruff: noqa: S101, D102 - a suite asserts, a test's name states its fact

from __future__ import annotations

import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import to_ns
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.settlements import Delivered, PauseScope, Released
from media_watch_tasks.model.tasks import TaskSelection, TaskState, WaitReason
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.task_store_base import (
    OTHER_DESTINATION,
    OTHER_SOURCE,
    ROUTE,
    TaskStoreSuite,
)

__all__ = ["ClaimContract"]

_ALL_ROUTES = (ROUTE, OTHER_SOURCE, OTHER_DESTINATION)


class ClaimContract(TaskStoreSuite):
    """`claim_batch` and `begin`."""

    # ---- which, and in what order

    def test_tasks_go_by_priority_then_due_time_then_id(self, store: TaskStore, worker: str) -> None:
        ids = self.enqueue(
            store,
            self.new("late", due_ns=9),
            self.new("early", due_ns=3),
            self.new("early too", due_ns=3),
            self.new("urgent", due_ns=9, priority=5),
            self.new("idle", due_ns=0, priority=-5),
        )
        expected = [ids[3], ids[1], ids[2], ids[0], ids[4]]
        one_by_one = [self.claim(store, self.request(worker)).task.id for _ in range(2)]
        assert one_by_one + self.claimed_ids(store, self.request(worker, limit=9)) == expected

    def test_the_order_holds_across_routes_and_constraints(self, store: TaskStore, worker: str) -> None:
        wishes: list[Collection[str]] = [(), ("power",), ("power", "network")]
        tasks = [
            self.new(
                f"{number}", route=_ALL_ROUTES[number % 3], constraints=wishes[number // 3 % 3], priority=number % 4
            )
            for number in range(36)
        ]
        ids = self.enqueue(store, *tasks)
        expected = sorted(ids, key=lambda task_id: (-tasks[task_id - ids[0]].priority, task_id))
        request = self.request(worker, limit=10, routes=_ALL_ROUTES)
        assert [task_id for _ in range(4) for task_id in self.claimed_ids(store, request)] == expected

    def test_the_order_holds_for_tasks_that_have_just_become_due(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        due = clock.now_ns() + to_ns(timedelta(seconds=1))
        ids = self.enqueue(
            store,
            self.new("waits", due_ns=due),
            self.new("waits, urgent", due_ns=due, priority=1),
            self.new("ready"),
            self.new("ready, urgent", priority=1),
        )
        clock.advance(1)
        assert self.claimed_ids(store, self.request(worker, limit=9)) == [ids[3], ids[1], ids[2], ids[0]]

    def test_no_more_than_the_limit_are_claimed(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, *(self.new(f"{number}") for number in range(5)))
        assert [len(store.claim_batch(self.request(worker, limit=limit))) for limit in (0, 2, 2, 2)] == [0, 2, 2, 1]

    def test_a_claimed_task_is_given_to_nobody_else(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new())
        self.claim(store, self.request(worker))
        for again in (worker, store.register_worker()):
            assert not store.claim_batch(self.request(again)), "a task was given away twice"

    def test_threads_share_the_tasks_without_overlap(self, store: TaskStore) -> None:
        ids = self.enqueue(store, *(self.new(f"{number}") for number in range(120)))
        start = threading.Barrier(4)

        def work() -> list[int]:
            worker = store.register_worker()
            start.wait()
            taken: list[int] = []
            while claims := store.claim_batch(self.request(worker, limit=3)):
                taken += [claim.task.id for claim in claims]
                store.settle([Delivered(ref=claim.ref, receipt=UploadReceipt("x")) for claim in claims])
            return taken

        with ThreadPoolExecutor(4) as pool:
            taken = [task_id for future in [pool.submit(work) for _ in range(4)] for task_id in future.result()]
        assert sorted(taken) == ids, "each task is taken exactly once"

    def test_only_tasks_of_the_asked_routes_are_claimed(self, store: TaskStore, worker: str) -> None:
        ids = self.enqueue(store, *(self.new(route=route) for route in _ALL_ROUTES))
        for route, task_id in zip(_ALL_ROUTES, ids, strict=True):
            claimed = self.claimed_ids(store, self.request(worker, limit=9, routes=(route,)))
            assert claimed == [task_id], "a manager works for its own sources and destinations alone"

    def test_a_route_nobody_knows_has_no_tasks(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new())
        assert not store.claim_batch(self.request(worker, routes=(OTHER_SOURCE,)))

    def test_tasks_that_are_not_due_stay(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        task_id = self.enqueue_one(store, self.new(due_ns=clock.now_ns() + to_ns(timedelta(seconds=10))))
        clock.advance(9)
        assert not store.claim_batch(self.request(worker))
        clock.advance(1)
        assert self.claimed_ids(store, self.request(worker)) == [task_id]

    def test_a_due_time_beyond_the_longest_delay_is_pulled_in(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        task_id = self.enqueue_one(store, self.new(due_ns=clock.now_ns() + to_ns(timedelta(seconds=10))))
        clock.advance_wall(-timedelta(days=400))  # the camera of this machine's battery is empty: the clock is wrong
        request = self.request(worker)
        assert not store.claim_batch(request)
        assert self.task(store, task_id).due_ns == clock.now_ns() + request.longest_delay_ns
        clock.advance(timedelta(days=1))
        assert self.claimed_ids(store, request) == [task_id], "a clock that jumped back must not stop a task for ever"

    def test_a_due_time_is_pulled_in_by_the_claim_that_frees_the_task(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        self.enqueue(store, self.new())
        assert len(store.claim_batch(self.request(worker))) == 1
        due_ns = clock.now_ns() + to_ns(timedelta(days=2))
        (newer,) = self.enqueue(store, self.new(version=2, due_ns=due_ns))
        clock.advance(timedelta(days=1))  # the lease of the earlier version is over
        clock.advance_wall(-timedelta(days=400))
        request = self.request(store.register_worker("another"))
        assert not store.claim_batch(request)
        assert self.task(store, newer).due_ns == clock.now_ns() + request.longest_delay_ns

    def test_tasks_with_an_unmet_constraint_are_passed_by(self, store: TaskStore, worker: str) -> None:
        power, both, none = self.enqueue(
            store,
            self.new("power", constraints={"power"}),
            self.new("both", constraints={"power", "network"}),
            self.new("none"),
        )
        assert self.claimed_ids(store, self.request(worker, limit=9, unmet={"power", "unheard of"})) == [none]
        assert self.claimed_ids(store, self.request(worker, limit=9, unmet={"network"})) == [power]
        assert self.state(store, both) == (TaskState.PENDING, None, None), "an unmet constraint costs nothing"
        assert self.claimed_ids(store, self.request(worker, limit=9)) == [both]

    def test_a_worker_that_is_not_registered_gets_nothing(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new())
        store.unregister_worker(worker)
        for stranger in ("stranger", worker):
            with pytest.raises(ConfigurationError):
                store.claim_batch(self.request(stranger))

    # ---- what a claim is

    def test_a_claim_shows_the_task_as_it_runs(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        new = self.new(tags={"t"}, constraints={"c"}, priority=3)
        task_id = self.enqueue_one(store, new)
        clock.advance(1)
        claim = self.claim(store, self.request(worker))
        task = claim.task
        assert (task.id, task.route, task.asset_id, task.fingerprint) == (task_id, ROUTE, b"a.mov", new.fingerprint)
        assert (task.tags, task.constraints, task.priority) == (new.tags, new.constraints, 3)
        assert (task.key_bytes, claim.ref.task_id, claim.ref.token) == (new.key, task_id, claim.token)
        assert (task.state, task.waits_for, task.attempts) == (TaskState.UPLOADING, None, 1)
        assert task.updated_ns == clock.now_ns()
        assert self.task(store, task_id).state == TaskState.UPLOADING

    def test_tokens_grow_from_claim_to_claim(self, store: TaskStore, worker: str) -> None:
        assert store.last_token() == 0
        self.enqueue(store, self.new("a"), self.new("b"))
        tokens = []
        for _ in range(4):
            claim = self.claim(store, self.request(worker))
            assert store.last_token() == claim.token
            tokens.append(claim.token)
            self.release(store, claim.ref)
        assert tokens == sorted(set(tokens)), "a token that is used twice fences nothing"

    def test_tokens_grow_although_everything_was_purged(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, self.new())
        token = self.claim(store, self.request(worker)).token
        store.unregister_worker(worker)
        store.cancel(TaskSelection())
        store.purge(TaskSelection(), before_ns=clock.now_ns() + 1)
        self.enqueue(store, self.new())
        assert self.claim(store, self.request(store.register_worker())).token > token

    def test_an_attempt_that_is_not_begun_is_not_counted(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new())
        claim = self.claim(store, self.request(worker, begin=False))
        assert claim.task.attempts == 0
        assert store.begin([claim.ref]) == {task_id}
        assert self.task(store, task_id).attempts == 1
        assert store.begin([claim.ref]) == {task_id}
        assert self.task(store, task_id).attempts == 1, "an attempt is counted once"

    def test_a_lost_claim_can_not_begin(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new())
        lost = self.claim(store, self.request(worker, begin=False))
        self.release(store, lost.ref)
        held = self.claim(store, self.request(worker, begin=False))
        assert store.begin([lost.ref]) == frozenset()
        assert self.task(store, held.task.id).attempts == 0

    def test_a_claim_says_whether_work_had_begun_before_it(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new())
        first = self.claim(store, self.request(worker, begin=False))
        assert not first.task.ever_begun
        self.release(store, first.ref)
        second = self.claim(store, self.request(worker))
        assert not second.task.ever_begun, "a claim that was never begun has sent nothing"
        assert self.task(store, task_id).ever_begun
        self.release(store, second.ref)
        assert self.claim(store, self.request(worker)).task.ever_begun, "a release does not undo what was sent"

    def test_a_run_takes_each_task_once(self, store: TaskStore, worker: str) -> None:
        first, second = self.enqueue(store, self.new("a"), self.new("b"))
        self.fail(store, self.claim(store, self.request(worker)).ref)
        floor = store.last_token()
        assert self.claimed_ids(store, self.request(worker, floor=floor)) == [first], "claimed before the run began"
        store.unregister_worker(worker)
        worker = store.register_worker()
        floor = store.last_token()
        claims = store.claim_batch(self.request(worker, limit=2, floor=floor))
        for claim in claims:
            self.fail(store, claim.ref)
        assert not store.claim_batch(self.request(worker, limit=2, floor=floor)), "claimed in this run"
        other = store.register_worker()
        assert self.claimed_ids(store, self.request(other, limit=2, floor=floor)) == [first, second]

    # ---- force

    def test_force_skips_back_off(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        later = clock.now_ns() + to_ns(timedelta(hours=1))
        low, high = self.enqueue(store, self.new("low"), self.new("high", priority=2))
        for claim in store.claim_batch(self.request(worker, limit=2)):
            self.fail(store, claim.ref, retry_ns=later)
        middle = self.enqueue_one(store, self.new("middle", priority=1))
        assert self.claimed_ids(store, self.request(worker, limit=9, force=True)) == [high, middle, low]

    def test_force_skips_no_other_wait(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        later = clock.now_ns() + to_ns(timedelta(hours=1))
        snoozed = self.enqueue_one(store, self.new("snoozed"))
        self.release(store, self.claim(store, self.request(worker)).ref, due_ns=later)
        held = self.enqueue_one(store, self.new("held", tags={"big"}))
        self.fail(store, self.claim(store, self.request(worker)).ref, retry_ns=later)
        self.pause(store, PauseScope.TAG, "big")
        settling = self.enqueue_one(store, self.new("settling", due_ns=later))
        paused = self.enqueue_one(store, self.new("paused", route=OTHER_DESTINATION))
        self.pause(store, PauseScope.DESTINATION, OTHER_DESTINATION.destination_id)
        running = self.enqueue_one(store, self.new("running"))
        self.claim(store, self.request(worker))
        behind = self.enqueue_one(store, self.new("running", version=2))
        blocked = self.enqueue_one(store, self.new("blocked", constraints={"power"}))
        request = self.request(worker, limit=9, force=True, routes=_ALL_ROUTES, unmet={"power"})
        assert not store.claim_batch(request)
        waits = {task.id: task.waits_for for task in store.tasks(TaskSelection())}
        assert waits == {
            snoozed: WaitReason.SNOOZED,
            held: WaitReason.HELD,
            settling: WaitReason.SETTLING,
            paused: None,
            running: None,
            behind: WaitReason.BEHIND,
            blocked: None,
        }

    def test_force_leaves_what_it_does_not_take_in_back_off(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        self.enqueue(store, self.new("a"), self.new("b"))
        for claim in store.claim_batch(self.request(worker, limit=2)):
            self.fail(store, claim.ref, retry_ns=clock.now_ns() + to_ns(timedelta(hours=1)))
        assert len(store.claim_batch(self.request(worker, force=True))) == 1
        assert not store.claim_batch(self.request(worker, limit=2))

    # ---- pauses of parties

    @pytest.mark.parametrize(
        ("scope", "value"),
        [
            (PauseScope.ALL, ""),
            (PauseScope.SOURCE, ROUTE.source_id),
            (PauseScope.DESTINATION, ROUTE.destination_id),
        ],
    )
    def test_a_paused_party_gets_nothing_done(
        self, store: TaskStore, worker: str, clock: FakeClock, scope: PauseScope, value: str
    ) -> None:
        task_id = self.enqueue_one(store, self.new())
        self.pause(store, scope, value)
        assert not store.claim_batch(self.request(worker))
        self.pause(store, scope, value, until_ns=clock.now_ns() + to_ns(timedelta(minutes=1)))
        assert not store.claim_batch(self.request(worker))
        clock.advance(60)
        assert self.claimed_ids(store, self.request(worker)) == [task_id], (
            "a pause ends by itself when its time is over"
        )

    def test_a_pause_stops_only_what_it_names(self, store: TaskStore, worker: str) -> None:
        ids = self.enqueue(store, *(self.new(route=route) for route in _ALL_ROUTES))
        self.pause(store, PauseScope.SOURCE, OTHER_SOURCE.source_id)
        self.pause(store, PauseScope.DESTINATION, OTHER_DESTINATION.destination_id)
        self.pause(store, PauseScope.TAG, ROUTE.source_id)
        assert self.claimed_ids(store, self.request(worker, limit=9, routes=_ALL_ROUTES)) == [ids[0]]

    def test_a_claim_that_nobody_touched_leaves_no_trace(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new())
        request = self.request(worker, floor=store.last_token())
        before = self.task(store, task_id)
        claim = self.claim(store, request)
        assert store.settle([Released(ref=claim.ref, untouched=True)]).settled == {task_id}
        assert self.task(store, task_id) == before
        again = self.claim(store, request)
        assert (again.task.id, again.task.attempts, again.task.ever_begun) == (task_id, 1, False), "not in this run yet"
        assert again.token > claim.token
        store.settle([Released(ref=again.ref)])
        assert not store.claim_batch(request), "work that was begun is for the next run"
        assert self.claim(store, self.request(worker)).task.ever_begun
