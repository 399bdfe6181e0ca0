"""The phases of a task inside a store, and the numbers of the policy that stores share.

A phase says where a task stands in the queue; the public state says what people see. A live task of the phases before
`RUNNING` is `failed` if an attempt of it has failed since it became live, else `pending`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from media_watch_tasks.clock import NANOSECONDS

__all__ = ["CRASHES_BEFORE_ALONE", "CRASH_BACKOFF_NS", "DEAD_AFTER", "Phase", "crash_delay_ns"]

CRASHES_BEFORE_ALONE = 2
"""A task that so many workers died on is begun alone from then on."""
DEAD_AFTER = CRASHES_BEFORE_ALONE + 3
"""A task that so many workers died on, three of them alone with it, is `dead: crashed`."""
CRASH_BACKOFF_NS = tuple(seconds * NANOSECONDS for seconds in (5, 10, 20, 40))
"""How long a task waits after the first, second, … death of its worker, where the caller does not say."""


class Phase(IntEnum):
    """Where a task stands. The numbers are those of the database."""

    READY = 0
    """Eligible, as far as the task itself is concerned."""
    WAITING = 1
    """Its due time lies ahead."""
    HELD = 2
    """A tag of it is paused."""
    BEHIND = 3
    """Another version of the asset is running."""
    RUNNING = 4
    """A worker holds it."""
    ENDED = 5
    """Success, dead or cancelled."""


def crash_delay_ns(crashes: int, backoff_ns: Sequence[int]) -> int:
    """How long a task waits after this many deaths of its workers."""
    return backoff_ns[min(crashes, len(backoff_ns)) - 1] if backoff_ns else 0
