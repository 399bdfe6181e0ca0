"""The memory store keeps the contract of a TaskStore."""

from __future__ import annotations

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.memory.task_store import MemoryTaskStore
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.task_store_contract import TaskStoreContract


class TestMemoryTaskStore(TaskStoreContract):
    def make_store(self, clock: Clock) -> TaskStore:
        return MemoryTaskStore(clock)


def test_a_store_of_one_process_lets_it_do_every_after_upload_action() -> None:
    with MemoryTaskStore(FakeClock()).acting(1) as allowed:
        assert allowed
