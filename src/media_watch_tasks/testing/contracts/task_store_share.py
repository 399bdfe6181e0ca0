"""TaskStore suite: workers that divide the queue between them by kinds and tags."""

# ruff: noqa: S101, D102 - a suite asserts, a test's name states its fact

from __future__ import annotations

from datetime import timedelta

import pytest

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import to_ns
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.model.settlements import Delivered, PauseScope, Superseded
from media_watch_tasks.model.shares import Share
from media_watch_tasks.model.tasks import TaskSelection, TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.task_store_base import TaskStoreSuite

__all__ = ["ShareContract"]

_VIDEO = Share(kinds={MediaKind.VIDEO})
_REST = Share(without_kinds={MediaKind.VIDEO})


class ShareContract(TaskStoreSuite):
    """`ClaimRequest.share`."""

    def test_tags_narrow_a_claim(self, store: TaskStore, worker: str) -> None:
        _, a, b, _ = self.enqueue(
            store, self.new("1"), self.new("2", tags={"a", "x"}), self.new("3", tags={"b"}), self.new("4", tags={"c"})
        )
        assert self.claimed_ids(store, self.request(worker, limit=9, share=Share(tags={"a", "b"}))) == [a, b]

    def test_kinds_narrow_a_claim(self, store: TaskStore, worker: str) -> None:
        _, upper, audio, _ = self.enqueue(
            store, self.new("clip.srt"), self.new("d/clip.MP4"), self.new("clip.wav"), self.new("mp4")
        )
        share = Share(kinds={MediaKind.VIDEO, MediaKind.AUDIO})
        assert self.claimed_ids(store, self.request(worker, limit=9, share=share)) == [upper, audio]

    def test_a_share_leaves_kinds_and_tags_to_others(self, store: TaskStore, worker: str) -> None:
        _, _, wav, plain = self.enqueue(
            store, self.new("a.mov"), self.new("b.wav", tags={"big", "x"}), self.new("c.wav", tags={"x"}), self.new("d")
        )
        share = Share(without_kinds={MediaKind.VIDEO}, without_tags={"big"})
        assert self.claimed_ids(store, self.request(worker, limit=9, share=share)) == [wav, plain]

    def test_every_field_of_a_share_narrows_it(self, store: TaskStore, worker: str) -> None:
        ids = self.enqueue(
            store,
            self.new("a.mov", tags={"x"}),
            self.new("b.mov"),
            self.new("c.wav", tags={"x"}),
            self.new("d.mov", tags={"x", "y"}),
        )
        share = Share(kinds={MediaKind.VIDEO}, tags={"x"}, without_tags={"y"})
        assert self.claimed_ids(store, self.request(worker, limit=9, share=share)) == ids[:1]

    def test_two_shares_divide_the_queue(self, store: TaskStore, worker: str) -> None:
        ids = self.enqueue(store, *(self.new(f"{number}.{'mov' if number % 3 else 'wav'}") for number in range(12)))
        other = store.register_worker("other")
        taken: dict[str, list[int]] = {worker: [], other: []}
        for _ in range(6):
            for name, share in ((worker, _VIDEO), (other, _REST)):
                taken[name] += self.claimed_ids(store, self.request(name, limit=3, share=share))
        assert taken == {worker: [i for n, i in enumerate(ids) if n % 3], other: ids[::3]}

    def test_a_worker_without_a_share_takes_all_in_order(self, store: TaskStore, worker: str) -> None:
        assert not store.claim_batch(self.request(worker, share=Share(kinds={MediaKind.VIDEO}, tags={"x"})))
        tasks = [
            self.new(f"{n}.{'mov' if n % 2 else 'wav'}", priority=n % 4, tags={"x"} if n % 3 else ()) for n in range(12)
        ]
        ids = self.enqueue(store, *tasks)
        expected = sorted(ids, key=lambda task_id: (-tasks[task_id - ids[0]].priority, task_id))
        request = self.request(worker, limit=5)
        assert [task_id for _ in range(3) for task_id in self.claimed_ids(store, request)] == expected

    def test_what_was_enqueued_before_anybody_asked_is_found(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        later = clock.now_ns() + to_ns(timedelta(minutes=1))
        self.enqueue(store, self.new("0.mov"))
        rest = self.enqueue(store, *(self.new(f"{n}.wav") for n in range(5)))
        self.pause(store, PauseScope.TAG, "held")
        held, settling = self.enqueue(store, self.new("1.mov", tags={"held"}), self.new("2.mov", due_ns=later))
        ready = self.enqueue_one(store, self.new("3.mov"))
        running = self.claim(store, self.request(worker))
        behind = self.enqueue_one(store, self.new("0.mov", version=2))
        other = store.register_worker("other")
        assert self.claimed_ids(store, self.request(other, limit=9, share=_VIDEO)) == [ready]
        self.deliver(store, running.ref)
        assert self.claimed_ids(store, self.request(other, limit=9, share=_VIDEO)) == [behind]
        store.resume(PauseScope.TAG, "held")
        clock.advance(60)
        assert sorted(self.claimed_ids(store, self.request(other, limit=9, share=_VIDEO))) == sorted([held, settling])
        assert self.claimed_ids(store, self.request(worker, limit=9, share=_REST)) == rest

    def test_work_that_comes_back_stays_in_its_share(self, store: TaskStore, worker: str) -> None:
        task_id = self.enqueue_one(store, self.new("0.mov", tags={"x"}))
        tagged = Share(tags={"x"})
        claim = self.claim(store, self.request(worker, share=_VIDEO))
        assert not store.claim_batch(self.request(worker, share=tagged)), "asked for while it runs"
        self.release(store, claim.ref)
        assert self.claimed_ids(store, self.request(worker, share=tagged)) == [task_id]

    def test_ended_work_that_is_retried_belongs_to_the_share_asked_for_since(
        self, store: TaskStore, worker: str
    ) -> None:
        task_id = self.enqueue_one(store, self.new("0.mov", tags={"x"}))
        store.cancel(TaskSelection())
        for share in (_VIDEO, Share(tags={"x"})):
            assert not store.claim_batch(self.request(worker, share=share))
        store.retry(TaskSelection(states=frozenset({TaskState.CANCELLED})))
        assert not store.claim_batch(self.request(worker, share=_REST))
        assert self.claimed_ids(store, self.request(worker, share=Share(tags={"x"}))) == [task_id]

    def test_a_version_found_instead_stays_in_the_share(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new("0.mov"))
        claim = self.claim(store, self.request(worker, share=_VIDEO))
        found = Fingerprint(7, 7)
        result = store.settle(
            [Superseded(ref=claim.ref, found=found, due_ns=0)], then_claim=self.request(worker, share=_REST)
        )
        assert not result.claims
        assert self.claim(store, self.request(worker, share=_VIDEO)).task.fingerprint == found

    def test_the_claim_that_follows_a_settlement_keeps_to_the_share(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, self.new("0.mov"), self.new("1.wav"))
        second = self.enqueue_one(store, self.new("2.mov"))
        claim = self.claim(store, self.request(worker, share=_VIDEO))
        delivered = Delivered(ref=claim.ref, receipt=UploadReceipt("there"))
        claims = store.settle([delivered], then_claim=self.request(worker, limit=9, share=_VIDEO)).claims
        assert [claim.task.id for claim in claims] == [second]

    def test_a_share_takes_what_workers_died_on_and_what_failed(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        later = clock.now_ns() + to_ns(timedelta(hours=1))
        low = self.enqueue_one(store, self.new("0.mov"))
        self.fail(store, self.claim(store, self.request(worker)).ref, retry_ns=later)
        assert not store.claim_batch(self.request(worker, force=True, share=_REST))
        assert self.claimed_ids(store, self.request(worker, force=True, share=_VIDEO)) == [low]

    def test_a_share_keeps_to_routes_constraints_and_limit(self, store: TaskStore, worker: str) -> None:
        _, first, _ = self.enqueue(
            store, self.new("0.mov", constraints={"power"}), self.new("1.mov"), self.new("2.mov")
        )
        request = self.request(worker, share=_VIDEO, unmet={"power"})
        assert self.claimed_ids(store, request) == [first]

    @pytest.mark.parametrize("tag", ["a/b", '"', "né", "in\udcff", ""])
    def test_any_tag_can_be_asked_for(self, store: TaskStore, worker: str, tag: str) -> None:
        task_id = self.enqueue(store, self.new("1"), self.new("2", tags={tag}))[1]
        assert self.claimed_ids(store, self.request(worker, limit=9, share=Share(tags={tag}))) == [task_id]

    def test_a_task_that_is_counted_stays_counted(self, store: TaskStore, worker: str) -> None:
        self.enqueue(store, *(self.new(f"{number}.mov") for number in range(3)))
        before = store.counts()
        assert not store.claim_batch(self.request(worker, share=_REST))
        assert store.counts() == before
