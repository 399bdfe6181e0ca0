"""The right to scan a source: one scanner at a time, fenced by a token that grows."""

from __future__ import annotations

from collections.abc import Sequence

from media_watch_tasks.model.sources import ScanLease
from media_watch_tasks.stores.relational.text_codec import to_sql
from media_watch_tasks.stores.sqlite.shared_database import SharesDatabase

__all__ = ["ScanLeases"]

# The end is judged by the boot clock, which never jumps; a lease of another boot is over.
_ACQUIRE = """
INSERT INTO source (source_id, scan_token, scan_held, scan_owner, scan_boot_id, scan_ends_boot_ns)
VALUES (?, 1, 1, ?, ?, ?)
ON CONFLICT (source_id) DO UPDATE SET
    scan_token = scan_token + 1, scan_held = 1, scan_owner = excluded.scan_owner,
    scan_boot_id = excluded.scan_boot_id, scan_ends_boot_ns = excluded.scan_ends_boot_ns
WHERE NOT scan_held OR scan_boot_id <> excluded.scan_boot_id OR scan_ends_boot_ns <= ?
RETURNING scan_token
"""
_EXTEND = """
UPDATE source SET scan_boot_id = ?, scan_ends_boot_ns = ?
WHERE source_id = ? AND scan_token = ? AND scan_held
RETURNING 1
"""
_RELEASE = "UPDATE source SET scan_held = 0 WHERE source_id = ? AND scan_token = ? AND scan_held"
_RELEASE_OF = "UPDATE source SET scan_held = 0 WHERE scan_owner = ? AND scan_held"
_HELD = "SELECT id FROM source WHERE source_id = ? AND scan_token = ? AND scan_held"


class ScanLeases(SharesDatabase):
    """Leases on sources. A lease is lost when another scanner has acquired it, which it can do once it has ended."""

    def acquire_scan(self, source_id: str, *, owner: str, lease_ns: int) -> ScanLease | None:
        """See `MediaStateStore`. `owner` is kept for people; the same owner is refused like any other."""
        now, boot = self.clock.boot_ns(), self.clock.boot_id()
        with self.transaction():
            rows = self.database.execute(_ACQUIRE, (to_sql(source_id), to_sql(owner), boot, now + lease_ns, now))
        return ScanLease(source_id, rows[0][0]) if rows else None

    def extend_scan(self, lease: ScanLease, *, lease_ns: int) -> bool:
        """See `MediaStateStore`."""
        ends = self.clock.boot_ns() + lease_ns
        with self.transaction():
            return bool(
                self.database.execute(_EXTEND, (self.clock.boot_id(), ends, to_sql(lease.source_id), lease.token))
            )

    def release_scan(self, lease: ScanLease) -> None:
        """See `MediaStateStore`."""
        with self.transaction():
            self.database.execute(_RELEASE, (to_sql(lease.source_id), lease.token))

    def release_scans_of(self, owners: Sequence[str]) -> None:
        """Give back the leases of owners that are known to be dead; inside a transaction."""
        for owner in owners:
            self.database.execute(_RELEASE_OF, (to_sql(owner),))

    def held_source(self, lease: ScanLease) -> int | None:
        """The row id of the source if the lease is held, else None; inside a transaction it stays so."""
        rows = self.database.execute(_HELD, (to_sql(lease.source_id), lease.token))
        return rows[0][0] if rows else None
