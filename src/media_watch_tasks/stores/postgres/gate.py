"""The gate of a queue: what may be done beside each other, and what is done alone.

SQLite has one writer at a time, so every transaction finds the queue at rest. Here transactions run side by side. Most
of what a queue does needs no more than that rows are locked: claims take different ones (SKIP LOCKED), a settlement
writes those that its worker holds, new assets get rows of their own. These transactions go through the gate together
(`SHARED`). What rests on more than the rows it writes (a newer version takes the place of a waiting one, a pause holds
tasks, leases are taken back, people cancel and retry) goes through alone (`ALONE`): it waits until the others have
committed, sees all that they wrote, and they wait for it, a few milliseconds. So it is as right as on SQLite, by the
same statements.

A gate is an advisory lock (https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS) of the
transaction. Waiting for it alone is the first thing that a transaction does to the queue: two that stood in the gate
together and both wanted it alone would wait for each other. Who finds too late that he has to be alone begins anew.
"""

from __future__ import annotations

import zlib
from enum import IntEnum

__all__ = ["AloneNeededError", "Gate", "lock_class"]


class AloneNeededError(Exception):
    """Work that was begun beside others has to be done alone: it is taken back, and done again."""


class Gate(IntEnum):
    """How a transaction stands in the gate; a higher one includes the lower ones."""

    NONE = 0
    """It does not touch the queue."""
    SHARED = 1
    """Beside others that do the same."""
    ALONE = 2

    def sql(self, schema: str) -> str:
        """An expression that waits in the gate of the queue in this schema."""
        name = "pg_advisory_xact_lock" if self is Gate.ALONE else "pg_advisory_xact_lock_shared"
        return f"{name}({lock_class('gate', schema)}, 0)"


def lock_class(purpose: str, schema: str) -> int:
    """The first key of a schema's advisory locks, which stand in the database beside those of other programs."""
    number = zlib.crc32(f"media_watch_tasks {purpose} {schema}".encode())
    return number - 2**32 if number >= 2**31 else number
