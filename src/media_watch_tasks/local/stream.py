"""A stream over one version of a local file: it ends well only if the file is still that version."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import BinaryIO, cast

from media_watch_tasks.errors import AssetChanged

__all__ = ["open_version"]

_LARGEST_BUFFER = 1 << 18
"""Whoever reads more at a time gets it without a copy on the way."""
_SMALLEST_BUFFER = 1 << 13


def open_version(
    descriptor: int, *, start: int, end: int, verify: Callable[[int], None], failed: Callable[[OSError], Exception]
) -> BinaryIO:
    """A binary stream of the bytes from `start` to `end` of an open file; closing it closes the descriptor.

    Args:
        descriptor: the open file. Its own position is `start` and stays there, for `copy_file_range` and `sendfile`.
        start: the position in the file of the stream's first byte.
        end: the position behind its last byte.
        verify: called with the descriptor before the last bytes are handed out, and at the end of the stream; raises
            `AssetChanged` where the file is another version by now.
        failed: makes the exception for an error of the operating system.
    """
    os.lseek(descriptor, start, os.SEEK_SET)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, start, end - start, os.POSIX_FADV_SEQUENTIAL)
    raw = _VersionReader(descriptor, start, end, verify, failed)
    size = max(_SMALLEST_BUFFER, min(end - start, _LARGEST_BUFFER))
    return cast("BinaryIO", _VersionStream(raw, size))


class _VersionReader(io.RawIOBase):
    def __init__(
        self,
        descriptor: int,
        start: int,
        end: int,
        verify: Callable[[int], None],
        failed: Callable[[OSError], Exception],
    ) -> None:
        self._descriptor = descriptor
        self._start = start
        self._end = end
        self._position = start
        self._verify = verify
        self._failed = failed
        self.looked = False
        """A look at the file, after its last byte had been read, found no change."""

    @property
    def length(self) -> int:
        return self._end - self._start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self.closed:
            raise ValueError("the stream is closed")
        return self._descriptor

    def verify(self) -> None:
        try:
            self._verify(self._descriptor)
        except OSError as error:
            raise self._failed(error) from error
        self.looked = True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what io.BufferedReader passes
        wanted = min(len(buffer), self._end - self._position)
        if wanted <= 0:
            self.verify()
            return 0
        try:
            count = os.preadv(self._descriptor, [memoryview(buffer)[:wanted]], self._position)
        except OSError as error:
            raise self._failed(error) from error
        if not count:
            self.verify()
            raise AssetChanged(f"the file ends {self._end - self._position} bytes early: it was cut off meanwhile")
        self._position += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        if base + offset < self._start:
            raise ValueError(f"cannot seek to {base + offset - self._start}")
        self._position = base + offset
        return self._position - self._start

    def tell(self) -> int:
        return self._position - self._start

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._descriptor)


class _VersionStream(io.BufferedReader):
    """Hands out the last bytes only after a look at the file: buffered bytes may be older than the latest change."""

    raw: _VersionReader

    def read(self, size: int | None = -1, /) -> bytes:
        self.raw.looked = False
        data = super().read(size)
        self._look_at_the_end(len(data))
        return data

    def read1(self, size: int = -1, /) -> bytes:
        self.raw.looked = False
        data = super().read1(size)
        self._look_at_the_end(len(data))
        return data

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # any writable buffer
        self.raw.looked = False
        count = super().readinto(buffer)
        self._look_at_the_end(count)
        return count

    def readinto1(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # any writable buffer
        self.raw.looked = False
        count = super().readinto1(buffer)
        self._look_at_the_end(count)
        return count

    def _look_at_the_end(self, count: int) -> None:
        # To have come to the end within this very call was such a look already.
        if count and not self.raw.looked and self.tell() >= self.raw.length:
            self.raw.verify()
