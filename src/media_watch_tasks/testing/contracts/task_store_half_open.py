"""TaskStore suite: how the work of a destination starts again after an automatic pause."""

# ruff: noqa: S101, PLR2004, D102 - a suite asserts, its numbers are its data, a test's name states its fact

from __future__ import annotations

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.model.settlements import PauseScope
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.task_store_base import OTHER_DESTINATION, OTHER_SOURCE, ROUTE, TaskStoreSuite

__all__ = ["HalfOpenContract"]


class HalfOpenContract(TaskStoreSuite):
    """`claim_batch` after a pause that the library itself has set."""

    def pause_for_a_minute(self, store: TaskStore, clock: FakeClock, *, task_id: int | None = None) -> None:
        """Pause the destination automatically, and let the time pass."""
        until = clock.now_ns() + 60 * NANOSECONDS
        self.pause(store, PauseScope.DESTINATION, ROUTE.destination_id, until_ns=until, automatic=True, task_id=task_id)
        clock.advance(60)

    def test_nothing_is_tried_before_the_end(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, self.new())
        self.pause_for_a_minute(store, clock)
        clock.advance_wall(-1)
        assert not store.claim_batch(self.request(worker))

    def test_one_task_at_a_time_is_tried(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, *(self.new(f"{number}", priority=-number) for number in range(4)))
        self.pause_for_a_minute(store, clock)
        request = self.request(worker, limit=9)
        probe = self.claim(store, request)
        assert not store.claim_batch(request), "one probe at a time"
        assert not store.claim_batch(self.request(store.register_worker(), limit=9)), "also between workers"
        self.fail(store, probe.ref, retry_ns=clock.now_ns() + NANOSECONDS)
        second = self.claim(store, request)
        assert second.task.id != probe.task.id
        self.deliver(store, second.ref)
        assert len(store.claim_batch(request)) == 2, "after a delivery the rest follows"

    def test_the_limit_counts_for_all_sources_of_the_destination(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        self.enqueue(store, self.new("a"), self.new("b", route=OTHER_SOURCE), self.new("c", route=OTHER_SOURCE))
        self.pause_for_a_minute(store, clock)
        assert len(store.claim_batch(self.request(worker, limit=9, routes=(ROUTE, OTHER_SOURCE)))) == 1
        assert not store.claim_batch(self.request(worker, limit=9, routes=(OTHER_SOURCE,)))

    def test_other_destinations_go_on(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        first, _, *others = self.enqueue(
            store,
            self.new("a"),
            self.new("b"),
            self.new("a", route=OTHER_DESTINATION),
            self.new("b", route=OTHER_DESTINATION),
        )
        self.pause_for_a_minute(store, clock)
        request = self.request(worker, limit=9, routes=(ROUTE, OTHER_DESTINATION))
        assert self.claimed_ids(store, request) == [first, *others]

    def test_another_task_than_the_suspect_is_tried_first(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        suspect, other = self.enqueue(store, self.new("a", priority=9), self.new("b"))
        self.pause_for_a_minute(store, clock, task_id=suspect)
        assert self.claimed_ids(store, self.request(worker, limit=9)) == [other]

    def test_the_suspect_is_tried_where_there_is_no_other(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        suspect = self.enqueue_one(store, self.new("a"))
        self.pause_for_a_minute(store, clock, task_id=suspect)
        assert self.claimed_ids(store, self.request(worker, limit=9)) == [suspect]

    def test_a_shared_receipt_proves_nothing(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, *(self.new(f"{number}") for number in range(3)))
        self.pause_for_a_minute(store, clock)
        probe = self.claim(store, self.request(worker, limit=9))
        self.deliver(store, probe.ref, receipt=UploadReceipt("x", deduplicated=True))
        assert len(store.claim_batch(self.request(worker, limit=9))) == 1, "nothing was sent: it may still be away"

    def test_a_delivery_before_the_end_leaves_the_pause(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, self.new("a"), self.new("b"))
        running = self.claim(store, self.request(worker))
        until = clock.now_ns() + NANOSECONDS
        self.pause(store, PauseScope.DESTINATION, ROUTE.destination_id, until_ns=until, automatic=True)
        self.deliver(store, running.ref)
        assert not store.claim_batch(self.request(worker)), "who was asked to wait until then waits until then"

    def test_a_pause_set_by_people_is_simply_over(self, store: TaskStore, worker: str, clock: FakeClock) -> None:
        self.enqueue(store, self.new("a"), self.new("b"))
        self.pause(store, PauseScope.DESTINATION, ROUTE.destination_id, until_ns=clock.now_ns() + NANOSECONDS)
        clock.advance(1)
        assert len(store.claim_batch(self.request(worker, limit=9))) == 2

    def test_an_automatic_pause_of_a_source_is_simply_over(
        self, store: TaskStore, worker: str, clock: FakeClock
    ) -> None:
        self.enqueue(store, self.new("a"), self.new("b"))
        until = clock.now_ns() + NANOSECONDS
        self.pause(store, PauseScope.SOURCE, ROUTE.source_id, until_ns=until, automatic=True)
        clock.advance(1)
        assert len(store.claim_batch(self.request(worker, limit=9))) == 2
