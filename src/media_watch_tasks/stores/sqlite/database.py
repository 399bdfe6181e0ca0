"""The connection layer of the SQLite stores: statements, transactions, durable commits.

Two connections serve all threads of a process. Ordinary work runs on one with synchronous=NORMAL: its commits survive
the death of the process at once, and a power cut from the next synced commit on. Durable commits run on a second one
with synchronous=FULL: they are on the disk, with every commit before them, because all share one write-ahead log.
Every write transaction begins with BEGIN IMMEDIATE. Another process that is in the way is waited for in short random
pauses: SQLite's own busy handler backs off so far that it starves a process for seconds.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from os import getpid
from threading import get_ident
from typing import NoReturn, Self

from media_watch_tasks.clock import Clock, SystemClock
from media_watch_tasks.errors import ConfigurationError, StoreError
from media_watch_tasks.stores.sqlite.connection import Connection, Parameters, Row, sqlite_database
from media_watch_tasks.stores.sqlite.database_factory import DatabaseFactory
from media_watch_tasks.stores.sqlite.driver_errors import is_busy, shown_path
from media_watch_tasks.stores.sqlite.file_system import create_private, refuse_network_file_system
from media_watch_tasks.stores.sqlite.patience import Patience
from media_watch_tasks.stores.sqlite.transaction import Transaction, Writer

__all__ = ["Database"]

_CLOSED = -1


class Database:
    """An SQLite file, opened for the threads of one process. A process made by fork opens its own.

    Raises, here and from every method:
        StoreError: the file cannot be opened, read or written; the message says what to do.
        ConfigurationError: the path is on a network file system, SQLite is too old, or a forked process uses this.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        database_factory: DatabaseFactory | None = None,
        allow_network_filesystem: bool = False,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
        locked_after: float = 60.0,
    ) -> None:
        """Open the file, or create it with mode 0600.

        Args:
            path: the file; its folder must exist.
            database_factory: makes the connections of another driver.
            allow_network_filesystem: accept a path where SQLite's locks cannot be trusted.
            clock: measures and spends the pauses while another program holds the database.
            draw: random numbers from 0 to 1 that spread these pauses.
            locked_after: seconds of such pauses after which `StoreError` is raised.
        """
        name = os.fsdecode(os.fspath(path))
        if not name or name.startswith(":memory:"):
            raise ConfigurationError(
                f"the stores need the path of a file, not {name!r}; for tests use the memory stores"
            )
        self.path = os.path.realpath(name)
        self._factory = database_factory or sqlite_database
        self._pid = getpid()
        self._patience = Patience(self.path, clock=clock or SystemClock(), draw=draw, limit=locked_after)
        if not allow_network_filesystem:
            refuse_network_file_system(self.path)
        create_private(self.path)
        self._ordinary = self.connect("NORMAL")
        try:
            durable = self.connect("FULL")
        except BaseException:
            self._ordinary.driver.close()
            raise
        self._writer = Writer(self.path, ordinary=self._ordinary, durable=durable, patience=self._patience)

    def connect(self, synchronous: str) -> Connection:
        """A further connection, for work that shall not stand in the way (a backup); the caller closes it."""
        try:
            connection = Connection(self.path, synchronous=synchronous, factory=self._factory)
        except Exception as error:  # noqa: BLE001 - no class is common to all drivers; unknown ones are raised again
            self._patience.fail(error)
        try:
            self._patience.until_free(lambda: connection.check(self.path))
            self._patience.until_free(lambda: connection.configure(self.path))
        except BaseException:
            connection.driver.close()
            raise
        return connection

    def execute(self, sql: str, params: Parameters = ()) -> list[Row]:
        """Run one statement and return all its rows.

        Inside this thread's `transaction` it belongs to that. Outside it reads the latest committed state, and waits
        while another thread has an ordinary transaction open; a writing statement outside commits by itself.
        """
        if getpid() != self._pid:
            self._refuse()
        current = self._writer.current
        if current is not None and current.thread == get_ident():
            return current.execute(sql, params)
        return self._alone(sql, params)

    def executemany(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Run a writing statement for each row; inside a `transaction` only."""
        self._own().executemany(sql, rows)

    def write(self, sql: str, params: Parameters = ()) -> int:
        """Run one writing statement without RETURNING; the number of rows it wrote. Inside a `transaction` only."""
        return self._own().write(sql, params)

    def insert(self, sql: str, params: Parameters = ()) -> int | None:
        """Run an INSERT of at most one row; its id, None where none was written. Inside a `transaction` only."""
        return self._own().insert(sql, params)

    @staticmethod
    def one_of(column: str, blobs: Sequence[bytes]) -> tuple[str, tuple[bytes, ...]]:
        """An SQL term that holds where the column is one of these BLOBs, and its parameters; at most 30,000."""
        return f"{column} IN ({', '.join('?' * len(blobs))})", tuple(blobs)

    @property
    def is_alone(self) -> bool:
        """A transaction is always alone here."""
        return True

    def require_alone(self) -> None:
        """What follows rests on more than the rows it writes: nothing to do, for a transaction is alone here."""

    def total_changes(self) -> int:
        """The number of rows that this transaction's connection has written so far, triggers included."""
        return int(self.execute("SELECT total_changes()")[0][0])

    def data_version(self) -> int:
        """A number that differs whenever anything was committed since it was last asked. Cheap to poll."""
        if getpid() != self._pid:
            self._refuse()
        return int(self._alone("PRAGMA data_version", ())[0][0]) + self._writer.commits

    def transaction(self, *, durable: bool = False) -> AbstractContextManager[None]:
        """Everything this thread executes inside commits together at the end, or is rolled back by an exception.

        Blocks nest. The outermost commits; an inner one that ends by an exception takes back its own writes alone, so
        that the outer block may handle the exception and go on. `durable` at any depth: the commit is on the disk when
        the outermost block has ended, with all commits of all processes before it, even if it wrote nothing itself.
        A StoreError from the end of a durable block may come after the commit, before it was synced.
        """
        if getpid() != self._pid:
            self._refuse()
        current = self._writer.current
        if current is not None and current.thread == get_ident():
            return current.nested(durable=durable)
        return Transaction(self._writer, durable=durable)

    def sync(self) -> None:
        """Make every commit so far durable."""
        with self.transaction(durable=True):
            pass

    def close(self) -> None:
        """Close the connections, once transactions of other threads have ended. A second call does nothing.

        In a forked child it does nothing: closing what the parent has open would meddle with the parent's locks.
        """
        if getpid() != self._pid:
            return
        writer = self._writer
        with writer.lock:
            if writer.current is not None:
                raise RuntimeError("close() inside a transaction")
            self._pid = _CLOSED
            for connection in (writer.durable, writer.ordinary):
                with connection.lock:
                    connection.driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _own(self) -> Transaction:
        if getpid() != self._pid:
            self._refuse()
        current = self._writer.current
        if current is None or current.thread != get_ident():
            raise RuntimeError("a transaction is needed, or a part of the rows alone might be written")
        return current

    def _alone(self, sql: str, params: Parameters) -> list[Row]:
        try:
            return self._once(sql, params)
        except Exception as error:  # noqa: BLE001 - as in connect
            if not is_busy(error):
                self._patience.fail(error)
        return self._patience.until_free(lambda: self._once(sql, params))

    def _once(self, sql: str, params: Parameters) -> list[Row]:
        connection = self._ordinary
        with connection.lock:
            rows: list[Row] = connection.driver.execute(sql, params).fetchall()
            return rows

    def _refuse(self) -> NoReturn:
        if self._pid == _CLOSED:
            raise StoreError(f"the database {shown_path(self.path)} is closed")
        raise ConfigurationError(
            f"the database {shown_path(self.path)} was opened by process {self._pid}, not by this one ({getpid()}): "
            "a forked process opens stores of its own"
        )
