"""TaskStore suite: what becomes of a task that is enqueued."""

# ruff: noqa: S101, PLR2004, D102 - a suite asserts, its numbers are its data, a test's name states its fact

from __future__ import annotations

from datetime import timedelta

import pytest

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import to_ns
from media_watch_tasks.model.identity import Fingerprint, Route, task_key
from media_watch_tasks.model.settlements import Cancelled, Dead, PauseScope
from media_watch_tasks.model.tasks import EnqueueOutcome, NewTask, TaskSelection, TaskState, WaitReason
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.task_store_base import (
    OTHER_DESTINATION,
    OTHER_SOURCE,
    ROUTE,
    TaskStoreSuite,
    only,
)

__all__ = ["EnqueueContract"]

_HOSTILE_NAMES = (
    pytest.param(bytes(range(1, 256)).replace(b"/", b""), id="every byte"),
    pytest.param(b"\xff\xfe/\x80.mov", id="undecodable"),
    pytest.param(b'it\'s "quoted"; DROP TABLE task; --\\.mov', id="quotes"),
    pytest.param(b"line\r\nbreak\t.mov", id="control characters"),
    pytest.param(b"d/" + b"x" * 255, id="255 bytes"),
    pytest.param("Ärger/日本語 🎬.mov".encode(), id="UTF-8"),
    pytest.param("\ud800lone".encode("utf-8", "surrogatepass"), id="lone surrogate"),
)


