"""Stores that forget everything at the end of the process: for tests and trials."""

from media_watch_tasks.stores.memory.media_state_store import MemoryMediaStateStore
from media_watch_tasks.stores.memory.task_store import MemoryTaskStore

__all__ = ["MemoryMediaStateStore", "MemoryTaskStore"]
