"""The connections of one process: taken for a transaction or a statement, and given back."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

from media_watch_tasks.clock import NANOSECONDS, Clock
from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.postgres.connection import Connection

__all__ = ["Pool"]

_T = TypeVar("_T")
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 1.0
_OUTCOME = "SELECT pg_xact_status($1::text::xid8)"


class Pool:
    """Connections to one database. Thread-safe; there are as many as threads have used it at once."""

    def __init__(
        self,
        psycopg: ModuleType,
        dsn: str,
        *,
        schema: str,
        clock: Clock,
        away_after: float,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`clock` measures and spends the pauses while the server is away, at most `away_after` seconds."""
        self._psycopg = psycopg
        self._dsn = dsn
        self.schema = schema
        self.name = psycopg.shown_dsn(dsn)
        self._clock = clock
        self._draw = draw
        self._limit_ns = round(away_after * NANOSECONDS)
        self._idle: list[Connection] = []
        self._closed = False

    def connect(self) -> Connection:
        """A further connection; the caller closes it. Raises `StoreError`."""
        return Connection(self._psycopg, self._dsn, schema=self.schema, name=self.name)

    def take(self) -> Connection:
        """A connection for one transaction. Raises `StoreError`."""
        try:
            return self._idle.pop()
        except IndexError:
            return self.connect()

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next one; what its transaction has not committed is rolled back."""
        if not connection.is_broken() and connection.in_transaction():
            try:
                connection.command("ROLLBACK")
            except Exception:  # noqa: BLE001 - it is given up; the server rolls back
                connection.close()
        if connection.is_broken():
            # The others were most likely lost with it: each would cost an attempt.
            connection.close()
            self.drop_idle()
        elif self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def drop_idle(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Close all connections; those in use when they are given back."""
        self._closed = True
        self.drop_idle()

    def repeat(self, attempt: Callable[[], _T], *, worth: Callable[[Exception], bool]) -> _T:
        """The result of the first attempt that is not `worth` repeating, after random pauses, for a limited time."""
        began = self._clock.monotonic_ns()
        pause = _FIRST_PAUSE
        while True:
            try:
                return attempt()
            except Exception as error:
                if not worth(error) or self._clock.monotonic_ns() - began >= self._limit_ns:
                    raise
            self._clock.sleep(pause * (0.5 + self._draw()))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def was_committed(self, xid: str, *, server_started: str) -> bool:
        """Whether a transaction whose connection was lost at its commit is in the database.

        Raises:
            StoreError: the server cannot be asked, or has started anew since: then the number says nothing.
        """
        self.drop_idle()
        status = self.repeat(lambda: self._outcome(xid, server_started), worth=lambda _error: True)
        if status is None:
            raise StoreError(
                f"the database {self.name} was started anew while a transaction was committed: whether it is there "
                "is not known; look, and try again"
            )
        return status == "committed"

    def _outcome(self, xid: str, server_started: str) -> str | None:
        connection = self.take()
        try:
            if connection.server_started != server_started:
                return None
            status = str(connection.execute(_OUTCOME, (xid,))[0][0])
        finally:
            self.give_back(connection)
        if status == "in progress":
            raise StoreError(f"the database {self.name} has not noticed yet that a connection was lost: try again")
        return status
