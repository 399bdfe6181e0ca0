"""The buffer that a file passes through, kept for the next one: a new one for each file costs as much as a copy."""

from __future__ import annotations

import contextlib
import mmap
import threading
from collections.abc import Iterator

__all__ = ["BUFFER_SIZE", "borrowed"]

BUFFER_SIZE = 1 << 20


class _Kept(threading.local):
    """One buffer for each thread, and none while it is in use."""

    buffer: memoryview | None = None


_kept = _Kept()


@contextlib.contextmanager
def borrowed() -> Iterator[memoryview]:
    """1 MiB of this thread, at the start of a page: a device can read right into it. It ends with the thread."""
    buffer, _kept.buffer = _kept.buffer, None
    if buffer is None:
        buffer = memoryview(mmap.mmap(-1, BUFFER_SIZE))
    try:
        yield buffer
    finally:
        _kept.buffer = buffer
