"""The memory store keeps the contract of a TaskStore."""

from __future__ import annotations

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.memory.task_store import MemoryTaskStore
from media_watch_tasks.testing.task_store_contract import TaskStoreContract


class TestMemoryTaskStore(TaskStoreContract):
    def make_store(self, clock: Clock) -> TaskStore:
        return MemoryTaskStore(clock)
