"""How work on tasks ends, on SQLite: what is most frequent, with less for the driver to do."""

from __future__ import annotations

from collections.abc import Sequence

from media_watch_tasks.model.tasks import ClaimRef
from media_watch_tasks.stores.relational.task_database import Row
from media_watch_tasks.stores.relational.task_settle import TaskSettle

__all__ = ["SqliteTaskSettle"]

_IS_FRESH = "SELECT 1 FROM task WHERE id = ? AND token = ? AND phase = 4 AND boot = ? AND lease_end >= ?"
_FRESH_SHARE = 64
_PLAIN_RECEIPT = "INSERT INTO task_receipt VALUES (?, ?, ?, ?, NULL, ?, ?, NULL)"


class SqliteTaskSettle(TaskSettle):
    """`settle`, `extend`, `save_resume_state`. Every method but `is_fresh` needs a transaction."""

    def is_fresh(self, ref: ClaimRef, *, lease_ns: int) -> bool:
        """True if the claim is held, and its lease ends at most a sixty-fourth earlier than if it were extended now."""
        clock = self._core.clock
        boot = self._core.names.latest_known().boots.get(clock.boot_id())
        least = clock.boot_ns() + lease_ns - lease_ns // _FRESH_SHARE
        return bool(self._core.database.execute(_IS_FRESH, (ref.task_id, ref.token, boot, least)))

    def _insert_receipts(self, rows: Sequence[Row]) -> None:
        # None and bytes cost the driver a look-up of its adapters, as much as three numbers: NULL and bytearray do not.
        plain: list[Row] = []
        others: list[Row] = []
        for row in rows:
            task_id, remote_id, size, sha256, etag, verified, deduplicated, details = row
            if etag is None and details is None and isinstance(sha256, bytes):
                plain.append((task_id, remote_id, size, bytearray(sha256), verified, deduplicated))
            else:
                others.append(row)
        if plain:
            self._core.database.executemany(_PLAIN_RECEIPT, plain)
        if others:
            super()._insert_receipts(others)
