"""What the suites share that look at one queue from two processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from media_watch_tasks.abc.stores import TaskStore

__all__ = ["SharedQueueSuite"]


class SharedQueueSuite:
    """One queue, as two processes have it."""

    def make_store(self) -> TaskStore:
        """A store on a new empty queue, on the real clock."""
        raise NotImplementedError

    def another(self, store: TaskStore) -> TaskStore:
        """The same queue as another process has it."""
        raise NotImplementedError

    def close_store(self, store: TaskStore) -> None:
        """Free what the two have opened."""

    @pytest.fixture
    def here(self) -> Iterator[TaskStore]:
        """The queue as one process has it."""
        store = self.make_store()
        yield store
        self.close_store(store)

    @pytest.fixture
    def there(self, here: TaskStore) -> Iterator[TaskStore]:
        """The queue as another process has it."""
        store = self.another(here)
        yield store
        self.close_store(store)
