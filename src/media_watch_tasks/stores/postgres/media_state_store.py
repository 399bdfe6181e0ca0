"""The MediaStateStore on PostgreSQL."""

from __future__ import annotations

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.clock import Clock
from media_watch_tasks.model.sources import ScanLease
from media_watch_tasks.stores.postgres.change_numbers import rebase_changes
from media_watch_tasks.stores.postgres.changes import Changes
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.listings_ahead import ListingsAhead
from media_watch_tasks.stores.postgres.scanned_pages import ScannedPages
from media_watch_tasks.stores.postgres.source_records import SourceRecords

__all__ = ["PostgresMediaStateStore"]


class PostgresMediaStateStore(SourceRecords, ScannedPages, Changes, MediaStateStore):
    """What is known of each source, in a PostgreSQL database, with a feed of its changes. Made by `PostgresStores`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)
        self.ahead = ListingsAhead(database, clock)
        rebase_changes(database)

    def acquire_scan(self, source_id: str, *, owner: str, lease_ns: int) -> ScanLease | None:
        """See `MediaStateStore`. What was read for an earlier scan is not used for this one."""
        self.ahead.drop()
        return super().acquire_scan(source_id, owner=owner, lease_ns=lease_ns)
