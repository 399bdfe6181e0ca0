"""After-upload actions on SQLite: a lock file for each that is under way, so that one process is at it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from media_watch_tasks.stores.sqlite.lock_files import HAS_FLOCK, LockFiles, locked

__all__ = ["ActionLocks"]

_FILES = 64


class ActionLocks:
    """The locks beside one database. Thread-safe: each is held through a descriptor of its own."""

    def __init__(self, database_path: str) -> None:
        """Nothing is made before the first action."""
        self._files = LockFiles(f"{database_path}.actions")

    @contextmanager
    def hold(self, task_id: int) -> Iterator[bool]:
        """True where nobody else is at the action, until the block ends or the process dies. Raises `StoreError`.

        Two tasks in 64 share a lock, and take turns. Where the system has no flock, nobody is kept out.
        """
        if not HAS_FLOCK:
            yield True
            return
        descriptor = self._files.open(str(task_id % _FILES))
        try:
            yield locked(descriptor, wait=False)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Nothing is held between actions."""
