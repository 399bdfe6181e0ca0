"""Copies of a database that is in use."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets

from media_watch_tasks.errors import ConfigurationError, StoreError
from media_watch_tasks.stores.sqlite.connection import sqlite_database
from media_watch_tasks.stores.sqlite.database import Database
from media_watch_tasks.stores.sqlite.database_factory import DatabaseFactory
from media_watch_tasks.stores.sqlite.driver_errors import as_store_error, shown_path
from media_watch_tasks.stores.sqlite.file_system import create_private

__all__ = ["back_up"]

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())


def back_up(database: Database, path: str | os.PathLike[str], *, factory: DatabaseFactory | None = None) -> None:
    """Write a complete, verified copy of the database to the path, as it is at this moment.

    Others go on reading and writing meanwhile. The copy is written beside the path under a temporary name, checked by
    SQLite's integrity check, synced and then renamed: at the path stands the earlier file or the whole new one. A copy
    is one file, mode 0600, and is restored by opening it, or by putting it in the place of the database (and removing
    the -wal and -shm files there) while no program uses that.

    Raises:
        ConfigurationError: the path is that of a database in use.
        StoreError: the copy could not be written or is not sound; nothing was changed at the path.
    """
    target = os.path.realpath(os.fsdecode(os.fspath(path)))
    if target == database.path or os.path.exists(target + "-wal"):
        raise ConfigurationError(
            f"{shown_path(target)} is a database in use: choose another path for the backup (nothing was changed)"
        )
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.tmp")
    # SQLite would create the copy with the usual mode; it takes an empty file too.
    create_private(temporary)
    try:
        _copy(database, temporary)
        _verify(temporary, factory or sqlite_database)
        _sync(temporary)
        os.replace(temporary, target)
        _sync(folder)
    except OSError as error:
        raise StoreError(
            f"the backup {shown_path(target)} could not be written ({error.strerror}): make room or choose another path"
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    logger.info("database backed up", extra={"database": database.path, "backup": target})


def _copy(database: Database, temporary: str) -> None:
    # A connection of its own: readers of a write-ahead log stand in nobody's way.
    connection = database.connect("NORMAL")
    try:
        connection.driver.execute("VACUUM INTO ?", (temporary,)).fetchall()
    except Exception as error:
        # Which of the two files is meant, the code does not say; the advice fits both.
        translated = as_store_error(error, temporary)
        if translated is None:
            raise
        raise translated from error
    finally:
        connection.driver.close()


def _verify(temporary: str, factory: DatabaseFactory) -> None:
    copy = factory(temporary, synchronous="FULL")
    copy.connect(reuse_if_open=True)
    try:
        findings = copy.connection().execute("PRAGMA integrity_check").fetchall()
    except Exception as error:
        raise StoreError(f"the backup is not sound ({error}): check the disk and the database") from error
    finally:
        copy.close()
    if findings != [("ok",)]:
        raise StoreError(f"the backup is not sound ({findings[0][0]}): check the disk, and the database itself")


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
