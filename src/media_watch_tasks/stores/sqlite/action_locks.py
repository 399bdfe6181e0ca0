"""After-upload actions on SQLite: a lock file for each that is under way, so that one process is at it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from media_watch_tasks.errors import StoreError

_fcntl: ModuleType | None
try:
    import fcntl as _fcntl
except ImportError:  # not a POSIX system
    _fcntl = None

__all__ = ["ActionLocks"]

_FILES = 64
"""The files stay: to delete one while another process waits for it would make two locks of it."""


class ActionLocks:
    """The locks beside one database. Thread-safe: each is held through a descriptor of its own."""

    def __init__(self, database_path: str) -> None:
        """Nothing is made before the first action."""
        self._directory = f"{database_path}.actions"

    @contextmanager
    def hold(self, task_id: int) -> Iterator[bool]:
        """True where nobody else is at the action, until the block ends or the process dies. Raises `StoreError`.

        Two tasks in 64 share a lock, and take turns. Where the system has no flock, nobody is kept out.
        """
        if _fcntl is None:
            yield True
            return
        descriptor = self._open(str(task_id % _FILES))
        try:
            try:
                _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
                taken = True
            except BlockingIOError:
                taken = False
            yield taken
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Nothing is held between actions."""

    def _open(self, name: str) -> int:
        path = os.path.join(self._directory, name)
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"{path} cannot be opened ({error.strerror}): the folder of the database has to be writable"
            ) from error
