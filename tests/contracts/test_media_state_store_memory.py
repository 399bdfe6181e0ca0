"""The memory store keeps to the contract of a MediaStateStore."""

from __future__ import annotations

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.memory import media_state_store
from media_watch_tasks.testing.contracts.change_feed import ChangeFeedContract
from media_watch_tasks.testing.contracts.media_state_store import MediaStateStoreContract


class TestMemoryMediaStateStore(MediaStateStoreContract, ChangeFeedContract):
    def make_store(self, clock: Clock) -> MediaStateStore:
        return media_state_store.MemoryMediaStateStore(clock)
