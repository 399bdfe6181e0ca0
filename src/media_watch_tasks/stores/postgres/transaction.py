"""Transactions: any number at once, each on a connection of its own, nested by savepoints.

The beginning, the gate, savepoints and whatever nobody waits for go to the server with the next statement: a
transaction of one statement takes two trips. The second is the commit alone, so that whatever becomes of its answer the
number of the transaction is known.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import NamedTuple

from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.postgres.connection import Answer, Connection, Parameters, Row, Statement
from media_watch_tasks.stores.postgres.driver_errors import RepeatableError
from media_watch_tasks.stores.postgres.gate import AloneNeededError, Gate
from media_watch_tasks.stores.postgres.pool import Pool

__all__ = ["Current", "Transaction"]

_DURABLE = "SET LOCAL synchronous_commit TO on"
_MARK = "SELECT pg_logical_emit_message(true, 'media_watch_tasks', '')"
_PORTION = 1_000
"""So many statements are sent at a time at most: they, and what is said to them, are held in memory."""


class _Step(NamedTuple):
    statement: Statement
    then: Callable[[list[Row]], None] | None


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
        "_steps",
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
        self._steps: list[_Step] = []
        """What is sent with the next statement."""
        self._xid = ""
        self._announcement = ""
        self._name = pool.name

    def execute(self, sql: str, params: Parameters) -> list[Row]:
        """Run one statement and return all its rows."""
        return self._now(sql, params).rows

    def write(self, sql: str, params: Parameters) -> int:
        """Run one writing statement; the number of rows it wrote."""
        return self._now(sql, params).written

    def executemany(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Run a writing statement for each row, see `later`."""
        for params in rows:
            self.later(sql, params)
            if len(self._steps) >= _PORTION:
                self._send()

    def later(self, sql: str, params: Parameters = (), then: Callable[[list[Row]], None] | None = None) -> None:
        """Run a statement in the trip of the next one, or before the commit; `then` gets its rows.

        If it fails, what follows it in that trip fails with its error. Where `then` raises, that comes first.
        """
        self._steps.append(_Step(Statement(sql, params), then))

    def require_alone(self) -> None:
        """Raise `AloneNeededError` unless this transaction stands in the gate alone."""
        if not self.is_alone:
            raise AloneNeededError

    def announce(self, channel: str) -> None:
        """Notify this channel in the commit."""
        self._announcement = f"NOTIFY {channel}"

    @property
    def is_alone(self) -> bool:
        """True if nobody else stands in the gate."""
        return self._gate is Gate.ALONE

    def enter(self, gate: Gate) -> None:
        """Wait in the gate, unless this transaction stands there already."""
        if gate > self._gate:
            self.later(f"SELECT FROM {gate.sql(self._pool.schema)}")
            self._gate = gate
            if gate is Gate.ALONE:
                # It may take a while: what follows goes by the clock behind the gate.
                self._send()

    @contextmanager
    def nested(self, *, durable: bool, gate: Gate) -> Iterator[None]:
        """A block inside this one: an exception takes back its writes alone."""
        if durable and not self._durable:
            self.later(_DURABLE)
            self._durable = True
        name = f"nested_{self._depth}"
        before = self._gate
        begun: list[bool] = []
        place = len(self._steps)
        self.later(f"SAVEPOINT {name}", then=lambda _rows: begun.append(True))
        self._depth += 1
        try:
            self.enter(gate)
            yield
            self.later(f"RELEASE {name}")
        except BaseException:
            if not self._connection.is_broken():
                # What was locked inside the block is let go with it, the gate included.
                self._gate = before
                del self._steps[0 if begun else place :]  # what was not sent was of the block
                if begun:
                    self.later(f"ROLLBACK TO {name}")
                    self.later(f"RELEASE {name}")
                    self._send()
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
            self._begin()
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
        self._steps = []
        self.later("BEGIN")
        if self._durable:
            self.later(_DURABLE)
        # The number of the transaction is taken behind the gate: while it waits there it stands in nobody's way.
        gate = f" FROM {self._gate.sql(self._pool.schema)}" if self._gate else ""
        self.later(f"SELECT pg_current_xact_id()::text{gate}", then=self._note_number)
        if self._patient or self._gate is Gate.ALONE:
            self._send()

    def _note_number(self, rows: list[Row]) -> None:
        self._xid = rows[0][0]

    def _commit(self) -> None:
        if self._connection.is_aborted():
            self._steps = []
        else:
            if any(step.then is not None for step in self._steps):
                # What they say decides whether there is a commit.
                self._send()
            if self._announcement:
                self.later(self._announcement)
            if self._durable:
                # A commit that changed nothing would not be waited for, nor those before it.
                self.later(_MARK)
        self.later("COMMIT")
        answers: list[Answer] = []
        try:
            self._connection.together([step.statement for step in self._steps], answers)
        except Exception as error:  # noqa: BLE001 - unknown ones are raised again
            if not self._connection.is_gone(error):
                self._connection.fail(error)
            # The answer was lost, not necessarily the commit: the server knows which.
            if not self._pool.was_committed(self._xid, server_started=self._connection.server_started):
                self._connection.fail(error)
        else:
            if answers[-1].tag != b"COMMIT":
                raise StoreError(f"the database {self._name} rolled a transaction back: an error in it was passed over")

    def _now(self, sql: str, params: Parameters) -> Answer:
        self.later(sql, params)
        return self._send()

    def _send(self) -> Answer:
        """Send all that waits to be sent; what the server says to the last of it."""
        steps, self._steps = self._steps, []
        answers: list[Answer] = []
        failed: Exception | None = None
        try:
            self._connection.together([step.statement for step in steps], answers)
        except Exception as error:  # noqa: BLE001 - unknown ones are raised again
            failed = error
        for step, answer in zip(steps, answers, strict=False):
            if step.then is not None:
                step.then(answer.rows)
        if failed is not None:
            self._connection.fail(failed)
        return answers[-1]
