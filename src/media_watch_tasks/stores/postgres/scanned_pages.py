"""Pages of a scan: compared with what is known, and written where they differ."""

from __future__ import annotations

from media_watch_tasks.model.identity import order_key, within_int64
from media_watch_tasks.model.scans import AssetRow, ScanPage
from media_watch_tasks.model.sources import PageDiff, PageRecord, ScanLease
from media_watch_tasks.stores.postgres.absences import Absences
from media_watch_tasks.stores.postgres.connection import Row
from media_watch_tasks.stores.postgres.scan_leases import ScanLeases
from media_watch_tasks.stores.relational.asset_rows import listing_from_row
from media_watch_tasks.stores.relational.page_difference import beyond_64_bits, name_on_page, page_difference
from media_watch_tasks.stores.relational.page_digest import listing_digest
from media_watch_tasks.stores.relational.path_codec import file_id_bytes

__all__ = ["ScannedPages"]

_KNOWN = """
SELECT name, size, mtime_ns FROM asset
WHERE directory = $1 AND missing_since_ns IS NULL {names} ORDER BY name
"""
_KNOWN_WHOLE = _KNOWN.format(names="")
_KNOWN_AFTER = _KNOWN.format(names="AND name > $2")
_KNOWN_UP_TO = _KNOWN.format(names="AND name <= $2")
_KNOWN_BETWEEN = _KNOWN.format(names="AND name > $2 AND name <= $3")
_KNOWN_COUNT = "SELECT count(*) FROM asset WHERE directory = $1 AND missing_since_ns IS NULL"

_WRITE_DIRECTORY = """
INSERT INTO directory AS d (source, path, listed) VALUES ($1, $2, $3)
ON CONFLICT (source, sha256(path)) DO UPDATE SET listed = d.listed OR excluded.listed, digest = NULL
RETURNING id
"""
# The mark `baseline` belongs to a version: a later one that no baseline recorded loses it.
_WRITE_ASSETS = """
INSERT INTO asset AS a
    (directory, name, size, mtime_ns, file_id, unchanged_since_ns, first_seen_ns, baseline, sequence)
SELECT $1, w.name, w.size, w.mtime_ns, w.file_id, $2, $2, $3, (SELECT take_changes($4)) + w.number - 1
FROM unnest($5::bytea[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bytea[])
    AS w (name, number, size, mtime_ns, file_id)
ON CONFLICT (directory, name) DO UPDATE SET
    size = excluded.size, mtime_ns = excluded.mtime_ns, file_id = excluded.file_id,
    unchanged_since_ns = CASE
        WHEN (a.size, a.mtime_ns) = (excluded.size, excluded.mtime_ns) AND a.missing_since_ns IS NULL
        THEN a.unchanged_since_ns ELSE excluded.unchanged_since_ns
    END,
    baseline = CASE
        WHEN a.missing_since_ns IS NOT NULL THEN excluded.baseline
        WHEN (a.size, a.mtime_ns) = (excluded.size, excluded.mtime_ns) THEN a.baseline
        ELSE a.baseline AND excluded.baseline
    END,
    missing_since_ns = NULL, sequence = excluded.sequence
WHERE (a.size, a.mtime_ns) <> (excluded.size, excluded.mtime_ns) OR a.missing_since_ns IS NOT NULL
    OR a.file_id IS DISTINCT FROM excluded.file_id
"""
_WRITE_CHECKPOINT = "UPDATE source SET checkpoint = $2 WHERE id = $1"


class ScannedPages(ScanLeases, Absences):
    """The diff of a page, and its record."""

    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        """See `MediaStateStore`. The moment may be a second ago where another process writes, see `listings_ahead`."""
        known = self.ahead.get(page.source_id, order_key(page.directory))
        if known is None:
            if page.unchanged:
                return PageDiff(listed_before=False)
            return PageDiff(new=tuple(page.assets), listed_before=False)
        directory, listed, digest, any_mark, *columns = known
        if page.unchanged:
            ((present,),) = self.database.execute(_KNOWN_COUNT, (directory,))
            return PageDiff(unchanged=present, listed_before=listed)
        listing = listing_from_row(columns) if page.complete and columns[0] is not None else None
        if page.complete and after is None and digest is not None and digest == listing_digest(page.rows):
            diff = PageDiff(unchanged=len(page.rows), listed_before=listed, listing=listing)
        else:
            rows = self._known(directory, page, after)
            diff = page_difference(page, rows, listed_before=listed, listing=listing)
        return self.found_again(page, directory, diff) if any_mark else diff

    def record_page(self, lease: ScanLease, record: PageRecord, *, baseline: bool = False) -> bool:
        """See `MediaStateStore`."""
        path = order_key(record.directory)
        first_listing = record.complete and not self._listed(lease.source_id, path)
        of_directory = bool(record.seen or first_listing or record.listing is not None)
        absent = bool(record.absent or record.absent_directories)
        if not of_directory and not absent and record.checkpoint is None:
            return self.held_source(lease) is not None
        now = self.clock.now_ns()
        columns = _asset_columns(record)

        def write() -> bool:
            source = self.held_source(lease)
            if source is None:
                return False
            if of_directory:
                ((directory,),) = self.database.execute(_WRITE_DIRECTORY, (source, path, record.complete))
                if record.seen:
                    names = columns[0]
                    self.database.later(_WRITE_ASSETS, (directory, now, baseline, len(names), *columns))
                    self.unmark(source, directory, names)
                if record.listing is not None:
                    self.write_listing(directory, record.listing)
                if record.complete:
                    self.refresh(lease.source_id, {path: directory})
                else:
                    self.ahead.drop(lease.source_id, [path])
            if absent:
                self.mark_absent(source, record)
            if record.checkpoint is not None:
                self.database.later(_WRITE_CHECKPOINT, (source, record.checkpoint))
            return True

        return self.database.run(write)

    def _known(self, directory: int, page: ScanPage, after: bytes | None) -> list[AssetRow]:
        # A page that ends in the middle of a directory speaks for the names up to its last one, without names for none.
        last = None if page.complete else page.rows[-1][0] if page.rows else after or b""
        if after is None:
            if last is None:
                return self._rows(_KNOWN_WHOLE, (directory,))
            return self._rows(_KNOWN_UP_TO, (directory, last))
        if last is None:
            return self._rows(_KNOWN_AFTER, (directory, after))
        return self._rows(_KNOWN_BETWEEN, (directory, after, last))

    def _rows(self, sql: str, params: Row) -> list[AssetRow]:
        rows: list[AssetRow] = self.database.execute(sql, params)
        return rows

    def _listed(self, source_id: str, path: bytes) -> bool:
        row = self.ahead.get(source_id, path)
        return bool(row and row[1])


_Columns = tuple[list[bytes], list[int], list[int], list[int], list[bytes | None]]


def _asset_columns(record: PageRecord) -> _Columns:
    """Names, numbers in the order of the record, sizes, times and file ids, sorted by name."""
    # The last row of a name counts: a listing made while the directory changes may hold it twice.
    seen = {name_on_page(asset, record): asset for asset in record.seen}
    rows = [
        (name, number, asset.size, asset.mtime_ns, file_id_bytes(asset.file_id))
        for number, (name, asset) in enumerate(seen.items(), 1)
    ]
    if any(within_int64(value) != value for _, _, size, mtime_ns, _ in rows for value in (size, mtime_ns)):
        raise beyond_64_bits(record)
    names, numbers, sizes, times, file_ids = map(list, zip(*sorted(rows), strict=True)) if rows else ([],) * 5
    return names, numbers, sizes, times, file_ids
