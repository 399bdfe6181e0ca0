"""Request bodies that can be sent again, and know their length before the first byte."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import BinaryIO, Protocol, cast

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.errors import AssetChanged, TransientError
from media_watch_tasks.http.passing_hash import PassingHash
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage

__all__ = ["CHUNK", "Body", "MediaBody", "MultipartBody", "exactly", "fill", "whole_file"]

CHUNK = 1 << 20
"""Bytes that are read and sent at a time."""


class Body(Protocol):
    """Bytes of a known length. Every iteration gives them from the first one on, and nothing else.

    What an iteration gives is good until the next piece is asked for: the memory may be used again.
    """

    @property
    def length(self) -> int:
        """Bytes."""

    @property
    def complete(self) -> bool:
        """True once the last iteration has had its last byte taken."""

    def __iter__(self) -> Iterator[bytes | memoryview]: ...


class MediaBody:
    """The whole file, read as it is sent: watched, hashed, and held back before its last piece.

    The last piece leaves only after the source was seen to end where it should, the hash was compared with the one
    that was known before, and the context has confirmed.

    Args:
        media: the file.
        context: hears of the progress, and is asked to confirm.
        small: bytes up to which a file is read before it is sent, so that its hash is known for a header.
    """

    def __init__(self, media: ResolvedMedia, context: UploadContext, *, small: int = CHUNK) -> None:
        self._media = media
        self._context = context
        self._kept: bytes | memoryview | None = None
        self._complete = False
        self.sha256 = media.sha256
        """Hex; None until it is known: beforehand if the manager or a small size allows it, else once all was read."""
        if media.size <= min(small, CHUNK) and self.sha256 is None:
            # At most one piece, whose memory nobody uses again.
            self._kept = next(iter(tuple(self._read())), b"")
            self.sha256 = hashlib.sha256(self._kept).hexdigest()

    @property
    def length(self) -> int:
        """The size of the file."""
        return self._media.size

    @property
    def complete(self) -> bool:
        """True once the last iteration has had its last byte taken."""
        return self._complete

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """The bytes, from the first one on.

        Raises:
            AssetChanged: the file is longer, shorter or another one than the asset says.
            TransientError: it cannot be read.
            anything that the source or the context raises, unchanged.
        """
        self._complete = False
        if self._kept is None:
            held = yield from self._all_but_the_last()
        else:
            held = self._kept
        self._context.confirm()
        if held:
            yield held
        self._complete = True
        # From here on the other side is at work: it takes in what it has got, and answers.
        self._context.progress(self.length, total=self.length, stage=Stage.FINALISE)

    def _all_but_the_last(self) -> Generator[bytes | memoryview, None, bytes | memoryview]:
        """Yield the pieces but the last, which is returned once the hash is known and fits."""
        held: bytes | memoryview = b""
        left = self.length
        with PassingHash() as digest:
            for part in self._read():
                digest.update(part)
                left -= len(part)
                if left:
                    yield part
                else:
                    held = part
            found = digest.hexdigest()
        if self.sha256 not in {None, found}:
            raise AssetChanged(f"{self._media.asset.display} is not the file that was hashed before")
        self.sha256 = found
        return held

    def _read(self) -> Iterator[memoryview]:
        with closing(whole_file(self._media)) as stream:
            yield from exactly(self._context.watch(stream), self._media)


class MultipartBody:
    """A form (`multipart/form-data`, RFC 7578) with one file in it, its last field, and texts before it."""

    def __init__(
        self,
        file: Body,
        *,
        field_name: str,
        file_name: str,
        content_type: str,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self._file = file
        self._complete = False
        boundary = os.urandom(16).hex()
        self.content_type = f"multipart/form-data; boundary={boundary}"
        """The value of the header Content-Type."""
        texts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'
            for name, value in (fields or {}).items()
        ]
        disposition = f'form-data; name="{_quoted(field_name)}"; filename="{_quoted(file_name)}"'
        texts.append(f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {content_type}\r\n\r\n")
        self._head = "".join(texts).encode("utf-8", "replace")
        self._tail = f"\r\n--{boundary}--\r\n".encode("ascii")

    @property
    def length(self) -> int:
        """Bytes, the form around the file included."""
        return len(self._head) + self._file.length + len(self._tail)

    @property
    def complete(self) -> bool:
        """True once the last iteration has had its last byte taken."""
        return self._complete

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """The form. Its end leaves after the file's last piece: nothing is whole before the context has confirmed."""
        self._complete = False
        yield self._head
        yield from self._file
        yield self._tail
        self._complete = True


def whole_file(media: ResolvedMedia, offset: int = 0) -> BinaryIO:
    """A fresh stream from `offset` to wherever the file ends now. A plain `OSError` becomes a `TransientError`."""
    try:
        return media.open_stream(offset, None)
    except OSError as error:
        raise _unreadable(media, error) from error


def exactly(stream: BinaryIO, media: ResolvedMedia, offset: int = 0, end: int | None = None) -> Iterator[memoryview]:
    """What a stream from `offset` holds up to `end`, by default that of the file, in pieces of at most `CHUNK` bytes.

    The memory of a piece is used again for the next but one: new memory costs more than to read a file into it.

    Raises:
        AssetChanged: the file ends earlier, or goes on behind the end that the asset names: before the last piece.
        TransientError: it cannot be read.
    """
    end = media.size if end is None else end
    memory = spare = memoryview(b"")  # while what is in one of them is sent, the next piece is read into the other
    while True:
        count = min(CHUNK, end - offset)
        # One byte more than the rest shows that there is no more.
        behind = int(offset + count == end == media.size)
        memory, spare = spare, memory
        if len(memory) < count + behind:
            memory = memoryview(bytearray(count + 1))
        part = fill(media, stream, memory[: count + behind])
        if len(part) < count:
            raise AssetChanged(f"{media.asset.display} ended after {offset + len(part)} bytes, it had {media.size}")
        if len(part) > count:
            raise AssetChanged(f"{media.asset.display} is longer than the {media.size} bytes it had")
        offset += count
        if count:
            yield part
        if offset >= end:
            return


def fill(media: ResolvedMedia, stream: BinaryIO, buffer: memoryview) -> memoryview:
    """Read until the buffer is full or the stream ends; what was read.

    Raises:
        TransientError: the source has an input error.
        anything else that the source or the context raises, unchanged.
    """
    filled = 0
    while filled < len(buffer):
        try:
            if hasattr(stream, "readinto"):
                count = cast("io.RawIOBase", stream).readinto(buffer[filled:]) or 0
            else:
                piece = stream.read(len(buffer) - filled)
                count = len(piece)
                buffer[filled : filled + count] = piece
        except OSError as error:
            raise _unreadable(media, error) from error
        if not count:
            break
        filled += count
    return buffer[:filled]


def _unreadable(media: ResolvedMedia, error: OSError) -> TransientError:
    return TransientError(f"{media.asset.display} cannot be read: {error.strerror or error}")


def _quoted(text: str) -> str:
    # As browsers do it: HTML, "multipart/form-data encoding algorithm".
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
