"""Stretches of a file as the bodies of requests, and the hash of the file that they make together."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.http.bodies import exactly, whole_file
from media_watch_tasks.http.passing_hash import PassingHash
from media_watch_tasks.model.assets import ResolvedMedia

__all__ = ["AT_HAND", "PassingFile", "Portion"]

AT_HAND = 8 << 20
"""Bytes that are held in memory where their checksum has to be known before they are sent."""


class PassingFile:
    """A file on its way: opened once as long as it is read in order, and hashed as it passes. Close it at the end."""

    def __init__(self, media: ResolvedMedia, context: UploadContext) -> None:
        self._media = media
        self._context = context
        self._stream: BinaryIO | None = None
        self._watched: BinaryIO | None = None
        self._position = 0
        self._digest = PassingHash()
        self._hashed = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return self._media.size

    @property
    def sha256(self) -> str | None:
        """Hex; None while not every byte has passed. What passes twice counts once."""
        return self._digest.hexdigest() if self._hashed == self.size else None

    def read(self, begin: int, end: int) -> Iterator[memoryview]:
        """The bytes from `begin` to `end`. Raises as `exactly` does, and what the source or the context raises."""
        try:
            for piece in exactly(self._at(begin), self._media, begin, end):
                known = self._hashed - self._position
                if 0 <= known < len(piece):
                    self._digest.update(piece[known:])
                    self._hashed += len(piece) - known
                self._position += len(piece)
                yield piece
        except Exception:
            self._close_stream()  # which may have given a part of a piece
            raise

    def close(self) -> None:
        """Close the stream, and end the hashing. May be called again."""
        self._close_stream()
        self._digest.close()

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _at(self, position: int) -> BinaryIO:
        if self._watched is None or self._stream is None or self._position != position:
            self._close_stream()
            self._stream = whole_file(self._media, position)
            self._watched = self._context.watch(self._stream, offset=position)
            self._position = position
        return self._watched


class Portion:
    """The body of one request: a stretch of a file, read as it is sent.

    Args:
        file: the file.
        offset: where the stretch begins.
        length: its bytes, at least 1.
        before_the_end: called before the last piece of the file is handed out, after the file was seen to end there.
    """

    def __init__(self, file: PassingFile, *, offset: int, length: int, before_the_end: Callable[[], object]) -> None:
        self._file = file
        self._offset = offset
        self._length = length
        self._before_the_end = before_the_end
        self._kept: list[bytes] | None = None
        self._complete = False
        self.source_failed = False
        """What was raised last came from the source."""

    @property
    def length(self) -> int:
        """Bytes."""
        return self._length

    @property
    def complete(self) -> bool:
        """True once the last iteration has had its last byte taken."""
        return self._complete

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """The bytes. Raises as `exactly` does, and what the source, the context or `before_the_end` raises."""
        self._complete = False
        held: bytes | memoryview = b""
        left = self._length
        is_last = self._offset + self._length == self._file.size
        for piece in self._read() if self._kept is None else self._kept:
            left -= len(piece)
            if left or not is_last:
                yield piece
            else:
                held = piece
        if is_last:
            self._before_the_end()
            yield held
        self._complete = True

    def checksum(self, algorithm: str) -> str:
        """The value of the header Upload-Checksum. From here on the bytes are in memory."""
        if self._kept is None:
            self._kept = [bytes(piece) for piece in self._read()]
        digest = hashlib.new(algorithm, usedforsecurity=False)
        for piece in self._kept:
            digest.update(piece)
        return f"{algorithm} {base64.b64encode(digest.digest()).decode('ascii')}"

    def _read(self) -> Iterator[memoryview]:
        try:
            yield from self._file.read(self._offset, self._offset + self._length)
        except Exception:
            self.source_failed = True
            raise
