"""Transactions: any number at once, each on a connection of its own, nested by savepoints."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import NoReturn, TypeVar

from media_watch_tasks.stores.postgres.connection import Connection, Parameters, Row
from media_watch_tasks.stores.postgres.driver_errors import RepeatableError, as_store_error, is_conflict
from media_watch_tasks.stores.postgres.gate import AloneNeededError, Gate
from media_watch_tasks.stores.postgres.pool import Pool

__all__ = ["Current", "Transaction"]

_T = TypeVar("_T")
_DURABLE = "SET LOCAL synchronous_commit TO on"
_MARK_AND_COMMIT = "SELECT pg_logical_emit_message(true, 'media_watch_tasks', ''); COMMIT"


class Current(threading.local):
    """The transaction of each thread."""

    transaction: Transaction | None = None


class Transaction(AbstractContextManager[None]):
    """The outermost transaction of a thread, and its connection."""

    __slots__ = (
        "_announcement",
        "_connection",
        "_current",
        "_depth",
        "_durable",
        "_gate",
        "_name",
        "_patient",
        "_pool",
        "_xid",
        "restarts",
    )

    def __init__(
        self, pool: Pool, current: Current, *, durable: bool, gate: Gate, restarts: bool = False, patient: bool = False
    ) -> None:
        """`patient`: a server that is away at the beginning is waited for."""
        self.restarts = restarts
        """Whoever began it does all of it again, alone, for an `AloneNeededError`."""
        self._pool = pool
        self._current = current
        self._durable = durable
        self._gate = gate
        self._patient = patient
        self._depth = 0
        self._xid = ""
        self._announcement = ""
        self._name = pool.name

    def execute(self, sql: str, params: Parameters) -> list[Row]:
        """Run one statement and return all its rows."""
        return self._do(lambda: self._connection.execute(sql, params))

    def write(self, sql: str, params: Parameters) -> int:
        """Run one writing statement; the number of rows it wrote."""
        return self._do(lambda: self._connection.write(sql, params))

    def executemany(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Run a writing statement for each row."""
        self._do(lambda: self._connection.executemany(sql, rows))

    def require_alone(self) -> None:
        """Raise `AloneNeededError` unless this transaction stands in the gate alone."""
        if not self.is_alone:
            raise AloneNeededError

    def announce(self, channel: str) -> None:
        """Notify this channel in the commit."""
        self._announcement = f"NOTIFY {channel}; "

    @property
    def is_alone(self) -> bool:
        """True if nobody else stands in the gate."""
        return self._gate is Gate.ALONE

    def enter(self, gate: Gate) -> None:
        """Wait in the gate, unless this transaction stands there already."""
        if gate > self._gate:
            self._do(lambda: self._connection.command(f"SELECT {gate.sql(self._pool.schema)}"))
            self._gate = gate

    @contextmanager
    def nested(self, *, durable: bool, gate: Gate) -> Iterator[None]:
        """A block inside this one: an exception takes back its writes alone."""
        if durable and not self._durable:
            self._do(lambda: self._connection.command(_DURABLE))
            self._durable = True
        name = f"nested_{self._depth}"
        before = self._gate
        self._do(lambda: self._connection.command(f"SAVEPOINT {name}"))
        self._depth += 1
        try:
            self.enter(gate)
            yield
            self._do(lambda: self._connection.command(f"RELEASE {name}"))
        except BaseException:
            if not self._connection.is_broken():
                # What was locked inside the block is let go with it, the gate included.
                self._gate = before
                self._do(lambda: self._connection.command(f"ROLLBACK TO {name}; RELEASE {name}"))
            raise
        finally:
            self._depth -= 1

    def __enter__(self) -> None:
        try:
            self._start()
        except RepeatableError:
            if not self._patient:
                raise
            # Nothing was done yet: a connection that was lost while nobody used it is no reason to give up.
            self._pool.repeat(self._start, worth=lambda error: isinstance(error, RepeatableError))
        self._current.transaction = self

    def _start(self) -> None:
        self._connection: Connection = self._pool.take()
        try:
            self._do(self._begin)
        except BaseException:
            self._pool.give_back(self._connection)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            self._current.transaction = None
            self._pool.give_back(self._connection)

    def _begin(self) -> None:
        durable = f"{_DURABLE}; " if self._durable else ""
        gate = f" FROM {self._gate.sql(self._pool.schema)}" if self._gate else ""
        # The number of the transaction is taken behind the gate: while it waits there it stands in nobody's way.
        sql = f"BEGIN; {durable}SELECT pg_current_xact_id(){gate}"
        self._xid = self._connection.command(sql) or ""

    def _commit(self) -> None:
        try:
            announcement = "" if self._connection.is_aborted() else self._announcement
            # A commit that changed nothing would not be waited for, nor those before it.
            self._connection.command(announcement + (_MARK_AND_COMMIT if self._durable else "COMMIT"))
        except Exception as error:  # noqa: BLE001 - unknown ones are raised again
            if not self._connection.is_gone(error):
                self._fail(error)
            # The answer was lost, not necessarily the commit: the server knows which.
            if not self._pool.was_committed(self._xid, server_started=self._connection.server_started):
                self._fail(error)

    def _do(self, attempt: Callable[[], _T]) -> _T:
        try:
            return attempt()
        except Exception as error:  # noqa: BLE001 - unknown ones are raised again
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        broken = self._connection.is_broken_by(error)
        translated = as_store_error(error, self._name, broken=broken)
        if translated is None:
            raise error
        if is_conflict(error) or self._connection.is_gone(error):
            raise RepeatableError(str(translated)) from error
        raise translated from error
