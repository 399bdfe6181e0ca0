"""Pages of a scan: compared with what is known, and written where they differ."""

from __future__ import annotations

from media_watch_tasks.model.identity import order_key
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.model.sources import PageDiff, PageRecord, ScanLease
from media_watch_tasks.stores.relational.asset_rows import LISTING_COLUMNS, listing_from_row
from media_watch_tasks.stores.relational.page_difference import beyond_64_bits, name_on_page, page_difference
from media_watch_tasks.stores.relational.page_digest import listing_digest
from media_watch_tasks.stores.relational.path_codec import file_id_to_sql
from media_watch_tasks.stores.relational.text_codec import to_sql
from media_watch_tasks.stores.sqlite.absences import Absences
from media_watch_tasks.stores.sqlite.change_sequence import take_sequences
from media_watch_tasks.stores.sqlite.connection import Row
from media_watch_tasks.stores.sqlite.page_digest import refresh_digest
from media_watch_tasks.stores.sqlite.scan_leases import ScanLeases

__all__ = ["ScannedPages"]

_ANY_MARK = "EXISTS (SELECT 1 FROM absent_asset AS x WHERE x.source = d.source AND x.directory = d.id)"
_DIRECTORY = "FROM directory AS d WHERE d.source = (SELECT id FROM source WHERE source_id = ?) AND d.path = ?"
# The last row tells of the directory, the rows before it are its present assets, shaped like those of a page. No ORDER
# BY: the key of the table gives them in the order of their names, and another order would cost time alone.
_KNOWN = f"""
SELECT a.name, a.size, a.mtime_ns
FROM (SELECT d.id {_DIRECTORY}) AS place CROSS JOIN asset AS a ON a.directory = place.id
WHERE a.missing_since_ns IS NULL {{names}}
UNION ALL
SELECT d.id, d.listed, {_ANY_MARK} {_DIRECTORY}
"""  # noqa: S608 - made of constants
_KNOWN_WHOLE = _KNOWN.format(names="")
_KNOWN_AFTER = _KNOWN.format(names="AND a.name > ?")
_KNOWN_UP_TO = _KNOWN.format(names="AND a.name <= ?")
_KNOWN_BETWEEN = _KNOWN.format(names="AND a.name > ? AND a.name <= ?")
_KNOWN_COUNT = f"""
SELECT d.listed, (SELECT count(*) FROM asset AS a WHERE a.directory = d.id AND a.missing_since_ns IS NULL)
{_DIRECTORY}
"""  # noqa: S608 - made of constants
_LISTED = f"""
SELECT d.listed, d.digest, {_ANY_MARK}, {LISTING_COLUMNS}
FROM directory AS d LEFT JOIN directory_listing AS l ON l.directory = d.id
WHERE d.source = (SELECT id FROM source WHERE source_id = ?) AND d.path = ?
"""  # noqa: S608 - made of constants

_WRITE_DIRECTORY = """
INSERT INTO directory (source, path, listed) VALUES (?, ?, ?)
ON CONFLICT (source, path) DO UPDATE SET listed = max(listed, excluded.listed), digest = NULL
RETURNING id
"""
_INSERT_ASSET = """
INSERT INTO asset (directory, name, size, mtime_ns, file_id, unchanged_since_ns, first_seen_ns, baseline, sequence)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (directory, name) DO
"""
_WRITE_NEW = _INSERT_ASSET + "NOTHING"
# The mark `baseline` belongs to a version: a later one that no baseline recorded loses it.
_WRITE_ANY = (
    _INSERT_ASSET
    + """
UPDATE SET
    size = excluded.size, mtime_ns = excluded.mtime_ns, file_id = excluded.file_id,
    unchanged_since_ns = CASE
        WHEN (size, mtime_ns) = (excluded.size, excluded.mtime_ns) AND missing_since_ns IS NULL THEN unchanged_since_ns
        ELSE excluded.unchanged_since_ns
    END,
    baseline = CASE
        WHEN missing_since_ns IS NOT NULL THEN excluded.baseline
        WHEN (size, mtime_ns) = (excluded.size, excluded.mtime_ns) THEN baseline
        ELSE baseline AND excluded.baseline
    END,
    missing_since_ns = NULL, sequence = excluded.sequence
WHERE (size, mtime_ns) <> (excluded.size, excluded.mtime_ns) OR missing_since_ns IS NOT NULL
    OR file_id IS NOT excluded.file_id
"""
)
_WRITE_CHECKPOINT = "UPDATE source SET checkpoint = ? WHERE id = ?"


