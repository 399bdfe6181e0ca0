"""Remembers files that killed a worker, by their size and their first bytes."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

__all__ = ["Quarantine", "content_mark"]

_HEAD = 4096


def content_mark(size: int, head: bytes) -> bytes:
    """What a file is recognised by: its size and a hash of its first 4 KiB, wherever it lies and whatever its name."""
    return hashlib.blake2b(b"%d:" % size + head[:_HEAD], digest_size=16).digest()


class Quarantine:
    """A bounded memory of marks and reasons. Thread-safe."""

    def __init__(self, *, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._reasons: OrderedDict[bytes, str] = OrderedDict()

    def reason(self, mark: bytes) -> str | None:
        """Why the file is in quarantine, None if it is not."""
        with self._lock:
            return self._reasons.get(mark)

    def add(self, mark: bytes, reason: str) -> None:
        """Remember the file; the oldest one is forgotten when there is no room."""
        with self._lock:
            self._reasons[mark] = reason
            while len(self._reasons) > self._capacity:
                self._reasons.popitem(last=False)

    def __len__(self) -> int:
        with self._lock:
            return len(self._reasons)
