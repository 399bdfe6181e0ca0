"""The MediaStateStore on SQLite."""

from __future__ import annotations

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.stores.sqlite.changes import Changes
from media_watch_tasks.stores.sqlite.scanned_pages import ScannedPages
from media_watch_tasks.stores.sqlite.source_records import SourceRecords

__all__ = ["SqliteMediaStateStore"]


class SqliteMediaStateStore(SourceRecords, ScannedPages, Changes, MediaStateStore):
    """What is known of each source, in an SQLite file, with a feed of its changes. Made by `SqliteStores`."""