class ScannedPages(ScanLeases, Absences):
    """The diff of a page, and its record."""

    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        """See `MediaStateStore`."""
        place = (to_sql(page.source_id), order_key(page.directory))
        if page.unchanged:
            rows = self.database.execute(_KNOWN_COUNT, place)
            listed, present = rows[0] if rows else (0, 0)
            return PageDiff(unchanged=present, listed_before=bool(listed))
        listing = None
        if page.complete:
            rows = self.database.execute(_LISTED, place)
            if not rows:
                return PageDiff(new=tuple(page.assets), listed_before=False)
            listed, digest, marked, *columns = rows[0]
            listing = None if columns[0] is None else listing_from_row(tuple(columns))
            if after is None and digest is not None and digest == listing_digest(page.rows):
                same = PageDiff(unchanged=len(page.rows), listed_before=bool(listed), listing=listing)
                return self.found_again(page, same) if marked else same
        known = self._known(page, after)
        _, listed, marked = known.pop() if known else (None, False, False)
        diff = page_difference(page, known, listed_before=bool(listed), listing=listing)
        return self.found_again(page, diff) if marked else diff

    def record_page(self, lease: ScanLease, record: PageRecord, *, baseline: bool = False) -> bool:
        """See `MediaStateStore`."""
        path = order_key(record.directory)
        first_listing = record.complete and not self._listed(lease, path)
        absent = bool(record.absent or record.absent_directories)
        of_directory = bool(record.seen or first_listing or record.listing is not None)
        if not of_directory and not absent and record.checkpoint is None:
            return self.held_source(lease) is not None
        now = self.clock.now_ns()
        rows = [
            (
                name_on_page(asset, record),
                asset.size,
                asset.mtime_ns,
                file_id_to_sql(asset.file_id),
                now,
                now,
                int(baseline),
            )
            for asset in record.seen
        ]
        with self.transaction():
            source = self.held_source(lease)
            if source is None:
                return False
            if of_directory:
                directory = self.database.execute(_WRITE_DIRECTORY, (source, path, int(record.complete)))[0][0]
                self._write_assets(directory, rows, record)
                self.unmark(source, directory, [row[0] for row in rows])
                if record.listing is not None:
                    self.write_listing(directory, record.listing)
                if record.complete:
                    refresh_digest(self.database, directory)
            if absent:
                self.mark_absent(source, record)
            if record.checkpoint is not None:
                self.database.execute(_WRITE_CHECKPOINT, (to_sql(record.checkpoint), source))
        return True

    def _known(self, page: ScanPage, after: bytes | None) -> list[Row]:
        place = (to_sql(page.source_id), order_key(page.directory))
        # A page that ends in the middle of a directory speaks for the names up to its last one, without names for none.
        last = None if page.complete else page.rows[-1][0] if page.rows else after or b""
        if after is None:
            if last is None:
                return self.database.execute(_KNOWN_WHOLE, (*place, *place))
            return self.database.execute(_KNOWN_UP_TO, (*place, last, *place))
        if last is None:
            return self.database.execute(_KNOWN_AFTER, (*place, after, *place))
        return self.database.execute(_KNOWN_BETWEEN, (*place, after, last, *place))

    def _listed(self, lease: ScanLease, path: bytes) -> bool:
        rows = self.database.execute(_LISTED, (to_sql(lease.source_id), path))
        return bool(rows and rows[0][0])

    def _write_assets(self, directory: int, rows: list[Row], record: PageRecord) -> None:
        if not rows:
            return
        sequences = take_sequences(self.database, len(rows))
        values = [(directory, *row, sequence) for row, sequence in zip(rows, sequences, strict=True)]
        before = self.database.total_changes()
        try:
            self.database.executemany(_WRITE_NEW, values)
            # The statement for rows that are there already costs half as much again per row, even where none is.
            if self.database.total_changes() - before < len(values):
                self.database.executemany(_WRITE_ANY, values)
        except OverflowError as error:
            raise beyond_64_bits(record) from error
