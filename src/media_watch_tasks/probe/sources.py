"""Bytes in memory as a byte source, and the reading of a descriptor that somebody else opened."""

from __future__ import annotations

import os

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.errors import TransientError

__all__ = ["BytesSource", "read_descriptor"]


class BytesSource(ByteSource):
    """Bytes in memory.

    With a `size` beyond the length of the bytes they are the head of a larger file: what lies behind them reads as
    missing, and `size` stays the true size.
    """

    def __init__(self, data: bytes, *, size: int | None = None) -> None:
        self._data = data
        self._size = len(data) if size is None else size

    @property
    def size(self) -> int:
        """The size that was given, or the number of bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """A slice of the bytes."""
        return self._data[offset : offset + length]


def read_descriptor(descriptor: int, offset: int, length: int) -> bytes:
    """`pread` until `length` bytes are there or the file ends.

    Raises:
        TransientError: the system reports an I/O error.
    """
    pieces: list[bytes] = []
    try:
        while length > 0:
            piece = os.pread(descriptor, length, offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
    except OSError as error:
        raise TransientError(f"cannot read the file at {offset}: {error.strerror}") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
