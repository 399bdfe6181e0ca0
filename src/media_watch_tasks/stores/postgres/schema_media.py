"""The tables of the media state store on PostgreSQL, as version 1 of the schema has them.

They are those of the SQLite stores; what differs, and why:

* An entry of an index holds 2,700 bytes, a path may be longer: uniqueness goes by SHA-256, order by a prefix.
* Writers work side by side, so that no counter can number their changes in the order in which they commit: see
  `take_changes`.
* Who writes assets of a directory holds the row of that directory first (`FOR NO KEY UPDATE`, several in the order of
  their ids): a digest is computed from rows that nobody else changes meanwhile.
"""

from __future__ import annotations

__all__ = ["CHANGE_BITS", "MEDIA_SCHEMA", "PATH_PREFIX"]

PATH_PREFIX = 1_000
"""Bytes of a path that the index holds by which directories are ordered."""

CHANGE_BITS = 20
"""Low bits of a change's number: its place among those of one transaction, a million at most."""

MEDIA_SCHEMA: tuple[str, ...] = (
    # identity_strong is NULL where no root was accepted yet. The lease ends by the boot clock of the boot it names.
    """
    CREATE TABLE source (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        source_id text NOT NULL UNIQUE,
        baseline text NOT NULL DEFAULT 'none',
        destinations text NOT NULL DEFAULT '[]',
        identity_strong text,
        identity_weak text,
        identity_stable boolean,
        filter_spec text,
        checkpoint text,
        scans bigint NOT NULL DEFAULT 0,
        last_complete_ns bigint,
        last_full_ns bigint,
        scans_since_full bigint NOT NULL DEFAULT 0,
        stamps_lie boolean NOT NULL DEFAULT false,
        quarantine text,
        quarantine_scan bigint,
        scan_token bigint NOT NULL DEFAULT 0,
        scan_held boolean NOT NULL DEFAULT false,
        scan_owner text,
        scan_boot_id text,
        scan_ends_boot_ns bigint
    )
    """,
    "CREATE TABLE owed_directory (source bigint NOT NULL, path bytea NOT NULL)",
    "CREATE UNIQUE INDEX owed_directory_path ON owed_directory (source, sha256(path))",
    # `digest` is that of the present assets, see page_digest.
    """
    CREATE TABLE directory (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        source bigint NOT NULL,
        listed boolean NOT NULL DEFAULT false,
        digest bytea,
        path bytea NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX directory_path ON directory (source, sha256(path))",
    # The order of a scan.
    f"CREATE INDEX directory_order ON directory (source, substring(path FOR {PATH_PREFIX}))",
    # The last complete listing of a directory: its stamp, when that was first seen, and the names of the directories in
    # it, joined by NUL.
    """
    CREATE TABLE directory_listing (
        directory bigint PRIMARY KEY,
        mtime_ns bigint NOT NULL,
        ctime_ns bigint NOT NULL,
        since_ns bigint NOT NULL,
        trusted boolean NOT NULL,
        file_id bytea,
        children bytea NOT NULL
    )
    """,
    # sequence: of the latest change, see take_changes.
    """
    CREATE TABLE asset (
        directory bigint NOT NULL,
        size bigint NOT NULL,
        mtime_ns bigint NOT NULL,
        unchanged_since_ns bigint NOT NULL,
        first_seen_ns bigint NOT NULL,
        sequence bigint NOT NULL,
        missing_since_ns bigint,
        baseline boolean NOT NULL DEFAULT false,
        name bytea NOT NULL,
        file_id bytea,
        PRIMARY KEY (directory, name)
    )
    """,
    # For files that were moved: who else had this time and size? The time first: files of one folder are of one time.
    "CREATE INDEX asset_version ON asset (mtime_ns, size)",
    "CREATE INDEX asset_sequence ON asset (sequence)",
    # Assets that were moved away or forgotten. The tombstone of a path where an asset stands again counts for nothing.
    """
    CREATE TABLE asset_removed (
        source bigint NOT NULL,
        sequence bigint NOT NULL,
        path bytea NOT NULL,
        name bytea NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX asset_removed_path ON asset_removed (source, sha256(path), name)",
    "CREATE INDEX asset_removed_sequence ON asset_removed (sequence)",
    # state: a JSON object of the reader's own.
    "CREATE TABLE change_bookmark (reader text PRIMARY KEY, state text NOT NULL)",
    # One row. Transaction ids of a server begin anew when a database is restored to another one: the offset lifts the
    # numbers made from them above those that the database already holds, see change_numbers.
    "CREATE TABLE change_offset (id integer PRIMARY KEY CHECK (id = 1), transactions bigint NOT NULL)",
    "INSERT INTO change_offset VALUES (1, 0)",
    # The first of `wanted` numbers for changes: the transaction's id, then the place in the transaction. Whatever order
    # transactions commit in, all changes of those that may still commit lie at or above `changes_below()`.
    f"""
    CREATE FUNCTION take_changes(wanted bigint) RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
        number bigint := (pg_current_xact_id()::text::bigint + (SELECT transactions FROM change_offset))
            << {CHANGE_BITS};
        taken bigint := coalesce(nullif(current_setting('media_watch_tasks.changes', true), '')::bigint, 0);
    BEGIN
        IF taken + wanted > 1::bigint << {CHANGE_BITS} THEN
            RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
                MESSAGE = format('more than %s changes in one transaction', 1::bigint << {CHANGE_BITS});
        END IF;
        PERFORM set_config('media_watch_tasks.changes', (taken + wanted)::text, true);
        RETURN number + taken;
    END
    $$
    """,  # noqa: S608 - made of constants
    f"""
    CREATE FUNCTION changes_below() RETURNS bigint LANGUAGE sql STABLE AS $$
        SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + transactions) << {CHANGE_BITS}
        FROM change_offset
    $$
    """,  # noqa: S608 - made of constants
    # Candidates for absence, and the first scan that did not find them.
    """
    CREATE TABLE absent_asset (
        source bigint NOT NULL,
        directory bigint NOT NULL,
        scan bigint NOT NULL,
        name bytea NOT NULL,
        PRIMARY KEY (source, directory, name)
    )
    """,
    # An asset changed by hand must not hide behind the digest of its directory. `record_page` alone inserts assets.
    """
    CREATE FUNCTION digests_of_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE directory SET digest = NULL WHERE digest IS NOT NULL AND id IN (
            (SELECT directory FROM (
                SELECT directory, name, size, mtime_ns, missing_since_ns IS NULL FROM earlier
                EXCEPT SELECT directory, name, size, mtime_ns, missing_since_ns IS NULL FROM later
            ) AS gone)
            UNION
            (SELECT directory FROM (
                SELECT directory, name, size, mtime_ns, missing_since_ns IS NULL FROM later
                EXCEPT SELECT directory, name, size, mtime_ns, missing_since_ns IS NULL FROM earlier
            ) AS come)
        );
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER asset_changed AFTER UPDATE ON asset REFERENCING OLD TABLE AS earlier NEW TABLE AS later
    FOR EACH STATEMENT EXECUTE FUNCTION digests_of_changed()
    """,
    """
    CREATE FUNCTION digests_of_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE directory SET digest = NULL WHERE digest IS NOT NULL AND id IN (SELECT directory FROM earlier);
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER asset_deleted AFTER DELETE ON asset REFERENCING OLD TABLE AS earlier
    FOR EACH STATEMENT EXECUTE FUNCTION digests_of_deleted()
    """,
    """
    CREATE TABLE metadata (
        directory bigint NOT NULL,
        size bigint NOT NULL,
        mtime_ns bigint NOT NULL,
        name bytea NOT NULL,
        json text NOT NULL,
        PRIMARY KEY (directory, name)
    )
    """,
)
"""Statements that create the tables, indices, functions and triggers, in order."""
