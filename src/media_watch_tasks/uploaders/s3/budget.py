"""ByteBudget: how much of all files may be in memory at once."""

from __future__ import annotations

import threading

__all__ = ["ByteBudget"]


class ByteBudget:
    """A number of bytes that several threads share. One request for more than all of it gets all of it.

    Memory that comes back is lent again while others are at work: new memory costs more than to read a file into it.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._changed = threading.Condition()
        self._spare: list[bytearray] = []

    def take(self, count: int, *, timeout: float) -> bool:
        """Wait up to `timeout` seconds until so many bytes are free, and take them; False if they were not."""
        wanted = min(count, self._total)
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= wanted, timeout):
                return False
            self._free -= wanted
            return True

    def lend(self, count: int) -> bytearray:
        """Memory for what was taken, of that many bytes or more; it holds anything."""
        with self._changed:
            found = self._spare.pop() if self._spare else bytearray()
            if len(found) >= count:
                return found
            self._spare.clear()
        del found
        return bytearray(count)

    def give_back(self, count: int, memory: bytearray | None = None) -> None:
        """Free what was taken, and return what was lent, to which nobody may hold on."""
        with self._changed:
            self._free += min(count, self._total)
            if self._free == self._total:
                self._spare.clear()
            elif memory is not None:
                self._spare.append(memory)
            self._changed.notify_all()
