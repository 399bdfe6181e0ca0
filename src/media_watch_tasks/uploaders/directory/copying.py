"""Streaming a file into an open one, hashing and checking on the way. Memory: one buffer of 1 MiB for each thread."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import BinaryIO, Protocol, TypeVar, cast

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.errors import AssetChanged, TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage
from media_watch_tasks.uploaders.directory.buffers import borrowed
from media_watch_tasks.uploaders.directory.uncached import UncachedReads

__all__ = ["copy_and_hash", "hash_of_file", "hash_of_source"]

_Result = TypeVar("_Result")

_WRITE_OUT_EVERY = 8 << 20
"""Bytes after which the system is asked to begin to write, while the copy goes on: the device works all the time."""
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
    done = begun = synced = 0

    def take(part: memoryview) -> None:
        nonlocal done, begun, synced
        digest.update(part)
        done += len(part)
        while part:
            part = part[os.write(fd, part) :]
        if sync and done - begun >= _WRITE_OUT_EVERY:
            _begin_to_write(fd, begun, done - begun)
            begun = done
        if sync and done - synced >= _SYNC_EVERY:
            os.fdatasync(fd)
            synced = done

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
        from_device: read what the disk, or the server, gives back, and not what the system has cached of the file, as
            far as it can; see `UncachedReads`.
    """
    with borrowed() as buffer:
        if not from_device:
            return _hashed(lambda offset: os.preadv(fd, [buffer], offset), buffer, progress)
        with UncachedReads(fd) as reads:
            return _hashed(lambda offset: reads.read_into(buffer, offset), buffer, progress)


def _hashed(fill: Callable[[int], int], buffer: memoryview, progress: Callable[[int], object]) -> tuple[str, int]:
    digest = hashlib.sha256()
    length = 0
    while count := fill(length):
        digest.update(buffer[:count])
        length += count
        progress(length)
    return digest.hexdigest(), length


def _begin_to_write(fd: int, offset: int, length: int) -> None:
    """Ask the system to write this range now, without waiting for it.

    Linux does that for bytes that are said not to be needed any more: they are dropped when they are written, not
    before.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)


def _read_all(
    media: ResolvedMedia, watch: Callable[[BinaryIO], BinaryIO], take: Callable[[memoryview], object]
) -> None:
    read = 0
    with borrowed() as whole, _source(media, media.open) as stream:
        # One byte more than the size, so that a small file needs one read, and one that grew is noticed.
        buffer = whole[: media.size + 1]
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
