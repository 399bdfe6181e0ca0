"""An eye on the destination that the library knows nothing of: inotify says whenever a name appears there."""

from __future__ import annotations

import ctypes
import hashlib
import os
import select
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_IN_MOVED_TO, _IN_CREATE, _IN_Q_OVERFLOW = 0x80, 0x100, 0x4000
_EVENT = struct.Struct("iIII")


class Arrivals:
    """Every file that became visible below a folder, whose folders must stand when the watch begins.

    A file that has arrived is kept open, so that its inode number is not given to another one.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_CLOEXEC)
        assert self._fd >= 0, os.strerror(ctypes.get_errno())
        self._folders = {self._watch(folder): folder for folder in (root, *root.rglob("*/"))}
        self._files: dict[str, dict[tuple[int, int], int]] = {}
        self.events = 0
        self._end, self._ended = os.pipe()
        self._thread = threading.Thread(target=self._run, name="arrivals")
        self._thread.start()

    def twice(self) -> dict[str, int]:
        """SHA-256 of contents that became visible as more than one file, and as how many."""
        return {sha256: len(files) for sha256, files in self._files.items() if len(files) > 1}

    def close(self) -> None:
        """Look at what is still in the queue, and end."""
        os.close(self._ended)
        self._thread.join()
        for files in self._files.values():
            for fd in files.values():
                os.close(fd)
        for fd in (self._fd, self._end):
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _watch(self, folder: Path) -> int:
        number: int = self._libc.inotify_add_watch(self._fd, os.fsencode(folder), _IN_MOVED_TO | _IN_CREATE)
        assert number >= 0, os.strerror(ctypes.get_errno())
        return number

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._end, select.POLLIN | select.POLLHUP)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._fd in ready:
                self._read(os.read(self._fd, 65_536))
            elif self._end in ready:
                return

    def _read(self, events: bytes) -> None:
        at = 0
        while at < len(events):
            watch, mask, _, length = _EVENT.unpack_from(events, at)
            name = events[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
            at += _EVENT.size + length
            assert not mask & _IN_Q_OVERFLOW, "the watch has missed events"
            if not name.startswith(b"."):
                self._arrived(self._folders[watch] / os.fsdecode(name))

    def _arrived(self, path: Path) -> None:
        self.events += 1
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(fd)
        with open(fd, "rb", closefd=False) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        files = self._files.setdefault(sha256, {})
        if (found.st_dev, found.st_ino) in files:
            os.close(fd)
        else:
            files[found.st_dev, found.st_ino] = fd
