"""Stores in an SQLite database: one file, shared by the threads and processes of one machine."""

from media_watch_tasks.stores.sqlite.stores import SqliteStores

__all__ = ["SqliteStores"]
