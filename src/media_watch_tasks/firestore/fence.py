"""The fence of a run: what an older run still has on its way to the catalog is refused.

Each commit of a run also writes a small document of that run, under the condition that it is there. Who begins to write
creates such documents, and removes those of the run before in the same commit. From then on whatever the older run
sends, or had sent before its process was killed, is refused as a whole, however late it arrives: it can not put an old
state over a newer one. There is one document for each commit that may be in the air, so that they do not wait for each
other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

__all__ = ["Fence"]


class Fence:
    """The guards of one run. Thread-safe."""

    def __init__(self, guards: Sequence[Any]) -> None:
        """Take the writes that are applied only while the fence stands."""
        self.flights = len(guards)
        """Commits that may be in the air at once."""
        self._free: SimpleQueue[Any] = SimpleQueue()
        for guard in guards:
            self._free.put(guard)

    @contextmanager
    def guard(self) -> Iterator[Any]:
        """A write to be sent in the same commit; no other commit has it meanwhile."""
        guard = self._free.get()
        try:
            yield guard
        finally:
            self._free.put(guard)
