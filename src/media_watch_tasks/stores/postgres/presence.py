"""Presence: an advisory lock for each worker, so that its peers see its death at once.

The locks of a process are held by a connection of its own, which does nothing else. The server drops them when that
ends: at once when the process dies, after half a minute of unanswered keepalives when its machine or network does. A
lock that can be taken therefore belongs to a worker that is gone, or cut off. It proves nothing when the server itself
was started anew since: then every lock is free, and the ends of the leases decide, until the worker has come back.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Sequence

from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.postgres.arrays import numbers
from media_watch_tasks.stores.postgres.connection import Connection
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.driver_errors import unreachable
from media_watch_tasks.stores.postgres.gate import lock_class

__all__ = ["Presence"]

# One worker after the other, in an order that is the same for all who look.
_GONE = """
WITH others AS MATERIALIZED (
    SELECT id, worker_id FROM task_worker
    WHERE ended = 0 AND session = $1 AND id <> ALL ($2::bigint[])
        AND (NOT $3::boolean OR id IN (SELECT worker FROM task WHERE phase = 4))
    ORDER BY id
)
SELECT id, worker_id FROM others WHERE pg_try_advisory_xact_lock({lock_class}, id::integer)
"""


class Presence:
    """The locks of the workers of one process. Thread-safe."""

    def __init__(self, database: Database) -> None:
        """Nothing is opened before the first `hold`."""
        self._database = database
        self._class = lock_class("worker", database.schema)
        self._gone = _GONE.format(lock_class=self._class)
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._held: set[int] = set()

    @property
    def session(self) -> str:
        """When the server was started that holds the locks: they count as long as it runs."""
        return "" if self._connection is None else self._connection.server_started

    def hold(self, number: int) -> None:
        """Take the lock of a worker of this process. Raises `StoreError`."""
        with self._lock:
            if self._connection is None:
                self._connection = self._database.connect()
            self._take(self._connection, number)
            self._held.add(number)

    def remove(self, number: int) -> None:
        """Let go of the lock of a worker that has ended."""
        with self._lock, contextlib.suppress(Exception):
            self._held.discard(number)
            if self._connection is not None:
                self._connection.command(f"SELECT pg_advisory_unlock({self._class}, {number})")

    def gone(self, *, busy: bool) -> Sequence[tuple[int, str]]:
        """(number, id) of workers of other processes that are gone, or of the busy ones; inside a transaction."""
        if self._connection is None:
            return ()
        rows = self._database.execute(self._gone, (self.session, numbers(self._held), busy))
        return [(number, worker_id) for number, worker_id in rows]

    def revive(self) -> Collection[int]:
        """The workers of this process whose locks were lost and have been taken again; none where all is well."""
        with self._lock:
            if self._connection is None or self._answers(self._connection):
                return ()
            self._connection.close()
            if not self._held:
                self._connection = None
                return ()
            try:
                connection = self._database.connect()
                for number in sorted(self._held):
                    self._take(connection, number)
            except StoreError:
                return ()  # the server is away: the next call tries again
            self._connection = connection
            return sorted(self._held)

    def close(self) -> None:
        """Let go of all locks, as the death of this process would."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._held.clear()

    def _take(self, connection: Connection, number: int) -> None:
        # A peer that looks whether it is free holds it for a moment.
        try:
            connection.command(f"SELECT pg_advisory_lock({self._class}, {number})")
        except Exception as error:
            raise unreachable(error, connection.name) from error

    @staticmethod
    def _answers(connection: Connection) -> bool:
        try:
            connection.command("SELECT 1")
        except Exception:  # noqa: BLE001 - whatever it is: a new connection is made, and says more
            return False
        return True
