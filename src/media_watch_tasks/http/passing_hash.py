"""PassingHash: the SHA-256 of bytes that are on their way, taken while those before them are sent."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

__all__ = ["PassingHash"]

_AT_ONCE = 8 << 20
"""Bytes that are hashed by the caller: a thread of its own is not worth while for less."""


class PassingHash:
    """A SHA-256 that takes bytes one piece behind its caller, in a thread of its own once they are many.

    Hashing lets go of the interpreter's lock, so that a piece is hashed while it is sent. One thread calls it; close it
    at the end.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._seen = 0
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: Future[None] | None = None

    def update(self, piece: bytes | memoryview) -> None:
        """Take the next bytes, which must not change any more."""
        self._seen += len(piece)
        if self._seen <= _AT_ONCE:
            self._digest.update(piece)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="mwt-hash")
        self._settle()
        self._under_way = self._thread.submit(self._digest.update, piece)

    def hexdigest(self) -> str:
        """Of all bytes so far."""
        self._settle()
        return self._digest.hexdigest()

    def close(self) -> None:
        """End the thread. May be called again."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _settle(self) -> None:
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None
