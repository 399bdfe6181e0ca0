"""TaskStore suite: equal content goes once to each destination."""

# ruff: noqa: S101, PLR2004, D102 - a suite asserts, its numbers are its data, a test's name states its fact

from __future__ import annotations

import pytest

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.errors import LeaseLost
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.settlements import Dead, ReservationState
from media_watch_tasks.model.tasks import Claim, TaskSelection
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.task_store_base import (
    BACKOFF_NS,
    LEASE,
    OTHER_DESTINATION,
    OTHER_SOURCE,
    ROUTE,
    TaskStoreSuite,
)

__all__ = ["ContentContract"]

_SHA = "5a" * 32
_OTHER_SHA = "a5" * 32
_RESERVED = (ReservationState.RESERVED, None)
_BUSY = (ReservationState.BUSY, None)


class ContentContract(TaskStoreSuite):
    """`has_content_of_size` and `reserve_content`."""

    def claimed(self, store: TaskStore, worker: str, name: str, *, route: Route = ROUTE, version: int = 1) -> Claim:
        """A new task of size 5 that the worker holds; nothing else may be eligible."""
        self.enqueue(store, self.new(name, route=route, size=5, version=version))
        return self.claim(store, self.request(worker, routes=(route,)))

    # ---- size

    def test_its_own_asset_is_no_other_content_of_its_size(self, store: TaskStore, worker: str) -> None:
        self.delivered_task(store, worker, self.new("a", size=5, version=1))
        self.delivered_task(store, worker, self.new("a", size=5, version=2))
        self.delivered_task(store, worker, self.new("b", size=4))
        claim = self.claimed(store, worker, "a", version=3)
        assert not store.has_content_of_size(claim.ref, 5)
        assert store.has_content_of_size(claim.ref, 4)

    @pytest.mark.parametrize("route", [ROUTE, OTHER_SOURCE])
    def test_a_live_task_of_the_size_counts(self, store: TaskStore, worker: str, route: Route) -> None:
        claim = self.claimed(store, worker, "a")
        self.enqueue(store, self.new("b", route=route, size=5, due_ns=2**62))
        assert store.has_content_of_size(claim.ref, 5)

    @pytest.mark.parametrize("route", [ROUTE, OTHER_SOURCE])
    def test_a_delivered_task_of_the_size_counts(self, store: TaskStore, worker: str, route: Route) -> None:
        self.delivered_task(store, worker, self.new("b", route=route, size=5))
        claim = self.claimed(store, worker, "a")
        assert store.has_content_of_size(claim.ref, 5)

    def test_what_was_replaced_or_never_delivered_does_not_count(self, store: TaskStore, worker: str) -> None:
        self.delivered_task(store, worker, self.new("b", size=5))
        self.delivered_task(store, worker, self.new("b", size=6, version=2))
        died = self.claimed(store, worker, "c")
        store.settle([Dead(ref=died.ref, reason="permanent")])
        self.enqueue(store, self.new("d", size=5))
        store.cancel(TaskSelection())
        claim = self.claimed(store, worker, "a")
        assert not store.has_content_of_size(claim.ref, 5)

    def test_other_destinations_do_not_count_by_size(self, store: TaskStore, worker: str) -> None:
        self.delivered_task(store, worker, self.new("b", route=OTHER_DESTINATION, size=5))
        self.enqueue(store, self.new("c", route=OTHER_DESTINATION, size=5))
        claim = self.claimed(store, worker, "a")
        assert not store.has_content_of_size(claim.ref, 5)

    # ---- hash

    def test_one_claim_at_a_time_sends_a_content(self, store: TaskStore, worker: str) -> None:
        first = self.claimed(store, worker, "a")
        second = self.claimed(store, worker, "b")
        assert store.reserve_content(first.ref, _SHA) == _RESERVED
        assert store.reserve_content(second.ref, _SHA) == _BUSY
        assert store.reserve_content(first.ref, _SHA) == _RESERVED, "it holds the reservation already"
        assert store.reserve_content(second.ref, _OTHER_SHA) == _RESERVED

    def test_sources_share_the_contents_of_a_destination(self, store: TaskStore, worker: str) -> None:
        first = self.claimed(store, worker, "a")
        second = self.claimed(store, worker, "a", route=OTHER_SOURCE)
        other = self.claimed(store, worker, "a", route=OTHER_DESTINATION)
        assert store.reserve_content(first.ref, _SHA) == _RESERVED
        assert store.reserve_content(second.ref, _SHA) == _BUSY
        assert store.reserve_content(other.ref, _SHA) == _RESERVED

    def test_the_content_is_free_again_when_its_claim_ends(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        doomed = store.register_worker()
        holders = [self.claimed(store, doomed, f"{number}") for number in range(4)]
        waiting = self.claimed(store, worker, "waiting")
        store.extend([waiting.ref], lease_ns=2**62)
        assert store.reserve_content(holders[0].ref, _SHA) == _RESERVED
        store.settle([Dead(ref=holders[0].ref, reason="permanent")])
        assert store.reserve_content(holders[1].ref, _SHA) == _RESERVED, "its claim has settled"
        self.release(store, holders[1].ref, due_ns=2**62)
        assert store.reserve_content(holders[2].ref, _SHA) == _RESERVED, "its claim was released"
        clock.advance(LEASE)
        assert store.take_back(dead_after=5, backoff_ns=BACKOFF_NS) == 2
        assert store.reserve_content(waiting.ref, _SHA) == _RESERVED, "its worker has died"

    def test_a_claim_reserves_one_content(self, store: TaskStore, worker: str) -> None:
        first = self.claimed(store, worker, "a")
        second = self.claimed(store, worker, "b")
        store.reserve_content(first.ref, _SHA)
        assert store.reserve_content(first.ref, _OTHER_SHA) == _RESERVED
        assert store.reserve_content(second.ref, _SHA) == _RESERVED

    @pytest.mark.parametrize("route", [ROUTE, OTHER_SOURCE])
    def test_delivered_content_shares_its_receipt(self, store: TaskStore, worker: str, route: Route) -> None:
        receipt = UploadReceipt("objects/1", size=5, sha256=_SHA, details={"bucket": "b"})
        first = self.claimed(store, worker, "a")
        store.reserve_content(first.ref, _SHA)
        self.deliver(store, first.ref, receipt=receipt)
        second = self.claimed(store, worker, "b", route=route)
        assert store.reserve_content(second.ref, _SHA) == (ReservationState.DELIVERED, receipt)

    def test_content_at_another_destination_is_not_shared(self, store: TaskStore, worker: str) -> None:
        receipt = UploadReceipt("objects/1", sha256=_SHA)
        self.delivered_task(store, worker, self.new("a", route=OTHER_DESTINATION), receipt)
        claim = self.claimed(store, worker, "b")
        assert store.reserve_content(claim.ref, _SHA) == _RESERVED

    def test_replaced_content_is_not_shared(self, store: TaskStore, worker: str) -> None:
        for version, sha256 in ((1, _SHA), (2, _OTHER_SHA)):
            receipt = UploadReceipt("objects/1", sha256=sha256)
            self.delivered_task(store, worker, self.new("a", version=version), receipt)
        claim = self.claimed(store, worker, "b")
        assert store.reserve_content(claim.ref, _SHA) == _RESERVED, "the object holds another version now"

    def test_a_shared_receipt_is_not_shared_again(self, store: TaskStore, worker: str) -> None:
        receipt = UploadReceipt("objects/1", sha256=_SHA, deduplicated=True)
        self.delivered_task(store, worker, self.new("a"), receipt)
        claim = self.claimed(store, worker, "b")
        assert store.reserve_content(claim.ref, _SHA) == _RESERVED, "it is another task's object, which may be replaced"

    def test_a_lost_claim_reserves_nothing(self, store: TaskStore, worker: str) -> None:
        claim = self.claimed(store, worker, "a")
        self.release(store, claim.ref)
        with pytest.raises(LeaseLost):
            store.reserve_content(claim.ref, _SHA)
