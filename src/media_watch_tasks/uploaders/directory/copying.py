"""Streaming a file into an open one, hashing and checking on the way. Memory: one buffer of 1 MiB."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import BinaryIO, Protocol, TypeVar, cast

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.errors import AssetChanged, TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage

__all__ = ["copy_and_hash", "hash_of_file", "hash_of_source"]

_Result = TypeVar("_Result")

_BUFFER = 1 << 20
_SYNC_EVERY = 256 << 20
"""Bytes after which a long copy is synced: so the last sync is short, and progress never stops for long."""


class _Fillable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


def copy_and_hash(media: ResolvedMedia, context: UploadContext, fd: int, *, sync: bool) -> str:
    """Copy the whole file to the descriptor; the SHA-256 (hex) of what was read.

    Raises:
        AssetChanged: it is shorter or longer than the asset says.
        TransientError: it cannot be read.
        OSError: it cannot be written.
        anything that the source or the context raises, unchanged.
    """
    digest = hashlib.sha256()
    unsynced = 0

    def take(part: memoryview) -> None:
        nonlocal unsynced
        digest.update(part)
        unsynced += len(part)
        while part:
            part = part[os.write(fd, part) :]
        if sync and unsynced >= _SYNC_EVERY:
            os.fdatasync(fd)
            unsynced = 0

    _read_all(media, context.watch, take)
    return digest.hexdigest()


def hash_of_source(media: ResolvedMedia, context: UploadContext) -> str:
    """The SHA-256 (hex) of the file at the source, in one streaming pass. Raises as `copy_and_hash` does."""
    digest = hashlib.sha256()
    done = 0

    def take(part: memoryview) -> None:
        nonlocal done
        digest.update(part)
        done += len(part)
        context.progress(done, total=media.size, stage=Stage.HASH)

    _read_all(media, lambda stream: stream, take)
    return digest.hexdigest()


def hash_of_file(fd: int, *, progress: Callable[[int], object], from_device: bool = False) -> tuple[str, int]:
    """(SHA-256 in hex, length) of an open file, read from its start.

    Args:
        fd: open for reading.
        progress: called with the bytes read so far.
        from_device: drop what the system has cached of the file first, as far as it can: what is then read is what
            the disk, or the server, gives back.
    """
    if from_device and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(_BUFFER, os.fstat(fd).st_size + 1)))
    length = 0
    while count := os.preadv(fd, [buffer], length):
        digest.update(buffer[:count])
        length += count
        progress(length)
    return digest.hexdigest(), length


def _read_all(
    media: ResolvedMedia, watch: Callable[[BinaryIO], BinaryIO], take: Callable[[memoryview], object]
) -> None:
    read = 0
    # One byte more than the size, so that a small file needs one read, and one that grew is noticed.
    buffer = memoryview(bytearray(min(_BUFFER, media.size + 1)))
    with _source(media, media.open) as stream:
        watched = watch(stream)
        while part := _source(media, lambda: _fill(watched, buffer)):
            read += len(part)
            if read > media.size:
                raise AssetChanged(f"{media.asset.display} is longer than the {media.size} bytes it had")
            take(part)
    if read != media.size:
        raise AssetChanged(f"{media.asset.display} ended after {read} bytes, it had {media.size}")


def _fill(stream: BinaryIO, buffer: memoryview) -> memoryview:
    if hasattr(stream, "readinto"):
        return buffer[: cast("_Fillable", stream).readinto(buffer) or 0]
    return memoryview(stream.read(len(buffer)))


def _source(media: ResolvedMedia, call: Callable[[], _Result]) -> _Result:
    """Call the source: a plain OSError of its must not be taken for one of the destination."""
    try:
        return call()
    except OSError as error:
        raise TransientError(f"{media.asset.display} cannot be read: {error.strerror or error}") from error
