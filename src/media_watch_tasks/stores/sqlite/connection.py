"""One SQLite connection: how it is opened, set up and checked."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Protocol

import peewee

from media_watch_tasks.errors import ConfigurationError, StoreError
from media_watch_tasks.stores.sqlite.database_factory import DatabaseFactory
from media_watch_tasks.stores.sqlite.driver_errors import shown_path

__all__ = ["APPLICATION_ID", "Connection", "Parameters", "Row", "sqlite_database"]

APPLICATION_ID = 0x6D777431
"""`mwt1`: the header field by which a database file says whose it is."""
_OLDEST_SQLITE = (3, 40)
# A write-ahead log that a burst made large is cut back to this size at the next checkpoint.
_LOG_LIMIT = 64 * 2**20
# Bytes, of a new file. A commit of one task writes seven or eight pages to the log: with smaller ones it takes a
# quarter less than with SQLite's 4096, while the diff of a scan takes about as long (tests/benchmarks).
_PAGE_SIZE = 1024
_CHECKPOINT_PAGES = 4000
"""The log is written back to the file when it has grown by 4 MB, as with SQLite's own settings."""

Row = tuple[Any, ...]
Parameters = Sequence[int | float | str | bytes | None]


class _Driver(Protocol):
    """What sqlite3.Connection and apsw.Connection have in common."""

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, sql: str, parameters: Parameters = ..., /) -> Any: ...  # noqa: ANN401 - a cursor of the driver
    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Any: ...  # noqa: ANN401 - as above
    def close(self) -> None: ...


def _counters(driver: _Driver) -> tuple[Callable[[Any], int], Callable[[Any], int]]:
    if isinstance(driver, sqlite3.Connection):
        return attrgetter("rowcount"), attrgetter("lastrowid")
    # apsw asks the connection. RETURNING would serve every driver, at two thirds of the price of a small UPDATE.
    changes, last_id = driver.changes, driver.last_insert_rowid  # type: ignore[attr-defined]
    return lambda _cursor: changes(), lambda _cursor: last_id()


def sqlite_database(path: str, *, synchronous: str) -> Any:  # noqa: ANN401, ARG001 - see DatabaseFactory
    """The default `DatabaseFactory`: the sqlite3 module of the standard library."""
    return peewee.SqliteDatabase(path, timeout=0, thread_safe=False, check_same_thread=False)


class Connection:
    """A driver's connection, and the lock that its users hold while they use it."""

    __slots__ = ("driver", "lock", "new_id", "synchronous", "written")

    def __init__(self, path: str, *, synchronous: str, factory: DatabaseFactory) -> None:
        """Open the file; raises the driver's errors. `set_up` and `configure` follow."""
        database = factory(path, synchronous=synchronous)
        database.connect(reuse_if_open=True)
        # Peewee's execute_sql and atomic() take a third of a small transaction: the driver's connection is used.
        self.driver: _Driver = database.connection()
        self.written, self.new_id = _counters(self.driver)
        """The number of rows, and the id of the last one, that the statement of a cursor has written."""
        self.lock = threading.RLock()
        self.synchronous = synchronous

    def check(self, path: str) -> None:
        """Refuse an SQLite that is too old and a file that another program owns, before anything is changed."""
        version = str(self.driver.execute("SELECT sqlite_version()").fetchall()[0][0])
        if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_SQLITE:
            raise ConfigurationError(
                f"SQLite {version} is too old: {'.'.join(map(str, _OLDEST_SQLITE))} or newer is needed; use a newer "
                "Python build, or a database_factory for another driver"
            )
        owner = self.driver.execute("PRAGMA application_id").fetchall()[0][0]
        if owner == APPLICATION_ID:
            return
        if owner or self.driver.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall():
            raise StoreError(
                f"the database {shown_path(path)} belongs to another program; choose another path (nothing was changed)"
            )

    def configure(self, path: str) -> None:
        """Set the pragmas. May fail as busy while another process opens or closes the same file."""
        driver = self.driver
        driver.execute("PRAGMA busy_timeout = 0")
        if driver.execute("PRAGMA journal_mode").fetchall()[0][0] != "wal":
            driver.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
            mode = driver.execute("PRAGMA journal_mode = WAL").fetchall()[0][0]
            if mode != "wal":
                raise StoreError(
                    f"the database {shown_path(path)} cannot have a write-ahead log (journal mode {mode!r}): "
                    "choose a path on a local disk"
                )
        driver.execute(f"PRAGMA synchronous = {self.synchronous}")
        driver.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}").fetchall()
        driver.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT}").fetchall()
        driver.execute("PRAGMA trusted_schema = OFF")
        # macOS alone: only this makes a synced commit reach the platters there.
        driver.execute(f"PRAGMA fullfsync = {'ON' if self.synchronous == 'FULL' else 'OFF'}")
