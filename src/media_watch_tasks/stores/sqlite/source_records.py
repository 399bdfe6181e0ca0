"""The records of sources."""

from __future__ import annotations

from collections.abc import Sequence

from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.identity import order_key
from media_watch_tasks.model.sources import ScanLease, SourceState
from media_watch_tasks.stores.relational.source_rows import (
    SOURCE_COLUMNS,
    WRITE_SOURCE,
    identity_row,
    source_row,
    sources_from_rows,
)
from media_watch_tasks.stores.relational.text_codec import to_sql
from media_watch_tasks.stores.sqlite.connection import Row
from media_watch_tasks.stores.sqlite.scan_leases import ScanLeases

__all__ = ["SourceRecords"]

_READ = f"""
SELECT id, {SOURCE_COLUMNS}, owed_directory.path
FROM source LEFT JOIN owed_directory ON owed_directory.source = source.id
"""  # noqa: S608 - made of constants
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
        with self.transaction():
            if lease is not None and (lease.source_id != state.source_id or self.held_source(lease) is None):
                return False
            source = self.database.execute(WRITE_SOURCE, source_row(state))[0][0]
            self._write_owed(source, frozenset(order_key(directory) for directory in state.owed))
        return True

    def save_identity(self, source_id: str, identity: RootIdentity) -> None:
        """See `MediaStateStore`."""
        with self.transaction():
            self.database.execute(_WRITE_IDENTITY, (to_sql(source_id), *identity_row(identity)))

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
