"""TaskStore suite: how work on a task ends."""

# ruff: noqa: S101, PLR2004, D102 - a suite asserts, its numbers are its data, a test's name states its fact

from __future__ import annotations

from datetime import timedelta

import pytest

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import NANOSECONDS, to_ns
from media_watch_tasks.model.settlements import (
    Cancelled,
    Dead,
    Delivered,
    Failed,
    PauseScope,
    Released,
    Settlement,
    Superseded,
)
from media_watch_tasks.model.tasks import ClaimRef, TaskSelection, TaskState, WaitReason
from media_watch_tasks.model.uploads import Stage, UploadProgress, UploadReceipt
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.task_store_base import (
    BACKOFF_NS,
    LEASE,
    OTHER_SOURCE,
    ROUTE,
    TaskStoreSuite,
    only,
)

__all__ = ["SettleContract"]

_HOUR_NS = to_ns(timedelta(hours=1))


def _each_kind(ref: ClaimRef) -> list[Settlement]:
    return [
        Delivered(ref=ref, receipt=UploadReceipt("x")),
        Failed(ref=ref, retry_ns=0, error="e"),
        Dead(ref=ref, reason="permanent"),
        Released(ref=ref),
        Cancelled(ref=ref, reason="user"),
        Superseded(ref=ref, found=TaskStoreSuite.new(version=99).fingerprint, due_ns=0),
    ]


