"""The change feed of the media state store, and what its readers keep beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from media_watch_tasks.abc.change_feed import AssetChange, Bookmarks, ChangeFeed, CountsByDirectory
from media_watch_tasks.model.identity import order_key
from media_watch_tasks.model.sources import DirectoryTotals
from media_watch_tasks.stores.relational.asset_rows import asset_change
from media_watch_tasks.stores.relational.path_codec import from_order_key
from media_watch_tasks.stores.relational.text_codec import to_sql
from media_watch_tasks.stores.sqlite.known_assets import ASSET_COLUMNS, ASSET_METADATA
from media_watch_tasks.stores.sqlite.shared_database import SharesDatabase

__all__ = ["Changes"]

_NO_STATE = ", ".join(["NULL"] * (ASSET_COLUMNS.count(",") + 1))
# One statement, so that assets and tombstones are of one moment: between two a move could give a tombstone the number
# below that of the asset's new place. Both parts come in the order of an index, and are merged as they are read.
_CHANGES = f"""
SELECT a.sequence, s.source_id, d.path, a.name, {ASSET_COLUMNS}
FROM asset AS a CROSS JOIN directory AS d ON d.id = a.directory CROSS JOIN source AS s ON s.id = d.source
{ASSET_METADATA}
WHERE a.sequence > ? {{of_source}}
UNION ALL
SELECT r.sequence, s.source_id, r.path, r.name, {_NO_STATE}
FROM asset_removed AS r CROSS JOIN source AS s ON s.id = r.source
WHERE r.sequence > ? {{of_source}} AND NOT EXISTS (
    SELECT 1 FROM directory AS d CROSS JOIN asset AS a ON a.directory = d.id
    WHERE d.source = r.source AND d.path = r.path AND a.name = r.name
)
ORDER BY 1 LIMIT ?
"""  # noqa: S608 - made of constants
_OF_ALL = _CHANGES.format(of_source="")
_OF_SOURCE = _CHANGES.format(of_source="AND s.source_id = ?")
_LAST = "SELECT last FROM change_sequence"
_BOOKMARK = "SELECT state FROM change_bookmark WHERE reader = ?"
_SAVE_BOOKMARK = "INSERT OR REPLACE INTO change_bookmark VALUES (?, ?)"
_TOTALS = """
SELECT d.path, count(*) - count(a.missing_since_ns), count(a.missing_since_ns),
    total(CASE WHEN a.missing_since_ns IS NULL THEN a.size END)
FROM directory AS d CROSS JOIN asset AS a ON a.directory = d.id
WHERE d.source = (SELECT id FROM source WHERE source_id = ?) {below}
GROUP BY d.id
"""
_TOTALS_OF_ALL = _TOTALS.format(below="")
# From the path to the path and the byte after NUL: itself, and all that begins with it and NUL.
_TOTALS_BELOW = _TOTALS.format(below="AND d.path >= ? AND d.path < ?")


class Changes(SharesDatabase, ChangeFeed, Bookmarks, CountsByDirectory):
    """What changed, for those who follow the store."""

    def changes_since(
        self, watermark: int, *, source_id: str | None = None, limit: int = 1000
    ) -> Sequence[AssetChange]:
        """See `ChangeFeed`."""
        if source_id is None:
            rows = self.database.execute(_OF_ALL, (watermark, watermark, limit))
        else:
            source = to_sql(source_id)
            rows = self.database.execute(_OF_SOURCE, (watermark, source, watermark, source, limit))
        return tuple(asset_change(row) for row in rows)

    def last_sequence(self) -> int:
        """See `ChangeFeed`."""
        return int(self.database.execute(_LAST)[0][0])

    def bookmark(self, reader: str) -> Mapping[str, Any] | None:
        """See `Bookmarks`."""
        rows = self.database.execute(_BOOKMARK, (to_sql(reader),))
        if not rows:
            return None
        state: dict[str, Any] = json.loads(rows[0][0])
        return state

    def save_bookmark(self, reader: str, state: Mapping[str, Any]) -> None:
        """See `Bookmarks`."""
        with self.transaction(durable=True):
            self.database.execute(_SAVE_BOOKMARK, (to_sql(reader), json.dumps(dict(state), sort_keys=True)))

    def directory_totals(self, source_id: str, below: bytes = b"") -> Iterator[DirectoryTotals]:
        """See `CountsByDirectory`. Sums beyond 2**53 bytes are rounded."""
        source = to_sql(source_id)
        if below:
            path = order_key(below)
            rows = self.database.execute(_TOTALS_BELOW, (source, path, path + b"\1"))
        else:
            rows = self.database.execute(_TOTALS_OF_ALL, (source,))
        for path, present, missing, size in rows:
            yield DirectoryTotals(from_order_key(path), present, missing, int(size))
