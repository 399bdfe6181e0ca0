"""Permits for the processes of one machine: lock files beside the database.

A place is a file, taken while its lock (flock) is held: the operating system drops it when the process dies. Turns
stand in a file that is read and written under its lock; they are measured by the boot clock, and begin anew with each
boot.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from media_watch_tasks.abc.permits import Permits
from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.stores.sqlite.lock_files import HAS_FLOCK, LockFiles, locked
from media_watch_tasks.stores.turns import next_turn

__all__ = ["SqlitePermits"]


class SqlitePermits(Permits):
    """The places and turns beside one database. Made by `SqliteStores`.

    Raises `ConfigurationError` where the system has no flock.
    """

    def __init__(self, database_path: str, clock: Clock) -> None:
        """Nothing is made before the first permit is asked for."""
        self._files = LockFiles(f"{database_path}.permits")
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[tuple[str, int], int] = {}
        if hasattr(os, "register_at_fork"):
            # A child of fork keeps no place alive. A callback can not be taken back: it must not keep this alive.
            close = weakref.WeakMethod(self.close)
            os.register_at_fork(after_in_child=lambda: (method := close()) and method())

    def take_place(self, name: str, *, places: int) -> int | None:
        """See `Permits`."""
        with self._lock:
            for place in range(places):
                if (name, place) in self._held:
                    continue
                descriptor = self._open(f"{_file_name(name)}.{place}")
                if locked(descriptor, wait=False):
                    self._held[name, place] = descriptor
                    return place
                os.close(descriptor)
        return None

    def give_back(self, name: str, place: int) -> None:
        """See `Permits`."""
        with self._lock:
            descriptor = self._held.pop((name, place), None)
            if descriptor is not None:
                os.close(descriptor)

    def take_turn(self, name: str, *, turns: int, per_ns: int, longest_ns: int) -> tuple[bool, int]:
        """See `Permits`."""
        with self._alone(f"{_file_name(name)}.turns") as descriptor:
            now, boot = self._clock.boot_ns(), self._clock.boot_id()
            earlier = _read_turns(descriptor, boot)
            turn, kept = next_turn(earlier, now_ns=now, turns=turns, per_ns=per_ns, longest_ns=longest_ns)
            if turn - now > longest_ns:
                return False, turn - now
            written = json.dumps({"boot": boot, "turns": kept}).encode()
            # The end first: a file that is cut off by a crash is no JSON, and counts as empty.
            os.pwrite(descriptor, written, 0)
            os.ftruncate(descriptor, len(written))
        return True, turn - now

    def close(self) -> None:
        """See `Permits`."""
        while self._held:
            _, descriptor = self._held.popitem()
            os.close(descriptor)

    @contextmanager
    def _alone(self, file_name: str) -> Iterator[int]:
        descriptor = self._open(file_name)
        try:
            locked(descriptor, wait=True)
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self, file_name: str) -> int:
        if not HAS_FLOCK:
            raise ConfigurationError("limits over processes need flock, which this system does not have")
        return self._files.open(file_name)


def _file_name(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _read_turns(descriptor: int, boot: str) -> list[int]:
    try:
        found = json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0) or b"{}")
    except ValueError:
        return []
    return [int(turn) for turn in found.get("turns", ())] if found.get("boot") == boot else []
