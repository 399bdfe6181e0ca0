"""PostgresStores: both stores in one schema of a PostgreSQL database."""

from __future__ import annotations

from typing import Self

from media_watch_tasks.clock import Clock

__all__ = ["PostgresStores"]


class PostgresStores:
    """What is known of the sources, and the task queue, in a PostgreSQL database that many machines share.

    Any number of threads, processes and machines may use it at once; each process connects for itself, after a fork
    too. Writes to both stores can share a transaction (`SharedTransaction`). The clock of the server decides over
    leases and due times. Backups are the server's business: `pg_dump` takes a complete copy while they are in use.
    """

    def __init__(self, dsn: str, *, schema: str = "media_watch_tasks", clock: Clock | None = None) -> None:
        """Connect, create the schema or bring it up to date.

        Args:
            dsn: libpq's connection string: a URL (`postgresql://user@host/database`) or keywords (`host=… dbname=…`).
                What it leaves out comes from the environment (PGPASSWORD, PGSSLMODE, ~/.pgpass …).
            schema: where the tables stand; several installations can share one database under different names.
            clock: where the stores take the time from; by default the server's clock, see `ServerClock`.

        Raises:
            StoreError: the server cannot be reached, or refuses; the message says what to do.
            SchemaTooNewError: a newer release has written the schema; nothing was changed.
            ConfigurationError: the connection string cannot be read, the server is older than PostgreSQL 13, its
                database does not keep UTF-8, or the connection goes through a transaction pooler.
            MissingDependencyError: psycopg is not installed.
        """
        # A program that uses no PostgreSQL does not load what works on it.
        from media_watch_tasks.stores.postgres.database import Database  # noqa: PLC0415
        from media_watch_tasks.stores.postgres.media_state_store import PostgresMediaStateStore  # noqa: PLC0415
        from media_watch_tasks.stores.postgres.migrations import migrate  # noqa: PLC0415
        from media_watch_tasks.stores.postgres.permits import PostgresPermits  # noqa: PLC0415
        from media_watch_tasks.stores.postgres.server_clock import ServerClock  # noqa: PLC0415
        from media_watch_tasks.stores.postgres.task_store import PostgresTaskStore  # noqa: PLC0415

        self.database = Database(dsn, schema=schema)
        try:
            self.database.refuse_pooler()
            migrate(self.database)
            clock = clock or ServerClock(self.database)
            self.media_state = PostgresMediaStateStore(self.database, clock)
            self.permits = PostgresPermits(self.database, clock)
            self.tasks = PostgresTaskStore(self.database, clock, on_end=self.media_state.release_scans_of)
        except BaseException:
            self.database.close()
            raise

    def close(self) -> None:
        """Let go of the workers of this process and close the connections. A second call does nothing."""
        self.permits.close()
        self.tasks.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
