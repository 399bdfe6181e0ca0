"""A lock file for each worker, so that its peers see its death at once.

The operating system drops a process' locks when it dies, however it dies. A file that is there and whose lock can be
taken therefore belongs to a dead worker; a file that is not there proves nothing, and the end of the lease decides.
Names are never used again. flock(2) is bound to the open file: children made by fork close it, and programs started by
exec never get it, so that no survivor keeps a dead worker alive.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Collection
from types import ModuleType

from media_watch_tasks.clock import SystemClock

_fcntl: ModuleType | None
try:
    import fcntl as _fcntl
except ImportError:  # not a POSIX system: leases alone decide there
    _fcntl = None

__all__ = ["WorkerLocks", "host_id"]


def host_id() -> str:
    """A name of the running kernel: locks mean something among its processes alone, containers included."""
    return SystemClock().boot_id()


class WorkerLocks:
    """The lock files beside one database. Thread-safe."""

    def __init__(self, database_path: str) -> None:
        """Nothing is made before the first `hold`."""
        self._directory = f"{database_path}.workers"
        self._held: dict[str, int] = {}
        if hasattr(os, "register_at_fork"):
            # A callback can not be taken back: it must not keep this object alive.
            close = weakref.WeakMethod(self.close)
            os.register_at_fork(after_in_child=lambda: (method := close()) and method())

    def hold(self, worker_id: str) -> None:
        """Make the file of a worker of this process, and lock it. Raises OSError if that cannot be done."""
        if _fcntl is None:
            return
        descriptor = self._create(worker_id)
        try:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise
        self._held[worker_id] = descriptor

    def is_dead(self, worker_id: str) -> bool:
        """True if the worker's file is there and nobody holds its lock."""
        if _fcntl is None or worker_id in self._held:
            return False
        try:
            descriptor = os.open(self._path(worker_id), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def sweep(self, *, keep: Collection[str]) -> None:
        """Delete the files of all workers but these."""
        with contextlib.suppress(OSError):
            for worker_id in set(os.listdir(self._directory)).difference(keep, self._held):
                os.unlink(self._path(worker_id))

    def remove(self, worker_id: str) -> None:
        """Delete the file of a worker that ended, and with the last one the folder."""
        with contextlib.suppress(OSError):
            os.unlink(self._path(worker_id))
        descriptor = self._held.pop(worker_id, None)
        if descriptor is not None:
            os.close(descriptor)
        with contextlib.suppress(OSError):
            os.rmdir(self._directory)

    def close(self) -> None:
        """Let go of all locks, as the death of this process would; the files stay."""
        while self._held:
            _, descriptor = self._held.popitem()
            os.close(descriptor)

    def _create(self, worker_id: str) -> int:
        while True:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            try:
                return os.open(self._path(worker_id), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                continue  # another process has just removed the empty folder

    def _path(self, worker_id: str) -> str:
        return os.path.join(self._directory, worker_id)
