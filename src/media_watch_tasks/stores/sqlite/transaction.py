"""Write transactions: one at a time in a process, begun with BEGIN IMMEDIATE, nested by savepoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import RLock, get_ident
from types import TracebackType
from typing import Any, NoReturn

from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.sqlite.connection import Connection, Parameters, Row
from media_watch_tasks.stores.sqlite.driver_errors import as_store_error, is_busy, shown_path
from media_watch_tasks.stores.sqlite.patience import Patience

__all__ = ["SYNC_MARK_SCHEMA", "Transaction", "Writer"]

SYNC_MARK_SCHEMA = (
    "CREATE TABLE sync_mark (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL)",
    "INSERT INTO sync_mark VALUES (1, 0)",
)
"""A row that every durable commit changes: SQLite syncs nothing at a commit that changed no page."""
_SYNC_MARK = "UPDATE sync_mark SET count = count + 1"


class Writer:
    """What the transactions of one `Database` share."""

    __slots__ = ("commits", "current", "durable", "lock", "ordinary", "path", "patience")

    def __init__(self, path: str, *, ordinary: Connection, durable: Connection, patience: Patience) -> None:
        self.path = path
        self.ordinary = ordinary
        self.durable = durable
        self.patience = patience
        # The threads of a process queue up here, so that they never poll for each other.
        self.lock = RLock()
        self.current: Transaction | None = None
        self.commits = 0


class Transaction(AbstractContextManager[None]):
    """The outermost transaction of a thread. It holds the writer's lock and its connection's."""

    __slots__ = ("_connection", "_depth", "_driver", "_lock", "_lost", "_sync_wanted", "_writer", "thread")

    def __init__(self, writer: Writer, *, durable: bool) -> None:
        connection = writer.durable if durable else writer.ordinary
        self._writer = writer
        self._connection = connection
        self._driver = connection.driver
        self._lock = connection.lock
        self._sync_wanted = durable
        self._lost: StoreError | None = None
        self._depth = 0
        self.thread = 0
        """The thread that runs it."""

    def execute(self, sql: str, params: Parameters) -> list[Row]:
        """Run one statement and return all its rows."""
        if self._lost is not None:
            raise self._lost
        try:
            rows: list[Row] = self._driver.execute(sql, params).fetchall()
        except Exception as error:  # noqa: BLE001 - no class is common to all drivers; unknown ones are raised again
            self._fail(error)
        return rows

    def write(self, sql: str, params: Parameters) -> int:
        """Run one writing statement without RETURNING; the number of rows it wrote."""
        return self._connection.written(self._run(sql, params))

    def insert(self, sql: str, params: Parameters) -> int | None:
        """Run an INSERT of at most one row; its id."""
        cursor = self._run(sql, params)
        return self._connection.new_id(cursor) if self._connection.written(cursor) else None

    def executemany(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Run a writing statement for each row."""
        if self._lost is not None:
            raise self._lost
        try:
            self._driver.executemany(sql, rows)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

    @contextmanager
    def nested(self, *, durable: bool) -> Iterator[None]:
        """A block inside this one: an exception takes back its writes alone."""
        self._sync_wanted = self._sync_wanted or durable
        name = f"nested_{self._depth}"
        self.execute(f"SAVEPOINT {name}", ())
        self._depth += 1
        try:
            yield
            self.execute(f"RELEASE {name}", ())
        except BaseException:
            if self._lost is None:
                self.execute(f"ROLLBACK TO {name}", ())
                self.execute(f"RELEASE {name}", ())
            raise
        finally:
            self._depth -= 1

    def __enter__(self) -> None:
        writer = self._writer
        writer.lock.acquire()
        try:
            try:
                self._begin()
            except Exception as error:  # noqa: BLE001 - as in execute
                if not is_busy(error):
                    writer.patience.fail(error)
                writer.patience.until_free(self._begin)
        except BaseException:
            writer.lock.release()
            raise
        self.thread = get_ident()
        writer.current = self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        writer = self._writer
        try:
            try:
                if kind is None:
                    self._commit()
            finally:
                self._end()
            if self._sync_wanted and kind is None and self._driver is not writer.durable.driver:
                with Transaction(writer, durable=True):
                    pass
        finally:
            writer.lock.release()

    def _run(self, sql: str, params: Parameters) -> Any:  # noqa: ANN401 - a cursor of the driver
        if self._lost is not None:
            raise self._lost
        try:
            return self._driver.execute(sql, params)
        except Exception as error:  # noqa: BLE001 - as in execute
            self._fail(error)

    def _begin(self) -> None:
        # The connection's lock is given back after a failed attempt: readers of this process need not wait too.
        self._lock.acquire()
        try:
            self._driver.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._lock.release()
            raise

    def _commit(self) -> None:
        if self._lost is not None:
            raise self._lost
        try:
            if self._driver is self._writer.durable.driver:
                self._driver.execute(_SYNC_MARK)
            self._driver.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - as in execute
            self._writer.patience.fail(error)
        self._writer.commits += 1

    def _end(self) -> None:
        self._writer.current = None
        try:
            # Open after an exception or a failed commit; some errors (full, I/O) make SQLite roll back by itself.
            if self._driver.in_transaction:
                self._driver.execute("ROLLBACK")
        finally:
            self._lock.release()

    def _fail(self, error: Exception) -> NoReturn:
        if not self._driver.in_transaction:
            # SQLite has rolled back by itself: the statements that follow must not commit on their own.
            self._lost = as_store_error(error, self._writer.path) or StoreError(
                f"a transaction on the database {shown_path(self._writer.path)} was rolled back by SQLite: {error}"
            )
            raise self._lost from error
        self._writer.patience.fail(error)
