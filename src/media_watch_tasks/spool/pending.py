"""PendingStore: content-addressed files in a folder, and for each task a note of which one is its."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import logging
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import BinaryIO, get_args

from media_watch_tasks.abc.payloads import KeepPayloads, KeptPayload, PayloadStore
from media_watch_tasks.clock import Clock, SystemClock
from media_watch_tasks.errors import AssetChanged, ConfigurationError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.identity import Route
from media_watch_tasks.spool.folder import SpoolFolder

__all__ = ["PendingStore"]

_log = logging.getLogger(__name__)
_BLOCK = 1 << 20


class PendingStore(PayloadStore):
    """Keeps the bytes of pending uploads in a folder of this machine, for sources that may vanish.

    Give it to a `TaskManager` (`pending=`). A memory card that was pulled out, a share that is gone or a file that was
    deleted then no longer ends a task whose first attempt failed: the retry sends what is kept here.

    Below the folder, `bytes/` holds each content once, named by its SHA-256, and `tasks/` a note for each task: its
    key, source and destination ids, size, hash and type, and no secret. Everything is written to a temporary file,
    synced and renamed, mode 0600. What was being written when a process died is removed when the next one opens the
    folder, and so are bytes without a note. Several processes may share a folder, and several managers, as long as no
    two databases hold tasks of the same source and destination.

    Args:
        folder: where; made if it is missing. Not inside of a watched folder.
        keep: `on_failure`: after a failed attempt that was not the source's or the file's fault (the network, refused
            credentials, a server that fails, is full or throttles). `always`: before anything is sent, which is then
            read from here; it also covers a power cut in the first attempt. `off`: nothing new is kept.
        max_bytes: of all that is kept; what does not fit is not kept, and a warning says so.
        ttl: what is older is freed, with a warning and an event; None: never.
        on_dead: `keep` the bytes of dead tasks for their `retry`, or `free` them.
        clock: for `ttl`.

    Raises:
        ConfigurationError: a setting that makes no sense, or a folder that cannot be made.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep: KeepPayloads = "on_failure",
        max_bytes: int = 10_000_000_000,
        ttl: timedelta | None = timedelta(days=30),
        on_dead: str = "keep",
        clock: Clock | None = None,
    ) -> None:
        if keep not in get_args(KeepPayloads):
            raise ConfigurationError(f"keep must be one of {get_args(KeepPayloads)}, not {keep!r}")
        if on_dead not in {"keep", "free"}:
            raise ConfigurationError(f"on_dead must be 'keep' or 'free', not {on_dead!r}")
        if not isinstance(max_bytes, int) or max_bytes < 1:
            raise ConfigurationError(f"max_bytes must be a whole number of at least 1, not {max_bytes!r}")
        if ttl is not None and ttl <= timedelta(0):
            raise ConfigurationError(f"ttl must be longer than nothing, not {ttl}")
        self._keep: KeepPayloads = keep
        self._keep_dead = on_dead == "keep"
        self._max_bytes = max_bytes
        self._ttl = ttl
        self._clock = clock or SystemClock()
        self._thread_lock = threading.Lock()
        self._reserved = 0
        root = os.path.abspath(folder)
        try:
            self._bytes = SpoolFolder(os.path.join(root, "bytes"))
            self._notes = SpoolFolder(os.path.join(root, "tasks"))
            self._lock_path = os.path.join(root, "lock")
            os.close(os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._sweep()
        except OSError as error:
            raise ConfigurationError(f"bytes cannot be kept in {root}: {error.strerror}") from error

    @property
    def keep(self) -> KeepPayloads:
        """As given."""
        return self._keep

    @property
    def keep_dead(self) -> bool:
        """As given."""
        return self._keep_dead

    @property
    def ttl(self) -> timedelta | None:
        """As given."""
        return self._ttl

    @property
    def size(self) -> int:
        """Bytes that are kept now."""
        return sum(found.st_size for name in self._bytes.names() if (found := self._bytes.stat(name)))

    def put(self, key: str, route: Route, media: ResolvedMedia) -> KeptPayload | None:
        """See the interface."""
        with self._room(media.size) as fits:
            if not fits:
                _log.warning(
                    "not kept, there is no room: a retry depends on the source",
                    extra={"asset": media.asset.display, "bytes": media.size, "max_bytes": self._max_bytes},
                )
                return None
            with self._bytes.temporary() as (fd, name):
                sha256 = _copy(media, fd)
                os.fsync(fd)
                note = {
                    "source_id": route.source_id, "destination_id": route.destination_id, "size": media.size,
                    "sha256": sha256, "mime_type": media.mime_type, "kept_ns": self._clock.now_ns(),
                }  # fmt: skip
                with self._alone():
                    if self._bytes.stat(sha256) is None:
                        self._bytes.publish(name, sha256)
                    self._notes.write(key, json.dumps(note).encode())
        return self.get(key)

    def get(self, key: str) -> KeptPayload | None:
        """See the interface."""
        note = self._note(key)
        if note is None:
            return None
        sha256, size = str(note["sha256"]), int(str(note["size"]))
        found = self._bytes.stat(sha256)
        if found is None or found.st_size != size:
            return None
        path = os.path.join(self._bytes.path, sha256)
        return KeptPayload(
            key=key,
            size=size,
            sha256=sha256,
            mime_type=str(note["mime_type"]),
            age=timedelta(microseconds=(self._clock.now_ns() - int(str(note["kept_ns"]))) // 1_000),
            open_stream=lambda offset, length: _open(path, offset, length),
        )

    def free(self, key: str) -> int | None:
        """See the interface."""
        with self._alone():
            note = self._note(key)
            if note is None or not self._notes.remove(key):
                return None
            self._notes.sync()
            sha256 = str(note["sha256"])
            if sha256 in self._named():
                return 0
            found = self._bytes.stat(sha256)
            self._bytes.remove(sha256)
            return 0 if found is None else found.st_size

    def keys(self, route: Route) -> Iterator[str]:
        """See the interface."""
        for key in self._notes.names():
            note = self._note(key)
            if note is not None and Route(str(note["source_id"]), str(note["destination_id"])) == route:
                yield key

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {os.path.dirname(self._lock_path)} keep={self._keep}>"

    def _note(self, key: str) -> dict[str, object] | None:
        data = self._notes.read(key)
        if data is None:
            return None
        try:
            note: dict[str, object] = json.loads(data)
        except ValueError:
            note = {}
        if not {"source_id", "destination_id", "size", "sha256", "mime_type", "kept_ns"} <= note.keys():
            _log.error("a note of what is kept cannot be read", extra={"key": key})
            return None
        return note

    def _named(self) -> set[str]:
        return {str(note["sha256"]) for key in self._notes.names() if (note := self._note(key)) is not None}

    def _sweep(self) -> None:
        with self._alone():
            self._bytes.sweep()
            self._notes.sweep()
            for name in set(self._bytes.names()) - self._named():
                _log.warning("bytes that no task needs were removed", extra={"sha256": name})
                self._bytes.remove(name)

    @contextlib.contextmanager
    def _room(self, size: int) -> Iterator[bool]:
        """Whether so many bytes fit beside what is kept and what other threads are copying."""
        with self._thread_lock:
            fits = self.size + self._reserved + size <= self._max_bytes
            self._reserved += size if fits else 0
        try:
            yield fits
        finally:
            with self._thread_lock:
                self._reserved -= size if fits else 0

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread or process changes what is kept."""
        with self._thread_lock, open(self._lock_path, "rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            yield


def _copy(media: ResolvedMedia, fd: int) -> str:
    digest, read = hashlib.sha256(), 0
    with media.open() as stream:
        while block := stream.read(_BLOCK):
            read += len(block)
            digest.update(block)
            view = memoryview(block)
            while view:
                view = view[os.write(fd, view) :]
    if read != media.size:
        raise AssetChanged(f"{media.asset.display} gave {read} bytes, it had {media.size}")
    return digest.hexdigest()


class _Range(io.RawIOBase):
    """A stretch of an open file."""

    def __init__(self, file: io.FileIO, length: int | None) -> None:
        super().__init__()
        self._file = file
        self._left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # typeshed: WriteableBuffer
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view if self._left is None else view[: self._left]) or 0
        if self._left is not None:
            self._left -= count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _open(path: str, offset: int, length: int | None) -> BinaryIO:
    file = io.FileIO(path)
    file.seek(offset)
    return io.BufferedReader(_Range(file, length), _BLOCK)
