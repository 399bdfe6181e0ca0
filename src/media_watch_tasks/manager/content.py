"""The bytes of a file on their way to an uploader: counted, cut off on cancel, hashed where that is asked for."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import BinaryIO, ParamSpec, TypeVar, cast

import attrs

from media_watch_tasks.errors import AuthenticationRequiredError
from media_watch_tasks.model.assets import ResolvedMedia

__all__ = ["ContentHash", "WatchedStream", "from_source", "hash_of", "watched"]

_CHUNK = 1 << 20
_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class ContentHash:
    """The SHA-256 of a file, taken while an uploader reads it from the first byte to the last.

    Streams that start elsewhere, jump, or stop early leave it unknown. Several full reads must agree.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._found: set[str] = set()

    @property
    def hex(self) -> str | None:
        """The hash of what was read, None if nobody read all of it or two reads differed."""
        return next(iter(self._found)) if len(self._found) == 1 else None

    def full_read(self, digest: str, length: int) -> None:
        """A stream that began at byte 0 came to its end."""
        if length == self._size:
            self._found.add(digest)


class WatchedStream(io.RawIOBase):
    """A source's stream that reports every read.

    `on_read(count)` is called before the bytes are handed out; it raises to cut the upload off.
    """

    def __init__(
        self, stream: BinaryIO, *, on_read: Callable[[int], None], content_hash: ContentHash | None = None
    ) -> None:
        super().__init__()
        self._stream = stream
        self._on_read = on_read
        self._content_hash = content_hash
        self._digest = hashlib.sha256() if content_hash is not None else None
        self._read = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Whether the source's stream can jump."""
        return self._stream.seekable()

    def read(self, size: int | None = -1, /) -> bytes:
        """Read and report; b"" at the end."""
        data = from_source(self._stream.read, -1 if size is None else size)
        self._account(data, asked=size)
        return data

    def readall(self) -> bytes:
        """Read to the end: only for those who know that the file is small."""
        return self.read(-1)

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # typeshed: WriteableBuffer
        """Read into the buffer and report; 0 at the end."""
        view = memoryview(buffer).cast("B")
        stream = cast("io.BufferedIOBase", self._stream)
        count = from_source(stream.readinto, view) or 0
        self._account(view[:count], asked=len(view))
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Jump; a content hash is then unknown, unless the jump is a rewind to the first byte."""
        position = self._stream.seek(offset, whence)
        if self._content_hash is not None:
            self._digest = hashlib.sha256() if position == 0 else None
            self._read = 0
        return position

    def tell(self) -> int:
        """The position in the source's stream."""
        return self._stream.tell()

    def fileno(self) -> int:
        """The descriptor of a local file; OSError where there is none. Reads through it are not seen here."""
        return self._stream.fileno()

    def close(self) -> None:
        """Close the source's stream."""
        if not self.closed:
            self._stream.close()
        super().close()

    def _account(self, data: bytes | memoryview, *, asked: int | None) -> None:
        count = len(data)
        if count:
            self._on_read(count)
            self._read += count
            if self._digest is not None:
                self._digest.update(data)
        at_end = asked is None or asked < 0 or (count == 0 and asked > 0)
        if at_end and self._digest is not None and self._content_hash is not None:
            self._content_hash.full_read(self._digest.hexdigest(), self._read)


def watched(
    media: ResolvedMedia, *, on_read: Callable[[int], None], content_hash: ContentHash | None = None
) -> ResolvedMedia:
    """The same media with every stream watched."""

    def open_stream(offset: int, length: int | None) -> BinaryIO:
        stream = from_source(media.open_stream, offset, length)
        whole = offset == 0 and length is None
        wrapped = WatchedStream(stream, on_read=on_read, content_hash=content_hash if whole else None)
        return cast("BinaryIO", wrapped)

    if type(media) is not ResolvedMedia:
        return attrs.evolve(media, open_stream=open_stream)  # a resolver's own class stays that
    return ResolvedMedia(media.asset, media.mime_type, open_stream, metadata=media.metadata, sha256=media.sha256)


def hash_of(media: ResolvedMedia, *, on_read: Callable[[int], None]) -> str:
    """The SHA-256 of the file, hex, in one streaming pass."""
    digest = hashlib.sha256()
    with from_source(media.open) as stream:
        while chunk := from_source(stream.read, _CHUNK):
            digest.update(chunk)
            on_read(len(chunk))
    return digest.hexdigest()


def from_source(
    call: Callable[_Arguments, _Result], /, *arguments: _Arguments.args, **named: _Arguments.kwargs
) -> _Result:
    """Call the source; credentials that it asks for are the source's matter, not the destination's."""
    try:
        return call(*arguments, **named)
    except AuthenticationRequiredError as error:
        error.party = "source"
        raise