class EnqueueContract(TaskStoreSuite):
    """`enqueue_if_absent`."""

    def test_a_task_holds_what_it_was_given(self, store: TaskStore, clock: FakeClock) -> None:
        new = self.new("2026/clip.mov", due_ns=5, priority=7, tags={"b", "a"}, constraints={"power", "network"})
        task = self.task(store, self.enqueue_one(store, new))
        assert (task.route, task.asset_id, task.fingerprint) == (new.route, new.asset_id, new.fingerprint)
        assert task.key_bytes == task_key(new.route, new.asset_id, new.fingerprint)
        assert (task.due_ns, task.priority) == (5, 7)
        assert (task.tags, task.constraints) == (new.tags, new.constraints)
        assert (task.enqueued_ns, task.live_since_ns, task.updated_ns) == (clock.now_ns(),) * 3
        assert (task.state, task.waits_for, task.attempts, task.crashes) == (TaskState.PENDING, None, 0, 0)
        assert (task.ever_begun, task.replaced) == (False, False)
        assert (task.reason, task.error, task.resume_state, task.progress) == (None,) * 4
        assert (task.receipt, task.delivered_ns) == (None, None)

    def test_results_come_one_for_each_task_in_order(self, store: TaskStore) -> None:
        a = self.enqueue_one(store, self.new("a"))
        results = store.enqueue_if_absent([self.new("b"), self.new("a"), self.new("c")])
        assert [result.outcome for result in results] == ["enqueued", "live", "enqueued"]
        assert results[1].task_id == a
        for result, name in ((results[0], b"b"), (results[2], b"c")):
            assert result.task_id is not None
            assert self.task(store, result.task_id).asset_id == name, "each result names its own task"

    def test_nothing_to_enqueue_gives_no_result(self, store: TaskStore) -> None:
        assert list(store.enqueue_if_absent([])) == []

    def test_large_batches_are_written_whole(self, store: TaskStore) -> None:
        ids = self.enqueue(store, *(self.new(f"{number}.mov") for number in range(2_500)))
        assert len(set(ids)) == 2_500, "each task has an id of its own"
        assert store.counts()[TaskState.PENDING] == 2_500

    @pytest.mark.parametrize("name", _HOSTILE_NAMES)
    def test_names_come_back_byte_by_byte(self, store: TaskStore, worker: str, name: bytes) -> None:
        self.enqueue(store, self.new(name))
        task = self.claim(store, self.request(worker)).task
        assert task.asset_id == name, "the name was changed on its way through the store"
        assert self.outcomes(store, self.new(name)) == ["live"], "the store does not find the name again"
        assert self.ids(store, TaskSelection(asset_ids=frozenset({name}))) == [task.id]

    def test_ids_of_parties_come_back_exactly(self, store: TaskStore, worker: str) -> None:
        route = Route("smb://nas/\udcff'\"\n", "Ziel \udc80;")
        self.enqueue(store, self.new(route=route))
        assert self.claim(store, self.request(worker, routes=(route,))).task.route == route

    def test_tags_come_back_exactly(self, store: TaskStore) -> None:
        tags = {"", "a,b", '["x"]', "日本", "'; --", "a\nb"}
        assert self.task(store, self.enqueue_one(store, self.new(tags=tags))).tags == tags

    def test_extreme_fingerprints_come_back_exactly(self, store: TaskStore) -> None:
        for number, fingerprint in enumerate((Fingerprint(0, -1), Fingerprint(2**63 - 1, 2**63 - 1))):
            new = NewTask(route=ROUTE, asset_id=b"%d" % number, fingerprint=fingerprint, due_ns=0)
            assert self.task(store, self.enqueue_one(store, new)).fingerprint == fingerprint

    # ---- live

    def test_a_waiting_task_with_the_key_is_kept(self, store: TaskStore) -> None:
        first = self.enqueue_one(store, self.new())
        result = only(store.enqueue_if_absent([self.new(priority=9)]))
        assert (result.outcome, result.task_id) == (EnqueueOutcome.LIVE, first)
        assert self.task(store, first).priority == 0, "an existing task is kept as it is"

    def test_a_running_task_with_the_key_is_kept(self, store: TaskStore, worker: str) -> None:
        first = self.enqueue_one(store, self.new())
        self.claim(store, self.request(worker))
        result = only(store.enqueue_if_absent([self.new()]))
        assert (result.outcome, result.task_id) == (EnqueueOutcome.LIVE, first)

    def test_a_failed_task_with_the_key_is_kept(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        first = self.enqueue_one(store, self.new())
        self.fail(store, self.claim(store, self.request(worker)).ref, retry_ns=clock.now_ns() + 1)
        assert only(store.enqueue_if_absent([self.new()])).task_id == first
        assert self.task(store, first).state == TaskState.FAILED

    def test_the_second_of_two_equal_tasks_of_a_call_finds_the_first(self, store: TaskStore) -> None:
        first, second = store.enqueue_if_absent([self.new(), self.new()])
        assert (first.outcome, second.outcome) == (EnqueueOutcome.ENQUEUED, EnqueueOutcome.LIVE)
        assert second.task_id == first.task_id

    def test_equal_assets_of_other_routes_are_other_tasks(self, store: TaskStore) -> None:
        tasks = [self.new(route=route) for route in (ROUTE, OTHER_SOURCE, OTHER_DESTINATION)]
        assert len(set(self.enqueue(store, *tasks))) == 3

    def test_equal_content_under_other_names_is_another_task(self, store: TaskStore) -> None:
        assert len(self.enqueue(store, self.new("a", size=5), self.new("b", size=5))) == 2

    # ---- delivered

    def test_the_latest_delivered_version_is_not_enqueued(self, store: TaskStore, worker: str) -> None:
        self.delivered_task(store, worker, self.new())
        result = only(store.enqueue_if_absent([self.new()]))
        assert (result.outcome, result.task_id) == (EnqueueOutcome.DELIVERED, None)

    def test_a_version_that_was_restored_is_sent_again(self, store: TaskStore, worker: str) -> None:
        for version in (1, 2):
            self.delivered_task(store, worker, self.new(version=version))
        assert self.outcomes(store, self.new(version=1)) == ["enqueued"], "A -> B -> A: the destination holds B"
        assert self.claim(store, self.request(worker)).task.fingerprint == self.new(version=1).fingerprint

    def test_a_delivered_version_waits_behind_another_that_runs(self, store: TaskStore, worker: str) -> None:
        self.delivered_task(store, worker, self.new(version=1))
        self.enqueue(store, self.new(version=2))
        running = self.claim(store, self.request(worker))
        assert self.outcomes(store, self.new(version=1)) == ["behind"], "the running one may overwrite it"
        self.deliver(store, running.ref)
        assert self.claim(store, self.request(worker)).task.fingerprint == self.new(version=1).fingerprint

    def test_a_delivered_version_is_enqueued_once_work_on_another_has_begun(
        self, store: TaskStore, worker: str
    ) -> None:
        self.delivered_task(store, worker, self.new(version=1))
        self.enqueue(store, self.new(version=2))
        store.settle([Dead(ref=self.claim(store, self.request(worker)).ref, reason="permanent")])
        assert self.outcomes(store, self.new(version=1)) == ["enqueued"], "nobody knows what the destination holds"

    def test_a_delivered_version_stands_while_no_work_on_another_has_begun(self, store: TaskStore, worker: str) -> None:
        self.delivered_task(store, worker, self.new(version=1))
        self.enqueue(store, self.new(version=2))
        claim = self.claim(store, self.request(worker, begin=False))
        store.settle([Cancelled(ref=claim.ref, reason="source_gone")])
        assert self.outcomes(store, self.new(version=1)) == ["delivered"]

    def test_a_version_that_died_is_enqueued_again(self, store: TaskStore, worker: str) -> None:
        first = self.enqueue_one(store, self.new())
        store.settle([Dead(ref=self.claim(store, self.request(worker)).ref, reason="permanent")])
        assert self.enqueue_one(store, self.new()) != first
        assert self.state(store, first) == (TaskState.DEAD, None, "permanent")

    def test_work_on_a_key_is_remembered_by_its_next_task(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new(version=1))
        store.settle([Cancelled(ref=self.claim(store, self.request(worker)).ref, reason="user")])
        self.enqueue(store, self.new(version=1))
        again = self.claim(store, self.request(worker))
        assert again.task.ever_begun, "the earlier task may have left something at the destination"

    def test_work_on_a_key_is_not_taken_for_work_on_another(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new(version=1))
        store.settle([Cancelled(ref=self.claim(store, self.request(worker)).ref, reason="user")])
        self.enqueue(store, self.new(version=2))
        assert not self.claim(store, self.request(worker)).task.ever_begun

    # ---- newer versions

    def test_a_newer_version_replaces_the_one_that_waits(self, store: TaskStore, worker: str) -> None:
        old = self.enqueue_one(store, self.new(version=1))
        claim = self.claim(store, self.request(worker))
        assert store.save_resume_state(claim.ref, {"upload": "one"})
        self.fail(store, claim.ref)
        result = only(store.enqueue_if_absent([self.new(version=2)]))
        assert result.outcome is EnqueueOutcome.SUPERSEDED
        assert self.state(store, old) == (TaskState.CANCELLED, None, "superseded")
        task = self.claim(store, self.request(worker)).task
        assert (task.id, task.fingerprint) == (result.task_id, self.new(version=2).fingerprint)
        assert (task.attempts, task.resume_state) == (1, None), "parts of two versions must never meet"
        assert not store.claim_batch(self.request(worker)), "of one asset at most one task is live here"

    def test_a_newer_version_replaces_one_that_is_held(self, store: TaskStore) -> None:
        self.pause(store, PauseScope.TAG, "big")
        old = self.enqueue_one(store, self.new(version=1, tags={"big"}))
        assert self.outcomes(store, self.new(version=2)) == ["superseded"]
        assert self.task(store, old).state == TaskState.CANCELLED

    def test_of_two_versions_of_a_call_the_later_one_stays(self, store: TaskStore) -> None:
        first, second = store.enqueue_if_absent([self.new(version=1), self.new(version=2)])
        assert [first.outcome, second.outcome] == ["enqueued", "superseded"]
        assert first.task_id is not None
        assert self.state(store, first.task_id) == (TaskState.CANCELLED, None, "superseded")
        assert self.ids(store, TaskSelection(states=frozenset({TaskState.PENDING}))) == [second.task_id]

    def test_a_newer_version_waits_behind_the_one_that_runs(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new(version=1))
        running = self.claim(store, self.request(worker))
        result = only(store.enqueue_if_absent([self.new(version=2)]))
        assert result.outcome is EnqueueOutcome.BEHIND
        assert result.task_id is not None, "a version that appears beside a running task must not be lost"
        assert self.state(store, result.task_id) == (TaskState.PENDING, WaitReason.BEHIND, None)
        assert not store.claim_batch(self.request(worker)), "of one asset at most one task runs"
        self.deliver(store, running.ref)
        assert self.claim(store, self.request(worker)).task.id == result.task_id

    def test_a_third_version_takes_the_place_of_the_one_behind(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new(version=1))
        running = self.claim(store, self.request(worker))
        second = self.enqueue_one(store, self.new(version=2))
        assert self.outcomes(store, self.new(version=3), self.new(version=3)) == ["behind", "live"]
        assert self.state(store, second) == (TaskState.CANCELLED, None, "superseded")
        self.deliver(store, running.ref)
        assert self.claim(store, self.request(worker)).task.fingerprint == self.new(version=3).fingerprint

    # ---- force

    def test_force_sends_a_delivered_version_again(self, store: TaskStore, worker: str) -> None:
        first = self.delivered_task(store, worker, self.new())
        again = self.enqueue_one(store, self.new(force=True))
        assert again != first
        claim = self.claim(store, self.request(worker))
        assert claim.task.id == again
        assert not claim.task.ever_begun, (
            "asked whether it is there, the destination would say yes, and nothing be sent"
        )

    def test_force_takes_the_place_of_a_waiting_task(self, store: TaskStore) -> None:
        first = self.enqueue_one(store, self.new())
        result = only(store.enqueue_if_absent([self.new(force=True, priority=5)]))
        assert result.outcome is EnqueueOutcome.SUPERSEDED
        assert self.state(store, first) == (TaskState.CANCELLED, None, "superseded")
        assert result.task_id is not None
        assert self.task(store, result.task_id).priority == 5

    def test_force_keeps_a_running_task_with_the_key(self, store: TaskStore, worker: str) -> None:
        running = self.enqueue_one(store, self.new())
        self.claim(store, self.request(worker))
        result = only(store.enqueue_if_absent([self.new(force=True)]))
        assert (result.outcome, result.task_id) == (EnqueueOutcome.LIVE, running)

    # ---- waiting

    def test_a_task_settles_until_it_is_due(self, store: TaskStore, clock: FakeClock) -> None:
        due = clock.now_ns() + to_ns(timedelta(seconds=10))
        task_id = self.enqueue_one(store, self.new(due_ns=due))
        assert self.state(store, task_id) == (TaskState.PENDING, WaitReason.SETTLING, None)
        clock.advance(10)
        assert self.task(store, task_id).waits_for is None

    def test_a_task_of_a_paused_tag_is_held(self, store: TaskStore, worker: str) -> None:
        self.pause(store, PauseScope.TAG, "big")
        held = self.enqueue_one(store, self.new("a", tags={"small", "big"}))
        free = self.enqueue_one(store, self.new("b", tags={"small"}))
        assert self.task(store, held).waits_for is WaitReason.HELD, "a pause counts for tasks enqueued later, too"
        assert self.claimed_ids(store, self.request(worker, limit=5)) == [free]

    def test_ids_grow_and_are_never_used_again(self, store: TaskStore, clock: FakeClock) -> None:
        first = self.enqueue(store, self.new("a"), self.new("b"))
        assert first == sorted(first)
        store.cancel(TaskSelection())
        assert store.purge(TaskSelection(), before_ns=clock.now_ns() + 1) == 2
        assert self.enqueue_one(store, self.new("a")) > max(first), "a purged id was used again"
