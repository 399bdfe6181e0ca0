"""The records of sources."""

from __future__ import annotations

import json
from collections.abc import Sequence

from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.identity import order_key
from media_watch_tasks.model.sources import ScanLease, SourceState
from media_watch_tasks.stores.relational.source_rows import SOURCE_COLUMNS, sources_from_rows
from media_watch_tasks.stores.relational.text_codec import to_sql
from media_watch_tasks.stores.sqlite.connection import Row
from media_watch_tasks.stores.sqlite.scan_leases import ScanLeases

__all__ = ["SourceRecords"]

_READ = f"""
SELECT id, {SOURCE_COLUMNS}, owed_directory.path
FROM source LEFT JOIN owed_directory ON owed_directory.source = source.id
"""  # noqa: S608 - made of constants
_WRITE = """
INSERT INTO source (source_id, baseline, destinations, identity_strong, identity_weak, identity_stable, filter_spec,
    checkpoint, scans, last_complete_ns, last_full_ns, scans_since_full, stamps_lie, quarantine, quarantine_scan)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (source_id) DO UPDATE SET
    baseline = excluded.baseline, destinations = excluded.destinations, identity_strong = excluded.identity_strong,
    identity_weak = excluded.identity_weak, identity_stable = excluded.identity_stable,
    filter_spec = excluded.filter_spec, checkpoint = excluded.checkpoint, scans = excluded.scans,
    last_complete_ns = excluded.last_complete_ns, last_full_ns = excluded.last_full_ns,
    scans_since_full = excluded.scans_since_full, stamps_lie = excluded.stamps_lie,
    quarantine = excluded.quarantine, quarantine_scan = excluded.quarantine_scan
RETURNING id
"""
_WRITE_IDENTITY = """
INSERT INTO source (source_id, identity_strong, identity_weak, identity_stable) VALUES (?, ?, ?, ?)
ON CONFLICT (source_id) DO UPDATE SET identity_strong = excluded.identity_strong,
    identity_weak = excluded.identity_weak, identity_stable = excluded.identity_stable
"""
_READ_OWED = "SELECT path FROM owed_directory WHERE source = ?"


class SourceRecords(ScanLeases):
    """What is kept once for each source."""

    def source(self, source_id: str) -> SourceState:
        """See `MediaStateStore`."""
        states = self._read(" WHERE source_id = ?", (to_sql(source_id),))
        return states[0] if states else SourceState(source_id=source_id)

    def sources(self) -> Sequence[SourceState]:
        """See `MediaStateStore`. A source appears with its first record or scan lease."""
        return tuple(sorted(self._read(), key=lambda state: state.source_id))

    def save_source(self, state: SourceState, *, lease: ScanLease | None = None) -> bool:
        """See `MediaStateStore`."""
        destinations = json.dumps(sorted(state.destinations))
        values = (
            to_sql(state.source_id),
            state.baseline.value,
            destinations,
            *_identity_columns(state.identity),
            to_sql(state.filter_spec),
            to_sql(state.checkpoint),
            state.scans,
            state.last_complete_ns,
            state.last_full_ns,
            state.scans_since_full,
            int(state.stamps_lie),
            to_sql(state.quarantine),
            state.quarantine_scan,
        )
        with self.transaction():
            if lease is not None and (lease.source_id != state.source_id or self.held_source(lease) is None):
                return False
            source = self.database.execute(_WRITE, values)[0][0]
            self._write_owed(source, frozenset(order_key(directory) for directory in state.owed))
        return True

    def save_identity(self, source_id: str, identity: RootIdentity) -> None:
        """See `MediaStateStore`."""
        with self.transaction():
            self.database.execute(_WRITE_IDENTITY, (to_sql(source_id), *_identity_columns(identity)))

    def _read(self, where: str = "", params: Row = ()) -> list[SourceState]:
        return sources_from_rows(self.database.execute(_READ + where, params))

    def _write_owed(self, source: int, owed: frozenset[bytes]) -> None:
        written = {path for (path,) in self.database.execute(_READ_OWED, (source,))}
        if owed == written:
            return
        delete, insert = sorted(written - owed), sorted(owed - written)
        self.database.executemany(
            "DELETE FROM owed_directory WHERE source = ? AND path = ?", [(source, path) for path in delete]
        )
        self.database.executemany("INSERT INTO owed_directory VALUES (?, ?)", [(source, path) for path in insert])


def _identity_columns(identity: RootIdentity | None) -> tuple[str | bytes | None, str | bytes | None, int | None]:
    if identity is None:
        return None, None, None
    return to_sql(identity.strong), to_sql(identity.weak), int(identity.file_ids_stable)
