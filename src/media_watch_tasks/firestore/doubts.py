"""Doubts: commits that nobody waits for any more, and that may be applied all the same.

A call that timed out, or whose connection broke, may reach the database later than the one that repeats it. As long as
both hold the same documents that does no harm. A newer content of such a document waits until the earlier call can not
be applied any more, or it could be overwritten by the older one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import NANOSECONDS, Clock
from media_watch_tasks.firestore.batches import PlannedWrite

__all__ = ["Doubts"]


@attrs.frozen
class _Doubt:
    message: Any
    until_ns: int


class Doubts:
    """The writes of one client that are in doubt. Thread-safe."""

    def __init__(self, clock: Clock, *, grace: float) -> None:
        self._clock = clock
        self._grace_ns = round(grace * NANOSECONDS)
        self._lock = threading.Lock()
        self._known: dict[str, _Doubt] = {}

    def note(self, writes: Sequence[PlannedWrite]) -> None:
        """A commit of these was given up, and may be applied for as long as the grace lasts."""
        now = self._clock.monotonic_ns()
        with self._lock:
            self._known = {path: doubt for path, doubt in self._known.items() if doubt.until_ns > now}
            for write in writes:
                self._known[write.path] = _Doubt(write.message, now + self._grace_ns)

    def wait(self, writes: Sequence[PlannedWrite], *, cancel: CancelToken | None) -> None:
        """Wait until no earlier content of these documents is in doubt."""
        with self._lock:
            if not self._known:
                return
            known = [(write, self._known.get(write.path)) for write in writes]
        until = max((doubt.until_ns for write, doubt in known if doubt and doubt.message != write.message), default=0)
        token = cancel or CancelToken()
        while (left := until - self._clock.monotonic_ns()) > 0:
            self._clock.wait(token.event, left / NANOSECONDS)
            token.raise_if_cancelled()
