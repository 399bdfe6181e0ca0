"""Leases that several consumers of one Huey queue compete for, kept where the queue is kept: Redis, SQLite, memory.

A lease ends by itself when its holder dies. Its value names the holder, so nobody prolongs or ends what another holds.
"""

from __future__ import annotations

import json
import secrets
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Any

from media_watch_tasks.clock import Clock, to_ns
from media_watch_tasks.errors import ConfigurationError

__all__ = ["SharedLease", "lease_for"]


class SharedLease(ABC):
    """A lease with a name, which at most one of all who ask holds."""

    @abstractmethod
    def acquire(self) -> bool:
        """Take it if nobody holds it."""

    @abstractmethod
    def renew(self) -> bool:
        """Hold it for its whole time once more; False if it is lost."""

    @abstractmethod
    def release(self) -> None:
        """Give it back; nothing happens if it is lost."""


def lease_for(huey: Any, name: str, *, length: timedelta, clock: Clock) -> SharedLease:  # noqa: ANN401 - see below
    """A lease in the storage of a Huey instance (any, so that nobody needs Huey to import this).

    Raises:
        ConfigurationError: the storage is none of Redis, SQLite and memory.
    """
    storage = huey.storage
    kind = type(storage).__name__
    if "Redis" in kind:
        return _RedisLease(storage.conn, f"{huey.name}.{name}", length)
    if "Sqlite" in kind:
        return _SqliteLease(storage, name, length, clock)
    if "Memory" in kind:
        return _MemoryLease(storage, name)
    raise ConfigurationError(f"HueyScheduler works with RedisHuey and SqliteHuey, not with {kind}")


class _RedisLease(SharedLease):
    """The lock of redis-py: SET NX with a time to live, and scripts that compare before they prolong or delete."""

    def __init__(self, connection: Any, name: str, length: timedelta) -> None:  # noqa: ANN401 - redis.Redis
        self._lock = connection.lock(name, timeout=length.total_seconds(), thread_local=False)
        self._length = length

    def acquire(self) -> bool:
        return bool(self._lock.acquire(blocking=False))

    def renew(self) -> bool:
        from media_watch_tasks.schedulers._redis import LockError  # noqa: PLC0415 - who has a connection has the package

        try:
            return bool(self._lock.extend(self._length.total_seconds(), replace_ttl=True))
        except LockError:
            return False

    def release(self) -> None:
        from media_watch_tasks.schedulers._redis import LockError  # noqa: PLC0415 - as above

        try:
            self._lock.release()
        except LockError:
            return


class _SqliteLease(SharedLease):
    """A row of Huey's table of keys; each step is one statement. All processes are on one host, with one clock."""

    def __init__(self, storage: Any, name: str, length: timedelta, clock: Clock) -> None:  # noqa: ANN401
        self._storage = storage
        self._name = name
        self._length_ns = to_ns(length)
        self._clock = clock
        self._held: bytes | None = None

    def acquire(self) -> bool:
        mine = self._value()
        [row, *_] = [*self._rows("SELECT value FROM kv WHERE queue = ? AND key = ?"), None]
        if row is None:
            statement = "INSERT OR IGNORE INTO kv (value, queue, key) VALUES (?, ?, ?)"
            taken = self._change(statement, mine)
        else:
            found = bytes(row[0])
            if json.loads(found)["until_ns"] > self._clock.now_ns():
                return False
            taken = self._change("UPDATE kv SET value = ? WHERE queue = ? AND key = ? AND value = ?", mine, found)
        self._held = mine if taken else None
        return taken

    def renew(self) -> bool:
        if self._held is None:
            return False
        mine = self._value()
        statement = "UPDATE kv SET value = ? WHERE queue = ? AND key = ? AND value = ?"
        self._held = mine if self._change(statement, mine, self._held) else None
        return self._held is not None

    def release(self) -> None:
        if self._held is not None:
            with self._storage.db(commit=True) as cursor:
                cursor.execute(
                    "DELETE FROM kv WHERE queue = ? AND key = ? AND value = ?",
                    (self._storage.name, self._name, self._held),
                )
            self._held = None

    def _value(self) -> bytes:
        return json.dumps({"until_ns": self._clock.now_ns() + self._length_ns, "holder": secrets.token_hex(8)}).encode()

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self._storage.db() as cursor:
            rows: list[tuple[Any, ...]] = cursor.execute(statement, (self._storage.name, self._name)).fetchall()
            return rows

    def _change(self, statement: str, value: bytes, *further: bytes) -> bool:
        with self._storage.db(commit=True) as cursor:
            cursor.execute(statement, (value, self._storage.name, self._name, *further))
            return bool(cursor.rowcount)


class _MemoryLease(SharedLease):
    """For tests of an application: the storage dies with the process, and the lease with it."""

    def __init__(self, storage: Any, name: str) -> None:  # noqa: ANN401 - as above
        self._storage = storage
        self._name = name
        self._held = False

    def acquire(self) -> bool:
        self._held = bool(self._storage.put_if_empty(self._name, b"1"))
        return self._held

    def renew(self) -> bool:
        return self._held

    def release(self) -> None:
        if self._held:
            self._storage.pop_data(self._name)
            self._held = False
