"""After-upload actions on PostgreSQL: an advisory lock for each that is under way, so that one process is at it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from media_watch_tasks.stores.postgres.connection import Connection
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.driver_errors import unreachable
from media_watch_tasks.stores.postgres.gate import lock_class

__all__ = ["ActionLocks"]

_NUMBERS = 2**31
"""The second key of a lock is an integer of 32 bits: two actions in a thousand million share one, and take turns."""


class ActionLocks:
    """The locks of one process, on a connection of their own. One action at a time; thread-safe."""

    def __init__(self, database: Database) -> None:
        """Nothing is opened before the first action."""
        self._database = database
        self._class = lock_class("action", database.schema)
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    @contextmanager
    def hold(self, task_id: int) -> Iterator[bool]:
        """True where this process alone is at the action, until the block ends. Raises `StoreError`."""
        key = f"({self._class}, {task_id % _NUMBERS})"
        with self._lock:
            taken = self._ask(f"SELECT pg_try_advisory_lock{key}") == "t"
            try:
                yield taken
            finally:
                if taken and self._connection is not None:
                    try:
                        self._connection.command(f"SELECT pg_advisory_unlock{key}")
                    except Exception:  # noqa: BLE001 - with the connection the lock goes, too
                        self._drop()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def _ask(self, statement: str) -> str | None:
        if self._connection is not None:
            try:
                return self._connection.command(statement)
            except Exception:  # noqa: BLE001 - lost since the last action: a new one is made, and says more
                self._drop()
        self._connection = self._database.connect()
        try:
            return self._connection.command(statement)
        except Exception as error:
            self._drop()
            raise unreachable(error, self._database.name) from error

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
