"""FakeTree: a source in memory that tests change, damage and take offline."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.errors import SourceOfflineError
from media_watch_tasks.model import identity
from media_watch_tasks.model.assets import MediaAsset, RootIdentity
from media_watch_tasks.model.scans import DirectoryStamp

__all__ = ["FakeFile", "FakeTree"]

_FIRST_MTIME = 1_700_000_000 * NANOSECONDS


@attrs.define
class FakeFile:
    """One file of a tree: its bytes now."""

    data: bytes
    mtime_ns: int
    file_id: int


@attrs.define
class _Directory:
    stamp: DirectoryStamp
    readable: bool = True


class FakeTree:
    """Files in memory under one source id. Paths are `str` (as UTF-8) or `bytes`, relative, with POSIX separators.

    Every change moves an inner tick on: a new or changed file gets its own mtime (a second later each time), and the
    directory whose entries changed gets another stamp, as a file system would do it. Thread-safe.
    """

    def __init__(self, source_id: str = "fake:tree") -> None:
        self.source_id = source_id
        self.identity = RootIdentity(strong=f"volume of {source_id}", weak="1", file_ids_stable=True)
        """What `FakeScanner.identify` answers; set another one to pretend that another disk stands there."""
        self.offline = False
        """While True everything raises `SourceOfflineError`, also streams that are open."""
        self.open_streams = 0
        """Streams that were opened and not closed."""
        self.largest_read = 0
        """The most bytes that one read asked for; -1 if a read asked for everything."""
        self._lock = threading.RLock()
        self._tick = 0
        self._files: dict[bytes, FakeFile] = {}
        self._directories: dict[bytes, _Directory] = {}
        self.make_directory(b"")

    def put(self, path: str | bytes, data: bytes = b"footage", *, mtime_ns: int | None = None) -> MediaAsset:
        """Create the file, or give it these bytes; returns the asset as a listing shows it now."""
        name = _as_bytes(path)
        with self._lock:
            self._tick += 1
            stamp = _FIRST_MTIME + self._tick * NANOSECONDS if mtime_ns is None else mtime_ns
            known = self._files.get(name)
            if known is None:
                self.make_directory(identity.split(name)[0])
                self._files[name] = FakeFile(data, stamp, self._tick)
                self._touch(identity.split(name)[0])
            else:
                known.data, known.mtime_ns = data, stamp
            return self.asset(name)

    def change(self, path: str | bytes, data: bytes | None = None) -> MediaAsset:
        """Give an existing file other bytes (by default its bytes and one more) and a later mtime."""
        with self._lock:
            return self.put(path, self.file(path).data + b"+" if data is None else data)

    def remove(self, path: str | bytes) -> None:
        """Delete a file."""
        name = _as_bytes(path)
        with self._lock:
            self.file(name)
            del self._files[name]
            self._touch(identity.split(name)[0])

    def remove_directory(self, path: str | bytes) -> None:
        """Delete a directory and everything below it."""
        top = _as_bytes(path)
        with self._lock:
            for name in [name for name in self._files if identity.is_below(identity.split(name)[0], top)]:
                del self._files[name]
            for directory in [known for known in self._directories if identity.is_below(known, top)]:
                del self._directories[directory]
            self.make_directory(b"")
            self._touch(identity.split(top)[0])

    def move(self, path: str | bytes, to: str | bytes) -> MediaAsset:
        """Rename a file: bytes, mtime and file id stay."""
        old, new = _as_bytes(path), _as_bytes(to)
        with self._lock:
            file = self.file(old)
            self.make_directory(identity.split(new)[0])
            del self._files[old]
            self._files[new] = file
            for directory in {identity.split(old)[0], identity.split(new)[0]}:
                self._touch(directory)
            return self.asset(new)

    def make_directory(self, path: str | bytes) -> None:
        """Create a directory and its parents; nothing happens to those that are there."""
        directory = _as_bytes(path)
        with self._lock:
            while directory not in self._directories:
                self._directories[directory] = _Directory(self._new_stamp(len(self._directories) + 1))
                if directory:
                    directory = identity.split(directory)[0]
                    if directory in self._directories:
                        self._touch(directory)

    def set_readable(self, path: str | bytes, *, readable: bool) -> None:
        """Allow or deny the listing of a directory."""
        with self._lock:
            self._directories[_as_bytes(path)].readable = readable

    @contextmanager
    def taken_offline(self) -> Iterator[None]:
        """Offline inside of the block."""
        self.offline = True
        try:
            yield
        finally:
            self.offline = False

    def check_online(self) -> None:
        """Raise `SourceOfflineError` while the tree is offline."""
        if self.offline:
            raise SourceOfflineError(f"{self.source_id} was taken offline by the test")

    def file(self, path: str | bytes) -> FakeFile:
        """The file; KeyError if there is none."""
        return self._files[_as_bytes(path)]

    def find(self, path: str | bytes) -> FakeFile | None:
        """The file, None if there is none."""
        return self._files.get(_as_bytes(path))

    def asset(self, path: str | bytes) -> MediaAsset:
        """The file as a listing shows it now."""
        name = _as_bytes(path)
        file = self.file(name)
        return MediaAsset(self.source_id, name, len(file.data), file.mtime_ns, file.file_id)

    def paths(self) -> list[bytes]:
        """All files, in the order of a scan."""
        with self._lock:
            return sorted(self._files, key=lambda name: (identity.order_key(identity.split(name)[0]), name))

    def children(self, directory: bytes) -> tuple[list[bytes], list[bytes]] | None:
        """The sorted (sub-directories, files) of a directory as paths; None if it is gone.

        Raises `PermissionError` where the directory was made unreadable.
        """
        with self._lock:
            record = self._directories.get(directory)
            if record is None:
                return None
            if not record.readable:
                raise PermissionError(f"{identity.display_text(directory)} was made unreadable by the test")
            folders = sorted(known for known in self._directories if known and identity.split(known)[0] == directory)
            files = sorted(name for name in self._files if identity.split(name)[0] == directory)
            return folders, files

    def stamp(self, directory: bytes) -> DirectoryStamp | None:
        """The directory's own times and id; None if it is gone."""
        record = self._directories.get(directory)
        return None if record is None else record.stamp

    def _touch(self, directory: bytes) -> None:
        record = self._directories.get(directory)
        if record is not None:
            record.stamp = self._new_stamp(record.stamp.file_id)

    def _new_stamp(self, file_id: int | None) -> DirectoryStamp:
        self._tick += 1
        now = _FIRST_MTIME + self._tick * NANOSECONDS
        return DirectoryStamp(now, now, file_id)


def _as_bytes(path: str | bytes) -> bytes:
    return path.encode("utf-8", "surrogatepass") if isinstance(path, str) else path
