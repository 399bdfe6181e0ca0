"""The records of sources."""

from __future__ import annotations

from collections.abc import Sequence

from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.identity import order_key
from media_watch_tasks.model.sources import ScanLease, SourceState
from media_watch_tasks.stores.postgres.connection import Row
from media_watch_tasks.stores.postgres.scan_leases import ScanLeases
from media_watch_tasks.stores.relational.source_rows import (
    SOURCE_COLUMNS,
    WRITE_SOURCE,
    identity_row,
    source_row,
    sources_from_rows,
)

__all__ = ["SourceRecords"]

_READ = f"""
SELECT id, {SOURCE_COLUMNS}, owed_directory.path
FROM source LEFT JOIN owed_directory ON owed_directory.source = source.id
"""  # noqa: S608 - made of constants
_WRITE_IDENTITY = """
INSERT INTO source (source_id, identity_strong, identity_weak, identity_stable) VALUES ($1, $2, $3, $4)
ON CONFLICT (source_id) DO UPDATE SET identity_strong = excluded.identity_strong,
    identity_weak = excluded.identity_weak, identity_stable = excluded.identity_stable
"""
_DROP_OWED = """
DELETE FROM owed_directory WHERE source = $1
    AND NOT EXISTS (SELECT 1 FROM unnest($2::bytea[]) AS o (owed) WHERE sha256(owed) = sha256(path))
"""
_ADD_OWED = """
INSERT INTO owed_directory (source, path) SELECT $1, owed FROM unnest($2::bytea[]) AS o (owed)
ON CONFLICT (source, sha256(path)) DO NOTHING
"""


class SourceRecords(ScanLeases):
    """What is kept once for each source."""

    def source(self, source_id: str) -> SourceState:
        """See `MediaStateStore`."""
        states = self._read(" WHERE source_id = $1", (source_id,))
        return states[0] if states else SourceState(source_id=source_id)

    def sources(self) -> Sequence[SourceState]:
        """See `MediaStateStore`. A source appears with its first record or scan lease."""
        return tuple(sorted(self._read(), key=lambda state: state.source_id))

    def save_source(self, state: SourceState, *, lease: ScanLease | None = None) -> bool:
        """See `MediaStateStore`."""
        values = source_row(state)
        owed = sorted(order_key(directory) for directory in state.owed)

        def write() -> bool:
            if lease is not None and (lease.source_id != state.source_id or self.held_source(lease) is None):
                return False
            ((source,),) = self.database.execute(WRITE_SOURCE, values)
            self.database.execute(_DROP_OWED, (source, owed))
            self.database.execute(_ADD_OWED, (source, owed))
            return True

        return self.database.run(write)

    def save_identity(self, source_id: str, identity: RootIdentity) -> None:
        """See `MediaStateStore`."""
        values = (source_id, *identity_row(identity))
        self.database.run(lambda: self.database.execute(_WRITE_IDENTITY, values))

    def _read(self, where: str = "", params: Row = ()) -> list[SourceState]:
        return sources_from_rows(self.database.execute(_READ + where, params))
