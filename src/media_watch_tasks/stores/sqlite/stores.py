"""SqliteStores: both stores in one SQLite file."""

from __future__ import annotations

import os
from typing import Self

from media_watch_tasks.clock import Clock, SystemClock
from media_watch_tasks.stores.sqlite.database_factory import DatabaseFactory

__all__ = ["SqliteStores"]


class SqliteStores:
    """What is known of the sources, and the task queue, in one SQLite file on a local disk.

    Any number of threads and processes of one machine may use the file at once; each process opens it for itself, after
    a fork too. Writes to both stores can share a transaction (`SharedTransaction`).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        database_factory: DatabaseFactory | None = None,
        allow_network_filesystem: bool = False,
    ) -> None:
        """Open the file, or create it (mode 0600) in a folder that exists; bring its schema up to date.

        Args:
            path: the database file. Beside it SQLite keeps `-wal` and `-shm` files while it is in use.
            clock: where the stores take the time from.
            database_factory: makes the connections of another driver, see `DatabaseFactory`.
            allow_network_filesystem: accept a path where SQLite's locks cannot be trusted.

        Raises:
            StoreError: the file cannot be opened or is no database of this library; the message says what to do.
            SchemaTooNewError: a newer release has written the file; nothing was changed.
            ConfigurationError: the path is on a network file system, or SQLite is older than 3.40.
        """
        # A program that opens no database does not load what works on one.
        from media_watch_tasks.stores.sqlite.database import Database  # noqa: PLC0415
        from media_watch_tasks.stores.sqlite.media_state_store import SqliteMediaStateStore  # noqa: PLC0415
        from media_watch_tasks.stores.sqlite.migrations import migrate  # noqa: PLC0415
        from media_watch_tasks.stores.sqlite.permits import SqlitePermits  # noqa: PLC0415
        from media_watch_tasks.stores.sqlite.task_store import SqliteTaskStore  # noqa: PLC0415

        self._factory = database_factory
        clock = clock or SystemClock()
        self.database = Database(
            path, database_factory=database_factory, allow_network_filesystem=allow_network_filesystem
        )
        try:
            migrate(self.database)
            self.media_state = SqliteMediaStateStore(self.database, clock)
            self.permits = SqlitePermits(self.database.path, clock)
            self.tasks = SqliteTaskStore(self.database, clock, on_end=self.media_state.release_scans_of)
        except BaseException:
            self.database.close()
            raise

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a complete, verified copy to the path while the stores are in use.

        An earlier backup there is replaced only once the new one is on the disk.

        Raises:
            ConfigurationError: the path is that of a database in use.
            StoreError: the copy could not be written or is not sound; nothing was changed at the path.
        """
        from media_watch_tasks.stores.sqlite.backup import back_up  # noqa: PLC0415 - as in the constructor

        back_up(self.database, path, factory=self._factory)

    def close(self) -> None:
        """Let go of the workers of this process and close the database. A second call does nothing."""
        self.permits.close()
        self.tasks.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
