"""AnnouncementsContract: what a task store promises that announces work.

class TestMyAnnouncements(AnnouncementsContract):
    def make_store(self):
        return MyTaskStore(...)

    def another(self, store):
        return MyTaskStore(...)  # the same queue as another process has it
"""

# ruff: noqa: S101, D102 - a suite asserts, a test's name states its fact

from __future__ import annotations

import queue
import threading
from functools import partial

from media_watch_tasks.abc.announcements import AnnouncesWork
from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.tasks import ClaimRequest, NewTask, TaskState
from media_watch_tasks.testing.contracts.shared_queue import SharedQueueSuite

__all__ = ["AnnouncementsContract"]

_ROUTE = Route("camera", "archive")
_HANGS_AFTER = 30
_HOUR_NS = 3_600 * 10**9


class AnnouncementsContract(SharedQueueSuite):
    """`AnnouncesWork`, with tasks from several processes."""

    @staticmethod
    def enqueue(store: TaskStore, *names: bytes) -> None:
        """New tasks."""
        tasks = [NewTask(route=_ROUTE, asset_id=name, fingerprint=Fingerprint(1, 1), due_ns=0) for name in names]
        assert all(result.outcome.is_new for result in store.enqueue_if_absent(tasks))

    @staticmethod
    def listen(store: TaskStore) -> AnnouncesWork:
        """The store, which must have the capability."""
        assert isinstance(store, AnnouncesWork)
        return store

    @staticmethod
    def _tell(store: TaskStore, told: queue.SimpleQueue[int]) -> None:
        told.put(store.counts()[TaskState.PENDING])

    def wait_for(self, store: TaskStore, told: queue.SimpleQueue[int], pending: int) -> None:
        """Wait for calls until one has found so many tasks pending."""
        try:
            while told.get(timeout=_HANGS_AFTER) != pending:
                pass
        except queue.Empty:
            raise AssertionError(
                f"nobody was told of {pending} tasks, although {store.counts()[TaskState.PENDING]} are pending"
            ) from None

    def test_what_another_process_has_enqueued_is_announced_and_there(self, here: TaskStore, there: TaskStore) -> None:
        told: queue.SimpleQueue[int] = queue.SimpleQueue()
        end = self.listen(here).on_work(lambda: told.put(here.counts()[TaskState.PENDING]))
        for number in range(3):
            self.enqueue(there, b"%d" % number)
            self.wait_for(here, told, number + 1)
        end()

    def test_the_last_of_many_is_announced_too(self, here: TaskStore, there: TaskStore) -> None:
        told: queue.SimpleQueue[int] = queue.SimpleQueue()
        end = self.listen(here).on_work(lambda: told.put(here.counts()[TaskState.PENDING]))
        for number in range(40):
            self.enqueue(there, b"%d a" % number, b"%d b" % number)
        self.wait_for(here, told, 80)
        end()

    def test_a_worker_that_is_told_can_claim(self, here: TaskStore, there: TaskStore) -> None:
        worker = here.register_worker("waiting")
        request = ClaimRequest(
            worker_id=worker, routes=(_ROUTE,), limit=1, lease_ns=_HOUR_NS, longest_delay_ns=_HOUR_NS
        )
        woken = threading.Event()
        end = self.listen(here).on_work(woken.set)
        self.enqueue(there, b"a")
        while not (claims := here.claim_batch(request)):
            assert woken.wait(_HANGS_AFTER), "nobody was told"
            woken.clear()
        assert claims[0].task.asset_id == b"a"
        end()

    def test_all_who_listen_are_told(self, here: TaskStore, there: TaskStore) -> None:
        told: list[queue.SimpleQueue[int]] = [queue.SimpleQueue() for _ in range(3)]

        stores = (here, here, there)
        ends = [
            self.listen(store).on_work(partial(self._tell, store, each))
            for store, each in zip(stores, told, strict=True)
        ]
        self.enqueue(there, b"a")
        for each in told:
            self.wait_for(here, each, 1)
        for end in ends:
            end()

    def test_nobody_is_told_after_the_end(self, here: TaskStore, there: TaskStore) -> None:
        told: queue.SimpleQueue[int] = queue.SimpleQueue()
        calls: list[str] = []
        end_first = self.listen(here).on_work(lambda: calls.append("first"))
        end_first()
        end_first()
        before = len(calls)
        end = self.listen(here).on_work(lambda: told.put(here.counts()[TaskState.PENDING]))
        self.enqueue(there, b"a")
        self.wait_for(here, told, 1)
        end()
        assert len(calls) == before, "told although it had ended"

    def test_it_can_be_listened_again(self, here: TaskStore, there: TaskStore) -> None:
        for number in range(2):
            told: queue.SimpleQueue[int] = queue.SimpleQueue()
            end = self.listen(here).on_work(partial(self._tell, here, told))
            self.enqueue(there, b"%d" % number)
            self.wait_for(here, told, number + 1)
            end()
