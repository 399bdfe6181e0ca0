"""The tables of the media state store, as version 1 of the schema has them.

An asset row is thin, and stands where a page of a scan looks for it: the rows of a directory lie side by side, in the
order of their names, so that an unchanged directory is one short range read. Paths of directories are stored as
`model.identity.order_key`, whose byte order is the order of a scan. What a prober found is kept apart. Texts are
written by `text_codec`; times are wall times in UTC nanoseconds, except for the end of a scan's lease.
"""

from __future__ import annotations

__all__ = ["MEDIA_SCHEMA"]

MEDIA_SCHEMA: tuple[str, ...] = (
    # identity_strong is NULL where no root was accepted yet. The lease ends by the boot clock of the boot it names.
    """
    CREATE TABLE source (
        id INTEGER PRIMARY KEY,
        source_id TEXT NOT NULL UNIQUE,
        baseline TEXT NOT NULL DEFAULT 'none',
        destinations TEXT NOT NULL DEFAULT '[]',
        identity_strong TEXT,
        identity_weak TEXT,
        identity_stable INTEGER,
        filter_spec TEXT,
        checkpoint TEXT,
        scans INTEGER NOT NULL DEFAULT 0,
        last_complete_ns INTEGER,
        last_full_ns INTEGER,
        scans_since_full INTEGER NOT NULL DEFAULT 0,
        stamps_lie INTEGER NOT NULL DEFAULT 0,
        quarantine TEXT,
        quarantine_scan INTEGER,
        scan_token INTEGER NOT NULL DEFAULT 0,
        scan_held INTEGER NOT NULL DEFAULT 0,
        scan_owner TEXT,
        scan_boot_id TEXT,
        scan_ends_boot_ns INTEGER
    )
    """,
    """
    CREATE TABLE owed_directory (
        source INTEGER NOT NULL,
        path BLOB NOT NULL,
        PRIMARY KEY (source, path)
    ) WITHOUT ROWID
    """,
    # `digest` is that of the present assets, see page_digest.
    """
    CREATE TABLE directory (
        id INTEGER PRIMARY KEY,
        source INTEGER NOT NULL,
        path BLOB NOT NULL,
        listed INTEGER NOT NULL DEFAULT 0,
        digest BLOB,
        UNIQUE (source, path)
    )
    """,
    # The last complete listing of a directory: its stamp, when that was first seen, and the names of the directories in
    # it, joined by NUL.
    """
    CREATE TABLE directory_listing (
        directory INTEGER PRIMARY KEY,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        file_id,
        since_ns INTEGER NOT NULL,
        trusted INTEGER NOT NULL,
        children BLOB NOT NULL
    )
    """,
    # file_id has no type: an integer, or a BLOB where it exceeds 64 bits (see path_codec). sequence: of the latest
    # change, see change_sequence.
    """
    CREATE TABLE asset (
        directory INTEGER NOT NULL,
        name BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        file_id,
        unchanged_since_ns INTEGER NOT NULL,
        first_seen_ns INTEGER NOT NULL,
        missing_since_ns INTEGER,
        baseline INTEGER NOT NULL DEFAULT 0,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (directory, name)
    ) WITHOUT ROWID
    """,
    # For files that were moved: who else had this time and size? The time first: files of one folder are of one time.
    "CREATE INDEX asset_version ON asset (mtime_ns, size)",
    # The change feed: new entries go to its end, where no page is split.
    "CREATE INDEX asset_sequence ON asset (sequence)",
    # Assets that were moved away or forgotten. The tombstone of a path where an asset stands again counts for nothing.
    """
    CREATE TABLE asset_removed (
        source INTEGER NOT NULL,
        path BLOB NOT NULL,
        name BLOB NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (source, path, name)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX asset_removed_sequence ON asset_removed (sequence)",
    # One row: the latest sequence that was given out.
    "CREATE TABLE change_sequence (id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL)",
    "INSERT INTO change_sequence VALUES (1, 0)",
    # state: a JSON object of the reader's own.
    "CREATE TABLE change_bookmark (reader TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID",
    # Candidates for absence, and the first scan that did not find them.
    """
    CREATE TABLE absent_asset (
        source INTEGER NOT NULL,
        directory INTEGER NOT NULL,
        name BLOB NOT NULL,
        scan INTEGER NOT NULL,
        PRIMARY KEY (source, directory, name)
    ) WITHOUT ROWID
    """,
    # An asset changed by hand must not hide behind the digest of its directory. `record_page` alone inserts assets.
    """
    CREATE TRIGGER asset_changed AFTER UPDATE OF directory, name, size, mtime_ns, missing_since_ns ON asset BEGIN
        UPDATE directory SET digest = NULL WHERE id IN (old.directory, new.directory) AND digest IS NOT NULL;
    END
    """,
    """
    CREATE TRIGGER asset_deleted AFTER DELETE ON asset BEGIN
        UPDATE directory SET digest = NULL WHERE id = old.directory AND digest IS NOT NULL;
    END
    """,
    # Rows of kilobytes: with a rowid, so that the key's index stays small.
    """
    CREATE TABLE metadata (
        directory INTEGER NOT NULL,
        name BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        json TEXT NOT NULL,
        PRIMARY KEY (directory, name)
    )
    """,
)
"""Statements that create the tables and indices, in order."""
