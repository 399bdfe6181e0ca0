"""The schema's versions: forward only, each applied in one transaction, once, whoever opens the file first.

The version stands in the header of the file (PRAGMA user_version). A release migrates every older version to its own,
and refuses a newer one without touching it.
"""

from __future__ import annotations

import logging

from media_watch_tasks.errors import SchemaTooNewError
from media_watch_tasks.stores.sqlite.connection import APPLICATION_ID
from media_watch_tasks.stores.sqlite.database import Database
from media_watch_tasks.stores.sqlite.driver_errors import shown_path
from media_watch_tasks.stores.sqlite.schema_media import MEDIA_SCHEMA
from media_watch_tasks.stores.sqlite.schema_tasks import TASK_SCHEMA
from media_watch_tasks.stores.sqlite.transaction import SYNC_MARK_SCHEMA

__all__ = ["MIGRATIONS", "SCHEMA_VERSION", "migrate", "schema_version"]

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

MIGRATIONS: tuple[tuple[str, ...], ...] = ((*SYNC_MARK_SCHEMA, *MEDIA_SCHEMA, *TASK_SCHEMA),)
"""The statements that lead from version n to n + 1. An entry never changes once it was released."""

SCHEMA_VERSION = len(MIGRATIONS)
"""The version that this release reads and writes."""


def schema_version(database: Database) -> int:
    """The version of the schema in the file; 0 for a new one."""
    return int(database.execute("PRAGMA user_version")[0][0])


def migrate(database: Database) -> None:
    """Bring the file to `SCHEMA_VERSION`. Nothing is written if it has it already.

    Raises:
        SchemaTooNewError: a newer release has written the file; nothing was changed.
        StoreError: see `Database`; nothing was changed.
    """
    if _found(database) == SCHEMA_VERSION:
        return
    with database.transaction():
        # Another process may have migrated while this one waited for its turn.
        found = _found(database)
        if found == SCHEMA_VERSION:
            return
        for statements in MIGRATIONS[found:]:
            for statement in statements:
                database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.sync()
    logger.info("schema migrated", extra={"database": database.path, "from": found, "to": SCHEMA_VERSION})


def _found(database: Database) -> int:
    found = schema_version(database)
    if found > SCHEMA_VERSION:
        raise SchemaTooNewError(
            f"the database {shown_path(database.path)} has schema version {found}, this release knows "
            f"{SCHEMA_VERSION}: upgrade media-watch-tasks (nothing was changed)"
        )
    return found
