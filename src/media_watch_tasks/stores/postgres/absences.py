"""Listings that prove directories unchanged, assets that a scan did not find, and assets that were moved."""

from __future__ import annotations

from collections.abc import Sequence

from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import Fingerprint, order_key
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.model.sources import AssetState, KnownListing, PageDiff, PageRecord
from media_watch_tasks.stores.postgres.connection import Row
from media_watch_tasks.stores.postgres.directory_rows import BELOW, SOURCE, hold_directories, place, range_below
from media_watch_tasks.stores.postgres.known_assets import (
    ASSET_COLUMNS,
    ASSET_METADATA,
    AT_PLACE,
    BEHIND_PLACE,
    PRESENT,
    KnownAssets,
)
from media_watch_tasks.stores.relational.asset_rows import asset_state, listing_from_row, listing_row
from media_watch_tasks.stores.relational.page_difference import found_again
from media_watch_tasks.stores.relational.path_codec import file_id_bytes

__all__ = ["Absences"]

_WRITE_LISTING = """
INSERT INTO directory_listing (directory, mtime_ns, ctime_ns, file_id, since_ns, trusted, children)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (directory) DO UPDATE SET mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns,
    file_id = excluded.file_id, since_ns = excluded.since_ns, trusted = excluded.trusted, children = excluded.children
"""
# The mark of the earliest scan stays: scans that were cut off write marks too, and a directory that is gone is said to
# be gone once.
_MARK = """
INSERT INTO absent_asset (source, directory, name, scan)
SELECT d.source, d.id, w.name, $2 FROM unnest($3::bytea[], $4::bytea[]) AS w (path, name)
JOIN directory AS d ON d.source = $1 AND sha256(d.path) = sha256(w.path)
ORDER BY d.id, w.name
ON CONFLICT (source, directory, name) DO NOTHING
"""
_BELOW = BELOW.format(low="$2", high="$3")
_MARK_BELOW = f"""
INSERT INTO absent_asset (source, directory, name, scan)
SELECT d.source, d.id, a.name, $4 FROM directory AS d JOIN asset AS a ON a.directory = d.id
WHERE d.source = $1 AND {_BELOW} AND a.missing_since_ns IS NULL
ORDER BY d.id, a.name
ON CONFLICT (source, directory, name) DO NOTHING
"""  # noqa: S608 - made of constants
# Where something is marked the next scan has to look: an unlisted directory would leave the mark on what came back.
_DISTRUST = """
UPDATE directory_listing SET trusted = false WHERE trusted AND directory IN (
    SELECT d.id FROM directory AS d
    WHERE d.source = $1 AND sha256(d.path) = ANY (SELECT sha256(path) FROM unnest($2::bytea[]) AS w (path))
)
"""
_DISTRUST_BELOW = f"""
UPDATE directory_listing SET trusted = false
WHERE trusted AND directory IN (SELECT d.id FROM directory AS d WHERE d.source = $1 AND {_BELOW})
"""  # noqa: S608 - made of constants
_MARKED = f"""
SELECT x.name FROM absent_asset AS x
WHERE x.source = {SOURCE} AND x.directory = $2 AND x.name BETWEEN $3 AND $4
"""  # noqa: S608 - made of constants
_ASSETS = f"SELECT d.path, a.name, {ASSET_COLUMNS} FROM"
_IN_DIRECTORY = f"""
JOIN directory AS d ON d.id = x.directory
JOIN asset AS a ON a.directory = x.directory AND a.name = x.name {ASSET_METADATA}
"""
# In the order of the key: a million absences are read in portions without being sorted each time.
_ABSENT = f"""
{_ASSETS} absent_asset AS x {_IN_DIRECTORY}
WHERE x.source = {SOURCE} AND (x.directory, x.name) > ($2, $3) AND x.scan <= $4 AND a.missing_since_ns IS NULL
ORDER BY x.directory, x.name LIMIT $5
"""
_SAME_VERSION = f"""
SELECT found.* FROM unnest($2::bigint[], $3::bigint[]) AS w (size, mtime_ns) CROSS JOIN LATERAL (
    {_ASSETS} asset AS a JOIN directory AS d ON d.id = a.directory {ASSET_METADATA}
    WHERE a.mtime_ns = w.mtime_ns AND a.size = w.size AND d.source = {SOURCE} LIMIT 100
) AS found
"""  # noqa: S608 - made of constants
_SAMPLE = f"""
{_ASSETS} (
    SELECT a.directory, a.name FROM directory AS d JOIN asset AS a ON a.directory = d.id
    WHERE d.source = {SOURCE} AND a.missing_since_ns IS NULL ORDER BY random() LIMIT $2
) AS x {_IN_DIRECTORY}
"""  # noqa: S608 - made of constants
_NOT_DESCRIBED = "AND (m.size, m.mtime_ns) IS DISTINCT FROM (a.size, a.mtime_ns)"
_UNDESCRIBED_IN_DIRECTORY = PRESENT.format(place=AT_PLACE, narrow=f"AND a.name > $4 {_NOT_DESCRIBED}")
_UNDESCRIBED_BEHIND = PRESENT.format(place=BEHIND_PLACE, narrow=_NOT_DESCRIBED)
_PLACE = f"SELECT id FROM directory WHERE source = {SOURCE} AND sha256(path) = sha256($2)"  # noqa: S608 - made of constants
_ADD_PLACE = """
INSERT INTO directory (source, path) SELECT id, $2 FROM source WHERE source_id = $1
ON CONFLICT (source, sha256(path)) DO NOTHING
"""
_KNOWN_AT = f"""
SELECT 1 FROM directory AS d JOIN asset AS a ON a.directory = d.id
WHERE d.source = {SOURCE} AND sha256(d.path) = sha256($2) AND a.name = $3
"""  # noqa: S608 - made of constants
_KNOWN_IN = "SELECT 1 FROM asset WHERE directory = $1 AND name = $2"
_FORGET_ASSET = "DELETE FROM {table} WHERE directory = $1 AND name = $2"
_MOVE_ASSET = """
UPDATE asset SET directory = $3, name = $4, size = $5, mtime_ns = $6, file_id = $7, missing_since_ns = NULL,
    sequence = take_changes(1)
WHERE directory = $1 AND name = $2
"""
_LEAVE = """
INSERT INTO asset_removed (source, path, name, sequence) VALUES ($1, $2, $3, take_changes(1))
ON CONFLICT (source, sha256(path), name) DO UPDATE SET sequence = excluded.sequence
"""
_MOVE_METADATA = "UPDATE metadata SET directory = $3, name = $4 WHERE directory = $1 AND name = $2"


