"""What is handed to the HTTP client as the body of a request: bytes in memory, or a file that streams."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.errors import AssetChanged
from media_watch_tasks.http.bodies import fill
from media_watch_tasks.model.assets import ResolvedMedia

__all__ = ["PartBody", "StreamBody", "hash_file", "whole_file"]

_BLOCK = 1 << 20
_SLICE = 256 << 10
_here = threading.local()


class PartBody:
    """A part of a file in memory. The client sends what one `read` returns in one go.

    Args:
        data: the part.
        stopped: says that nothing of it shall be sent any more, or raises that.
    """

    def __init__(self, data: memoryview, stopped: Callable[[], object]) -> None:
        self.data = data
        self._stopped = stopped
        self._at = 0
        self.furthest = 0
        """The most bytes that were handed out so far."""

    def __len__(self) -> int:
        return len(self.data)

    def raise_if_stopped(self) -> None:
        """Raise `InterruptedError`, or what says that it has to stop raises."""
        if self._stopped():
            raise InterruptedError("the upload was stopped")

    def pieces(self) -> Iterator[memoryview]:
        """All of it from its beginning, without a copy."""
        for at in range(0, len(self.data), _SLICE):
            self.raise_if_stopped()
            piece = self.data[at : at + _SLICE]
            yield piece
            self.furthest = max(self.furthest, at + len(piece))

    def release(self) -> bytearray:
        """Forget the bytes; the memory they were in."""
        memory = self.data.obj
        self.data = memoryview(b"")
        return cast("bytearray", memory)

    def read(self, size: int = -1, /) -> bytes:
        """At least the next 256 KiB, whatever a smaller size asks for: the client asks for 16 KiB at a time."""
        self.raise_if_stopped()
        end = len(self.data) if size < 0 else self._at + max(size, _SLICE)
        piece = bytes(self.data[self._at : end])
        self._at += len(piece)
        self.furthest = max(self.furthest, self._at)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Jump; the client does so to send the part again."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self.data)}[whence]
        self._at = min(max(base + offset, 0), len(self.data))
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at


class StreamBody:
    """A whole file, read as it is sent; what is read must be of the announced length.

    What the source raises is kept in `error`, because the HTTP client wraps it.
    """

    def __init__(self, media: ResolvedMedia, context: UploadContext) -> None:
        self._media = media
        self._context = context
        self._stream: BinaryIO | None = None
        self._read = 0
        self._rest = memoryview(b"")
        self.error: BaseException | None = None

    def __len__(self) -> int:
        return self._media.size

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        self._raise_again()
        try:
            return self._next(self._media.size if size < 0 else size)
        except BaseException as error:
            self.error = error
            raise

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Back to the first byte, or (the client measures) to the end; anything else is refused."""
        self._raise_again()
        if (offset, whence) != (0, io.SEEK_SET):
            raise io.UnsupportedOperation("only a rewind is possible")
        if self._read:
            self.close()
        return 0

    def tell(self) -> int:
        """The position."""
        return self._read - len(self._rest)

    def close(self) -> None:
        """Close the source's stream; the next read opens another one."""
        stream, self._stream = self._stream, None
        self._read, self._rest = 0, memoryview(b"")
        if stream is not None:
            stream.close()

    def _raise_again(self) -> None:
        if self.error is not None:
            raise self.error

    def _next(self, size: int) -> bytes:
        if not self._rest:
            if self._stream is None:
                self._stream = self._context.watch(self._media.open())
            block = fill(self._media, self._stream, memoryview(bytearray(_BLOCK)))
            self._read += len(block)
            if self._read > self._media.size or (not block and self._read < self._media.size):
                raise _changed(self._media, self._read)
            self._rest = block
        piece = bytes(self._rest[:size])
        self._rest = self._rest[size:]
        return piece


@contextlib.contextmanager
def whole_file(media: ResolvedMedia, context: UploadContext, memory: bytearray | None = None) -> Iterator[memoryview]:
    """A file in memory, until the end of the block.

    Args:
        media: the file.
        context: of its upload.
        memory: for a byte more than the file has; by default the thread's own.

    Raises:
        AssetChanged: it is shorter or longer than it was.
        TransientError: it cannot be read.
    """
    needed = media.size + 1  # a byte more than there should be shows that there is no more
    buffer = memory
    if buffer is None:
        # New memory costs more than to read a small file into it: a thread uses its own again, unless it is in use.
        buffer = _here.__dict__.pop("buffer", None) or bytearray(max(needed, _SLICE))
        if len(buffer) < needed:
            buffer = bytearray(needed)
    with media.open() as opened:
        data = fill(media, context.watch(opened), memoryview(buffer)[:needed])
        if len(data) != media.size:
            raise _changed(media, len(data))
    yield data
    if memory is None and len(buffer) <= _BLOCK:
        _here.buffer = buffer


def hash_file(media: ResolvedMedia, progress: Callable[[int], object]) -> bytes:
    """The SHA-256 of the file in one streaming pass, with a look at its length.

    Raises:
        AssetChanged: it is shorter or longer than it was.
        TransientError: it cannot be read.
    """
    digest, done, buffer = hashlib.sha256(), 0, memoryview(bytearray(_BLOCK))
    with media.open() as stream:
        while block := fill(media, stream, buffer):
            digest.update(block)
            done += len(block)
            progress(done)
    if done != media.size:
        raise _changed(media, done)
    return digest.digest()


def _changed(media: ResolvedMedia, read: int) -> AssetChanged:
    return AssetChanged(f"{media.asset.display} gave {read} bytes or more, it had {media.size}")
