"""The right to scan a source: one scanner at a time, fenced by a token that grows."""

from __future__ import annotations

from collections.abc import Sequence

from media_watch_tasks.model.sources import ScanLease
from media_watch_tasks.stores.postgres.shared_database import SharesDatabase

__all__ = ["ScanLeases"]

_ACQUIRE = """
INSERT INTO source AS s (source_id, scan_token, scan_held, scan_owner, scan_boot_id, scan_ends_boot_ns)
VALUES ($1, 1, true, $2, $3, $4)
ON CONFLICT (source_id) DO UPDATE SET
    scan_token = s.scan_token + 1, scan_held = true, scan_owner = excluded.scan_owner,
    scan_boot_id = excluded.scan_boot_id, scan_ends_boot_ns = excluded.scan_ends_boot_ns
WHERE NOT s.scan_held OR s.scan_boot_id <> excluded.scan_boot_id OR s.scan_ends_boot_ns <= $5
RETURNING scan_token
"""
_EXTEND = """
UPDATE source SET scan_boot_id = $1, scan_ends_boot_ns = $2
WHERE source_id = $3 AND scan_token = $4 AND scan_held
RETURNING 1
"""
_RELEASE = "UPDATE source SET scan_held = false WHERE source_id = $1 AND scan_token = $2 AND scan_held"
_RELEASE_OF = "UPDATE source SET scan_held = false WHERE scan_owner = ANY ($1::text[]) AND scan_held"
_HELD = "SELECT id FROM source WHERE source_id = $1 AND scan_token = $2 AND scan_held"
# Whoever takes the lease over waits for the transaction of the page that is written under it.
_HOLD = _HELD + " FOR NO KEY UPDATE"


class ScanLeases(SharesDatabase):
    """Leases on sources. A lease is lost when another scanner has acquired it, which it can do once it has ended."""

    def acquire_scan(self, source_id: str, *, owner: str, lease_ns: int) -> ScanLease | None:
        """See `MediaStateStore`. `owner` is kept for people; the same owner is refused like any other."""
        now, boot = self.clock.boot_ns(), self.clock.boot_id()
        values = (source_id, owner, boot, now + lease_ns, now)
        # Synced: a token that the server forgot would be given to a second scanner, beside the first.
        rows = self.database.run(lambda: self.database.execute(_ACQUIRE, values), durable=True)
        return ScanLease(source_id, rows[0][0]) if rows else None

    def extend_scan(self, lease: ScanLease, *, lease_ns: int) -> bool:
        """See `MediaStateStore`."""
        ends = self.clock.boot_ns() + lease_ns
        values = (self.clock.boot_id(), ends, lease.source_id, lease.token)
        return bool(self.database.run(lambda: self.database.execute(_EXTEND, values)))

    def release_scan(self, lease: ScanLease) -> None:
        """See `MediaStateStore`."""
        self.database.run(lambda: self.database.execute(_RELEASE, (lease.source_id, lease.token)))

    def release_scans_of(self, owners: Sequence[str]) -> None:
        """Give back the leases of owners that are known to be dead; inside a transaction."""
        if owners:
            self.database.execute(_RELEASE_OF, (list(owners),))

    def held_source(self, lease: ScanLease) -> int | None:
        """The row id of the source if the lease is held, else None; inside a transaction it stays so."""
        statement = _HOLD if self.database.in_transaction else _HELD
        rows = self.database.execute(statement, (lease.source_id, lease.token))
        return rows[0][0] if rows else None
