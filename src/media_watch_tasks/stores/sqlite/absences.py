"""Listings that prove directories unchanged, assets that a scan did not find, and assets that were moved."""

from __future__ import annotations

from collections.abc import Sequence

from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import Fingerprint, order_key, split
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.model.sources import AssetState, KnownListing, PageDiff, PageRecord
from media_watch_tasks.stores.relational.asset_rows import LISTING_COLUMNS, asset_state, listing_from_row, listing_row
from media_watch_tasks.stores.relational.page_difference import found_again
from media_watch_tasks.stores.relational.path_codec import file_id_to_sql
from media_watch_tasks.stores.relational.text_codec import to_sql
from media_watch_tasks.stores.sqlite.change_sequence import take_sequences
from media_watch_tasks.stores.sqlite.connection import Row
from media_watch_tasks.stores.sqlite.known_assets import ASSET_COLUMNS, ASSET_METADATA, KnownAssets
from media_watch_tasks.stores.sqlite.page_digest import refresh_digest

__all__ = ["Absences"]

_SOURCE = "(SELECT id FROM source WHERE source_id = ?)"
_LISTING = f"""
SELECT {LISTING_COLUMNS} FROM directory AS d JOIN directory_listing AS l ON l.directory = d.id
WHERE d.source = {_SOURCE} AND d.path = ?
"""  # noqa: S608 - made of constants
_WRITE_LISTING = "INSERT OR REPLACE INTO directory_listing VALUES (?, ?, ?, ?, ?, ?, ?)"
# The mark of the earliest scan stays: scans that were cut off write marks too, and a directory that is gone is said to
# be gone once.
_MARK = """
INSERT INTO absent_asset (source, directory, name, scan)
SELECT d.source, d.id, ?, ? FROM directory AS d WHERE d.source = ? AND d.path = ?
ON CONFLICT (source, directory, name) DO NOTHING
"""
# From the path to the path and the byte after NUL: itself, and all that begins with it and NUL.
_BELOW = "d.source = ? AND d.path >= ? AND d.path < ?"
_MARK_BELOW = f"""
INSERT INTO absent_asset (source, directory, name, scan)
SELECT d.source, d.id, a.name, ? FROM directory AS d CROSS JOIN asset AS a ON a.directory = d.id
WHERE {_BELOW} AND a.missing_since_ns IS NULL
ON CONFLICT (source, directory, name) DO NOTHING
"""  # noqa: S608 - made of constants
# Where something is marked the next scan has to look: an unlisted directory would leave the mark on what came back.
_DISTRUST = """
UPDATE directory_listing SET trusted = 0
WHERE trusted AND directory = (SELECT id FROM directory WHERE source = ? AND path = ?)
"""
_DISTRUST_BELOW = f"""
UPDATE directory_listing SET trusted = 0
WHERE trusted AND directory IN (SELECT d.id FROM directory AS d WHERE {_BELOW})
"""  # noqa: S608 - made of constants
_MARKED = f"""
SELECT x.name FROM directory AS d CROSS JOIN absent_asset AS x ON x.source = d.source AND x.directory = d.id
WHERE d.source = {_SOURCE} AND d.path = ? AND x.name BETWEEN ? AND ?
"""  # noqa: S608 - made of constants
_ASSETS = f"SELECT d.path, a.name, {ASSET_COLUMNS} FROM"
_IN_DIRECTORY = f"""
CROSS JOIN directory AS d ON d.id = x.directory
CROSS JOIN asset AS a ON a.directory = x.directory AND a.name = x.name {ASSET_METADATA}
"""
# In the order of the key: a million absences are read in portions without being sorted each time.
_ABSENT = f"""
{_ASSETS} absent_asset AS x {_IN_DIRECTORY}
WHERE x.source = {_SOURCE} AND (x.directory, x.name) > (?, ?) AND x.scan <= ? AND a.missing_since_ns IS NULL
ORDER BY x.directory, x.name LIMIT ?
"""
_SAME_VERSION = f"""
{_ASSETS} asset AS a CROSS JOIN directory AS d ON d.id = a.directory {ASSET_METADATA}
WHERE a.mtime_ns = ? AND a.size = ? AND d.source = {_SOURCE} LIMIT 100
"""
_SAMPLE = f"""
{_ASSETS} (
    SELECT a.directory, a.name FROM directory AS d CROSS JOIN asset AS a ON a.directory = d.id
    WHERE d.source = {_SOURCE} AND a.missing_since_ns IS NULL ORDER BY random() LIMIT ?
) AS x {_IN_DIRECTORY}
"""  # noqa: S608 - made of constants
_UNDESCRIBED = f"""
{_ASSETS} directory AS d CROSS JOIN asset AS a ON a.directory = d.id {ASSET_METADATA}
WHERE d.source = {_SOURCE} AND a.missing_since_ns IS NULL AND (m.size, m.mtime_ns) IS NOT (a.size, a.mtime_ns)
    AND {{behind}}
ORDER BY d.path, a.name LIMIT ?
"""
_UNDESCRIBED_IN_DIRECTORY = _UNDESCRIBED.format(behind="d.path = ? AND a.name > ?")
_UNDESCRIBED_BEHIND = _UNDESCRIBED.format(behind="d.path > ?")
_KNOWN = f"""
SELECT d.source, a.directory FROM directory AS d CROSS JOIN asset AS a ON a.directory = d.id
WHERE d.source = {_SOURCE} AND d.path = ? AND a.name = ?
"""  # noqa: S608 - made of constants
_PLACE = f"SELECT id FROM directory WHERE source = {_SOURCE} AND path = ?"  # noqa: S608 - made of constants
_ADD_PLACE = "INSERT INTO directory (source, path) SELECT id, ? FROM source WHERE source_id = ? RETURNING id"
_FORGET_ASSET = "DELETE FROM {table} WHERE directory = ? AND name = ?"
_MOVE_ASSET = """
UPDATE asset SET directory = ?, name = ?, size = ?, mtime_ns = ?, file_id = ?, missing_since_ns = NULL, sequence = ?
WHERE directory = ? AND name = ?
"""
_LEAVE = """
INSERT INTO asset_removed (source, path, name, sequence) VALUES (?, ?, ?, ?)
ON CONFLICT (source, path, name) DO UPDATE SET sequence = excluded.sequence
"""
_MOVE_METADATA = "UPDATE metadata SET directory = ?, name = ? WHERE directory = ? AND name = ?"


