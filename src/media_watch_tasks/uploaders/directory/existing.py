"""What stands at a target already, and what that proves. Nothing is taken for granted from a name and a size."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator

import attrs

from media_watch_tasks.uploaders.directory.copying import hash_of_file
from media_watch_tasks.uploaders.directory.ownership import Mark

__all__ = ["Standing", "Stranger", "look_at", "version_name", "version_number", "versions_of"]

_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NUMBER = re.compile(rb"\.([1-9][0-9]{0,8})")


class Stranger(Exception):  # noqa: N818 - a finding
    """Something stands there that cannot be compared: a folder, a link, a device, or a file that cannot be read."""


@attrs.define
class Standing:
    """An open regular file at the destination."""

    fd: int
    stat: os.stat_result
    mark: Mark | None
    _hash: str | None = None

    def hash(self, progress: Callable[[int], object]) -> str:
        """SHA-256, hex, of the bytes that stand there; read once."""
        if self._hash is None:
            self._hash, _ = hash_of_file(self.fd, progress=progress)
        return self._hash

    def is_still(self, folder_fd: int, name: bytes) -> bool:
        """True if this file, unchanged, has the name now."""
        try:
            now = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return _identity(now) == _identity(self.stat)


def _identity(found: os.stat_result) -> tuple[int, int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@contextlib.contextmanager
def look_at(folder_fd: int, name: bytes) -> Iterator[Standing | None]:
    """The file that has the name; None if nothing has it.

    Raises:
        Stranger: it is no regular file, or cannot be opened.
        OSError: the look itself failed (a name that is too long, an I/O error).
    """
    try:
        # A pipe or device is looked at before it is opened, which could block or have effects.
        found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            raise Stranger("not a regular file")
        fd = os.open(name, _LOOK, dir_fd=folder_fd)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM, errno.ELOOP}:
            raise Stranger(error.strerror) from error
        raise
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise Stranger("not a regular file")
        yield Standing(fd, found, Mark.read(fd))
    finally:
        os.close(fd)


def version_name(name: bytes, number: int) -> bytes:
    """The name of the n-th version: `clip.mov`, then `clip.2.mov`, `clip.3.mov`, and so on."""
    if number == 1:
        return name
    stem, extension = os.path.splitext(name)
    return b"%s.%d%s" % (stem, number, extension)


def version_number(name: bytes, candidate: bytes) -> int | None:
    """Which version of the name the candidate is; None if it is none."""
    if candidate == name:
        return 1
    stem, extension = os.path.splitext(name)
    if not candidate.startswith(stem) or not candidate.endswith(extension):
        return None
    match = _NUMBER.fullmatch(candidate[len(stem) : len(candidate) - len(extension)])
    number = int(match[1]) if match is not None else 0
    return number if number > 1 else None


def versions_of(folder_fd: int, name: bytes) -> list[int]:
    """The numbers of all versions of the name that stand in the folder, sorted."""
    with os.scandir(folder_fd) as entries:
        numbers = (version_number(name, os.fsencode(entry.name)) for entry in entries)
        return sorted(number for number in numbers if number is not None)
