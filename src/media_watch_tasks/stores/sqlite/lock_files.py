"""Lock files beside a database: flock(2) keeps processes apart, and lets go when one of them dies, however it dies."""

from __future__ import annotations

import os
from types import ModuleType

from media_watch_tasks.errors import StoreError

_fcntl: ModuleType | None
try:
    import fcntl as _fcntl
except ImportError:  # not a POSIX system
    _fcntl = None

__all__ = ["HAS_FLOCK", "LockFiles", "locked"]

HAS_FLOCK = _fcntl is not None
"""False where the system has no such locks: nothing can be locked there."""


class LockFiles:
    """The files in one folder. They stay: to delete one while another process waits for it would make two locks."""

    def __init__(self, folder: str) -> None:
        """Nothing is made before the first `open`."""
        self._folder = folder

    def open(self, name: str) -> int:
        """A descriptor of the file, which is made where it is missing; to close it lets its lock go.

        Raises:
            StoreError: the file cannot be opened, or made.
        """
        path = os.path.join(self._folder, name)
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"{path} cannot be opened ({error.strerror}): the folder of the database has to be writable"
            ) from error


def locked(descriptor: int, *, wait: bool) -> bool:
    """True once the descriptor has the lock; False where another one has it and this one does not wait.

    Two descriptors of one process exclude each other like those of two.
    """
    assert _fcntl is not None  # noqa: S101 - the caller has asked `HAS_FLOCK`
    try:
        _fcntl.flock(descriptor, _fcntl.LOCK_EX if wait else _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
