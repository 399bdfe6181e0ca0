"""The connection layer of the PostgreSQL stores: statements, transactions, durable commits.

Each transaction runs on a connection of its own, so the threads of a process stand in each other's way no more than
other processes do. Ordinary commits survive the death of every client at once, and a power cut of the server a moment
later (synchronous_commit off); durable ones are on the disk when their block ends, with every commit before them,
because all share one write-ahead log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from os import getpid
from typing import NoReturn, Self, TypeVar

from media_watch_tasks.clock import NANOSECONDS, Clock, SystemClock
from media_watch_tasks.errors import ConfigurationError, StoreError
from media_watch_tasks.stores.postgres.arrays import blobs as array_of_blobs
from media_watch_tasks.stores.postgres.connection import Answer, Connection, Parameters, Row, Statement
from media_watch_tasks.stores.postgres.driver_errors import RepeatableError, unreachable
from media_watch_tasks.stores.postgres.gate import AloneNeededError, Gate, lock_class
from media_watch_tasks.stores.postgres.pool import Pool
from media_watch_tasks.stores.postgres.pooler_check import refuse_transaction_pooler
from media_watch_tasks.stores.postgres.transaction import Current, Transaction

__all__ = ["Database"]

_CLOSED = -1
_SILENT_NS = NANOSECONDS // 20
"""So long after an announcement a process makes no other: see `announcements`."""
_T = TypeVar("_T")


class Database:
    """A schema in a PostgreSQL database, opened for the threads of one process. A forked process opens its own.

    Raises, here and from every method:
        StoreError: the server cannot be reached, or refuses; the message says what to do.
        ConfigurationError: connection string, server or database will not do, or a forked process uses this.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "media_watch_tasks",
        clock: Clock | None = None,
        away_after: float = 60.0,
    ) -> None:
        """Connect.

        Args:
            dsn: libpq's connection string, a URL or keywords.
            schema: where the tables stand; several stores can share one database under different names.
            clock: measures and spends the pauses while the server is away.
            away_after: seconds for which a transaction of the stores' own is repeated when the server has gone away.
        """
        from media_watch_tasks.stores.postgres import _psycopg  # noqa: PLC0415 - needs the extra

        self.schema = schema
        self.channel = f"mwt_{lock_class('work', schema) % 2**32:08x}"
        """Where new tasks are announced."""
        self._pid = getpid()
        self._clock = clock or SystemClock()
        self._announced_ns: int | None = None
        self._current = Current()
        self._pool = Pool(_psycopg, dsn, schema=schema, clock=self._clock, away_after=away_after)
        self.name = self._pool.name
        """Server and database, for messages."""
        self._pool.give_back(self._pool.connect())

    def connect(self) -> Connection:
        """A further connection, for what holds on to one; the caller closes it."""
        if getpid() != self._pid:
            self._refuse()
        return self._pool.connect()

    def refuse_pooler(self) -> None:
        """Raise `ConfigurationError` where a transaction pooler stands between this and the server."""
        self._pool.repeat(self._refuse_pooler, worth=lambda error: isinstance(error, RepeatableError))

    def _refuse_pooler(self) -> None:
        first, second = self._pool.take(), self._pool.take()
        try:
            refuse_transaction_pooler(first, second)
        except Exception as error:
            if first.is_gone(error) or second.is_gone(error):
                raise unreachable(error, self.name) from error
            raise
        finally:
            self._pool.give_back(second)
            self._pool.give_back(first)

    def execute(self, sql: str, params: Parameters = ()) -> list[Row]:
        """Run one statement and return all its rows.

        Inside this thread's `transaction` it belongs to that. Outside it reads the latest committed state, and is
        repeated if the connection was lost; a writing statement outside commits by itself.
        """
        if getpid() != self._pid:
            self._refuse()
        current = self._current.transaction
        return self._alone(sql, params) if current is None else current.execute(sql, params)

    def executemany(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Run a writing statement for each row; inside a `transaction` only."""
        self._own().executemany(sql, rows)

    def write(self, sql: str, params: Parameters = ()) -> int:
        """Run one writing statement; the number of rows it wrote. Inside a `transaction` only."""
        return self._own().write(sql, params)

    def later(self, sql: str, params: Parameters = (), then: Callable[[list[Row]], None] | None = None) -> None:
        """Run a statement in the trip of the next one, see `Transaction.later`. Inside a `transaction` only."""
        self._own().later(sql, params, then)

    def insert(self, sql: str, params: Parameters = ()) -> int | None:
        """Run an INSERT … RETURNING id of at most one row; the id. Inside a `transaction` only."""
        rows = self._own().execute(sql, params)
        return rows[0][0] if rows else None

    def require_alone(self) -> None:
        """What follows rests on more than the rows it writes: raise `AloneNeededError` unless nobody else writes."""
        self._own().require_alone()

    @property
    def is_silent(self) -> bool:
        """True for a moment after this process has told others of new tasks."""
        return self._announced_ns is not None and self._clock.monotonic_ns() - self._announced_ns < _SILENT_NS

    def announced(self) -> None:
        """This process has told others of new tasks."""
        self._announced_ns = self._clock.monotonic_ns()

    def announce(self) -> None:
        """Tell other processes of new tasks with the commit, unless this one has just told; inside a `transaction`."""
        if not self.is_silent:
            self.announced()
            self._own().announce(self.channel)

    @property
    def is_alone(self) -> bool:
        """True if this thread's transaction stands in the gate alone."""
        current = self._current.transaction
        return current is not None and current.is_alone

    @staticmethod
    def one_of(column: str, blobs: Sequence[bytes]) -> tuple[str, tuple[bytes]]:
        """An SQL term that holds where the column is one of these BLOBs, and its parameters."""
        return f"{column} = ANY (?::bytea[])", (array_of_blobs(blobs),)

    def transaction(self, *, durable: bool = False, gate: Gate = Gate.NONE) -> AbstractContextManager[None]:
        """Everything this thread executes inside commits together at the end, or is rolled back by an exception.

        Blocks nest. The outermost commits; an inner one that ends by an exception takes back its own writes alone, so
        that the outer block may handle the exception and go on. `durable` at any depth: the commit is on the disk when
        the outermost block has ended, with all commits before it. `gate`: how it stands in the gate of the queue.
        A server that is away at the beginning is waited for; one that goes away within ends the block by an error.
        Where the answer to a commit is lost with the connection, the server is asked what became of it.
        """
        if getpid() != self._pid:
            self._refuse()
        current = self._current.transaction
        if current is not None:
            return current.nested(durable=durable, gate=gate)
        return Transaction(self._pool, self._current, durable=durable, gate=gate, patient=True)

    def run(self, work: Callable[[], _T], *, durable: bool = False, gate: Gate = Gate.NONE) -> _T:
        """The result of `work`, done in a transaction.

        The outermost one is repeated as a whole after a deadlock or a serialization failure, and when the connection
        was lost before the commit: `work` may be called several times, and changes nothing but the database.
        """
        if self._current.transaction is not None:
            with self.transaction(durable=durable, gate=gate):
                return work()
        return self._repeated(work, durable=durable, gate=gate, restarts=False)

    def run_beside(self, work: Callable[[], _T], *, durable: bool = False) -> _T:
        """As `run`, in the gate beside others; all of it again and alone, where it finds that it has to be.

        Nobody who stands in the gate beside others ever waits in it to be alone: two would wait for each other. So in a
        transaction that nobody begins anew the first that touches the queue is alone at once.
        """
        current = self._current.transaction
        if current is not None:
            return self.run(work, durable=durable, gate=Gate.SHARED if current.restarts else Gate.ALONE)
        try:
            return self._repeated(work, durable=durable, gate=Gate.SHARED, restarts=True)
        except AloneNeededError:
            return self.run_alone(work, durable=durable)

    def run_alone(self, work: Callable[[], _T], *, durable: bool = False) -> _T:
        """As `run`, alone in the gate."""
        current = self._current.transaction
        if current is not None and current.restarts:
            current.require_alone()
        return self.run(work, durable=durable, gate=Gate.ALONE)

    def at_once(self, sql: str, params: Parameters) -> list[Row]:
        """The rows of one writing statement that commits by itself, beside others in the gate, in one trip.

        Raises `RepeatableError` where it was not done, or the answer was lost: then nobody
        knows the number of its transaction, and whoever is alone in the gate behind it sees what became of it.
        """
        if getpid() != self._pid:
            self._refuse()
        statements = [Statement(f"SELECT FROM {Gate.SHARED.sql(self.schema)}"), Statement(sql, params)]
        connection = self._pool.take()
        answers: list[Answer] = []
        try:
            connection.together(statements, answers)
        except Exception as error:  # noqa: BLE001 - unknown ones are raised again
            connection.fail(error)
        finally:
            self._pool.give_back(connection)
        return answers[1].rows

    def _repeated(self, work: Callable[[], _T], *, durable: bool, gate: Gate, restarts: bool) -> _T:
        if getpid() != self._pid:
            self._refuse()

        def attempt() -> _T:
            with Transaction(self._pool, self._current, durable=durable, gate=gate, restarts=restarts):
                return work()

        try:
            return attempt()
        except RepeatableError:
            return self._pool.repeat(attempt, worth=lambda error: isinstance(error, RepeatableError))

    @property
    def in_transaction(self) -> bool:
        """True inside a `transaction` of this thread."""
        return self._current.transaction is not None

    def sync(self) -> None:
        """Make every commit so far durable."""
        with self.transaction(durable=True):
            pass

    def close(self) -> None:
        """Close the connections, those in use once their transactions have ended. A second call does nothing.

        In a forked child it does nothing: the connections are the parent's.
        """
        if getpid() != self._pid:
            return
        if self.in_transaction:
            raise RuntimeError("close() inside a transaction")
        self._pid = _CLOSED
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _own(self) -> Transaction:
        if getpid() != self._pid:
            self._refuse()
        current = self._current.transaction
        if current is None:
            raise RuntimeError("a transaction is needed, or a part of the rows alone might be written")
        return current

    def _alone(self, sql: str, params: Parameters) -> list[Row]:
        reads = sql.lstrip().startswith("SELECT")
        try:
            return self._once(sql, params)
        except RepeatableError:
            if not reads:
                raise
        return self._pool.repeat(
            lambda: self._once(sql, params), worth=lambda error: isinstance(error, RepeatableError)
        )

    def _once(self, sql: str, params: Parameters) -> list[Row]:
        connection = self._pool.take()
        try:
            return connection.execute(sql, params)
        except Exception as error:  # noqa: BLE001 - unknown ones are raised again
            connection.fail(error)
        finally:
            self._pool.give_back(connection)

    def _refuse(self) -> NoReturn:
        if self._pid == _CLOSED:
            raise StoreError(f"the database {self.name} is closed")
        raise ConfigurationError(
            f"the database {self.name} was opened by process {self._pid}, not by this one ({getpid()}): "
            "a forked process opens stores of its own"
        )
