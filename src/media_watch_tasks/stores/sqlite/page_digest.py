"""The digest of a directory's listing as it is written, see `relational.page_digest`."""

from __future__ import annotations

from media_watch_tasks.stores.relational.page_digest import LARGEST_DIGEST, listing_digest
from media_watch_tasks.stores.sqlite.database import Database

__all__ = ["refresh_digest"]

_READ = "SELECT name, size, mtime_ns FROM asset WHERE directory = ? AND missing_since_ns IS NULL ORDER BY name LIMIT ?"
_WRITE = "UPDATE directory SET digest = ? WHERE id = ?"


def refresh_digest(database: Database, directory: int) -> None:
    """Write the digest of what is known of a directory; inside the transaction that changed it, at its end."""
    rows = database.execute(_READ, (directory, LARGEST_DIGEST + 1))
    if len(rows) <= LARGEST_DIGEST:
        database.execute(_WRITE, (listing_digest(tuple(rows)), directory))