class Absences(KnownAssets):
    """What a scan did not find, and where it went."""

    def known_listing(self, source_id: str, directory: bytes) -> KnownListing | None:
        """See `MediaStateStore`."""
        rows = self.database.execute(_LISTING, (to_sql(source_id), order_key(directory)))
        return listing_from_row(rows[0]) if rows else None

    def absent_assets(
        self, source_id: str, scan_number: int, *, after: bytes | None = None, limit: int = 1000
    ) -> Sequence[AssetState]:
        """See `MediaStateStore`."""
        source, behind = to_sql(source_id), (-1, b"")
        if after is not None:
            path, name = _place(after)
            ((directory,),) = self.database.execute(_PLACE, (source, path)) or [(-1,)]
            behind = (directory, name)
        return self._states(source_id, _ABSENT, (source, *behind, scan_number, limit))

    def same_version(self, source_id: str, fingerprints: Sequence[Fingerprint]) -> Sequence[AssetState]:
        """See `MediaStateStore`."""
        source = to_sql(source_id)
        return tuple(
            state
            for size, mtime_ns in fingerprints
            for state in self._states(source_id, _SAME_VERSION, (mtime_ns, size, source))
        )

    def sample_assets(self, source_id: str, count: int) -> Sequence[AssetState]:
        """See `MediaStateStore`. It walks the keys of all assets: a second for some millions."""
        return self._states(source_id, _SAMPLE, (to_sql(source_id), count))

    def undescribed(self, source_id: str, *, after: bytes | None = None, limit: int = 1000) -> Sequence[AssetState]:
        """See `MediaStateStore`. The order is that of a scan."""
        source = to_sql(source_id)
        path, name = (b"", b"") if after is None else _place(after)
        found = self._states(source_id, _UNDESCRIBED_IN_DIRECTORY, (source, path, name, limit))
        if len(found) < limit:
            found = (*found, *self._states(source_id, _UNDESCRIBED_BEHIND, (source, path, limit - len(found))))
        return found

    def move_asset(self, source_id: str, asset_id: bytes, to: MediaAsset) -> bool:
        """See `MediaStateStore`."""
        source = to_sql(source_id)
        (old_path, old_name), (path, name) = _place(asset_id), _place(to.asset_id)
        execute = self.database.execute
        with self.transaction():
            known = execute(_KNOWN, (source, old_path, old_name))
            if not known:
                return False
            ((source_row, origin),) = known
            ((target,),) = execute(_PLACE, (source, path)) or execute(_ADD_PLACE, (path, source))
            left, arrived = take_sequences(self.database, 2)
            if (origin, old_name) != (target, name):
                execute(_LEAVE, (source_row, old_path, old_name, left))
                for table in ("metadata", "asset"):
                    execute(_FORGET_ASSET.format(table=table), (target, name))
            self.unmark(source_row, origin, [old_name])
            self.unmark(source_row, target, [name])
            version = (to.size, to.mtime_ns, file_id_to_sql(to.file_id), arrived)
            execute(_MOVE_ASSET, (target, name, *version, origin, old_name))
            execute(_MOVE_METADATA, (target, name, origin, old_name))
            for directory in {origin, target}:
                refresh_digest(self.database, directory)
        return True

    def found_again(self, page: ScanPage, diff: PageDiff) -> PageDiff:
        """The diff with those unchanged assets of the page that are marked absent."""
        if not diff.unchanged:
            return diff
        place = (to_sql(page.source_id), order_key(page.directory), page.rows[0][0], page.rows[-1][0])
        return found_again(page, diff, (name for (name,) in self.database.execute(_MARKED, place)))

    def write_listing(self, directory: int, listing: KnownListing) -> None:
        """Keep the listing of a directory; inside a transaction."""
        self.database.execute(_WRITE_LISTING, listing_row(directory, listing, file_id_to_sql(listing.stamp.file_id)))

    def mark_absent(self, source: int, record: PageRecord) -> None:
        """Mark the candidates that a page names; inside a transaction."""
        places = [_place(asset_id) for asset_id in record.absent]
        if places:
            marks = [(name, record.scan_number, source, path) for path, name in places]
            self.database.executemany(_MARK, marks)
            self.database.executemany(_DISTRUST, [(source, path) for path in {path for path, _name in places}])
        for directory in record.absent_directories:
            path = order_key(directory)
            below = (source, path, path + b"\1")
            self.database.execute(_MARK_BELOW, (record.scan_number, *below))
            self.database.execute(_DISTRUST_BELOW, below)

    def _states(self, source_id: str, sql: str, params: Row) -> Sequence[AssetState]:
        rows = self.database.execute(sql, params)
        return tuple(asset_state(source_id, row) for row in rows)


def _place(asset_id: bytes) -> tuple[bytes, bytes]:
    directory, name = split(asset_id)
    return order_key(directory), name
