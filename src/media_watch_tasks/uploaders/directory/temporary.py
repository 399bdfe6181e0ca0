"""Unfinished copies: how they are named, and how those that a killed run left behind are swept."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import secrets
import stat
import threading

from media_watch_tasks.clock import NANOSECONDS

__all__ = ["TemporaryFiles", "is_temporary"]

_log = logging.getLogger(__name__)

_NAME = re.compile(rb"\.mwt-([0-9a-f]{16})-[0-9a-f]{12}\.part")
_KEY_PREFIX = re.compile(r"[0-9a-f]{16}")
_MAX_AGE_NS = 24 * 3_600 * NANOSECONDS
_MOST_FOLDERS = 100_000


def is_temporary(name: bytes) -> bool:
    """True for a name that this module gives, hidden and with the ending that scans leave out."""
    return _NAME.fullmatch(name) is not None


def _prefix_of(key: str) -> bytes:
    prefix = key[:16]
    if not _KEY_PREFIX.fullmatch(prefix):
        prefix = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return prefix.encode("ascii")


class TemporaryFiles:
    """Makes temporary files and sweeps leftovers. Thread-safe.

    A leftover is removed when its name is one of ours, nobody in this process writes it, and it is older than a day by
    the destination's own clock, or belongs to the key that is being uploaded now. Age is that of the ctime: the mtime
    is set to the asset's before the file is finished.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: set[bytes] = set()
        self._swept: set[bytes] = set()

    def create(self, folder_fd: int, key: str) -> tuple[int, bytes]:
        """A new file (open for reading and writing) in the folder, and its name. Call `forget` when it is gone."""
        name = b".mwt-%s-%s.part" % (_prefix_of(key), secrets.token_hex(6).encode("ascii"))
        with self._lock:
            self._active.add(name)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(name, flags, 0o666, dir_fd=folder_fd), name
        except BaseException:
            self.forget(name)
            raise

    def forget(self, name: bytes) -> None:
        """This process has done with the file."""
        with self._lock:
            self._active.discard(name)

    def discard(self, folder_fd: int, name: bytes) -> None:
        """Remove the file, if it is still there, and forget it."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder_fd)
        self.forget(name)

    def sweep(self, folder_fd: int, folder: bytes, *, key: str, now_ns: int, again: bool) -> int:
        """Remove leftovers in a folder; how many. Lists it once a process, or when asked to look `again`.

        Args:
            folder_fd: the folder.
            folder: its path below the destination.
            key: the key that is being uploaded.
            now_ns: the time by the destination's clock: the ctime of a file just made there.
            again: work on this key has begun before, so there may be a leftover of it.
        """
        with self._lock:
            if folder in self._swept and not again:
                return 0
            if len(self._swept) >= _MOST_FOLDERS:
                self._swept.clear()
            self._swept.add(folder)
        mine = _prefix_of(key)
        removed = 0
        with os.scandir(folder_fd) as entries:
            names = [os.fsencode(entry.name) for entry in entries if entry.name.startswith(".mwt-")]
        for name in names:
            match = _NAME.fullmatch(name)
            if match is not None and self._is_left_over(folder_fd, name, is_mine=match[1] == mine, now_ns=now_ns):
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=folder_fd)
                    removed += 1
        if removed:
            _log.info("leftovers of interrupted copies removed", extra={"removed": removed})
        return removed

    def _is_left_over(self, folder_fd: int, name: bytes, *, is_mine: bool, now_ns: int) -> bool:
        with self._lock:
            if name in self._active:
                return False
        try:
            found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and (is_mine or now_ns - found.st_ctime_ns > _MAX_AGE_NS)
