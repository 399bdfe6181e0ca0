"""The memory store keeps to the contract of a MediaStateStore."""

from __future__ import annotations

from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.memory.media_state_store import MemoryMediaStateStore
from media_watch_tasks.testing.contracts.media_state_store import MediaStateStoreContract


class TestMemoryMediaStateStore(MediaStateStoreContract):
    def make_store(self, clock: Clock) -> MemoryMediaStateStore:
        return MemoryMediaStateStore(clock)