class Absences(KnownAssets):
    """What a scan did not find, and where it went."""

    def known_listing(self, source_id: str, directory: bytes) -> KnownListing | None:
        """See `MediaStateStore`. It may be a second old where another process writes, see `listings_ahead`."""
        row = self.ahead.get(source_id, order_key(directory))
        return None if row is None or row[4] is None else listing_from_row(row[4:])

    def absent_assets(
        self, source_id: str, scan_number: int, *, after: bytes | None = None, limit: int = 1000
    ) -> Sequence[AssetState]:
        """See `MediaStateStore`."""
        source, behind = source_id, (-1, b"")
        if after is not None:
            path, name = place(after)
            ((directory,),) = self.database.execute(_PLACE, (source, path)) or [(-1,)]
            behind = (directory, name)
        return self._states(source_id, _ABSENT, (source, *behind, scan_number, limit))

    def same_version(self, source_id: str, fingerprints: Sequence[Fingerprint]) -> Sequence[AssetState]:
        """See `MediaStateStore`."""
        sizes, times = [size for size, _ in fingerprints], [mtime_ns for _, mtime_ns in fingerprints]
        return self._states(source_id, _SAME_VERSION, (source_id, sizes, times))

    def sample_assets(self, source_id: str, count: int) -> Sequence[AssetState]:
        """See `MediaStateStore`. It walks the keys of all assets: a second for some millions."""
        return self._states(source_id, _SAMPLE, (source_id, count))

    def undescribed(self, source_id: str, *, after: bytes | None = None, limit: int = 1000) -> Sequence[AssetState]:
        """See `MediaStateStore`. The order is that of a scan."""
        source = source_id
        path, name = (b"", b"") if after is None else place(after)
        found = self._states(source_id, _UNDESCRIBED_IN_DIRECTORY, (source, path, limit, name))
        if len(found) < limit:
            found = (*found, *self._states(source_id, _UNDESCRIBED_BEHIND, (source, path, limit - len(found))))
        return found

    def move_asset(self, source_id: str, asset_id: bytes, to: MediaAsset) -> bool:
        """See `MediaStateStore`."""
        return self.database.run(lambda: self._move(source_id, asset_id, to))

    def found_again(self, page: ScanPage, directory: int, diff: PageDiff) -> PageDiff:
        """The diff with those unchanged assets of the page that are marked absent."""
        if not diff.unchanged:
            return diff
        place = (page.source_id, directory, page.rows[0][0], page.rows[-1][0])
        return found_again(page, diff, (name for (name,) in self.database.execute(_MARKED, place)))

    def write_listing(self, directory: int, listing: KnownListing) -> None:
        """Keep the listing of a directory; inside a transaction."""
        self.database.later(_WRITE_LISTING, listing_row(directory, listing, file_id_bytes(listing.stamp.file_id)))

    def mark_absent(self, source: int, record: PageRecord) -> None:
        """Mark the candidates that a page names; inside a transaction."""
        places = [place(asset_id) for asset_id in record.absent]
        if places:
            paths = [path for path, _ in places]
            self.database.later(_MARK, (source, record.scan_number, paths, [name for _, name in places]))
            self.database.later(_DISTRUST, (source, sorted(set(paths))))
        for directory in record.absent_directories:
            span = range_below(directory)
            self.database.later(_MARK_BELOW, (source, *span, record.scan_number))
            self.database.later(_DISTRUST_BELOW, (source, *span))
        self.ahead.drop()

    def _move(self, source_id: str, asset_id: bytes, to: MediaAsset) -> bool:
        source = source_id
        (old_path, old_name), (path, name) = place(asset_id), place(to.asset_id)
        execute = self.database.execute
        if not execute(_KNOWN_AT, (source, old_path, old_name)):
            return False
        execute(_ADD_PLACE, (source, path))
        held = hold_directories(self.database, source, (old_path, path))
        if old_path not in held or not execute(_KNOWN_IN, (held[old_path][1], old_name)):
            return False
        (source_row, origin), (_, target) = held[old_path], held[path]
        if (origin, old_name) != (target, name):
            execute(_LEAVE, (source_row, old_path, old_name))
            for table in ("metadata", "asset"):
                execute(_FORGET_ASSET.format(table=table), (target, name))
        self.unmark(source_row, origin, [old_name])
        self.unmark(source_row, target, [name])
        version = (to.size, to.mtime_ns, file_id_bytes(to.file_id))
        execute(_MOVE_ASSET, (origin, old_name, target, name, *version))
        execute(_MOVE_METADATA, (origin, old_name, target, name))
        self.refresh(source_id, {old_path: origin, path: target})
        return True

    def _states(self, source_id: str, sql: str, params: Row) -> Sequence[AssetState]:
        return tuple(asset_state(source_id, row) for row in self.database.execute(sql, params))
