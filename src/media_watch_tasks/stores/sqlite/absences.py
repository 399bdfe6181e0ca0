"""Listings that prove directories unchanged, assets that a scan did not find, and assets that were moved."""

from __future__ import annotations

from collections.abc import Sequence

from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import Fingerprint, order_key, split
from media_watch_tasks.model.scans import DirectoryStamp
from media_watch_tasks.model.sources import AssetState, KnownListing, PageRecord
from media_watch_tasks.stores.sqlite.connection import Row
from media_watch_tasks.stores.sqlite.known_assets import ASSET_COLUMNS, ASSET_METADATA, KnownAssets, asset_state
from media_watch_tasks.stores.sqlite.page_digest import refresh_digest
from media_watch_tasks.stores.sqlite.path_codec import file_id_from_sql, file_id_to_sql
from media_watch_tasks.stores.sqlite.text_codec import to_sql

__all__ = ["LISTING_COLUMNS", "Absences", "listing_from_row"]

_SOURCE = "(SELECT id FROM source WHERE source_id = ?)"
LISTING_COLUMNS = "l.mtime_ns, l.ctime_ns, l.file_id, l.since_ns, l.trusted, l.children"
_LISTING = f"""
SELECT {LISTING_COLUMNS} FROM directory AS d JOIN directory_listing AS l ON l.directory = d.id
WHERE d.source = {_SOURCE} AND d.path = ?
"""  # noqa: S608 - made of constants
_WRITE_LISTING = "INSERT OR REPLACE INTO directory_listing VALUES (?, ?, ?, ?, ?, ?, ?)"
_MARK = """
INSERT INTO absent_asset (source, directory, name, scan)
SELECT d.source, d.id, ?, ? FROM directory AS d WHERE d.source = ? AND d.path = ?
ON CONFLICT (source, directory, name) DO UPDATE SET scan = excluded.scan
"""
_MARK_BELOW = """
INSERT INTO absent_asset (source, directory, name, scan)
SELECT d.source, d.id, a.name, ? FROM directory AS d JOIN asset AS a ON a.directory = d.id
WHERE d.source = ? AND (d.path = ? OR (d.path > ? AND d.path < ?)) AND a.missing_since_ns IS NULL
ON CONFLICT (source, directory, name) DO UPDATE SET scan = excluded.scan
"""
_UNMARK = "DELETE FROM absent_asset WHERE source = ? AND directory = ? AND name = ?"
_ASSETS = f"SELECT d.path, a.name, {ASSET_COLUMNS} FROM"
_IN_DIRECTORY = f"""
CROSS JOIN directory AS d ON d.id = x.directory
CROSS JOIN asset AS a ON a.directory = x.directory AND a.name = x.name {ASSET_METADATA}
"""
_ABSENT = f"""
{_ASSETS} absent_asset AS x {_IN_DIRECTORY}
WHERE x.source = {_SOURCE} AND x.scan = ? AND a.missing_since_ns IS NULL AND (d.path, a.name) > (?, ?)
ORDER BY d.path, a.name LIMIT ?
"""
_SAME_VERSION = f"""
{_ASSETS} asset AS a CROSS JOIN directory AS d ON d.id = a.directory {ASSET_METADATA}
WHERE a.size = ? AND a.mtime_ns = ? AND d.source = {_SOURCE} LIMIT 100
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
    AND (d.path > ? OR (d.path = ? AND a.name > ?))
ORDER BY d.path, a.name LIMIT ?
"""
_PLACE = f"SELECT id FROM directory WHERE source = {_SOURCE} AND path = ?"  # noqa: S608 - made of constants
_ADD_PLACE = "INSERT INTO directory (source, path) SELECT id, ? FROM source WHERE source_id = ? RETURNING id"
_FORGET_ASSET = "DELETE FROM {table} WHERE directory = ? AND name = ?"
_MOVE_ASSET = """
UPDATE asset SET directory = ?, name = ?, size = ?, mtime_ns = ?, file_id = ?, missing_since_ns = NULL
WHERE directory = ? AND name = ? RETURNING 1
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
        path, name = _behind(after)
        return self._states(source_id, _ABSENT, (to_sql(source_id), scan_number, path, name, limit))

    def same_version(self, source_id: str, fingerprints: Sequence[Fingerprint]) -> Sequence[AssetState]:
        """See `MediaStateStore`."""
        source = to_sql(source_id)
        return tuple(
            state
            for size, mtime_ns in fingerprints
            for state in self._states(source_id, _SAME_VERSION, (size, mtime_ns, source))
        )

    def sample_assets(self, source_id: str, count: int) -> Sequence[AssetState]:
        """See `MediaStateStore`. It walks the keys of all assets: a second for some millions."""
        return self._states(source_id, _SAMPLE, (to_sql(source_id), count))

    def undescribed(self, source_id: str, *, after: bytes | None = None, limit: int = 1000) -> Sequence[AssetState]:
        """See `MediaStateStore`."""
        path, name = _behind(after)
        return self._states(source_id, _UNDESCRIBED, (to_sql(source_id), path, path, name, limit))

    def move_asset(self, source_id: str, asset_id: bytes, to: MediaAsset) -> bool:
        """See `MediaStateStore`."""
        source = to_sql(source_id)
        (old_path, old_name), (path, name) = _place(asset_id), _place(to.asset_id)
        execute = self.database.execute
        with self.transaction():
            old = execute(_PLACE, (source, old_path))
            if not old:
                return False
            place = execute(_PLACE, (source, path)) or execute(_ADD_PLACE, (path, source))
            here, there = old[0][0], place[0][0]
            for table in ("metadata", "asset"):
                execute(_FORGET_ASSET.format(table=table), (there, name))
            version = (to.size, to.mtime_ns, file_id_to_sql(to.file_id))
            moved = execute(_MOVE_ASSET, (there, name, *version, here, old_name))
            execute(_MOVE_METADATA, (there, name, here, old_name))
            for directory in {here, there}:
                refresh_digest(self.database, directory)
        return bool(moved)

    def write_listing(self, directory: int, listing: KnownListing) -> None:
        """Keep the listing of a directory; inside a transaction."""
        stamp = listing.stamp
        self.database.execute(
            _WRITE_LISTING,
            (
                directory,
                stamp.mtime_ns,
                stamp.ctime_ns,
                file_id_to_sql(stamp.file_id),
                listing.since_ns,
                int(listing.trusted),
                b"\0".join(listing.directories),
            ),
        )

    def mark_absent(self, source: int, record: PageRecord) -> None:
        """Mark the candidates that a page names; inside a transaction."""
        marks = [(name, record.scan_number, source, path) for path, name in map(_place, record.absent)]
        if marks:
            self.database.executemany(_MARK, marks)
        for directory in record.absent_directories:
            path = order_key(directory)
            # Everything below begins with the path and NUL, and comes before the path and the byte after NUL.
            self.database.execute(_MARK_BELOW, (record.scan_number, source, path, path + b"\0", path + b"\1"))

    def unmark(self, source: int, directory: int, names: Sequence[bytes]) -> None:
        """These assets were seen; inside a transaction."""
        self.database.executemany(_UNMARK, [(source, directory, name) for name in names])

    def _states(self, source_id: str, sql: str, params: Row) -> Sequence[AssetState]:
        rows = self.database.execute(sql, params)
        return tuple(asset_state(source_id, path, name, columns) for path, name, *columns in rows)


def listing_from_row(row: Row) -> KnownListing:
    """From `LISTING_COLUMNS`."""
    mtime_ns, ctime_ns, file_id, since_ns, trusted, children = row
    return KnownListing(
        stamp=DirectoryStamp(mtime_ns, ctime_ns, file_id_from_sql(file_id)),
        directories=tuple(children.split(b"\0")) if children else (),
        since_ns=since_ns,
        trusted=bool(trusted),
    )


def _place(asset_id: bytes) -> tuple[bytes, bytes]:
    directory, name = split(asset_id)
    return order_key(directory), name


def _behind(after: bytes | None) -> tuple[bytes, bytes]:
    return (b"", b"") if after is None else _place(after)
