"""Reading back what the device holds, and not what the system still remembers of it."""

from __future__ import annotations

import errno
import os
from types import TracebackType
from typing import Self

__all__ = ["UncachedReads"]

_DIRECT = getattr(os, "O_DIRECT", 0)
_BLOCK = 4_096
"""Whole blocks of any device: what a direct read begins and ends at."""


class UncachedReads:
    """Reads an open file past the cache (O_DIRECT), and drops what is cached of it.

    That is also quicker than to read through the cache: one request for each buffer, and no copy of it. Where the file
    system cannot do it, the file is read the usual way after the cache has been dropped as far as the system does that:
    not for pages that a program has mapped.
    """

    def __init__(self, fd: int) -> None:
        """Take a file that is open for reading and synced; it stays the caller's."""
        self._fd = fd
        self._is_direct = False

    def __enter__(self) -> Self:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        self._is_direct = _set_direct(self._fd, wanted=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end_direct()

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer, whose start and length are those of pages, from there on; 0 at the end of the file."""
        if not self._is_direct:
            return os.preadv(self._fd, [buffer], offset)
        try:
            count = os.preadv(self._fd, [buffer], offset)
        except OSError as refusal:
            if refusal.errno != errno.EINVAL:
                raise
            # A file system that takes the flag and not the reads, or wants other blocks than these.
            self._end_direct()
            return os.preadv(self._fd, [buffer], offset)
        if count % _BLOCK:
            # The last block: whatever comes behind it does not begin where a direct read may.
            self._end_direct()
        return count

    def _end_direct(self) -> None:
        if self._is_direct:
            self._is_direct = False
            _set_direct(self._fd, wanted=False)


def _set_direct(fd: int, *, wanted: bool) -> bool:
    if not _DIRECT:
        return False
    import fcntl  # noqa: PLC0415 - not on every system

    try:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | _DIRECT if wanted else flags & ~_DIRECT)
    except OSError:
        return False
    return wanted
