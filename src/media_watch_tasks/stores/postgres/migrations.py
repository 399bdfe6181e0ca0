"""The schema's versions: forward only, all steps in one transaction, whoever opens the database first.

The version stands in the table `schema_version`. A release migrates every older version to its own, and refuses a newer
one without touching it. Programs that open the database at the same moment wait for each other at an advisory lock.
"""

from __future__ import annotations

import logging

from media_watch_tasks.errors import SchemaTooNewError, StoreError
from media_watch_tasks.stores.postgres.connection import quoted
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.gate import lock_class
from media_watch_tasks.stores.postgres.permits import PERMIT_SCHEMA
from media_watch_tasks.stores.postgres.schema_media import MEDIA_SCHEMA
from media_watch_tasks.stores.postgres.schema_tasks import TASK_SCHEMA

__all__ = ["MIGRATIONS", "SCHEMA_VERSION", "migrate", "schema_version"]

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

MIGRATIONS: tuple[tuple[str, ...], ...] = ((*MEDIA_SCHEMA, *TASK_SCHEMA, *PERMIT_SCHEMA),)
"""The statements that lead from version n to n + 1. An entry never changes once it was released."""

SCHEMA_VERSION = len(MIGRATIONS)
"""The version that this release reads and writes."""

_HAS_TABLES = (
    "SELECT count(*) FILTER (WHERE tablename = 'schema_version'), count(*) FROM pg_tables WHERE schemaname = $1"
)
_VERSION = "SELECT version FROM schema_version"


def schema_version(database: Database) -> int:
    """The version of the schema in the database; 0 where it is not there yet.

    Raises:
        StoreError: the schema belongs to another program.
    """
    ours, tables = database.execute(_HAS_TABLES, (database.schema,))[0]
    if not ours and tables:
        raise StoreError(
            f"the schema {database.schema!r} of the database {database.name} belongs to another program; choose "
            "another name (nothing was changed)"
        )
    return int(database.execute(_VERSION)[0][0]) if ours else 0


def migrate(database: Database) -> None:
    """Bring the schema to `SCHEMA_VERSION`. Nothing is written if it is there already.

    Raises:
        SchemaTooNewError: a newer release has written it; nothing was changed.
        StoreError: see `Database`; nothing was changed.
    """
    if _found(database) == SCHEMA_VERSION:
        return
    found = database.run(lambda: _migrate(database), durable=True)
    if found != SCHEMA_VERSION:
        logger.info("schema migrated", extra={"database": database.name, "from": found, "to": SCHEMA_VERSION})


def _migrate(database: Database) -> int:
    """Do all steps that are missing; the version that was found."""
    database.execute(f"SELECT pg_advisory_xact_lock({lock_class('migration', database.schema)}, 0)")
    # Another program may have migrated while this one waited for its turn.
    found = _found(database)
    if found == SCHEMA_VERSION:
        return found
    if found == 0:
        database.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(database.schema)}")
        database.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
        database.execute("INSERT INTO schema_version VALUES (0)")
    for statements in MIGRATIONS[found:]:
        for statement in statements:
            database.later(statement)
    database.execute("UPDATE schema_version SET version = $1", (SCHEMA_VERSION,))
    return found


def _found(database: Database) -> int:
    found = schema_version(database)
    if found > SCHEMA_VERSION:
        raise SchemaTooNewError(
            f"the schema {database.schema!r} of the database {database.name} has version {found}, this release knows "
            f"{SCHEMA_VERSION}: upgrade media-watch-tasks (nothing was changed)"
        )
    return found
