"""ByteBudget: how much of all files may be in memory at once."""

from __future__ import annotations

import threading

__all__ = ["ByteBudget"]


class ByteBudget:
    """A number of bytes that several threads share. One request for more than all of it gets all of it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._changed = threading.Condition()

    def take(self, count: int, *, timeout: float) -> bool:
        """Wait up to `timeout` seconds until so many bytes are free, and take them; False if they were not."""
        wanted = min(count, self._total)
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= wanted, timeout):
                return False
            self._free -= wanted
            return True

    def give_back(self, count: int) -> None:
        """Free what was taken."""
        with self._changed:
            self._free += min(count, self._total)
            self._changed.notify_all()