class SettleContract(TaskStoreSuite):
    """`settle`, and `save_resume_state`."""

    # ---- one outcome each

    def test_a_delivered_task_keeps_its_receipt(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        receipt = UploadReceipt(
            "media/ab",
            size=12,
            sha256="ab" * 32,
            etag='"e"',
            verified=True,
            deduplicated=True,
            details={"bucket": "b", "version": "ü"},
        )
        self.enqueue(store, self.new())
        claim = self.claim(store, self.request(worker))
        store.extend([claim.ref], lease_ns=NANOSECONDS, progress={claim.task.id: UploadProgress(Stage.HASH, 1)})
        store.save_resume_state(claim.ref, {"part": 1})
        clock.advance(1)
        self.deliver(store, claim.ref, receipt=receipt)
        task = self.task(store, claim.task.id)
        assert (task.state, task.receipt, task.delivered_ns) == (TaskState.SUCCESS, receipt, clock.now_ns())
        assert (task.attempts, task.updated_ns, task.replaced) == (1, clock.now_ns(), False)
        assert (task.error, task.progress, task.resume_state) == (None, None, None)
        assert not store.claim_batch(self.request(worker)), "what was delivered is done"

    def test_a_bare_receipt_comes_back_as_it_was(self, store: TaskStore, worker: str) -> None:
        task_id = self.delivered_task(store, worker, self.new(), UploadReceipt())
        assert self.task(store, task_id).receipt == UploadReceipt()

    def test_a_hash_of_any_form_comes_back_as_it_was(self, store: TaskStore, worker: str) -> None:
        for number, sha256 in enumerate(("AB" * 32, "not hex", "")):
            task_id = self.delivered_task(store, worker, self.new(f"{number}"), UploadReceipt(sha256=sha256))
            assert self.task(store, task_id).receipt == UploadReceipt(sha256=sha256)

    def test_a_failed_task_is_retried_when_due(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, self.new())
        retry_ns = clock.now_ns() + 5 * NANOSECONDS
        self.fail(store, self.claim(store, self.request(worker)).ref, retry_ns=retry_ns, error="503 from archive")
        task = only(store.tasks(TaskSelection()))
        assert (task.state, task.waits_for, task.due_ns) == (TaskState.FAILED, WaitReason.BACKOFF, retry_ns)
        assert (task.attempts, task.error) == (1, "503 from archive")
        assert not store.claim_batch(self.request(worker))
        clock.advance(5)
        assert self.state(store, task.id) == (TaskState.FAILED, None, None), "failed until it is claimed"
        assert self.claim(store, self.request(worker)).task.attempts == 2

    def test_a_dead_task_stays_with_its_reason(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new())
        ref = self.claim(store, self.request(worker)).ref
        store.settle([Dead(ref=ref, reason="permanent", error="413 too large")])
        task = self.task(store, task_id)
        assert (task.state, task.reason, task.error, task.attempts) == (TaskState.DEAD, "permanent", "413 too large", 1)
        assert not store.claim_batch(self.request(worker))

    def test_a_release_gives_the_attempt_back(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new())
        before = self.task(store, task_id)
        self.release(store, self.claim(store, self.request(worker)).ref)
        after = self.task(store, task_id)
        assert (after.state, after.attempts, after.waits_for) == (TaskState.PENDING, 0, None)
        assert after.due_ns == before.due_ns
        self.fail(store, self.claim(store, self.request(worker)).ref)
        self.release(store, self.claim(store, self.request(worker)).ref)
        assert self.task(store, task_id).attempts == 1
        assert self.task(store, task_id).state == TaskState.FAILED, "back to what it was"

    def test_a_release_of_an_unbegun_claim_gives_nothing_back(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new())
        self.fail(store, self.claim(store, self.request(worker)).ref)
        self.release(store, self.claim(store, self.request(worker, begin=False)).ref)
        assert self.task(store, task_id).attempts == 1

    def test_a_release_may_snooze(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        task_id = self.enqueue_one(store, self.new())
        due = clock.now_ns() + NANOSECONDS
        ref = self.claim(store, self.request(worker)).ref
        store.settle([Released(ref=ref, due_ns=due, note="in use by another program")])
        task = self.task(store, task_id)
        assert (task.waits_for, task.due_ns, task.error) == (WaitReason.SNOOZED, due, "in use by another program")
        clock.advance(1)
        assert self.claimed_ids(store, self.request(worker)) == [task_id]

    def test_a_release_says_what_is_waited_for(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        task_id = self.enqueue_one(store, self.new())
        ref = self.claim(store, self.request(worker)).ref
        self.release(store, ref, due_ns=clock.now_ns() + NANOSECONDS, wait=WaitReason.SETTLING)
        assert self.task(store, task_id).waits_for is WaitReason.SETTLING

    def test_a_cancelled_task_stays_with_its_reason(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new())
        store.settle([Cancelled(ref=self.claim(store, self.request(worker)).ref, reason="source_gone")])
        assert self.state(store, task_id) == (TaskState.CANCELLED, None, "source_gone")

    def test_an_end_counts_as_an_attempt_although_nobody_called_begin(self, store: TaskStore, worker: str) -> None:
        counted = {0: 1, 1: 1, 2: 1, 3: 0, 4: 0}  # delivered, failed, dead; released, cancelled
        for number, attempts in counted.items():
            task_id = self.enqueue_one(store, self.new(f"{number}"))
            store.settle([_each_kind(self.claim(store, self.request(worker, begin=False)).ref)[number]])
            assert self.task(store, task_id).attempts == attempts, f"outcome {number}"
            store.cancel(TaskSelection())

    def test_secrets_in_an_error_do_not_reach_the_store(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new())
        self.fail(store, self.claim(store, self.request(worker)).ref, error="PUT https://u:pw@nas/x?sig=s3cret failed")
        assert self.task(store, task_id).error == "PUT https://nas/x failed"

    # ---- claims

    def test_a_claim_settles_once(self, store: TaskStore, worker: str) -> None:
        for settlement_number in range(6):
            task_id = self.enqueue_one(store, self.new(f"{settlement_number}"))
            ref = self.claim(store, self.request(worker)).ref
            settlement = _each_kind(ref)[settlement_number]
            assert store.settle([settlement]).settled == {task_id}
            after = self.task(store, task_id)
            for late in _each_kind(ref):
                assert store.settle([late]).settled == frozenset()
            assert self.task(store, task_id) == after, f"{settlement} was written over"
            store.cancel(TaskSelection())

    def test_a_lost_claim_settles_nothing(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, self.new())
        lost = self.claim(store, self.request(worker))
        clock.advance(LEASE)
        store.take_back(dead_after=5, backoff_ns=BACKOFF_NS)
        clock.advance(60)
        held = self.claim(store, self.request(store.register_worker()))
        before = self.task(store, held.task.id)
        for settlement in _each_kind(lost.ref):
            assert store.settle([settlement]).settled == frozenset(), "the token is that of a claim that was lost"
        assert not store.save_resume_state(lost.ref, {"from": "the grave"})
        assert self.task(store, held.task.id) == before
        self.deliver(store, held.ref)

    def test_each_claim_of_a_batch_is_judged_by_itself(self, store: TaskStore, worker: str) -> None:
        ids = self.enqueue(store, *(self.new(f"{number}") for number in range(7)))
        claims = store.claim_batch(self.request(worker, limit=7))
        self.deliver(store, claims[6].ref)
        settlements = [_each_kind(claim.ref)[number] for number, claim in enumerate(claims[:6])]
        stale = Delivered(ref=claims[6].ref, receipt=UploadReceipt("late"))
        wrong = Delivered(ref=ClaimRef(claims[5].task.id, claims[5].token + 1), receipt=UploadReceipt("wrong"))
        assert store.settle([*settlements, stale, wrong]).settled == set(ids[:6])
        states = [self.task(store, task_id).state for task_id in ids]
        assert states == ["success", "failed", "dead", "pending", "cancelled", "cancelled", "success"]

    def test_the_first_of_two_settlements_of_a_claim_counts(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new())
        ref = self.claim(store, self.request(worker)).ref
        assert store.settle([Dead(ref=ref, reason="permanent"), Released(ref=ref)]).settled == {task_id}
        assert self.state(store, task_id) == (TaskState.DEAD, None, "permanent")

    def test_large_batches_settle_whole(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, *(self.new(f"{number}") for number in range(1_500)))
        claims = store.claim_batch(self.request(worker, limit=1_500))
        self.deliver(store, *(claim.ref for claim in claims))
        assert store.counts()[TaskState.SUCCESS] == 1_500

    def test_settling_claims_the_next(self, store: TaskStore, worker: str) -> None:
        first, second = self.enqueue(store, self.new("a"), self.new("b"))
        claim = self.claim(store, self.request(worker))
        result = store.settle(
            [Delivered(ref=claim.ref, receipt=UploadReceipt("x"))], then_claim=self.request(worker, limit=9)
        )
        assert result.settled == {first}
        assert [claim.task.id for claim in result.claims] == [second]
        assert result.claims[0].token > claim.token
        assert store.settle([], then_claim=self.request(worker)).claims == ()

    def test_what_a_settlement_frees_can_be_claimed_with_it(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new(version=1))
        claim = self.claim(store, self.request(worker))
        behind = self.enqueue_one(store, self.new(version=2))
        result = store.settle([Dead(ref=claim.ref, reason="permanent")], then_claim=self.request(worker))
        assert only(result.claims).task.id == behind

    # ---- the version behind

    def test_the_version_behind_follows_however_the_work_ends(self, store: TaskStore, worker: str) -> None:
        ends = [(TaskState.SUCCESS, None), (TaskState.CANCELLED, "superseded"), (TaskState.DEAD, "permanent")]
        ends += [(TaskState.CANCELLED, "superseded"), (TaskState.CANCELLED, "user")]
        for number, end in enumerate(ends):
            name = f"{number}"
            older = self.enqueue_one(store, self.new(name, version=1))
            claim = self.claim(store, self.request(worker))
            newer = self.enqueue_one(store, self.new(name, version=2))
            store.settle([_each_kind(claim.ref)[number]])
            state, _, reason = self.state(store, older)
            assert (state, reason) == end, "work that is to be repeated ends where a newer version waits"
            assert self.claimed_ids(store, self.request(worker, limit=9)) == [newer]

    def test_the_version_behind_follows_a_worker_that_died(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        older = self.enqueue_one(store, self.new(version=1))
        self.claim(store, self.request(store.register_worker()))
        newer = self.enqueue_one(store, self.new(version=2))
        clock.advance(LEASE)
        assert self.claimed_ids(store, self.request(worker)) == [newer]
        assert self.state(store, older) == (TaskState.CANCELLED, None, "superseded")

    def test_the_version_behind_keeps_its_own_wait(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, self.new(version=1, tags={"big"}))
        claim = self.claim(store, self.request(worker))
        due = clock.now_ns() + NANOSECONDS
        behind = self.enqueue_one(store, self.new(version=2, due_ns=due, tags={"big"}))
        self.deliver(store, claim.ref)
        assert self.state(store, behind) == (TaskState.PENDING, WaitReason.SETTLING, None)
        self.pause(store, PauseScope.TAG, "big")
        assert self.task(store, behind).waits_for is WaitReason.HELD

    def test_the_version_behind_is_held_where_its_tag_is_paused(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new(version=1))
        claim = self.claim(store, self.request(worker))
        behind = self.enqueue_one(store, self.new(version=2, tags={"big"}))
        self.pause(store, PauseScope.TAG, "big")
        self.deliver(store, claim.ref)
        assert self.task(store, behind).waits_for is WaitReason.HELD
        assert not store.claim_batch(self.request(worker))

    # ---- superseded

    def test_the_version_that_was_found_is_enqueued(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        old = self.new(version=1, priority=4, tags={"t"}, constraints={"power"})
        found = self.new(version=2).fingerprint
        task_id = self.enqueue_one(store, old)
        self.fail(store, self.claim(store, self.request(worker)).ref)
        claim = self.claim(store, self.request(worker))
        store.save_resume_state(claim.ref, {"upload": 1})
        due = clock.now_ns() + NANOSECONDS
        assert store.settle([Superseded(ref=claim.ref, found=found, due_ns=due)]).settled == {task_id}
        assert self.state(store, task_id) == (TaskState.CANCELLED, None, "superseded")
        assert self.task(store, task_id).attempts == 1, "a changed file costs no attempt"
        task = only(store.tasks(TaskSelection(states=frozenset({TaskState.PENDING}))))
        assert (task.route, task.asset_id, task.fingerprint) == (ROUTE, old.asset_id, found)
        assert (task.priority, task.tags, task.constraints) == (4, old.tags, old.constraints)
        assert (task.attempts, task.resume_state, task.ever_begun) == (0, None, False)
        assert (task.due_ns, task.waits_for) == (due, WaitReason.SETTLING)

    def test_a_found_version_that_waits_already_is_not_enqueued_twice(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new(version=1))
        claim = self.claim(store, self.request(worker))
        behind = self.enqueue_one(store, self.new(version=2, priority=3))
        store.settle([Superseded(ref=claim.ref, found=self.new(version=2).fingerprint, due_ns=0)])
        assert self.claimed_ids(store, self.request(worker, limit=9)) == [behind]

    def test_a_found_version_takes_the_place_of_another_that_waits(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new(version=1))
        claim = self.claim(store, self.request(worker))
        behind = self.enqueue_one(store, self.new(version=2))
        store.settle([Superseded(ref=claim.ref, found=self.new(version=3).fingerprint, due_ns=0)])
        assert self.state(store, behind) == (TaskState.CANCELLED, None, "superseded")
        task = only(store.claim_batch(self.request(worker, limit=9))).task
        assert task.fingerprint == self.new(version=3).fingerprint

    def test_a_found_version_that_was_delivered_is_left_alone_if_nothing_was_begun(
        self, store: TaskStore, worker: str
    ) -> None:
        self.delivered_task(store, worker, self.new(version=1))
        self.enqueue(store, self.new(version=2))
        claim = self.claim(store, self.request(worker, begin=False))
        store.settle([Superseded(ref=claim.ref, found=self.new(version=1).fingerprint, due_ns=0)])
        assert not store.claim_batch(self.request(worker))

    def test_a_found_version_that_was_delivered_is_sent_again_if_work_was_begun(
        self, store: TaskStore, worker: str
    ) -> None:
        self.delivered_task(store, worker, self.new(version=1))
        self.enqueue(store, self.new(version=2))
        claim = self.claim(store, self.request(worker))
        store.settle([Superseded(ref=claim.ref, found=self.new(version=1).fingerprint, due_ns=0)])
        again = self.claim(store, self.request(worker)).task
        assert again.fingerprint == self.new(version=1).fingerprint, "the other version may have overwritten it"
        assert again.ever_begun, "the destination is asked first whether it still holds it"

    # ---- receipts

    def test_a_newer_delivery_replaces_earlier_receipts(self, store: TaskStore, worker: str) -> None:
        first = self.delivered_task(store, worker, self.new(version=1))
        second = self.delivered_task(store, worker, self.new(version=2))
        assert (self.task(store, first).replaced, self.task(store, second).replaced) == (True, False)
        third = self.delivered_task(store, worker, self.new(version=1))
        assert [self.task(store, task_id).replaced for task_id in (first, second, third)] == [True, True, False]

    def test_other_assets_and_routes_keep_their_receipts(self, store: TaskStore, worker: str) -> None:
        others = [
            self.delivered_task(store, worker, self.new("b")),
            self.delivered_task(store, worker, self.new(route=OTHER_SOURCE)),
        ]
        for version in (1, 2):
            self.delivered_task(store, worker, self.new(version=version))
        assert not any(self.task(store, task_id).replaced for task_id in others)

    def test_the_latest_delivery_of_each_asset_is_told_in_order(self, store: TaskStore, worker: str) -> None:
        a = [self.delivered_task(store, worker, self.new("a", version=version)) for version in (1, 2)]
        b = self.delivered_task(store, worker, self.new("b"), UploadReceipt("b", size=3))
        self.enqueue(store, self.new("c"))
        found = store.delivered(ROUTE, [b"b", b"c", b"a", b"unknown", b"b"])
        assert [task and task.id for task in found] == [b, None, a[1], None, b]
        assert found[0] is not None
        assert found[0].receipt == UploadReceipt("b", size=3)
        assert list(store.delivered(OTHER_SOURCE, [b"a"])) == [None]
        assert list(store.delivered(ROUTE, [])) == []

    # ---- cancelled while it runs

    @pytest.mark.parametrize("number", [1, 3])
    def test_what_somebody_cancelled_is_not_repeated(self, store: TaskStore, worker: str, number: int) -> None:
        task_id = self.enqueue_one(store, self.new())
        claim = self.claim(store, self.request(worker))
        store.cancel(TaskSelection(), reason="obsolete")
        store.settle([_each_kind(claim.ref)[number]])
        assert self.state(store, task_id) == (TaskState.CANCELLED, None, "obsolete")

    def test_what_somebody_cancelled_is_not_repeated_after_a_crash(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        task_id = self.enqueue_one(store, self.new())
        self.crash(store, clock)
        store.cancel(TaskSelection())
        assert not store.claim_batch(self.request(worker))
        assert self.state(store, task_id) == (TaskState.CANCELLED, None, "user")

    def test_what_was_delivered_before_it_could_stop_is_delivered(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new())
        claim = self.claim(store, self.request(worker))
        store.cancel(TaskSelection())
        self.deliver(store, claim.ref)
        assert self.task(store, task_id).state == TaskState.SUCCESS

    # ---- resume state

    def test_resume_state_comes_back_with_the_next_claim(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new())
        state = {"upload_id": "ü/1", "parts": [{"number": 1, "etag": '"a"'}], "offset": 2**40, "none": None}
        claim = self.claim(store, self.request(worker))
        assert claim.task.resume_state is None
        assert store.save_resume_state(claim.ref, state)
        self.fail(store, claim.ref)
        claim = self.claim(store, self.request(worker))
        assert claim.task.resume_state == state
        assert store.save_resume_state(claim.ref, None)
        self.release(store, claim.ref)
        assert self.claim(store, self.request(worker)).task.resume_state is None
