"""A SHA-256 that is taken beside the sending: hashing holds up no other Python thread."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["BackgroundHash"]

_WORTH_A_THREAD = 4 << 20
"""Bytes of a file from which on a thread costs less than it saves."""


class BackgroundHash:
    """Takes the parts of one file in order. At most the parts of two updates are in memory. Close it at the end.

    Args:
        size: bytes of the file; a small one is hashed in the calling thread.
    """

    def __init__(self, size: int) -> None:
        self._digest = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="mwt-hash") if size >= _WORTH_A_THREAD else None
        self._pending: Future[None] | None = None

    def update(self, *parts: bytes) -> None:
        """Hash the parts; returns once those of the call before are hashed."""
        if self._pool is None:
            self._take(parts)
            return
        self._wait()
        self._pending = self._pool.submit(self._take, parts)

    def hexdigest(self) -> str:
        """The hash of all parts, hex."""
        self._wait()
        return self._digest.hexdigest()

    def close(self) -> None:
        """End the thread."""
        if self._pool is not None:
            self._pool.shutdown()

    def _take(self, parts: Iterable[bytes]) -> None:
        for part in parts:
            self._digest.update(part)

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
