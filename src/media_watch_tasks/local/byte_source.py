"""LocalByteSource: the bytes of a local file at any position, without a position of its own."""

from __future__ import annotations

import errno
import os
import stat
import threading

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.errors import AssetChanged, AssetNotFound, TransientError
from media_watch_tasks.local.confined import READ
from media_watch_tasks.model.identity import display_text

__all__ = ["LocalByteSource"]


class LocalByteSource(ByteSource):
    """Reads a file by its path; links are followed. The file is opened at once.

    `AssetNotFound` where no file stands there, `TransientError` where it cannot be read.
    """

    def __init__(self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> None:
        """Open the file."""
        self._display = display_text(os.fsencode(path))
        # Another thread may close it: not in the middle of a read, when the number could become another file's.
        self._lock = threading.Lock()
        try:
            self._descriptor = os.open(path, READ)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENXIO}:
                raise AssetNotFound(f"{self._display} is not there") from error
            raise self._failed(error) from error
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise AssetNotFound(f"{self._display} is no file")
        self._size = found.st_size

    @property
    def size(self) -> int:
        """Bytes, when it was opened."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """See `ByteSource`. `AssetChanged` if the file has become shorter than it was."""
        if offset < 0 or length < 0:
            raise ValueError(f"a range begins at 0 or later and is not shorter than 0 bytes: {offset}, {length}")
        wanted = max(0, min(length, self._size - offset))
        parts: list[bytes] = []
        while wanted:
            part = self._read(offset, wanted)
            if not part:
                raise AssetChanged(f"{self._display} ends at {offset} of {self._size} bytes: it was cut off meanwhile")
            parts.append(part)
            offset += len(part)
            wanted -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file. May be called again."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _read(self, offset: int, length: int) -> bytes:
        with self._lock:
            if self._descriptor < 0:
                raise ValueError(f"{self._display} was closed")
            try:
                return os.pread(self._descriptor, length, offset)
            except OSError as error:
                raise self._failed(error) from error

    def _failed(self, error: OSError) -> TransientError:
        return TransientError(f"{self._display} cannot be read: {os.strerror(error.errno or errno.EIO)}")
