"""The change feed of the media state store, and what its readers keep beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from media_watch_tasks.abc.change_feed import AssetChange, Bookmarks, ChangeFeed, CountsByDirectory
from media_watch_tasks.model.sources import DirectoryTotals
from media_watch_tasks.stores.postgres.change_numbers import LATEST_CHANGE
from media_watch_tasks.stores.postgres.directory_rows import BELOW, SOURCE, range_below
from media_watch_tasks.stores.postgres.known_assets import ASSET_COLUMNS, ASSET_METADATA
from media_watch_tasks.stores.postgres.shared_database import SharesDatabase
from media_watch_tasks.stores.relational.asset_rows import asset_change
from media_watch_tasks.stores.relational.path_codec import from_order_key

__all__ = ["SETTLED", "Changes"]

_NO_STATE = """
    NULL::bigint, NULL::bigint, NULL::bytea, NULL::bigint, NULL::bigint, NULL::bigint, NULL::boolean,
    NULL::bigint, NULL::bigint, NULL::text
"""
SETTLED = "sequence < (SELECT changes_below())"
"""No lower number than this one can be committed any more, see change_numbers."""
# One statement, so that assets and tombstones are of one moment, and the transactions that were open of the same: each
# part comes in the order of an index.
_CHANGES = f"""
(
    SELECT a.sequence, s.source_id, d.path, a.name, {ASSET_COLUMNS}
    FROM asset AS a JOIN directory AS d ON d.id = a.directory JOIN source AS s ON s.id = d.source
    {ASSET_METADATA}
    WHERE a.sequence > $1 AND a.{SETTLED} {{of_source}} ORDER BY a.sequence LIMIT $2
) UNION ALL (
    SELECT r.sequence, s.source_id, r.path, r.name, {_NO_STATE}
    FROM asset_removed AS r JOIN source AS s ON s.id = r.source
    WHERE r.sequence > $1 AND r.{SETTLED} {{of_source}} AND NOT EXISTS (
        SELECT 1 FROM directory AS d JOIN asset AS a ON a.directory = d.id
        WHERE d.source = r.source AND sha256(d.path) = sha256(r.path) AND a.name = r.name
    )
    ORDER BY r.sequence LIMIT $2
)
ORDER BY 1 LIMIT $2
"""  # noqa: S608 - made of constants
_OF_ALL = _CHANGES.format(of_source="")
_OF_SOURCE = _CHANGES.format(of_source="AND s.source_id = $3")
_LAST = LATEST_CHANGE.format(where=f" WHERE {SETTLED}")
_BOOKMARK = "SELECT state FROM change_bookmark WHERE reader = $1"
_SAVE_BOOKMARK = """
INSERT INTO change_bookmark (reader, state) VALUES ($1, $2) ON CONFLICT (reader) DO UPDATE SET state = excluded.state
"""
_TOTALS = f"""
SELECT d.path, count(*) - count(a.missing_since_ns), count(a.missing_since_ns),
    coalesce(sum(a.size) FILTER (WHERE a.missing_since_ns IS NULL), 0)::text
FROM directory AS d JOIN asset AS a ON a.directory = d.id
WHERE d.source = {SOURCE} {{below}}
GROUP BY d.id
"""  # noqa: S608 - made of constants
_TOTALS_OF_ALL = _TOTALS.format(below="")
_TOTALS_BELOW = _TOTALS.format(below="AND " + BELOW.format(low="$2", high="$3"))


class Changes(SharesDatabase, ChangeFeed, Bookmarks, CountsByDirectory):
    """What changed, for those who follow the store."""

    def changes_since(
        self, watermark: int, *, source_id: str | None = None, limit: int = 1000
    ) -> Sequence[AssetChange]:
        """See `ChangeFeed`. What this thread's own transaction has not committed is not in it.

        A change appears once every transaction on the server that began before it has ended.
        """
        params: tuple[int | str, ...] = (watermark, limit)
        if source_id is None:
            rows = self.database.execute(_OF_ALL, params)
        else:
            rows = self.database.execute(_OF_SOURCE, (*params, source_id))
        return tuple(asset_change(row) for row in rows)

    def last_sequence(self) -> int:
        """See `ChangeFeed`; of the changes that `changes_since` yields."""
        return int(self.database.execute(_LAST)[0][0])

    def bookmark(self, reader: str) -> Mapping[str, Any] | None:
        """See `Bookmarks`."""
        rows = self.database.execute(_BOOKMARK, (reader,))
        if not rows:
            return None
        state: dict[str, Any] = json.loads(rows[0][0])
        return state

    def save_bookmark(self, reader: str, state: Mapping[str, Any]) -> None:
        """See `Bookmarks`."""
        values = (reader, json.dumps(dict(state), sort_keys=True))
        self.database.run(lambda: self.database.execute(_SAVE_BOOKMARK, values), durable=True)

    def directory_totals(self, source_id: str, below: bytes = b"") -> Iterator[DirectoryTotals]:
        """See `CountsByDirectory`."""
        source = source_id
        if below:
            rows = self.database.execute(_TOTALS_BELOW, (source, *range_below(below)))
        else:
            rows = self.database.execute(_TOTALS_OF_ALL, (source,))
        for path, present, missing, size in rows:
            yield DirectoryTotals(from_order_key(path), present, missing, int(size))
